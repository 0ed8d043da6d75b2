//! Encryption, passwords, and what is refused before a byte leaves.

use std::path::Path;

use backstop_core::{
    backend::Connect,
    error::{Executed, FailureKind},
};
use backstop_postgres::{
    Credentials, PostgresOptions, TlsMode,
    sql::{Query, QueryAs},
};
use backstop_testkit::server::{Certificate, Postgres, PostgresSetup};

use crate::support::{Db, LONG, ask, assert_failed, lane, until};

const ENCRYPTED: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

fn server(certificate: Certificate) -> Postgres {
    Postgres::start(PostgresSetup { certificate, ..PostgresSetup::default() }).unwrap()
}

async fn encrypted(server: &Postgres, mode: TlsMode, roots: Option<&Path>) -> Result<bool, String> {
    let db = Db::on(server, |options| {
        let options = options.tls(mode);
        match roots {
            Some(roots) => options.root_certificates(roots),
            None => options,
        }
    })
    .await;
    match db.ask(QueryAs::<bool>::new(ENCRYPTED)).await {
        Ok(rows) => Ok(rows[0]),
        Err(end) => {
            let failure = end.failure();
            assert_eq!(failure.executed(), Executed::No);
            Err(failure.to_string())
        }
    }
}

#[test]
fn a_good_certificate_passes_and_an_unknown_authority_does_not() {
    lane(async {
        let server = server(Certificate::Valid);
        let roots = server.authority();
        assert_eq!(encrypted(&server, TlsMode::VerifyFull, roots).await, Ok(true));
        assert_eq!(encrypted(&server, TlsMode::VerifyCa, roots).await, Ok(true));
        assert_eq!(encrypted(&server, TlsMode::Disable, None).await, Ok(false));
        let refused = encrypted(&server, TlsMode::VerifyFull, None).await.unwrap_err();
        assert!(refused.contains("UnknownIssuer"), "{refused}");
    });
}

#[test]
fn a_certificate_for_another_name_passes_only_where_names_are_not_compared() {
    lane(async {
        let server = server(Certificate::OtherName);
        assert_eq!(encrypted(&server, TlsMode::VerifyCa, server.authority()).await, Ok(true));
        let refused = encrypted(&server, TlsMode::VerifyFull, server.authority()).await.unwrap_err();
        assert!(refused.contains("not valid for name"), "{refused}");
    });
}

#[test]
fn an_expired_certificate_and_a_server_without_tls_are_refused() {
    lane(async {
        let expired = server(Certificate::Expired);
        for mode in [TlsMode::VerifyFull, TlsMode::VerifyCa] {
            let refused = encrypted(&expired, mode, expired.authority()).await.unwrap_err();
            assert!(refused.to_lowercase().contains("expired"), "{refused}");
        }
        let plain = Postgres::shared().unwrap();
        let refused = encrypted(plain, TlsMode::VerifyFull, None).await.unwrap_err();
        assert!(refused.contains("does not support TLS"), "{refused}");
    });
}

#[test]
fn a_statement_over_tls_is_cancelled_at_its_deadline() {
    lane(async {
        let server = server(Certificate::Valid);
        let roots = server.authority().unwrap().to_owned();
        let db = Db::on(&server, |options| {
            options.tls(TlsMode::VerifyFull).root_certificates(roots).pool_size(1).max_overflow(0)
        })
        .await;
        let slow = db.ask_in(std::time::Duration::from_millis(200), Query::new("SELECT pg_sleep(20)")).await;
        // a slow machine may need longer for the handshake than the verdict is waited for
        assert_ne!(slow.unwrap_err().executed(), Executed::Yes);
        assert_eq!(db.int("SELECT 1").await, 1);
        until("an idle server", async || db.sessions("state = 'active'") == 0).await;
    });
}

#[test]
fn a_password_is_never_sent_in_plain_text_beyond_this_machine() {
    let far = || PostgresOptions::url("postgres://app:canary@db.example/app");
    let error = far().tls(TlsMode::Disable).share().unwrap_err();
    assert_eq!(error.setting(), "tls");
    assert!(error.to_string().contains("plain text") && !error.to_string().contains("canary"), "{error}");
    far().share().unwrap();
    far().tls(TlsMode::Disable).allow_plain_text_password(true).share().unwrap();
    PostgresOptions::hosts(["db.example"]).user("app").tls(TlsMode::Disable).share().unwrap();
}

#[test]
fn a_rotated_password_is_used_by_new_connections_and_a_wrong_one_is_not_tried_again_and_again() {
    lane(async {
        let server = Postgres::start(PostgresSetup::default()).unwrap();
        server.create_user("app", "first").unwrap();
        let credentials = Credentials::new("first");
        let handle = credentials.clone();
        let address = server.address().unwrap().to_string();
        let options =
            PostgresOptions::hosts([address]).user("app").database("postgres").credentials(credentials);
        let db = Db::of(server.fresh_database().unwrap(), options).await;
        assert_eq!(db.int("SELECT 1").await, 1);
        server.set_password("app", "second").unwrap();
        // the open session goes on
        assert_eq!(db.int("SELECT 1").await, 1);
        let other = db.another_lane().await;
        for _ in 0..10 {
            let refused = ask(&*other, &Query::new("SELECT 1"), LONG).await;
            let failure = assert_failed(refused, FailureKind::Auth, Executed::No);
            assert!(!failure.to_string().contains("first"), "{failure}");
        }
        let tries = server.log_tail(1000).matches("password authentication failed").count();
        assert_eq!(tries, 1);
        handle.rotate("second");
        ask(&*other, &Query::new("SELECT 1"), LONG).await.unwrap();
    });
}
