//! PostgreSQL: start, kill, stop, restart, pause; setups; passwords; errors.

use std::{
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::PathBuf,
};

use backstop_testkit::server::{Postgres, PostgresSetup, ServerError};

use crate::{connect, eventually, is_cut, is_refused, is_silent, one_byte, processes_in, send};

/// Asks whether the server speaks TLS; a PostgreSQL answers `S` or `N`.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

fn start() -> Postgres {
    Postgres::start(PostgresSetup::default()).unwrap()
}

#[test]
fn a_private_server_speaks_the_protocol_and_names_its_version() {
    let server = start();
    assert!(server.is_up());
    let mut stream = connect(&server).unwrap();
    send(&mut stream, &SSL_REQUEST);
    assert_eq!(one_byte(&mut stream).unwrap(), b'N');
    let version: u32 = server.sql("SHOW server_version_num;").unwrap().parse().unwrap();
    assert!(version >= 120_000, "{version}");
    let port = server.address().unwrap().port();
    assert_eq!(server.sql("SELECT inet_server_port();").unwrap(), port.to_string());
    let socket = server.directory().unwrap().join(format!(".s.PGSQL.{port}"));
    assert!(std::fs::metadata(socket).unwrap().file_type().is_socket());
}

#[test]
fn a_server_never_runs_as_root() {
    let server = start();
    let processes = processes_in(server.directory().unwrap());
    assert!(processes.len() > 1, "a postmaster has children: {processes:?}");
    for pid in processes {
        assert_ne!(std::fs::metadata(format!("/proc/{pid}")).unwrap().uid(), 0);
    }
}

#[test]
fn a_killed_server_refuses_connections_and_has_all_data_after_a_restart() {
    let server = start();
    let database = server.fresh_database().unwrap();
    database.sql("CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 100);").unwrap();
    let (url, mut open) = (server.url().to_owned(), connect(&server).unwrap());
    send(&mut open, &SSL_REQUEST);
    assert_eq!(one_byte(&mut open).unwrap(), b'N');

    server.kill().unwrap();
    assert!(is_cut(&mut open));
    assert!(is_refused(&server) && !server.is_up());
    assert_eq!(processes_in(server.directory().unwrap()), Vec::<String>::new());
    server.kill().unwrap(); // it stays down, and that is no error

    server.restart().unwrap();
    assert_eq!(server.url(), url);
    assert_eq!(database.sql("SELECT count(*) FROM t;").unwrap(), "100");
    assert!(server.log_tail(100).contains("was not properly shut down"));
}

#[test]
fn a_stopped_server_ends_cleanly_and_starts_again() {
    let server = start();
    server.stop().unwrap();
    assert!(is_refused(&server));
    assert!(server.log_tail(5).contains("database system is shut down"), "{}", server.log_tail(5));
    server.restart().unwrap();
    server.restart().unwrap(); // also while it runs
    assert!(server.is_up());
    assert!(!server.log_tail(100).contains("was not properly shut down"));
}

#[test]
fn a_paused_server_accepts_and_is_silent_until_it_is_resumed() {
    let server = start();
    server.pause().unwrap();
    let mut stream = connect(&server).unwrap();
    send(&mut stream, &SSL_REQUEST);
    assert!(is_silent(&mut stream) && !server.is_up());
    server.resume().unwrap();
    assert_eq!(one_byte(&mut stream).unwrap(), b'N');
    assert!(server.is_up());
}

#[test]
fn a_paused_server_can_be_killed_and_stopped() {
    let server = start();
    server.pause().unwrap();
    server.kill().unwrap();
    server.restart().unwrap();
    server.pause().unwrap();
    server.stop().unwrap();
    assert!(is_refused(&server));
}

#[test]
fn one_paused_session_stands_still_while_others_go_on() {
    let server = start();
    let find = "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(2);';";
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| server.sql("SELECT pg_sleep(2);").unwrap());
        let mut pid = String::new();
        assert!(eventually(|| {
            pid = server.sql(find).unwrap();
            !pid.is_empty()
        }));
        let pid = pid.parse().unwrap();
        server.pause_one(pid).unwrap();
        server.sql("SELECT pg_sleep(3);").unwrap();
        assert!(!sleeper.is_finished());
        server.resume_one(pid).unwrap();
        sleeper.join().unwrap();
    });
    assert!(server.pause_one(1).unwrap_err().to_string().contains("no process of this server"));
}

#[test]
fn a_setup_decides_over_safety_sizes_and_any_setting() {
    let show = |server: &Postgres| {
        let names =
            ["fsync", "synchronous_commit", "max_connections", "max_prepared_transactions", "work_mem"];
        let shown = names.map(|name| format!("SHOW {name};"));
        server.sql(&shown.concat()).unwrap().lines().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(show(Postgres::shared().unwrap()), "on on 100 16 4MB");
    let own = Postgres::start(PostgresSetup {
        fsync: false,
        max_connections: 7,
        max_prepared_transactions: 0,
        settings: vec![("work_mem".to_owned(), "1MB".to_owned())],
        ..PostgresSetup::default()
    });
    assert_eq!(show(&own.unwrap()), "off off 7 0 1MB");
}

#[test]
fn a_changed_password_replaces_the_old_one() {
    let server = Postgres::shared().unwrap();
    let name = "rotated \"user\"";
    server.create_user(name, "it's the first").unwrap();
    let who = |password| server.sql_at(&server.url_for(name, password, "postgres"), "SELECT current_user;");
    assert_eq!(who("it's the first").unwrap(), name);
    server.set_password(name, "second+&%").unwrap();
    assert_eq!(who("second+&%").unwrap(), name);
    let refused = who("it's the first").unwrap_err().to_string();
    assert!(refused.contains("password authentication failed"), "{refused}");
    assert!(!refused.contains("the first"), "{refused}");
}

#[test]
fn a_rule_of_the_setup_comes_before_all_others() {
    let hba = vec!["host all outcast 127.0.0.1/32 reject".to_owned()];
    let server = Postgres::start(PostgresSetup { hba, ..PostgresSetup::default() }).unwrap();
    server.create_user("outcast", "x").unwrap();
    let refused = server.sql_at(&server.url_for("outcast", "x", "postgres"), "SELECT 1;").unwrap_err();
    assert!(refused.to_string().contains("pg_hba.conf rejects connection"), "{refused}");
}

#[test]
fn all_tests_share_one_server_and_each_has_a_database_of_its_own() {
    let (server, again) = (Postgres::shared().unwrap(), Postgres::shared().unwrap());
    assert_eq!(server.url(), again.url());
    let (one, other) = (server.fresh_database().unwrap(), again.fresh_database().unwrap());
    one.sql("CREATE TABLE t (n int);").unwrap();
    assert!(other.sql("SELECT * FROM t;").unwrap_err().to_string().contains("42P01"));
}

#[test]
fn a_dropped_server_leaves_no_process_and_no_file() {
    let server = start();
    let directory = server.directory().unwrap().to_owned();
    drop(server);
    assert!(!directory.exists());
    assert_eq!(processes_in(&directory), Vec::<String>::new());
}

#[test]
fn a_start_that_fails_shows_the_command_and_the_end_of_the_log() {
    let settings = vec![("no_such_setting".to_owned(), "1".to_owned())];
    let error = Postgres::start(PostgresSetup { settings, ..PostgresSetup::default() }).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ServerError::Start { .. }), "{text}");
    assert!(text.contains("--no_such_setting=1"), "{text}");
    assert!(text.contains("unrecognized configuration parameter"), "{text}");
}

#[test]
fn a_missing_program_is_an_error_with_the_command_that_installs_it() {
    let programs = Some(PathBuf::from("/nowhere"));
    let text =
        Postgres::start(PostgresSetup { programs, ..PostgresSetup::default() }).unwrap_err().to_string();
    assert!(text.contains("no `initdb`") && text.contains("/nowhere"), "{text}");
    assert!(text.contains("sudo apt-get update && sudo apt-get install -y postgresql"), "{text}");
    assert!(text.contains("cargo xtask setup"), "{text}");
}
