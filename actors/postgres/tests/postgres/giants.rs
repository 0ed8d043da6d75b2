//! Replies of millions of rows, and giant values.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use backstop_core::{
    clock,
    error::{Executed, FailureKind},
};
use backstop_postgres::{
    PostgresOptions,
    sql::{Execute, Query, QueryAs, QueryStream},
};

use crate::{
    memory::Peak,
    support::{Db, assert_failed, lane, until},
};

/// One value. (A gigabyte is the most there is, and costs the server some of them; the bound looks at the length that
/// is announced, so it makes no difference.)
const GIANT: &str = "SELECT repeat('x', 200000000)";

#[test]
fn pg13_ten_million_rows_and_a_value_of_200_mb_cost_little_memory_and_nobody_else() {
    lane(async {
        let db = Rc::new(Db::with(|options| options.pool_size(4).max_overflow(0)).await);
        db.run("CREATE TABLE t (n int)").await;
        let is_over = Rc::new(Cell::new(false));
        let (neighbour, slowest) = (Rc::clone(&db), Rc::new(Cell::new(Duration::ZERO)));
        let (over, slow) = (Rc::clone(&is_over), Rc::clone(&slowest));
        let neighbour = tokio::task::spawn_local(async move {
            while !over.get() {
                let began = clock::now();
                assert_eq!(neighbour.ask(QueryAs::<i32>::new("SELECT 5")).await.unwrap(), [5]);
                slow.set(slow.get().max(began.elapsed()));
            }
        });
        let peak = Peak::begin();
        let rows =
            db.ask(Query::new("SELECT n, 'some text' FROM generate_series(1, 10000000) n")).await.unwrap();
        assert!(rows.is_truncated() && rows.len() < 1_000_000, "{}", rows.len());
        let failure = assert_failed(
            db.ask(QueryAs::<i32>::new("SELECT generate_series(1, 10000000)")).await,
            FailureKind::TooLarge,
            Executed::No,
        );
        assert!(!failure.is_transient(), "{failure}");
        let failure = assert_failed(db.ask(Query::new(GIANT)).await, FailureKind::TooLarge, Executed::No);
        assert!(!failure.is_transient(), "{failure}");
        println!("{failure}; {} MiB", peak.grown() >> 20);
        let failure = db
            .ask(Execute::new(format!("INSERT INTO t VALUES (1) RETURNING ({GIANT})")))
            .await
            .unwrap_err()
            .failure();
        assert_eq!(failure.kind(), FailureKind::TooLarge, "{failure}");
        assert_ne!(failure.executed(), Executed::No, "{failure}");
        until("a settled pool", async || db.shared.snapshot().active <= 1).await;
        assert!(peak.grown() < 200 << 20, "{} MiB", peak.grown() >> 20);
        is_over.set(true);
        neighbour.await.unwrap();
        assert!(slowest.get() < Duration::from_secs(2), "{:?}", slowest.get());
        assert!(db.int("SELECT count(*) FROM t").await <= 1);
    });
}

/// The server alone takes half a minute to make a gigabyte where two processors are shared.
const PATIENCE: Duration = Duration::from_secs(180);

/// Reads one row again and again beside `work`; returns what `work` did and the 99th percentile of the reads.
async fn beside<T>(db: &Rc<Db<'static>>, work: impl Future<Output = T>) -> (T, Duration) {
    let times = Rc::new(RefCell::new(Vec::new()));
    let (reader, noted) = (Rc::clone(db), Rc::clone(&times));
    let reading = tokio::task::spawn_local(async move {
        loop {
            let began = clock::now();
            assert_eq!(reader.ask(QueryAs::<i32>::new("SELECT 5")).await.unwrap(), [5]);
            noted.borrow_mut().push(began.elapsed());
        }
    });
    let done = work.await;
    reading.abort();
    assert!(reading.await.unwrap_err().is_cancelled(), "the reads beside it failed");
    let mut times = times.take();
    times.sort_unstable();
    (done, times[times.len() * 99 / 100])
}

#[test]
#[ignore = "two minutes, and some gigabytes for the server: `cargo xtask ci --deep`"]
fn pg13_ten_million_rows_as_a_stream_and_a_value_of_a_gigabyte_cost_little_memory_and_nobody_else() {
    lane(async {
        let patient = |options: PostgresOptions| options.statement_timeout(PATIENCE);
        let db = Rc::new(Db::with(|options| patient(options.pool_size(4).max_overflow(0))).await);
        let (_, alone) = beside(&db, tokio::time::sleep(Duration::from_secs(2))).await;
        let peak = Peak::begin();
        let stream = async {
            let rows = QueryStream::new("SELECT n, 'some text' FROM generate_series(1, 10000000) n");
            let (mut stream, mut count) = (db.ask(rows.chunk_rows(1_000)).await.unwrap(), 0);
            while let Some(chunk) = stream.next_chunk().await {
                count += chunk.unwrap().len();
            }
            count
        };
        let (count, streaming) = beside(&db, stream).await;
        assert_eq!(count, 10_000_000);
        println!("{} MiB for the stream; p99 {alone:?} alone, {streaming:?} beside it", peak.grown() >> 20);
        assert!(peak.grown() < 64 << 20, "{} MiB", peak.grown() >> 20);
        // the longest that the server can send as one row; a little more is its own error
        let giant = "SELECT repeat('x', 1000000000)";
        let (ended, refusing) = beside(&db, db.ask_in(PATIENCE, Query::new(giant))).await;
        let failure = assert_failed(ended, FailureKind::TooLarge, Executed::No);
        println!("{} MiB for {failure}; p99 {refusing:?} beside it", peak.grown() >> 20);
        assert!(!failure.is_transient(), "{failure}");
        assert!(peak.grown() < 64 << 20, "{} MiB", peak.grown() >> 20);
        until("a settled pool", async || db.shared.snapshot().active == 0).await;
        assert_eq!(db.int("SELECT 1").await, 1);
    });
}
