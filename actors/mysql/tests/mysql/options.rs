//! Settings: what is refused, what is never shown, and TLS.

use std::time::Duration;

use backstop_core::{
    backend::Connect as _,
    error::{Executed, FailureKind},
    outcome::Outcome,
};
use backstop_mysql::{
    MySqlOptions, Tls,
    sql::{Execute, Query, QueryAs},
};
use backstop_testkit::server::{Certificate, MariaDb, MariaDbSetup};

use crate::support::{Db, SHORT, assert_failed, lane, until};

const DAYS: Duration = Duration::from_secs(2 * 24 * 60 * 60);

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
        (local().connect_timeout(Duration::ZERO), "connect_timeout"),
        (local().statement_timeout(DAYS), "statement_timeout"),
        (local().idle_in_transaction_timeout(DAYS), "idle_in_transaction_timeout"),
        (local().lock_timeout(DAYS), "lock_timeout"),
        (local().user("other"), "user"),
        (local().password("hunter2"), "password"),
        (local().tls_ca("/nowhere"), "tls_ca"),
        (local().tls(Tls::Verified).tls_ca("/nowhere"), "tls_ca"),
        (MySqlOptions::host(""), "host"),
        (MySqlOptions::socket(""), "socket"),
        (MySqlOptions::socket("/run/a.sock").port(3306), "port"),
        (MySqlOptions::socket("/run/a.sock").tls(Tls::Verified), "tls"),
        (data(r#"{"socket": "/run/a.sock", "host": "127.0.0.1"}"#), "url"),
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
fn a_database_that_is_not_there_is_an_outage_in_the_settings_and_a_mistake_in_a_statement() {
    lane(async {
        let db = Db::new().await;
        let one = || QueryAs::<i64>::new("SELECT 1");
        let (server, _) = db.database.url().rsplit_once('/').unwrap();
        let wrong = Db::with(|_| MySqlOptions::url(format!("{server}/nowhere"))).await;
        let failure = assert_failed(wrong.ask(one()).await, FailureKind::Refused, Executed::No);
        assert_eq!((failure.code(), failure.outcome()), (Some("1049/42000"), Outcome::Failure), "{failure}");
        let drop = db.ask(Execute::new("DROP DATABASE nowhere")).await;
        let failure = assert_failed(drop, FailureKind::Refused, Executed::No);
        assert_eq!(failure.outcome(), Outcome::Success, "{failure}");
        let create = db.ask(Execute::new("CREATE TABLE nowhere.t (id INT)")).await;
        let failure = assert_failed(create, FailureKind::Refused, Executed::No);
        assert_eq!((failure.code(), failure.outcome()), (Some("1049/42000"), Outcome::Success), "{failure}");
        assert_eq!(db.ask(one()).await.unwrap(), [1]);
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

#[test]
fn a_socket_serves_as_tcp_does_and_one_that_is_not_there_is_an_outage() {
    lane(async {
        let db = Db::new().await;
        let path = db.database.sql("SELECT @@socket;").unwrap();
        let login = db.database.url().strip_prefix("mysql://").and_then(|url| url.split_once('@')).unwrap().0;
        let (user, password) = login.split_once(':').unwrap();
        let at = |path: &str| {
            MySqlOptions::socket(path).user(user).password(password).database(db.database.name())
        };
        let near = Db::with(|_| at(&path)).await;
        db.make_table();
        near.ask(Execute::new("INSERT INTO t VALUES (1, 1)")).await.unwrap();
        assert_eq!(near.ids().await, [1]);
        // the server names the host of a socket `localhost`, and an address otherwise
        let host = "SELECT host FROM information_schema.processlist WHERE id = CONNECTION_ID()";
        assert_eq!(near.ask(QueryAs::<String>::new(host)).await.unwrap(), ["localhost"]);
        // a call that is given up is ended there too
        let sleeps = near.ask_in(SHORT, Query::new("SELECT SLEEP(20)")).await;
        assert!(sleeps.is_err());
        until("its end", async || db.sessions_with("SLEEP(20)") == 0).await;
        assert_eq!(near.ids().await, [1]);
        let nowhere = Db::with(|_| at("/nowhere/mysqld.sock")).await;
        let result = nowhere.ask(QueryAs::<i64>::new("SELECT 1")).await;
        assert_failed(result, FailureKind::Unavailable, Executed::No);
    });
}
