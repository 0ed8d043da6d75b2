//! The JSON form of the messages on a table.

use backstop_core::{
    error::{Executed, FailureKind},
    operation::Wire as _,
};
use backstop_sqlite::Sqlite;
use serde_json::json;

use super::{three, users};
use crate::support::{assert_failed, lane};

#[test]
fn every_message_has_a_json_form() {
    lane(async {
        let db = users().await;
        let ask = |name: &'static str, arguments| db.ask(Sqlite::decode(name, arguments).unwrap());
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
        assert_eq!(ask("upsert", upsert).await.unwrap()["affected"], json!(1));
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

#[test]
fn an_atomic_batch_takes_them_and_undoes_all_of_it() {
    lane(async {
        let db = three().await;
        let step = |name: &str, arguments| (name.to_owned(), arguments);
        let update = |filter| json!({"table": "users", "where": filter, "data": {"age": 1}});
        let wrong = vec![
            step("insert_one", json!({"table": "users", "data": {"name": "Dee"}})),
            step("update_one", update(json!({"age": {"ge": 7}}))),
        ];
        let failure =
            assert_failed(db.ask(Sqlite::atomic(wrong).unwrap()).await, FailureKind::Refused, Executed::No);
        assert_eq!(failure.code(), Some("wrong_row_count"));
        assert!(failure.message().contains("statement 1"), "{failure}");
        assert_eq!(db.count("users").await, 3);
        let right = vec![
            step("insert_one", json!({"table": "users", "data": {"name": "Dee"}})),
            step("update_one", update(json!({"name": "Dee"}))),
            step("select_one", json!({"table": "users", "where": {"name": "Dee"}, "columns": ["age"]})),
        ];
        let replies = db.ask(Sqlite::atomic(right).unwrap()).await.unwrap();
        assert_eq!((&replies[0]["rows"], &replies[2]["rows"]), (&json!([["4"]]), &json!([["1"]])));
        let many = vec![step("insert_many", json!({"table": "users", "data": []}))];
        assert!(Sqlite::atomic(many).unwrap_err().to_string().contains("insert_many"));
    });
}

#[test]
fn arguments_that_cannot_be_read_are_named() {
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
        let error = Sqlite::decode(name, arguments).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
