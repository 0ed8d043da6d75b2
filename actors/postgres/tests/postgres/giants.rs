//! Replies of millions of rows, and giant values.

use std::{cell::Cell, rc::Rc, time::Duration};

use backstop_core::{
    clock,
    error::{Executed, FailureKind},
};
use backstop_postgres::sql::{Execute, Query, QueryAs};

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
