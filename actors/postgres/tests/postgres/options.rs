//! Settings: what is refused, and that nothing secret is printed.

use backstop_core::backend::Connect;
use backstop_postgres::PostgresOptions;

fn url(text: &str) -> PostgresOptions {
    PostgresOptions::url(text)
}

#[test]
fn a_wrong_setting_is_refused_by_name() {
    let good = || url("postgres://app:canary@localhost/app");
    let ms = std::time::Duration::from_millis;
    for (options, setting) in [
        (good().pool_size(0), "pool_size"),
        (good().min_idle(11), "min_idle"),
        (good().statement_cache(0), "statement_cache"),
        (good().rows_max(0), "rows_max"),
        (good().bytes_max(1), "bytes_max"),
        (good().connect_timeout(ms(0)), "connect_timeout"),
        (
            good().root_certificates("/nowhere.pem").tls(backstop_postgres::TlsMode::VerifyFull),
            "root_certificates",
        ),
        (PostgresOptions::default().user("app"), "hosts"),
        (PostgresOptions::hosts(["localhost"]), "user"),
        (PostgresOptions::hosts(["local host"]).user("app"), "hosts"),
        (PostgresOptions::hosts(["localhost:http"]).user("app"), "hosts"),
        (url("mysql://app:canary@localhost/app"), "url"),
        (url("postgres://app:canary@localhost/app?no_such=1"), "url"),
        (url("postgres://app:canary@localhost/app?sslmode=prefer"), "url"),
        (url("postgres://app:canary@localhost:http/app"), "url"),
        (url("postgres://app:canary@%2Frun%2Fpostgresql/app?sslmode=verify-full"), "tls"),
    ] {
        let error = options.share().unwrap_err();
        assert_eq!(error.setting(), setting, "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
        assert!(!format!("{options:?}").contains("canary"));
    }
}

#[test]
fn data_reads_like_code_and_unknown_names_are_refused() {
    let read = serde_json::from_str::<PostgresOptions>;
    let settings = r#"{"url": "postgres://a:canary@[::1]:5433,localhost:5434/b?target_session_attrs=read-write",
        "pool_size": 4, "max_overflow": 2, "statement_timeout": "5s", "tls": "disable",
        "prepared_statements": "never", "min_idle": 2}"#;
    let options = read(settings).unwrap();
    let shared = options.share().unwrap();
    let (snapshot, shown) = (shared.snapshot(), format!("{shared:?}"));
    assert_eq!((snapshot.prepares, snapshot.min_idle), (false, 2));
    assert!(shown.contains("5433") && shown.contains("max: 6"), "{shown}");
    assert_eq!(options.lanes_max(), 3);
    let error = read(r#"{"pool": 4}"#).unwrap_err().to_string();
    assert!(error.contains("unknown field `pool`"), "{error}");
}
