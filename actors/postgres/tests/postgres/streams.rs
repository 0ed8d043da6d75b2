//! Streams: any length, bounded memory, and an end that says whether it was the end.

use std::time::Duration;

use backstop_core::error::{Executed, FailureKind};
use backstop_postgres::sql::QueryStream;

use crate::support::{Db, lane, until};

#[test]
fn a_stream_brings_every_row_in_order_and_gives_its_connection_back() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        let sql = "SELECT generate_series(1, 100000)";
        let mut stream = db.ask(QueryStream::new(sql).chunk_rows(1000)).await.unwrap();
        let mut next = 1;
        while let Some(chunk) = stream.next_chunk().await {
            let chunk = chunk.unwrap();
            assert!(chunk.len() <= 1000);
            for row in chunk.iter() {
                assert_eq!(row[0].as_int(), Some(next));
                next += 1;
            }
        }
        assert_eq!(next, 100_001);
        assert_eq!(db.int("SELECT 1").await, 1);
        assert_eq!(db.shared.snapshot().created_total, 1);
    });
}

#[test]
fn a_stream_that_is_dropped_stops_its_statement() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        let mut stream = db.ask(QueryStream::new("SELECT generate_series(1, 1000000000)")).await.unwrap();
        stream.next_chunk().await.unwrap().unwrap();
        assert_eq!(db.sessions("state = 'active'"), 1);
        drop(stream);
        assert_eq!(db.int("SELECT 1").await, 1);
        until("an idle server", async || db.sessions("state = 'active'") == 0).await;
    });
}

#[test]
fn a_reader_that_takes_nothing_holds_the_server_back_and_then_loses_its_stream() {
    lane(async {
        let db = Db::with(|options| options.stream_idle(Duration::from_millis(300))).await;
        let wide = "SELECT repeat('x', 10000) FROM generate_series(1, 100000)";
        let mut stream = db.ask(QueryStream::new(wide)).await.unwrap();
        db.until_session("wait_event = 'ClientWrite'").await;
        until("the end of the session's work", async || db.shared.snapshot().active == 0).await;
        let mut error = None;
        while let Some(chunk) = stream.next_chunk().await {
            error = chunk.err();
        }
        let error = error.unwrap();
        assert!(matches!(error.kind(), FailureKind::Timeout | FailureKind::Unavailable), "{error}");
    });
}

#[test]
fn an_error_in_the_middle_ends_the_stream_with_that_error() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        let sql = "SELECT 1000 / (5000 - n) FROM generate_series(1, 10000) n";
        let mut stream = db.ask(QueryStream::new(sql).chunk_rows(100)).await.unwrap();
        let (mut rows, mut error) = (0, None);
        while let Some(chunk) = stream.next_chunk().await {
            match chunk {
                Ok(chunk) => rows += chunk.len(),
                Err(failure) => error = Some(failure),
            }
        }
        let error = error.unwrap();
        assert_eq!((error.code(), error.executed()), (Some("22012"), Executed::No), "{error}");
        assert!(rows < 5_000);
        assert_eq!(db.int("SELECT 1").await, 1);
    });
}

#[test]
fn a_stream_refuses_to_write_and_keeps_its_limit() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        db.run("CREATE TABLE t (n int)").await;
        let write = QueryStream::new("INSERT INTO t VALUES (1) RETURNING n");
        assert_eq!(db.ask(write).await.unwrap_err().failure().code(), Some("25006"));
        let mut stream =
            db.ask(QueryStream::new("SELECT generate_series(1, 100)").limit_rows(10)).await.unwrap();
        let chunk = stream.next_chunk().await.unwrap().unwrap();
        assert!(chunk.is_truncated() && chunk.len() == 10);
        assert!(stream.next_chunk().await.is_none());
        assert_eq!(db.int("SELECT count(*) FROM t").await, 0);
    });
}
