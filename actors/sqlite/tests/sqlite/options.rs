//! Settings that cannot work are refused before anything starts.

use std::time::Duration;

use backstop_core::backend::Connect as _;
use backstop_sqlite::{SqliteOptions, Synchronous};

#[test]
fn each_absurd_setting_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let good = || SqliteOptions::file(dir.path().join("a.db"));
    let cases = [
        (good().readers(0), "readers"),
        (good().readers(1_000), "readers"),
        (good().statement_cache(0), "statement_cache"),
        (good().group_max(0), "group_max"),
        (good().rows_max(0), "rows_max"),
        (good().bytes_max(10), "bytes_max"),
        (good().bytes_max(usize::MAX), "bytes_max"),
        (good().inline_steps(1), "inline_steps"),
        (good().busy_timeout(Duration::from_secs(3_600)), "busy_timeout"),
        (good().transaction_idle(Duration::ZERO), "transaction_idle"),
        (good().stream_idle(Duration::ZERO), "stream_idle"),
        (good().stream_idle(Duration::from_secs(4_000)), "stream_idle"),
        (good().wal_limit(4 << 20), "wal_limit"),
        (good().wal_hold(Duration::from_secs(11)), "wal_hold"),
    ];
    for (options, setting) in cases {
        assert_eq!(options.share().unwrap_err().setting(), setting);
    }
    good().share().unwrap();
}

#[test]
fn a_path_that_could_mean_another_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| format!("{}/{name}", dir.path().display());
    for path in [
        "file:a.db".to_owned(),
        "FILE:///tmp/a.db?mode=memory".to_owned(),
        String::new(),
        ":temp:".to_owned(),
        at("../a.db"),
        at("no/such/directory/a.db"),
        at("a/"),
        at("a\0b"),
    ] {
        let error = SqliteOptions::file(&path).share().unwrap_err();
        assert_eq!(error.setting(), "path", "{path:?}: {error}");
    }
}

#[test]
fn a_symbolic_link_is_not_followed() {
    use backstop_sqlite::sql::Execute;

    use crate::support::{LONG, ask, lane};
    let dir = tempfile::tempdir().unwrap();
    let (target, link) = (dir.path().join("target.db"), dir.path().join("link.db"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    lane(async {
        let options = SqliteOptions::file(link);
        let shared = std::sync::Arc::new(options.share().unwrap());
        let backend = options.connect(&shared).await.unwrap();
        ask(&backend, &Execute::new("CREATE TABLE t(v)"), LONG).await.unwrap_err();
        assert!(!target.exists());
    });
}

#[test]
fn settings_as_data_are_those_of_the_setters() {
    let read = |json: &str| serde_json::from_str::<SqliteOptions>(json);
    let same = |json: &str, options: SqliteOptions| {
        assert_eq!(format!("{:?}", read(json).unwrap()), format!("{options:?}"), "{json}");
    };
    same(r#"{"path": "a.db"}"#, SqliteOptions::file("a.db"));
    same(r#"{"path": ":memory:"}"#, SqliteOptions::memory());
    let all = r#"{"path": "a.db", "create": false, "readers": 3, "synchronous": "normal", "busy_timeout": "500ms",
        "statement_cache": 4, "group_max": 5, "rows_max": 6, "bytes_max": 7000, "inline_steps": 8000,
        "transaction_idle": "1.5s", "wal_limit": 9000000, "wal_hold": "0ms"}"#;
    let set = SqliteOptions::file("a.db")
        .create(false)
        .readers(3)
        .synchronous(Synchronous::Normal)
        .busy_timeout(Duration::from_millis(500))
        .statement_cache(4)
        .group_max(5)
        .rows_max(6)
        .bytes_max(7_000)
        .inline_steps(8_000)
        .transaction_idle(Duration::from_millis(1_500))
        .wal_limit(9_000_000)
        .wal_hold(Duration::ZERO);
    same(all, set);
}

#[test]
fn data_that_is_unknown_missing_or_malformed_is_named() {
    let error = |json: &str| serde_json::from_str::<SqliteOptions>(json).unwrap_err().to_string();
    assert!(error(r#"{"path": "a.db", "reader": 1}"#).contains("`reader`"));
    assert!(error(r#"{"readers": 1}"#).contains("`path`"));
    assert!(error(r#"{"path": "a.db", "busy_timeout": 5}"#).contains("500ms"));
    assert!(error(r#"{"path": "a.db", "synchronous": "off"}"#).contains("off"));
    // a range is checked where that of a setter is
    let late: SqliteOptions = serde_json::from_str(r#"{"path": ":memory:", "busy_timeout": "61s"}"#).unwrap();
    assert_eq!(late.share().unwrap_err().setting(), "busy_timeout");
}
