//! Reads of any length, in bounded memory.

use std::time::Duration;

use backstop_core::{
    clock,
    error::{Executed, FailureKind},
};
use backstop_sqlite::{
    SqliteOptions,
    sql::{Query, QueryStream, RowStream, Value},
};

use crate::support::{Db, ENDLESS, assert_failed, lane};

/// Rows without end, one after the other.
const NUMBERS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";

async fn one_thread(change: impl FnOnce(SqliteOptions) -> SqliteOptions) -> Db {
    let db = Db::with(|options| change(options.readers(1))).await;
    db.run("CREATE TABLE t(v)").await;
    db
}

fn first(rows: &backstop_sqlite::sql::Rows) -> Option<i64> {
    rows.get(0)?[0].as_int()
}

async fn all(mut stream: RowStream) -> Vec<i64> {
    let mut values = Vec::new();
    while let Some(chunk) = stream.next_chunk().await {
        values.extend(chunk.unwrap().iter().filter_map(|row| row[0].as_int()));
    }
    values
}

#[test]
fn a_stream_has_every_row_once_and_in_order() {
    lane(async {
        let db = one_thread(|options| options.rows_max(10)).await;
        let few = QueryStream::new(format!("{NUMBERS} LIMIT :n")).bind_named("n", 1_000).chunk_rows(64);
        assert_eq!(all(db.ask(few).await.unwrap()).await, (1..=1_000).collect::<Vec<_>>());
        let fits = QueryStream::new(format!("{NUMBERS} LIMIT 64")).chunk_rows(64);
        assert_eq!(all(db.ask(fits).await.unwrap()).await.len(), 64);
    });
}

#[test]
fn an_empty_stream_has_one_chunk_with_the_columns() {
    lane(async {
        let db = one_thread(|options| options).await;
        let mut stream = db.ask(QueryStream::new("SELECT v AS a, 1 AS b FROM t")).await.unwrap();
        let chunk = stream.next_chunk().await.unwrap().unwrap();
        assert_eq!((chunk.columns().len(), chunk.is_empty()), (2, true));
        assert!(stream.next_chunk().await.is_none());
    });
}

#[test]
fn a_limit_on_rows_cuts_a_stream_and_says_so() {
    lane(async {
        let db = one_thread(|options| options).await;
        let mut stream = db.ask(QueryStream::new(NUMBERS).limit_rows(6).chunk_rows(4)).await.unwrap();
        let sizes =
            [stream.next_chunk().await.unwrap().unwrap(), stream.next_chunk().await.unwrap().unwrap()]
                .map(|rows| (rows.len(), rows.is_truncated()));
        assert_eq!(sizes, [(4, false), (2, true)]);
        assert!(stream.next_chunk().await.is_none());
    });
}

#[test]
fn what_is_wrong_before_the_first_chunk_fails_the_call() {
    lane(async {
        let db = one_thread(|options| options).await;
        for sql in ["SELECT v FROM nowhere", "INSERT INTO t VALUES (1)", "SELECT abs(-9223372036854775808)"] {
            assert_failed(db.ask(QueryStream::new(sql)).await, FailureKind::Refused, Executed::No);
        }
        let late = db.ask_patiently(Duration::from_millis(100), QueryStream::new(ENDLESS)).await;
        assert_failed(late, FailureKind::Timeout, Executed::No);
        assert_eq!(db.count("t").await, 0);
    });
}

#[test]
fn an_error_after_the_first_chunk_ends_the_stream_after_the_rows_before_it() {
    lane(async {
        let db = one_thread(|options| options).await;
        let fails =
            format!("SELECT CASE WHEN i < 8 THEN i ELSE abs(-9223372036854775808) END FROM ({NUMBERS})");
        let mut stream = db.ask(QueryStream::new(fails).chunk_rows(1)).await.unwrap();
        let mut seen = Vec::new();
        let failure = loop {
            match stream.next_chunk().await.unwrap() {
                Ok(rows) => seen.push(first(&rows).unwrap()),
                Err(failure) => break failure,
            }
        };
        assert_eq!(seen, (1..8).collect::<Vec<_>>());
        assert_eq!((failure.kind(), failure.executed()), (FailureKind::Refused, Executed::No));
        assert!(stream.next_chunk().await.is_none());
    });
}

#[test]
fn a_stream_outlives_its_deadline_once_it_has_begun() {
    lane(async {
        let db = one_thread(|options| options).await;
        let stream = QueryStream::new(format!("{NUMBERS} LIMIT 200000")).chunk_rows(1_000);
        let deadline = Duration::from_millis(250);
        let mut stream = db.ask_in(deadline, stream).await.unwrap();
        tokio::time::sleep(deadline + Duration::from_millis(50)).await; // what is tested is that time passes
        let mut count = 0;
        while let Some(chunk) = stream.next_chunk().await {
            count += chunk.unwrap().len();
        }
        assert_eq!(count, 200_000);
    });
}

#[test]
fn a_dropped_stream_frees_its_thread_within_100_ms() {
    lane(async {
        let db = one_thread(|options| options).await;
        // one waits for its reader, one runs in the engine between two chunks
        let between = format!("SELECT 0 UNION ALL SELECT * FROM ({ENDLESS})");
        for sql in [NUMBERS.to_owned(), between] {
            let mut stream = db.ask(QueryStream::new(sql).chunk_rows(1)).await.unwrap();
            stream.next_chunk().await.unwrap().unwrap();
            let dropped = clock::now();
            drop(stream);
            // there is one thread for streams
            assert_eq!(all(db.ask(QueryStream::new("SELECT 7")).await.unwrap()).await, [7]);
            let took = clock::now() - dropped;
            assert!(took < Duration::from_millis(100), "it took {took:?}");
        }
    });
}

#[test]
fn a_stream_that_nobody_reads_is_given_up_and_says_why() {
    lane(async {
        let db = one_thread(|options| options.stream_idle(Duration::from_millis(50))).await;
        let mut unread = db.ask(QueryStream::new(NUMBERS).chunk_rows(10)).await.unwrap();
        // the next one gets the thread when this one was given up
        assert_eq!(all(db.ask(QueryStream::new("SELECT 7")).await.unwrap()).await, [7]);
        let mut last = None;
        while let Some(chunk) = unread.next_chunk().await {
            last = Some(chunk);
        }
        let failure = last.unwrap().unwrap_err();
        assert_eq!(failure.code(), Some("stream_idle"));
        assert!(failure.message().contains("nobody read"), "{failure}");
    });
}

#[test]
fn a_statement_that_finds_nothing_for_long_is_given_up() {
    lane(async {
        let db = one_thread(|options| options.stream_idle(Duration::from_millis(50))).await;
        let sql = format!("SELECT 0 UNION ALL SELECT * FROM ({ENDLESS})");
        let mut stream = db.ask(QueryStream::new(sql).chunk_rows(1)).await.unwrap();
        assert_eq!(first(&stream.next_chunk().await.unwrap().unwrap()), Some(0));
        let failure = stream.next_chunk().await.unwrap().unwrap_err();
        assert_eq!((failure.kind(), failure.code()), (FailureKind::Timeout, Some("stream_idle")));
    });
}

#[test]
fn memory_is_bounded_by_chunks_that_end_at_their_bytes() {
    lane(async {
        let db = one_thread(|options| options).await;
        let wide = QueryStream::new(format!("SELECT i, zeroblob(100000) FROM ({NUMBERS}) LIMIT 50"));
        let mut stream = db.ask(wide.chunk_rows(10_000)).await.unwrap();
        let (mut rows, mut largest) = (0, 0);
        while let Some(chunk) = stream.next_chunk().await {
            let chunk = chunk.unwrap();
            rows += chunk.len();
            largest = largest.max(chunk.len());
        }
        assert_eq!((rows, largest), (50, 3));
    });
}

#[test]
fn slow_streams_stand_in_no_readers_or_writers_way() {
    lane(async {
        let db = one_thread(|options| options.inline_steps(1_000)).await;
        let _unread = db.ask(QueryStream::new(NUMBERS)).await.unwrap();
        db.run("INSERT INTO t VALUES (1)").await;
        let long = format!("SELECT count(*) FROM ({NUMBERS} LIMIT 100000)");
        let count = db.ask_in(Duration::from_secs(5), Query::new(long)).await.unwrap();
        assert_eq!(first(&count), Some(100_000));
        assert_eq!(db.count("t").await, 1);
    });
}

#[test]
fn a_database_in_memory_streams_from_its_writer() {
    lane(async {
        use backstop_core::backend::Connect as _;
        use backstop_sqlite::sql::Execute;

        use crate::support::{LONG, ask};
        let options = SqliteOptions::memory().transaction_idle(Duration::from_millis(50));
        let shared = std::sync::Arc::new(options.share().unwrap());
        let backend = options.connect(&shared).await.unwrap();
        ask(&backend, &Execute::new("CREATE TABLE t(v)"), LONG).await.unwrap();
        ask(&backend, &Execute::new("INSERT INTO t VALUES (1), (2)"), LONG).await.unwrap();
        let stream = ask(&backend, &QueryStream::new("SELECT v FROM t"), LONG).await.unwrap();
        assert_eq!(all(stream).await, [1, 2]);
        // an unread one holds the writer no longer than a transaction may stand still
        let _unread = ask(&backend, &QueryStream::new(NUMBERS), LONG).await.unwrap();
        let rows = ask(&backend, &Query::new("SELECT 3"), LONG).await.unwrap();
        assert_eq!(rows.get(0).unwrap()[0], Value::Int(3));
    });
}
