//! Messages that name a table, on real files.

mod kept;
mod wire;

use backstop_core::{
    error::{Executed, FailureKind},
    message::{Class, Message as _},
};
use backstop_sqlite::sql::{
    Value,
    crud::{
        Count, CrudEngine as _, DeleteMany, DeleteOne, Exists, Filter, InsertMany, InsertOne, Record,
        SelectMany, SelectOne, UpdateMany, UpdateOne, Upsert,
    },
};
use serde::Deserialize;

use crate::support::{Db, LONG, assert_failed, lane};

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct User {
    id: i64,
    name: String,
    age: Option<u8>,
}

async fn users() -> Db {
    let db = Db::new().await;
    db.run("CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, age INTEGER)").await;
    db
}

async fn three() -> Db {
    let db = users().await;
    let rows = [("Ada", Some(36)), ("Bob", None), ("Cy", Some(7))];
    let rows = rows.map(|(name, age)| (("name", name), ("age", age)));
    assert_eq!(db.ask(InsertMany::new("users", rows)).await.unwrap().affected, 3);
    db
}

async fn names(db: &Db, filter: impl Into<Filter>) -> Vec<String> {
    let select = SelectMany::new("users", filter).columns(["name"]).order_by("name");
    db.ask(select.typed::<String>()).await.unwrap()
}

#[test]
fn an_inserted_row_has_an_id_and_is_read_back_as_a_struct() {
    lane(async {
        let db = users().await;
        let inserted = db.ask(InsertOne::new("users", (("name", "Ada"), ("age", 36)))).await.unwrap();
        assert_eq!((inserted.int_id(), inserted.written.affected), (Some(1), 1));
        let second = db.ask(InsertOne::new("users", [("name", "Bob")]).returning("name")).await.unwrap();
        assert_eq!(second.id, Some(Value::from("Bob")));
        let third = db.ask(InsertOne::new("users", [("name", "Cy")]).without_id()).await.unwrap();
        assert_eq!(third.id, None);

        let ada = db.ask(SelectOne::new("users", ("id", 1)).typed::<User>()).await.unwrap();
        assert_eq!(ada, Some(User { id: 1, name: "Ada".into(), age: Some(36) }));
        let nobody = db.ask(SelectOne::new("users", ("id", 99)).typed::<User>()).await.unwrap();
        assert_eq!(nobody, None);
        let row = db.ask(SelectOne::new("users", ("id", 2)).columns(["name"])).await.unwrap();
        assert_eq!((row.len(), row.columns().len()), (1, 1));
        assert_eq!(row.get(0).unwrap()[0], Value::from("Bob"));
    });
}

#[test]
fn a_struct_is_inserted_by_its_fields() {
    #[derive(serde::Serialize)]
    struct New {
        name: &'static str,
        age: Option<u8>,
    }
    lane(async {
        let db = users().await;
        let record = Record::from_struct(&New { name: "Ada", age: None }).unwrap();
        db.ask(InsertOne::new("users", record)).await.unwrap();
        assert_eq!(names(&db, Filter::is_null("age")).await, ["Ada"]);
    });
}

#[test]
fn every_condition_finds_its_rows() {
    lane(async {
        let db = three().await;
        let none: [i64; 0] = [];
        for (filter, expected) in [
            (Filter::from(()), &["Ada", "Bob", "Cy"][..]),
            (("name", "Bob").into(), &["Bob"]),
            ([("age", Some(7))].into(), &["Cy"]),
            ([("age", None::<i64>)].into(), &["Bob"]),
            (Filter::ne("age", 7), &["Ada"]),
            (Filter::lt("age", 36), &["Cy"]),
            (Filter::le("age", 36), &["Ada", "Cy"]),
            (Filter::gt("age", 7), &["Ada"]),
            (Filter::ge("age", 7), &["Ada", "Cy"]),
            (Filter::between("age", 7, 36), &["Ada", "Cy"]),
            (Filter::in_list("name", ["Cy", "Ada", "nobody"]), &["Ada", "Cy"]),
            (!Filter::in_list("name", ["Cy"]), &["Ada", "Bob"]),
            (Filter::in_list("id", none), &[]),
            (Filter::like("name", "%b"), &["Bob"]),
            (Filter::like("name", r"\%b"), &[]),
            (!Filter::is_null("age"), &["Ada", "Cy"]),
            (Filter::eq("name", "Ada").or(Filter::eq("name", "Cy").and(("age", 8))), &["Ada"]),
            (!(Filter::eq("name", "Ada").or(("name", "Bob"))), &["Cy"]),
        ] {
            assert_eq!(names(&db, filter.clone()).await, expected, "{filter:?}");
            let count = db.ask(Count::new("users", filter.clone())).await.unwrap();
            assert_eq!(count, expected.len() as u64, "{filter:?}");
            assert_eq!(db.ask(Exists::new("users", filter)).await.unwrap(), !expected.is_empty());
        }
    });
}

#[test]
fn pages_have_a_hundred_rows_unless_asked_otherwise() {
    lane(async {
        let db = users().await;
        let rows = (0..250).map(|at| [("name", format!("user {at:03}"))]);
        db.ask(InsertMany::new("users", rows)).await.unwrap();
        assert_eq!(db.ask(SelectMany::new("users", ())).await.unwrap().len(), 100);
        let page = SelectMany::new("users", ()).order_by_desc("id").limit(2).offset(1).columns(["id"]);
        assert_eq!(db.ask(page.typed::<i64>()).await.unwrap(), [249, 248]);
        assert_eq!(db.ask(SelectMany::new("users", ()).limit(1_000)).await.unwrap().len(), 250);
    });
}

#[test]
fn updates_and_deletes_say_how_many_rows_they_touched() {
    lane(async {
        let db = three().await;
        let renamed = db.ask(UpdateOne::new("users", ("id", 1), [("name", "Ada L.")])).await.unwrap();
        assert_eq!(renamed.affected, 1);
        let missed = db.ask(UpdateOne::new("users", ("id", 99), [("name", "x")])).await.unwrap();
        assert_eq!(missed.affected, 0);
        let aged = db.ask(UpdateMany::new("users", Filter::ge("age", 7), [("age", 8)])).await.unwrap();
        assert_eq!(aged.affected, 2);
        assert_eq!(db.ask(DeleteOne::new("users", ("name", "Bob"))).await.unwrap().affected, 1);
        assert_eq!(names(&db, ()).await, ["Ada L.", "Cy"]);
        assert_eq!(db.ask(DeleteMany::new("users", ()).all_rows()).await.unwrap().affected, 2);
        assert_eq!(db.count("users").await, 0);
    });
}

#[test]
fn a_write_for_one_row_that_fits_more_leaves_all_as_they_were() {
    lane(async {
        let db = three().await;
        let update = UpdateOne::new("users", Filter::gt("id", 0), [("age", 1)]);
        let failure = assert_failed(db.ask(update).await, FailureKind::Refused, Executed::No);
        assert_eq!(failure.code(), Some("wrong_row_count"));
        let delete = DeleteOne::new("users", Filter::gt("id", 1));
        let failure = assert_failed(db.ask(delete).await, FailureKind::Refused, Executed::No);
        assert_eq!(failure.code(), Some("wrong_row_count"));
        assert_eq!(names(&db, ()).await, ["Ada", "Bob", "Cy"]);
        assert_eq!(db.ask(Count::new("users", ("age", 1))).await.unwrap(), 0);
    });
}

#[test]
fn a_write_for_one_row_that_is_undone_takes_no_neighbour_of_its_commit_with_it() {
    lane(async {
        let db = three().await;
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
fn a_forgotten_condition_reaches_no_row() {
    lane(async {
        let db = three().await;
        let everything = || !Filter::in_list("id", [0; 0]);
        assert_failed(db.ask(DeleteMany::new("users", ())).await, FailureKind::Refused, Executed::No);
        assert_failed(
            db.ask(DeleteMany::new("users", everything())).await,
            FailureKind::Refused,
            Executed::No,
        );
        assert_failed(db.ask(DeleteOne::new("users", ())).await, FailureKind::Refused, Executed::No);
        let update = UpdateMany::new("users", Filter::all_of([]), [("age", 1)]);
        let failure = assert_failed(db.ask(update).await, FailureKind::Refused, Executed::No);
        assert_eq!(failure.code(), Some("refused_statement"));
        assert_eq!(db.count("users").await, 3);
        let all = UpdateMany::new("users", (), [("age", 1)]).all_rows();
        assert_eq!(db.ask(all).await.unwrap().affected, 3);
    });
}

#[test]
fn an_upsert_inserts_and_then_updates() {
    lane(async {
        let db = users().await;
        let upsert = |name: &'static str, age| Upsert::new("users", (("name", name), ("age", age)), ["name"]);
        for age in [1, 2] {
            db.ask(upsert("Ada", age)).await.unwrap();
            assert_eq!(names(&db, ("age", age)).await, ["Ada"]);
        }
        // what exists is kept where no column is to be set
        db.ask(upsert("Ada", 3).update_only([""; 0])).await.unwrap();
        assert_eq!(names(&db, ("age", 2)).await, ["Ada"]);
        let missing = Upsert::new("users", [("age", 1)], ["name"]);
        assert_failed(db.ask(missing).await, FailureKind::Refused, Executed::No);
    });
}

#[test]
fn wrong_names_are_errors_and_never_texts() {
    lane(async {
        let db = three().await;
        // SQLite reads a lone "nope" as the text 'nope'
        for read in [
            SelectOne::new("users", ("nope", 1)),
            SelectOne::new("users", ("id", 1)).columns(["nope"]),
            SelectOne::new("users", ("id", 1)).order_by("nope"),
            SelectOne::new("nope", ("id", 1)),
            SelectOne::new("users\"; DROP TABLE users; --", ("id", 1)),
        ] {
            let failure = assert_failed(db.ask(read.clone()).await, FailureKind::Refused, Executed::No);
            assert!(failure.message().contains("no such"), "{read:?}: {failure}");
        }
        let insert = InsertOne::new("users", [("name", "x")]).returning("nope");
        assert_failed(db.ask(insert).await, FailureKind::Refused, Executed::No);
        for update in [
            UpdateOne::new("users", ("nope", 1), [("age", 1)]),
            UpdateOne::new("users", ("id", 1), [("nope", 1)]),
        ] {
            assert_failed(db.ask(update).await, FailureKind::Refused, Executed::No);
        }
        assert_failed(
            db.ask(DeleteOne::new("users", ("nope", "nope"))).await,
            FailureKind::Refused,
            Executed::No,
        );
        assert_eq!(names(&db, ()).await, ["Ada", "Bob", "Cy"]);
    });
}

#[test]
fn names_of_any_kind_work_where_the_table_has_them() {
    lane(async {
        let db = Db::new().await;
        db.run("CREATE TABLE \"order\"\"s ?\"(\"sel;ect\" INTEGER, \"a b\" TEXT)").await;
        let table = "order\"s ?";
        db.ask(InsertOne::new(table, (("sel;ect", 1), ("a b", "it's ? $1 :x"))).without_id()).await.unwrap();
        let text = db.ask(SelectOne::new(table, ("sel;ect", 1)).columns(["a b"]).typed::<String>()).await;
        assert_eq!(text.unwrap(), Some("it's ? $1 :x".into()));
        assert_eq!(db.ask(DeleteOne::new(table, ("a b", "it's ? $1 :x"))).await.unwrap().affected, 1);
    });
}

#[test]
fn conflicts_are_the_callers_and_a_list_is_all_or_nothing() {
    lane(async {
        let db = three().await;
        let twice = InsertOne::new("users", [("name", "Ada")]);
        assert_failed(db.ask(twice).await, FailureKind::Conflict, Executed::No);
        let rows = InsertMany::new("users", [[("name", "Dee")], [("name", "Ada")]]);
        assert_failed(db.ask(rows).await, FailureKind::Conflict, Executed::No);
        let renamed = UpdateOne::new("users", ("id", 1), [("name", "Bob")]);
        assert_failed(db.ask(renamed).await, FailureKind::Conflict, Executed::No);
        assert_eq!(names(&db, ()).await, ["Ada", "Bob", "Cy"]);
        let ragged = vec![Record::from([("name", "Dee")]), Record::from([("age", 1)])];
        let failure =
            assert_failed(db.ask(InsertMany::new("users", ragged)).await, FailureKind::Refused, Executed::No);
        assert!(failure.message().contains("row 1"), "{failure}");
    });
}

#[test]
fn a_shape_is_lowered_once_on_a_lane() {
    lane(async {
        let db = three().await;
        for id in 1..=3 {
            db.ask(SelectOne::new("users", ("id", id)).typed::<User>()).await.unwrap().unwrap();
        }
        assert_eq!(db.lane.shapes().len(), 1);
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
