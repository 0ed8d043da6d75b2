//! The JSON form is one more message, never a second path.

use backstop_core::operation::Wire as _;
use backstop_sqlite::Sqlite;
use serde_json::{Value as Json, json};

use crate::support::{Db, End, lane};

async fn ask(db: &Db, name: &str, arguments: Json) -> Result<Json, End> {
    db.ask(Sqlite::decode(name, arguments).unwrap()).await
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
