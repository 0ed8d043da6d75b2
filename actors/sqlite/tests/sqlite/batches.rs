//! Many rows in one message.

use backstop_core::error::{Executed, FailureKind};
use backstop_sqlite::sql::BatchInsert;

use crate::support::{Db, assert_failed, lane};

fn batch(values: impl IntoIterator<Item = i64>) -> BatchInsert {
    BatchInsert::new("t", ["v"]).rows(values.into_iter().map(|v| [v]))
}

#[test]
fn a_large_batch_commits_once_and_reports_each_chunk() {
    lane(async {
        let db = Db::with_table().await;
        let before = db.shared.snapshot().commits_total;
        let report = db.ask(batch(0..20_100)).await.unwrap();
        assert_eq!((report.affected, report.chunks.len()), (20_100, 41));
        assert_eq!((report.chunks[40].first_row, report.chunks[40].rows), (20_000, 100));
        assert_eq!(db.shared.snapshot().commits_total - before, 1);
        assert_eq!(db.count("t").await, 20_100);
    });
}

#[test]
fn one_bad_row_undoes_the_batch() {
    lane(async {
        let db = Db::with_table().await;
        assert_failed(db.ask(batch((0..1_200).chain([3]))).await, FailureKind::Conflict, Executed::No);
        assert_failed(db.ask(batch([1, 1])).await, FailureKind::Conflict, Executed::No);
        assert_eq!(db.count("t").await, 0);
    });
}

#[test]
fn independent_chunks_fail_by_themselves() {
    lane(async {
        let db = Db::with_table().await;
        let report = db.ask(batch((0..500).chain([0]).chain(501..1_100)).independent_chunks()).await.unwrap();
        assert_eq!(report.affected, 600);
        let failed: Vec<_> = report.chunks.iter().map(|chunk| chunk.error.is_some()).collect();
        assert_eq!(failed, [false, true, false]);
        assert_eq!(report.chunks[1].error.as_ref().unwrap().kind(), FailureKind::Conflict);
        assert_eq!(db.count("t").await, 600);
    });
}

#[test]
fn names_are_data_and_widths_are_checked() {
    lane(async {
        let db = Db::with_table().await;
        db.run("CREATE TABLE \"odd\"\"; DROP TABLE t; --\"(\"a b\")").await;
        db.ask(BatchInsert::new("odd\"; DROP TABLE t; --", ["a b"]).row([1])).await.unwrap();
        let narrow = db.ask(BatchInsert::new("t", ["id", "v"]).row([1])).await;
        assert_failed(narrow, FailureKind::Refused, Executed::No);
        assert_eq!(db.ask(batch([])).await.unwrap().affected, 0);
    });
}
