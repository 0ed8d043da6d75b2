//! The JSON form is one more message, never a second path.

use backstop_core::operation::Wire as _;
use backstop_mysql::MySql;
use serde_json::{Value as Json, json};

use crate::support::{Db, End, lane};

async fn ask(db: &Db<'_>, name: &str, arguments: Json) -> Result<Json, End> {
    db.ask(MySql::decode(name, arguments).unwrap()).await
}

#[test]
fn each_operation_round_trips() {
    lane(async {
        let db = Db::new().await;
        db.run("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v BIGINT UNIQUE)").await;
        let arguments = json!({"sql": "INSERT INTO t(v) VALUES (:v)", "params": {"v": 1}});
        assert_eq!(ask(&db, "execute", arguments).await.unwrap()["last_insert_id"], json!("1"));
        let rows = json!({"table": "t", "columns": ["v"], "rows": [[2], [{"type": "int8", "value": "3"}]]});
        assert_eq!(ask(&db, "batch_insert", rows).await.unwrap()["affected"], json!(2));
        let list = json!({"statements": [{"sql": "DELETE FROM t WHERE v = ?", "params": [3]}, {"sql": "SELECT 1 AS one"}]});
        let replies = ask(&db, "transaction", list).await.unwrap();
        assert_eq!((&replies[0]["affected"], &replies[1]["rows"]), (&json!(1), &json!([["1"]])));
        let read = json!({"sql": "SELECT v FROM t ORDER BY v", "max_rows": 1, "numbers": "number"});
        let read = ask(&db, "query", read).await.unwrap();
        assert_eq!((&read["rows"], &read["truncated"]), (&json!([[1]]), &json!(true)));
        assert_eq!(read["columns"][0], json!({"name": "v", "db_type": "bigint"}));
    });
}

#[test]
fn an_atomic_batch_is_one_transaction() {
    lane(async {
        let db = Db::with_table().await;
        let insert = |id: i64| {
            ("execute".to_owned(), json!({"sql": "INSERT INTO t VALUES (?, ?)", "params": [id, id]}))
        };
        let failure = db.ask(MySql::atomic(vec![insert(1), insert(1)]).unwrap()).await.unwrap_err().failure();
        assert!(failure.message().starts_with("statement 1: "), "{failure}");
        assert!(db.ids().await.is_empty());
        db.ask(MySql::atomic(vec![insert(1), insert(2)]).unwrap()).await.unwrap();
        assert_eq!(db.ids().await, [1, 2]);
        let other = vec![("batch_insert".to_owned(), json!({}))];
        assert!(MySql::atomic(other).unwrap_err().message().contains("an atomic batch takes"));
    });
}

#[test]
fn what_cannot_be_read_is_refused_and_named() {
    for (name, arguments, part) in [
        ("query", json!({}), "sql"),
        ("query", json!({"sql": "SELECT 1", "sq": 1}), "sq"),
        ("execute", json!({"sql": "DELETE FROM t", "idempotent": 1}), "idempotent"),
        ("drop", json!({}), "drop"),
    ] {
        let error = MySql::decode(name, arguments).unwrap_err();
        assert!(error.message().contains(part), "{error:?}");
    }
}
