//! Messages that name a table.
#![allow(missing_docs, reason = "a check says in its name what it checks")]

use backstop_core::error::{Executed, FailureKind};
use backstop_sql::{
    Dialect, Value,
    crud::{
        Count, CrudEngine as _, DeleteMany, DeleteOne, Exists, Filter, InsertMany, InsertOne, Record,
        SelectMany, SelectOne, UpdateMany, UpdateOne, Upsert,
    },
    message::WRONG_ROW_COUNT,
};
use serde::Serialize;

use super::{Lane, SqlSubject, User, three, users};
use crate::lane::{assert_failed, lane};

async fn names<S: SqlSubject>(db: &S, filter: impl Into<Filter>) -> Vec<String> {
    let select = SelectMany::new("users", filter).columns(["name"]).order_by("name");
    db.ask(select.typed::<String>()).await.unwrap()
}

pub fn an_inserted_row_has_an_id_and_is_read_back_as_a_struct<S: SqlSubject>() {
    lane(async {
        let db = users::<S>().await;
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

pub fn a_struct_is_inserted_by_its_fields<S: SqlSubject>() {
    #[derive(Serialize)]
    struct New {
        name: &'static str,
        age: Option<u8>,
    }
    lane(async {
        let db = users::<S>().await;
        let record = Record::from_struct(&New { name: "Ada", age: None }).unwrap();
        db.ask(InsertOne::new("users", record)).await.unwrap();
        assert_eq!(names(&db, Filter::is_null("age")).await, ["Ada"]);
    });
}

pub fn every_condition_finds_its_rows<S: SqlSubject>() {
    lane(async {
        let db = three::<S>().await;
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
            (Filter::between("age", 1, 10), &["Cy"]),
            (Filter::in_list("name", ["Cy", "Ada", "nobody"]), &["Ada", "Cy"]),
            (!Filter::in_list("name", ["Cy"]), &["Ada", "Bob"]),
            (Filter::in_list("id", none), &[]),
            (Filter::like("name", "%b"), &["Bob"]),
            (Filter::like("name", "%d%"), &["Ada"]),
            (Filter::like("name", r"\%b"), &[]),
            (Filter::is_null("age"), &["Bob"]),
            (!Filter::is_null("age"), &["Ada", "Cy"]),
            (Filter::eq("name", "Ada").or(Filter::eq("name", "Cy").and(("age", 8))), &["Ada"]),
            (!(Filter::eq("name", "Ada").or(("name", "Bob"))), &["Cy"]),
            (("name", "' OR 1=1 --").into(), &[]),
        ] {
            assert_eq!(names(&db, filter.clone()).await, expected, "{filter:?}");
            let count = db.ask(Count::new("users", filter.clone())).await.unwrap();
            assert_eq!(count, expected.len() as u64, "{filter:?}");
            assert_eq!(db.ask(Exists::new("users", filter)).await.unwrap(), !expected.is_empty());
        }
    });
}

pub fn pages_have_a_hundred_rows_unless_asked_otherwise<S: SqlSubject>() {
    lane(async {
        let db = users::<S>().await;
        let rows = (0..250).map(|at| [("name", format!("user {at:03}"))]);
        db.ask(InsertMany::new("users", rows)).await.unwrap();
        assert_eq!(db.ask(SelectMany::new("users", ())).await.unwrap().len(), 100);
        let page = SelectMany::new("users", ()).order_by_desc("name").limit(2).offset(1).columns(["name"]);
        assert_eq!(db.ask(page.typed::<String>()).await.unwrap(), ["user 248", "user 247"]);
        assert_eq!(db.ask(SelectMany::new("users", ()).limit(1_000)).await.unwrap().len(), 250);
    });
}

pub fn updates_and_deletes_say_how_many_rows_they_touched<S: SqlSubject>() {
    lane(async {
        let db = three::<S>().await;
        let renamed = db.ask(UpdateOne::new("users", ("id", 1), [("name", "Ada L.")])).await.unwrap();
        assert_eq!(renamed.affected, 1);
        let missed = db.ask(UpdateOne::new("users", ("id", 99), [("name", "x")])).await.unwrap();
        assert_eq!(missed.affected, 0);
        let aged = db.ask(UpdateMany::new("users", Filter::ge("age", 7), [("age", 8)])).await.unwrap();
        assert_eq!(aged.affected, 2);
        assert_eq!(db.ask(DeleteOne::new("users", ("name", "Bob"))).await.unwrap().affected, 1);
        assert_eq!(names(&db, ()).await, ["Ada L.", "Cy"]);
        assert_eq!(db.ask(DeleteMany::new("users", ()).all_rows()).await.unwrap().affected, 2);
        assert_eq!(db.ask(Count::new("users", ())).await.unwrap(), 0);
    });
}

pub fn a_write_for_one_row_that_fits_more_leaves_all_as_they_were<S: SqlSubject>() {
    lane(async {
        let db = three::<S>().await;
        let all = Filter::is_null("age").or(Filter::gt("age", 0));
        let update = UpdateOne::new("users", all.clone(), [("age", Value::Int(1))]);
        let failure = assert_failed(db.ask(update).await, FailureKind::Refused, Executed::No);
        assert_eq!(failure.code(), Some(WRONG_ROW_COUNT), "{failure}");
        let delete = DeleteOne::new("users", Filter::gt("id", 1));
        let failure = assert_failed(db.ask(delete).await, FailureKind::Refused, Executed::No);
        assert_eq!(failure.code(), Some(WRONG_ROW_COUNT), "{failure}");
        assert_eq!(names(&db, ()).await, ["Ada", "Bob", "Cy"]);
        assert_eq!(db.ask(Count::new("users", ("age", 1))).await.unwrap(), 0);
        assert_eq!(db.ask(UpdateMany::new("users", all, [("age", 9)])).await.unwrap().affected, 3);
        assert_eq!(db.ask(DeleteMany::new("users", ("age", 9))).await.unwrap().affected, 3);
    });
}

pub fn a_forgotten_condition_reaches_no_row<S: SqlSubject>() {
    lane(async {
        let db = three::<S>().await;
        let refused = |result| assert_failed(result, FailureKind::Refused, Executed::No);
        refused(db.ask(DeleteMany::new("users", ())).await);
        refused(db.ask(DeleteMany::new("users", !Filter::in_list("id", [0; 0]))).await);
        refused(db.ask(DeleteOne::new("users", ())).await);
        let update = UpdateMany::new("users", Filter::all_of([]), [("age", 1)]);
        assert_eq!(refused(db.ask(update).await).code(), Some("refused_statement"));
        assert_eq!(db.ask(Count::new("users", ())).await.unwrap(), 3);
        let all = UpdateMany::new("users", (), [("age", 1)]).all_rows();
        assert_eq!(db.ask(all).await.unwrap().affected, 3);
    });
}

pub fn an_upsert_inserts_and_then_updates<S: SqlSubject>() {
    lane(async {
        let db = users::<S>().await;
        let upsert = |name: &'static str, age| Upsert::new("users", (("name", name), ("age", age)), ["name"]);
        for age in [1, 2] {
            db.ask(upsert("Ada", age)).await.unwrap();
            assert_eq!(names(&db, ("age", age)).await, ["Ada"]);
        }
        // what exists is kept where no column is to be set
        db.ask(upsert("Ada", 3).update_only([""; 0])).await.unwrap();
        assert_eq!(names(&db, ("age", 2)).await, ["Ada"]);
        assert_eq!(names(&db, ()).await.len(), 1);
        let missing = Upsert::new("users", [("age", 1)], ["name"]);
        assert_failed(db.ask(missing).await, FailureKind::Refused, Executed::No);
    });
}

pub fn wrong_names_are_errors_and_never_texts<S: SqlSubject>() {
    lane(async {
        let db = three::<S>().await;
        // SQLite reads a lone "nope" as the text 'nope'
        for read in [
            SelectOne::new("users", ("nope", 1)),
            SelectOne::new("users", ("name\" OR 1=1 --", 1)),
            SelectOne::new("users", ("id", 1)).columns(["nope"]),
            SelectOne::new("users", ("id", 1)).order_by("nope"),
            SelectOne::new("nope", ("id", 1)),
            SelectOne::new("users; DROP TABLE users", ("id", 1)),
            SelectOne::new("users\"; DROP TABLE users; --", ("id", 1)),
        ] {
            let failure = assert_failed(db.ask(read.clone()).await, FailureKind::Refused, Executed::No);
            let is_named = S::UNKNOWN.iter().any(|words| failure.message().contains(words));
            assert!(is_named, "{read:?}: {failure}");
        }
        // without RETURNING the name of the id is never sent
        if Lane::<S>::DIALECT != Dialect::MySql {
            let insert = InsertOne::new("users", [("name", "x")]).returning("nope");
            assert_failed(db.ask(insert).await, FailureKind::Refused, Executed::No);
        }
        for update in [
            UpdateOne::new("users", ("nope", 1), [("age", 1)]),
            UpdateOne::new("users", ("id", 1), [("nope", 1)]),
        ] {
            assert_failed(db.ask(update).await, FailureKind::Refused, Executed::No);
        }
        let delete = DeleteOne::new("users", ("nope", "nope"));
        assert_failed(db.ask(delete).await, FailureKind::Refused, Executed::No);
        assert_eq!(names(&db, ()).await, ["Ada", "Bob", "Cy"]);
    });
}

pub fn names_of_any_kind_work_where_the_table_has_them<S: SqlSubject>() {
    lane(async {
        let db = S::fresh().await;
        let quote = S::QUOTE;
        let quoted =
            |name: &str| format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")));
        let (table, column) = ("order\"s `?", "sel;ect");
        let ddl =
            format!("CREATE TABLE {}({} INTEGER, {} TEXT)", quoted(table), quoted(column), quoted("a b"));
        db.run(ddl).await;
        db.ask(InsertOne::new(table, ((column, 1), ("a b", "it's ? $1 :x"))).without_id()).await.unwrap();
        let text = db.ask(SelectOne::new(table, (column, 1)).columns(["a b"]).typed::<String>()).await;
        assert_eq!(text.unwrap(), Some("it's ? $1 :x".into()));
        assert_eq!(db.ask(DeleteOne::new(table, ("a b", "it's ? $1 :x"))).await.unwrap().affected, 1);
    });
}

pub fn conflicts_are_the_callers_and_a_list_is_all_or_nothing<S: SqlSubject>() {
    lane(async {
        let db = three::<S>().await;
        let twice = InsertOne::new("users", [("name", "Ada")]);
        assert_failed(db.ask(twice).await, FailureKind::Conflict, Executed::No);
        let rows = InsertMany::new("users", [[("name", "Dee")], [("name", "Ada")]]);
        assert_failed(db.ask(rows).await, FailureKind::Conflict, Executed::No);
        let renamed = UpdateOne::new("users", ("id", 1), [("name", "Bob")]);
        assert_failed(db.ask(renamed).await, FailureKind::Conflict, Executed::No);
        assert_eq!(names(&db, ()).await, ["Ada", "Bob", "Cy"]);
        let ragged = vec![Record::from([("name", "Dee")]), Record::from([("age", 1)])];
        let ragged = db.ask(InsertMany::new("users", ragged)).await;
        let failure = assert_failed(ragged, FailureKind::Refused, Executed::No);
        assert!(failure.message().contains("row 1"), "{failure}");
    });
}

pub fn a_shape_is_lowered_once_on_a_lane<S: SqlSubject>() {
    lane(async {
        let db = three::<S>().await;
        for id in 1..=3 {
            db.ask(SelectOne::new("users", ("id", id)).typed::<User>()).await.unwrap().unwrap();
        }
        assert_eq!(db.lane.shapes().len(), 1);
    });
}
