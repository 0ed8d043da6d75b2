//! From a kind and settings to a backend.
#![cfg(feature = "sqlite")]

use backstop::{catalog, prelude::*, runtime::StartStep, sqlite::Sqlite};
use serde_json::json;

use crate::fake::end;

#[tokio::test]
async fn settings_as_data_become_a_backend() {
    let settings = json!({"path": ":memory:", "busy_timeout": "2s", "synchronous": "normal"});
    let connector = catalog::connector("sqlite", settings).unwrap();
    let runtime = Runtime::builder().connector("cache", connector, Policy::default()).start().await.unwrap();
    assert!(runtime.backend::<Sqlite>("cache").is_ok());
    let answer =
        runtime.orchestrator().execute("cache", "query", json!({"sql": "SELECT 1 AS one"})).await.unwrap();
    assert_eq!(answer["rows"], json!([["1"]]));
    let again = catalog::connector("sqlite", json!({"path": ":memory:", "readers": 3})).unwrap();
    runtime.replace_connector("cache", again).await.unwrap();
    let wrong = catalog::connector("sqlite", json!({"path": ":memory:", "readers": 0})).unwrap();
    let error = runtime.replace_connector("cache", wrong).await.unwrap_err();
    assert!(error.to_string().contains("readers"), "{error}");
    end(runtime).await;
}

#[test]
fn unknown_kinds_and_keys_are_named() {
    let error = catalog::connector("sqlit", json!({})).unwrap_err();
    assert_eq!(error.step(), Some(StartStep::Kind));
    assert!(error.to_string().contains("did you mean `sqlite`?"), "{error}");
    let error = catalog::connector("oracle", json!({})).unwrap_err();
    assert!(error.to_string().contains("sqlite"), "{error}");
    let error = catalog::connector("sqlite", json!({"path": "a.db", "reader": 1})).unwrap_err();
    assert!(error.to_string().contains("reader"), "{error}");
    assert!(catalog::connector("sqlite", json!({})).unwrap_err().to_string().contains("path"));
}

#[cfg(feature = "postgres")]
#[test]
fn settings_of_postgres_are_read_and_wrong_ones_are_named() {
    let settings = json!({"url": "postgres://app@localhost/app", "pool_size": 4});
    assert_eq!(catalog::connector("postgres", settings).unwrap().kind(), "postgres");
    let error = catalog::connector("postgres", json!({"pool_sizes": 4})).unwrap_err();
    assert!(error.to_string().contains("pool_sizes"), "{error}");
}

#[cfg(feature = "mysql")]
#[test]
fn settings_of_mysql_are_read_and_wrong_ones_are_named() {
    let settings = json!({"url": "mysql://app@localhost/app", "pool_size": 4});
    assert_eq!(catalog::connector("mysql", settings).unwrap().kind(), "mysql");
    let error = catalog::connector("mysql", json!({"pool_sizes": 4})).unwrap_err();
    assert!(error.to_string().contains("pool_sizes"), "{error}");
}

#[cfg(feature = "http")]
#[test]
fn http_settings_are_read_and_secrets_are_not_repeated() {
    let connector =
        catalog::connector("http", json!({"base_url": "https://a.example/v1", "max_connections": 4}));
    assert_eq!(connector.unwrap().kind(), "http");
    let error = catalog::connector("http", json!({"base_url": "https://user:canary@a.example"})).unwrap_err();
    assert!(!error.to_string().contains("canary") && error.to_string().contains("http"), "{error}");
}
