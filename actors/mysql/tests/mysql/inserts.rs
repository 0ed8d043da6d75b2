//! Batches of rows: few statements, below the server's limits, all or none.

use backstop_core::error::{Executed, FailureKind};
use backstop_mysql::sql::{BatchInsert, QueryAs};
use backstop_testkit::server::{MariaDb, MariaDbSetup};

use crate::support::{Db, assert_failed, lane};

fn rows(ids: impl Iterator<Item = i64>) -> BatchInsert {
    BatchInsert::new("t", ["id", "v"]).rows(ids.map(|id| (id, id)))
}

#[test]
fn many_rows_are_inserted_together_or_not_at_all() {
    lane(async {
        let db = Db::with_table().await;
        let report = db.ask(rows(0..3_333)).await.unwrap();
        assert_eq!(report.affected, 3_333);
        assert_eq!(db.ids().await.len(), 3_333);
        // the last row is there already, so all of the others go
        let again = rows((5_000..7_000).chain(0..1));
        assert_failed(db.ask(again).await, FailureKind::Conflict, Executed::No);
        assert_eq!(db.ids().await.len(), 3_333);
        assert!(db.ask(rows(0..0)).await.unwrap().chunks.is_empty());
    });
}

#[test]
fn independent_chunks_fail_alone_and_are_named() {
    lane(async {
        let db = Db::with_table().await;
        db.run("INSERT INTO t VALUES (700, 700)").await;
        let report = db.ask(rows(0..1_100).independent_chunks()).await.unwrap();
        let failed: Vec<_> =
            report.chunks.iter().filter(|chunk| chunk.error.is_some()).map(|chunk| chunk.first_row).collect();
        assert_eq!((failed, report.affected), (vec![500], 600));
        assert_eq!(db.ids().await.len(), 601);
    });
}

#[test]
fn chunks_stay_below_the_largest_packet_and_a_row_that_does_not_is_named() {
    lane(async {
        let settings = vec![("max_allowed_packet".to_owned(), "1M".to_owned())];
        let server = MariaDb::start(MariaDbSetup { settings, ..MariaDbSetup::default() }).unwrap();
        let db = Db::on(&server, |options| options).await;
        db.run("CREATE TABLE b (v LONGBLOB) ENGINE = InnoDB").await;
        let blobs = |count: usize, bytes: usize| {
            BatchInsert::new("b", ["v"]).rows((0..count).map(|_| [vec![7_u8; bytes]]))
        };
        let report = db.ask(blobs(40, 200_000)).await.unwrap();
        assert_eq!((report.affected, report.chunks.len()), (40, 2));
        let report = db.ask(blobs(20, 200_000).independent_chunks()).await.unwrap();
        assert_eq!((report.affected, report.chunks.len()), (20, 1));
        let failure = assert_failed(db.ask(blobs(1, 2_000_000)).await, FailureKind::TooLarge, Executed::No);
        assert!(failure.message().contains("max_allowed_packet of 1048576"), "{failure}");
        let count = db.ask(QueryAs::<i64>::new("SELECT count(*) FROM b WHERE LENGTH(v) = 200000")).await;
        assert_eq!(count.unwrap(), [60]);
    });
}
