//! The JSON form of the messages: one more message, never a second path.
#![allow(missing_docs, reason = "a check says in its name what it checks")]

use backstop_core::{
    error::{Executed, FailureKind},
    operation::Wire as _,
};
use backstop_sql::{
    Dialect,
    crud::{Count, CrudEngine as _, SelectOne},
    message::WRONG_ROW_COUNT,
};
use serde_json::{Value as Json, json};

use super::{Lane, SqlSubject, three, users};
use crate::lane::{End, assert_failed, lane};

async fn ask<S: SqlSubject>(db: &S, name: &str, arguments: Json) -> Result<Json, End> {
    db.ask(Lane::<S>::decode(name, arguments).unwrap()).await
}

async fn atomic<S: SqlSubject>(db: &S, steps: Vec<(&str, Json)>) -> Result<Json, End> {
    let steps = steps.into_iter().map(|(name, arguments)| (name.to_owned(), arguments)).collect();
    db.ask(Lane::<S>::atomic(steps).unwrap()).await
}

fn assert_named<S: SqlSubject>(name: &str, arguments: Json, expected: &str) {
    let error = Lane::<S>::decode(name, arguments).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

pub fn each_operation_round_trips<S: SqlSubject>() {
    lane(async {
        let db = users::<S>().await;
        let sql = "INSERT INTO users(name, age) VALUES (:name, :age)";
        let insert = json!({"sql": sql, "params": {"name": "a", "age": 1}, "idempotent": true});
        let written = ask(&db, "execute", insert).await.unwrap();
        let id = if Lane::<S>::DIALECT == Dialect::Postgres { Json::Null } else { json!("1") };
        assert_eq!((&written["affected"], &written["last_insert_id"]), (&json!(1), &id));
        let rows = json!([["b", 2], ["c", {"type": "int8", "value": "3"}]]);
        let rows = json!({"table": "users", "columns": ["name", "age"], "rows": rows});
        assert_eq!(ask(&db, "batch_insert", rows).await.unwrap()["affected"], json!(2));
        let delete = json!({"sql": "DELETE FROM users WHERE age = $1", "params": [3]});
        let list = json!([delete, {"sql": "SELECT 1 AS one"}]);
        let list = json!({"statements": list, "options": {"isolation": "serializable"}});
        let replies = ask(&db, "transaction", list).await.unwrap();
        assert_eq!((&replies[0]["affected"], &replies[1]["rows"]), (&json!(1), &json!([["1"]])));
        let read = json!({"sql": "SELECT age FROM users ORDER BY age", "max_rows": 1, "numbers": "number"});
        let read = ask(&db, "query", read).await.unwrap();
        assert_eq!((&read["rows"], &read["truncated"]), (&json!([[1]]), &json!(true)));
        assert_eq!(read["columns"], json!([{"name": "age", "db_type": S::SMALLINT}]));
    });
}

pub fn an_atomic_batch_is_one_transaction<S: SqlSubject>() {
    lane(async {
        let db = users::<S>().await;
        let insert = |name| {
            ("execute", json!({"sql": "INSERT INTO users(name, age) VALUES (?, ?)", "params": [name, 1]}))
        };
        let failure = atomic(&db, vec![insert("a"), insert("a")]).await;
        let failure = assert_failed(failure, FailureKind::Conflict, Executed::No);
        assert!(failure.message().starts_with("statement 1: "), "{failure}");
        assert_eq!(db.ask(Count::new("users", ())).await.unwrap(), 0);
        let read = ("query", json!({"sql": "SELECT name, age FROM users ORDER BY name"}));
        let replies = atomic(&db, vec![insert("a"), insert("b"), read]).await.unwrap();
        assert_eq!(replies[2]["rows"], json!([["a", "1"], ["b", "1"]]));
        let error = Lane::<S>::atomic(vec![("batch_insert".into(), json!({}))]).unwrap_err().to_string();
        assert!(error.contains("operation 0") && error.contains("an atomic batch takes"), "{error}");
    });
}

pub fn what_cannot_be_read_is_named<S: SqlSubject>() {
    for (name, arguments, expected) in [
        ("select", json!({}), "query, execute"),
        ("drop", json!({}), "`drop`"),
        ("query", json!({}), "missing field `sql`"),
        ("query", json!({"sql": "SELECT 1", "limit": 1}), "unknown field `limit`"),
        ("query", json!({"sql": "SELECT ?", "params": [{"a": 1}]}), "parameter $1"),
        ("query", json!({"sql": "SELECT ?", "params": 1}), "array or an object"),
        ("execute", json!({"sql": "SELECT 1", "idempotent": "yes"}), "`idempotent` must be true or false"),
        (
            "transaction",
            json!({"statements": [], "options": {"isolation": "none"}}),
            "unknown variant `none`",
        ),
        ("batch_insert", json!({"table": "t", "columns": ["v"], "rows": [[{"a": 1}]]}), "row 0"),
    ] {
        assert_named::<S>(name, arguments, expected);
    }
}

pub fn every_message_on_a_table_has_a_json_form<S: SqlSubject>() {
    lane(async {
        let db = users::<S>().await;
        let ask = |name: &'static str, arguments| ask(&db, name, arguments);
        let inserted = ask("insert_one", json!({"table": "users", "data": {"name": "Ada", "age": 36}}));
        let inserted = inserted.await.unwrap();
        assert_eq!((&inserted["id"], &inserted["affected"]), (&json!("1"), &json!(1)));
        let rows = json!([{"name": "Bob", "age": null}, {"age": 7, "name": "Cy"}]);
        let inserted = ask("insert_many", json!({"table": "users", "data": rows})).await.unwrap();
        assert_eq!(inserted["affected"], json!(2));
        let one = ask("select_one", json!({"table": "users", "where": {"id": 1}, "columns": ["name"]}));
        assert_eq!(one.await.unwrap()["rows"], json!([["Ada"]]));
        let many = json!({
            "table": "users", "where": {"age": {"ge": 7}}, "columns": ["name", "age"], "numbers": "number",
            "order": [{"column": "age", "direction": "desc"}, "id"], "limit": 1, "offset": 1,
        });
        assert_eq!(ask("select_many", many).await.unwrap()["rows"], json!([["Cy", 7]]));
        assert_eq!(ask("count", json!({"table": "users"})).await.unwrap(), json!(3));
        assert_eq!(ask("exists", json!({"table": "users", "where": {"id": 9}})).await.unwrap(), json!(false));
        let upsert = json!({"table": "users", "data": {"name": "Bob", "age": 9}, "keys": ["name"]});
        assert_eq!(ask("upsert", upsert).await.unwrap()["affected"], json!(S::UPSERTED));
        let update = json!({"table": "users", "where": {"name": "Bob"}, "data": {"age": 10}});
        assert_eq!(ask("update_one", update.clone()).await.unwrap()["affected"], json!(1));
        assert_eq!(ask("update_many", update).await.unwrap()["affected"], json!(1));
        let delete = json!({"table": "users", "where": {"$or": [{"id": 1}, {"age": 10}]}});
        assert_failed(ask("delete_one", delete.clone()).await, FailureKind::Refused, Executed::No);
        assert_eq!(ask("delete_many", delete).await.unwrap()["affected"], json!(2));
        let all = json!({"table": "users", "where": {}});
        assert_failed(ask("delete_many", all).await, FailureKind::Refused, Executed::No);
        let all = json!({"table": "users", "where": {}, "all_rows": true});
        assert_eq!(ask("delete_many", all).await.unwrap()["affected"], json!(1));
    });
}

pub fn an_atomic_batch_takes_messages_on_a_table_and_undoes_all_of_it<S: SqlSubject>() {
    lane(async {
        let db = three::<S>().await;
        let update = |filter| json!({"table": "users", "where": filter, "data": {"age": 1}});
        let insert = || ("insert_one", json!({"table": "users", "data": {"name": "Dee"}}));
        let wrong = vec![insert(), ("update_one", update(json!({"age": {"ge": 7}})))];
        let failure = assert_failed(atomic(&db, wrong).await, FailureKind::Refused, Executed::No);
        assert_eq!(failure.code(), Some(WRONG_ROW_COUNT));
        assert!(failure.message().contains("statement 1"), "{failure}");
        assert_eq!(db.ask(Count::new("users", ())).await.unwrap(), 3);
        let read = json!({"table": "users", "where": {"name": "Dee"}, "columns": ["age"]});
        let right = vec![insert(), ("update_one", update(json!({"name": "Dee"}))), ("select_one", read)];
        let replies = atomic(&db, right).await.unwrap();
        let id = SelectOne::new("users", ("name", "Dee")).columns(["id"]).typed::<i64>();
        let id = json!(db.ask(id).await.unwrap().unwrap().to_string());
        let returned = match Lane::<S>::DIALECT {
            Dialect::MySql => &replies[0]["last_insert_id"],
            _ => &replies[0]["rows"][0][0],
        };
        assert_eq!((returned, &replies[2]["rows"]), (&id, &json!([["1"]])));
        let many = vec![("insert_many".into(), json!({"table": "users", "data": []}))];
        assert!(Lane::<S>::atomic(many).unwrap_err().to_string().contains("insert_many"));
    });
}

pub fn arguments_of_a_message_on_a_table_that_cannot_be_read_are_named<S: SqlSubject>() {
    for (name, arguments, expected) in [
        ("select", json!({}), "select_one, select_many"),
        ("select_one", json!({"table": "users"}), "missing field `where`"),
        ("select_one", json!({"table": "users", "where": {"id": {"gte": 1}}}), "`gte`"),
        ("select_many", json!({"table": "users", "sort": []}), "unknown field `sort`"),
        ("insert_one", json!({"table": "users", "data": {"a": {"b": 1}}}), "column `a`"),
        ("insert_many", json!({"table": "users", "data": [{"a": 1}, {"a": {"b": 1}}]}), "row 1"),
        ("update_one", json!({"table": "users", "data": {"a": 1}}), "missing field `where`"),
        ("delete_one", json!({"table": "users", "where": {}, "all_rows": true}), "all_rows"),
    ] {
        assert_named::<S>(name, arguments, expected);
    }
}
