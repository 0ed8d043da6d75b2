//! Messages that name a table: what SQLite's commits have of their own.

mod kept;

use backstop_core::{
    error::{Executed, FailureKind},
    message::{Class, Message as _},
};
use backstop_sqlite::sql::crud::{
    Count, DeleteOne, Filter, InsertOne, SelectMany, SelectOne, UpdateOne, Upsert,
};
use backstop_testkit::sql::three;

use crate::support::{Db, LONG, assert_failed, lane};

#[test]
fn a_write_for_one_row_that_is_undone_takes_no_neighbour_of_its_commit_with_it() {
    lane(async {
        let db = three::<Db>().await;
        let hold = db.hold_writer().await;
        let before = db.start(LONG, UpdateOne::new("users", ("id", 1), [("age", 50)])).await;
        let wide = db.start(LONG, UpdateOne::new("users", (), [("age", 1)])).await;
        let wrong = db.start(LONG, UpdateOne::new("users", Filter::gt("id", 0), [("age", 2)])).await;
        let after = db.start(LONG, DeleteOne::new("users", ("id", 2))).await;
        drop(hold);
        assert_eq!(before.await.unwrap().unwrap().affected, 1);
        assert_failed(wide.await.unwrap(), FailureKind::Refused, Executed::No);
        let failure = assert_failed(wrong.await.unwrap(), FailureKind::Refused, Executed::No);
        assert_eq!(failure.code(), Some("wrong_row_count"));
        assert_eq!(after.await.unwrap().unwrap().affected, 1);
        let ages = SelectMany::new("users", ()).columns(["age"]).order_by("id").typed::<i64>();
        assert_eq!(db.ask(ages).await.unwrap(), [50, 7]);
    });
}

#[test]
fn the_class_says_what_may_be_sent_again() {
    let row = || (("name", "Ada"), ("age", 1));
    assert_eq!(SelectOne::new("users", ("id", 1)).class(), Class::Read);
    assert_eq!(Count::new("users", ()).class(), Class::Read);
    assert_eq!(Upsert::new("users", row(), ["name"]).class(), Class::Idempotent);
    assert_eq!(Upsert::new("users", row(), ["name"]).update_only(["age"]).class(), Class::Unsafe);
    assert_eq!(DeleteOne::new("users", ("id", 1)).class(), Class::Idempotent);
    assert_eq!(DeleteOne::new("users", Filter::gt("id", 1)).class(), Class::Unsafe);
    assert_eq!(InsertOne::new("users", row()).class(), Class::Unsafe);
    assert_eq!(UpdateOne::new("users", ("id", 1), row()).class(), Class::Unsafe);
}
