//! The JSON form of the messages.

use backstop_core::operation::Wire;
use backstop_postgres::Postgres;
use serde_json::json;

#[test]
fn every_operation_reads_its_arguments_and_names_what_is_wrong() {
    let read = |name: &str, arguments| Postgres::decode(name, arguments).map(drop).map_err(|e| e.to_string());
    read("query", json!({"sql": "SELECT :n", "params": {"n": 1}, "max_rows": 5})).unwrap();
    read("execute", json!({"sql": "DELETE FROM t WHERE n = $1", "params": [1], "idempotent": true})).unwrap();
    read(
        "transaction",
        json!({"statements": [{"sql": "SELECT 1"}], "options": {"isolation": "serializable"}}),
    )
    .unwrap();
    read("batch_insert", json!({"table": "t", "columns": ["n"], "rows": [[1], [2]]})).unwrap();
    for (name, arguments, why) in [
        ("query", json!({"sql": "SELECT 1", "parms": []}), "unknown field `parms`"),
        (
            "transaction",
            json!({"statements": [], "options": {"isolation": "none"}}),
            "unknown variant `none`",
        ),
        ("execute", json!({"sql": "SELECT 1", "idempotent": 1}), "must be true or false"),
        ("drop", json!({}), "drop"),
    ] {
        let error = read(name, arguments).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}
