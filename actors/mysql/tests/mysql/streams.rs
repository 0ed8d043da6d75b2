//! Streams: any length in bounded memory, and stopped on the server when nobody reads.

use std::time::Duration;

use backstop_core::{
    backend::Backend as _,
    call::Deadline,
    error::{Executed, FailureKind},
};
use backstop_mysql::sql::{QueryAs, QueryStream};

use crate::support::{Db, LONG, assert_failed, lane, until};

#[test]
fn a_long_result_comes_in_order_and_in_chunks() {
    lane(async {
        let db = Db::new().await;
        let ask = QueryStream::new("SELECT seq FROM seq_1_to_50000").chunk_rows(1_000);
        let mut stream = db.ask(ask).await.unwrap();
        let mut next = 1;
        while let Some(chunk) = stream.next_chunk().await {
            let chunk = chunk.unwrap();
            assert!(chunk.len() <= 1_000);
            for id in chunk.into_typed::<i64>().unwrap() {
                assert_eq!(id, next);
                next += 1;
            }
        }
        assert_eq!(next, 50_001);
        until("an idle pool", async || db.lane.pool().active == 0).await;
        assert_eq!(db.lane.pool().created_total, 1);
    });
}

#[test]
fn an_empty_result_ends_well() {
    lane(async {
        let db = Db::with_table().await;
        let mut stream = db.ask(QueryStream::new("SELECT * FROM t")).await.unwrap();
        assert!(stream.next_chunk().await.is_none());
    });
}

#[test]
fn a_stream_that_is_dropped_is_ended_on_the_server() {
    lane(async {
        let db = Db::new().await;
        let endless = "SELECT a.seq FROM seq_1_to_1000000 a, seq_1_to_1000000 b";
        let mut stream = db.ask(QueryStream::new(endless)).await.unwrap();
        stream.next_chunk().await.unwrap().unwrap();
        assert_eq!(db.sessions_with("seq_1_to_1000000 b"), 1);
        drop(stream);
        until("its end on the server", async || db.sessions_with("seq_1_to_1000000 b") == 0).await;
        until("an idle pool", async || db.lane.pool().active == 0).await;
        assert_eq!(db.ask(QueryAs::<i64>::new("SELECT 1")).await.unwrap(), [1]);
    });
}

#[test]
fn a_limit_ends_a_stream_well() {
    lane(async {
        let db = Db::new().await;
        let ask = QueryStream::new("SELECT seq FROM seq_1_to_1000000").chunk_rows(4).limit_rows(10);
        let mut stream = db.ask(ask).await.unwrap();
        let mut count = 0;
        while let Some(chunk) = stream.next_chunk().await {
            count += chunk.unwrap().len();
        }
        assert_eq!(count, 10);
    });
}

#[test]
fn an_error_in_the_middle_is_the_end_of_a_stream() {
    lane(async {
        let db = Db::new().await;
        // a scalar subquery that has two rows from a point on
        let sql = "SELECT (SELECT 1 UNION ALL SELECT 2 FROM DUAL WHERE a.seq > 2000) FROM seq_1_to_5000 a";
        let mut stream = db.ask(QueryStream::new(sql)).await.unwrap();
        let mut end = None;
        while let Some(chunk) = stream.next_chunk().await {
            end = chunk.err();
        }
        let failure = end.unwrap();
        assert_eq!((failure.kind(), failure.executed()), (FailureKind::Refused, Executed::No), "{failure}");
    });
}

#[test]
fn a_stream_that_nobody_reads_gives_its_connection_back() {
    lane(async {
        let db = Db::with(|options| options.stream_idle(Duration::from_millis(200))).await;
        let endless = "SELECT a.seq FROM seq_1_to_1000000 a, seq_1_to_1000000 c";
        let mut stream = db.ask(QueryStream::new(endless)).await.unwrap();
        until("its end on the server", async || db.sessions_with("seq_1_to_1000000 c") == 0).await;
        until("an idle pool", async || db.lane.pool().active == 0).await;
        let mut end = None;
        while let Some(chunk) = stream.next_chunk().await {
            end = chunk.err();
        }
        assert_eq!(end.unwrap().kind(), FailureKind::Timeout);
    });
}

#[test]
fn a_stream_cannot_write_and_ends_with_its_lane() {
    lane(async {
        let db = Db::with_table().await;
        let write = QueryStream::new("INSERT INTO t VALUES (1, 1)");
        let failure = assert_failed(db.ask(write).await, FailureKind::Refused, Executed::No);
        assert_eq!(failure.code(), Some("not_a_read"));
        let mut stream =
            db.ask(QueryStream::new("SELECT a.seq, SLEEP(0.01) FROM seq_1_to_9000 a")).await.unwrap();
        db.lane.close(Deadline::after(LONG)).await;
        while let Some(chunk) = stream.next_chunk().await {
            if let Err(failure) = chunk {
                assert_eq!(failure.kind(), FailureKind::Unavailable);
                return;
            }
        }
        panic!("the stream ended well");
    });
}
