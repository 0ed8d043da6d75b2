//! Servers with TLS, good and bad, as the servers' own clients see them.

use backstop_testkit::server::{Certificate, MariaDb, MariaDbSetup, Postgres, PostgresSetup};

fn postgres(certificate: Certificate) -> Postgres {
    Postgres::start(PostgresSetup { certificate, ..PostgresSetup::default() }).unwrap()
}

/// Whether a session at this level of care is encrypted, or what was said against it.
fn encrypted(server: &Postgres, mode: &str) -> Result<String, String> {
    let authority = server.authority().map(|path| format!("&sslrootcert={}", path.display()));
    let url = format!("{}?sslmode={mode}{}", server.url(), authority.unwrap_or_default());
    let asked = server.sql_at(&url, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid();");
    asked.map_err(|error| error.to_string())
}

#[test]
fn postgres_with_a_valid_certificate_passes_the_strictest_check() {
    let server = postgres(Certificate::Valid);
    assert_eq!(encrypted(&server, "verify-full").unwrap(), "t");
    assert_eq!(encrypted(&server, "disable").unwrap(), "f");
}

#[test]
fn postgres_with_an_expired_certificate_is_refused() {
    let refused = encrypted(&postgres(Certificate::Expired), "verify-ca").unwrap_err();
    assert!(refused.contains("certificate verify failed"), "{refused}");
}

#[test]
fn postgres_with_a_certificate_for_another_name_fails_only_the_check_of_names() {
    let server = postgres(Certificate::OtherName);
    assert_eq!(encrypted(&server, "verify-ca").unwrap(), "t");
    let refused = encrypted(&server, "verify-full").unwrap_err();
    assert!(refused.contains("does not match host name"), "{refused}");
}

#[test]
fn postgres_without_tls_refuses_a_client_that_insists() {
    let server = Postgres::shared().unwrap();
    assert_eq!(server.authority(), None);
    let refused = encrypted(server, "require").unwrap_err();
    assert!(refused.contains("server does not support SSL"), "{refused}");
}

fn mariadb(certificate: Certificate) -> Result<String, String> {
    let server = MariaDb::start(MariaDbSetup { certificate, ..MariaDbSetup::default() }).unwrap();
    let url = format!("{}?ssl-ca={}", server.url(), server.authority().unwrap().display());
    server.sql_at(&url, "SHOW STATUS LIKE 'Ssl_cipher';").map_err(|error| error.to_string())
}

#[test]
fn mariadb_with_a_valid_certificate_encrypts_for_a_client_that_checks() {
    let answer = mariadb(Certificate::Valid).unwrap();
    assert!(answer.starts_with("Ssl_cipher\tTLS_"), "{answer}");
}

#[test]
fn mariadb_with_an_expired_certificate_is_refused() {
    let refused = mariadb(Certificate::Expired).unwrap_err();
    assert!(refused.contains("expired"), "{refused}");
}

#[test]
fn mariadb_with_a_certificate_for_another_name_is_refused() {
    let refused = mariadb(Certificate::OtherName).unwrap_err();
    assert!(refused.contains("Validation of SSL server certificate failed"), "{refused}");
}
