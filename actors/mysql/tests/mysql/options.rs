//! Settings: what is refused, what is never shown, and TLS.

use backstop_core::{
    backend::Connect as _,
    error::{Executed, FailureKind},
};
use backstop_mysql::{MySqlOptions, Tls, sql::QueryAs};
use backstop_testkit::server::{Certificate, MariaDb, MariaDbSetup};

use crate::support::{Db, assert_failed, lane};

const LOCAL: &str = "mysql://app:hunter2@127.0.0.1/shop";

fn refused(options: &MySqlOptions) -> String {
    let error = options.share().map(drop).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    error.setting().to_owned()
}

#[test]
fn a_setting_that_cannot_work_is_named() {
    let local = || MySqlOptions::url(LOCAL);
    let data = |text: &str| serde_json::from_str::<MySqlOptions>(text).unwrap();
    for (options, setting) in [
        (local().pool_size(0), "pool_size"),
        (local().max_overflow(2_000), "max_overflow"),
        (local().statement_cache(0), "statement_cache"),
        (local().rows_max(0), "rows_max"),
        (local().bytes_max(1), "bytes_max"),
        (local().connect_timeout(std::time::Duration::ZERO), "connect_timeout"),
        (local().user("other"), "user"),
        (local().password("hunter2"), "password"),
        (local().tls_ca("/nowhere"), "tls_ca"),
        (local().tls(Tls::Verified).tls_ca("/nowhere"), "tls_ca"),
        (MySqlOptions::host(""), "host"),
        (MySqlOptions::url("postgres://app:hunter2@127.0.0.1/shop"), "url"),
        (MySqlOptions::url("mysql://app:hunter2@127.0.0.1/shop?prefer_socket=true"), "url"),
        (MySqlOptions::url("mysql://app:hunter2@127.0.0.1:port/shop"), "url"),
        (data("{}"), "url"),
        (data(r#"{"url": "mysql://127.0.0.1", "host": "127.0.0.1"}"#), "url"),
    ] {
        assert_eq!(refused(&options), setting, "{options:?}");
    }
    assert!(serde_json::from_str::<MySqlOptions>(r#"{"url": "mysql://h", "pool": 1}"#).is_err());
}

#[test]
fn a_password_travels_in_plain_text_to_this_machine_alone() {
    for host in ["127.0.0.1", "localhost", "[::1]", "127.1.2.3"] {
        MySqlOptions::url(format!("mysql://app:hunter2@{host}/shop")).share().unwrap();
    }
    let away = || MySqlOptions::url("mysql://app:hunter2@db.example.com/shop");
    assert_eq!(refused(&away()), "tls");
    away().allow_plain_text(true).share().unwrap();
    away().tls(Tls::Verified).share().unwrap();
    MySqlOptions::host("db.example.com").user("app").share().unwrap();
}

#[test]
fn nothing_shows_a_password() {
    let options = MySqlOptions::url(LOCAL);
    let shared = options.share().unwrap();
    let fields = MySqlOptions::host("127.0.0.1").user("app").password("hunter2");
    assert!(!format!("{options:?} {shared:?} {fields:?}").contains("hunter2"));
}

#[test]
fn a_wrong_password_is_told_without_showing_it() {
    lane(async {
        let server = MariaDb::shared().unwrap();
        let url = server.url_for("backstop", "hunter2", "mysql");
        let db = Db::with(|_| MySqlOptions::url(url)).await;
        let failure =
            assert_failed(db.ask(QueryAs::<i64>::new("SELECT 1")).await, FailureKind::Auth, Executed::No);
        assert!(failure.code().unwrap().starts_with("1045/") && !failure.to_string().contains("hunter2"));
    });
}

#[test]
fn tls_is_verified_or_refused() {
    lane(async {
        for (certificate, works) in
            [(Certificate::Valid, true), (Certificate::Expired, false), (Certificate::OtherName, false)]
        {
            let server = MariaDb::start(MariaDbSetup { certificate, ..MariaDbSetup::default() }).unwrap();
            let authority = server.authority().unwrap();
            let db = Db::on(&server, |options| options.tls(Tls::Verified).tls_ca(authority)).await;
            let cipher = QueryAs::<(String, String)>::new("SHOW STATUS LIKE 'Ssl_cipher'");
            let result = db.ask(cipher).await;
            if works {
                assert!(!result.unwrap()[0].1.is_empty());
                // an authority that did not sign it
                let public = Db::on(&server, |options| options.tls(Tls::Verified)).await;
                let result = public.ask(QueryAs::<i64>::new("SELECT 1")).await;
                assert_failed(result, FailureKind::Unavailable, Executed::No);
            } else {
                assert_failed(result, FailureKind::Unavailable, Executed::No);
            }
        }
        let plain = Db::with(|options| options.tls(Tls::Verified)).await;
        let result = plain.ask(QueryAs::<i64>::new("SELECT 1")).await;
        let failure = assert_failed(result, FailureKind::Unavailable, Executed::No);
        assert!(failure.message().contains("TLS"), "{failure}");
    });
}
