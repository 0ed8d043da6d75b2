//! The JSON form is one more message, never a second path.

use backstop_core::operation::Wire as _;
use backstop_sqlite::Sqlite;
use serde_json::{Value as Json, json};

use crate::support::{Db, End, lane};

async fn ask(db: &Db, name: &str, arguments: Json) -> Result<Json, End> {
    db.ask(Sqlite::decode(name, arguments).unwrap()).await
}

#[test]
fn each_operation_round_trips() {
    lane(async {
        let db = Db::with_table().await;
        let written =
            ask(&db, "execute", json!({"sql": "INSERT INTO t(v) VALUES (:v)", "params": {"v": 1}})).await;
        assert_eq!(written.unwrap()["last_insert_id"], json!("1"));
        let inserted =
            json!({"table": "t", "columns": ["v"], "rows": [[2], [{"type": "int8", "value": "3"}]]});
        assert_eq!(ask(&db, "batch_insert", inserted).await.unwrap()["affected"], json!(2));
        let list = json!({"statements": [{"sql": "DELETE FROM t WHERE v = ?", "params": [3]}, {"sql": "SELECT 1 AS one"}]});
        let replies = ask(&db, "transaction", list).await.unwrap();
        assert_eq!((&replies[0]["affected"], &replies[1]["rows"]), (&json!(1), &json!([["1"]])));
        let read = ask(
            &db,
            "query",
            json!({"sql": "SELECT v FROM t ORDER BY v", "max_rows": 1, "numbers": "number"}),
        );
        let read = read.await.unwrap();
        assert_eq!((&read["rows"], &read["truncated"]), (&json!([[1]]), &json!(true)));
        assert_eq!(read["columns"][0]["name"], json!("v"));
    });
}

#[test]
fn an_atomic_batch_is_one_transaction() {
    lane(async {
        let db = Db::with_table().await;
        let step = |sql: &str| ("execute".to_owned(), json!({"sql": sql}));
        let bad = vec![step("INSERT INTO t(v) VALUES (1)"), step("INSERT INTO t(v) VALUES (1)")];
        db.ask(Sqlite::atomic(bad).unwrap()).await.unwrap_err();
        assert!(db.values().await.is_empty());
        let good =
            vec![step("INSERT INTO t(v) VALUES (1)"), ("query".into(), json!({"sql": "SELECT v FROM t"}))];
        let replies = db.ask(Sqlite::atomic(good).unwrap()).await.unwrap();
        assert_eq!(replies[1]["rows"], json!([["1"]]));
    });
}

#[test]
fn what_cannot_be_read_is_named() {
    for (name, arguments, expected) in [
        ("select", json!({}), "query, execute"),
        ("query", json!({}), "missing field `sql`"),
        ("query", json!({"sql": "SELECT 1", "limit": 1}), "unknown field `limit`"),
        ("query", json!({"sql": "SELECT ?", "params": [{"a": 1}]}), "parameter $1"),
        ("query", json!({"sql": "SELECT ?", "params": 1}), "array or an object"),
        ("execute", json!({"sql": "SELECT 1", "idempotent": "yes"}), "`idempotent`"),
        ("batch_insert", json!({"table": "t", "columns": ["v"], "rows": [[{"a": 1}]]}), "row 0"),
    ] {
        let error = Sqlite::decode(name, arguments).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = Sqlite::atomic(vec![("batch_insert".into(), json!({}))]).unwrap_err().to_string();
    assert!(error.contains("operation 0"), "{error}");
}

#[test]
fn a_list_takes_options_row_counts_and_tagged_parameters() {
    lane(async {
        let db = Db::with_table().await;
        let insert = json!({
            "sql": "INSERT INTO t(v) VALUES (:day), (:id)",
            "params": {
                "day": {"type": "date", "value": "2026-01-31"},
                "id": {"type": "uuid", "value": "67E55044-10B1-426F-9247-BB680E5FE0C8"}
            },
            "expect_rows": 2
        });
        let read = json!({"sql": "SELECT v FROM t ORDER BY id"});
        let replies = ask(&db, "transaction", json!({"statements": [insert, read]})).await.unwrap();
        assert_eq!(replies[1]["rows"], json!([["2026-01-31"], ["67e55044-10b1-426f-9247-bb680e5fe0c8"]]));
        let all = json!({"sql": "DELETE FROM t", "expect_rows": 1});
        let failure = ask(&db, "execute", all.clone()).await.unwrap_err().failure();
        assert_eq!(failure.code(), Some("wrong_row_count"));
        let read_only =
            json!({"statements": [all], "options": {"read_only": true, "isolation": "serializable"}});
        let failure = ask(&db, "transaction", read_only).await.unwrap_err().failure();
        assert_eq!(failure.code(), Some("read_only_transaction"));
        assert_eq!(db.count("t").await, 2);
    });
}
