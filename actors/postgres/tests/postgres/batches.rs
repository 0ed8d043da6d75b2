//! Many rows at once, through a lease of the pool.

use backstop_core::error::{Executed, FailureKind};
use backstop_postgres::sql::BatchInsert;

use crate::support::{Db, lane};

fn rows(from: i64, count: i64) -> impl Iterator<Item = (i64, String)> {
    (from..from + count).map(|n| (n, format!("row {n}")))
}

#[test]
fn every_size_of_batch_arrives_whole_and_leaves_a_clean_session() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        db.run("CREATE TABLE t(n bigint PRIMARY KEY, v text)").await;
        let mut total = 0;
        for count in [1, 2, 700, 5_000] {
            let report = db.ask(BatchInsert::new("t", ["n", "v"]).rows(rows(total, count))).await.unwrap();
            assert_eq!(report.affected, count.unsigned_abs());
            total += count;
            // read-only and read-write in turn on the one connection
            assert_eq!(db.int("SELECT count(*) FROM t").await, total);
        }
    });
}

#[test]
fn a_row_that_conflicts_undoes_the_whole_batch_whatever_its_way() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        db.run("CREATE TABLE t(n bigint PRIMARY KEY, v text)").await;
        for count in [10, 3_000] {
            let twice = rows(0, count).chain(rows(count - 1, 1));
            let failure = db.ask(BatchInsert::new("t", ["n", "v"]).rows(twice)).await.unwrap_err().failure();
            assert_eq!(
                (failure.kind(), failure.executed()),
                (FailureKind::Conflict, Executed::No),
                "{failure}"
            );
            assert_eq!(db.int("SELECT count(*) FROM t").await, 0);
        }
        let report = db
            .ask(BatchInsert::new("t", ["n", "v"]).rows(rows(0, 10).chain(rows(0, 1))).independent_chunks());
        let report = report.await.unwrap();
        assert!(report.chunks.iter().any(|chunk| chunk.error.is_some()), "{report:?}");
        assert_eq!(db.int("SELECT count(*) FROM t").await, i64::try_from(report.affected).unwrap());
    });
}
