//! MariaDB: start, kill, stop, restart, pause; setups; passwords; errors.

use std::{io::Read, os::unix::fs::MetadataExt, path::PathBuf};

use backstop_testkit::server::{MariaDb, MariaDbSetup, ServerError};

use crate::{connect, is_cut, is_refused, is_silent, one_byte, processes_in};

fn start() -> MariaDb {
    MariaDb::start(MariaDbSetup::default()).unwrap()
}

#[test]
fn a_private_server_speaks_the_protocol_and_names_its_version() {
    let server = start();
    assert!(server.is_up());
    let mut first = [0; 32];
    connect(&server).unwrap().read_exact(&mut first).unwrap();
    // Length and number of the packet, then the version of the protocol and a name.
    assert_eq!((first[3], first[4]), (0, 10));
    let version = server.sql("SELECT VERSION();").unwrap();
    assert!(version.contains("MariaDB"), "{version}");
    let name = first[5..].split(|&byte| byte == 0).next().unwrap();
    assert!(String::from_utf8_lossy(name).contains(version.split('-').next().unwrap()));
    assert!(server.directory().unwrap().join("socket").exists());
}

#[test]
fn a_server_never_runs_as_root_and_only_the_superuser_may_enter() {
    let server = start();
    let processes = processes_in(server.directory().unwrap());
    assert!(!processes.is_empty());
    for pid in processes {
        assert_ne!(std::fs::metadata(format!("/proc/{pid}")).unwrap().uid(), 0);
    }
    assert_eq!(server.sql("SELECT User FROM mysql.user WHERE User <> 'mariadb.sys';").unwrap(), "backstop");
    let without = server.url_for("root", "", "mysql");
    let refused = server.sql_at(&without, "SELECT 1;").unwrap_err().to_string();
    assert!(refused.contains("Access denied"), "{refused}");
}

#[test]
fn a_killed_server_refuses_connections_and_has_all_data_after_a_restart() {
    let server = start();
    let database = server.fresh_database().unwrap();
    database.sql("CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2), (3);").unwrap();
    let (url, mut open) = (server.url().to_owned(), connect(&server).unwrap());
    one_byte(&mut open).unwrap();

    server.kill().unwrap();
    assert!(is_cut(&mut open));
    assert!(is_refused(&server) && !server.is_up());
    assert_eq!(processes_in(server.directory().unwrap()), Vec::<String>::new());

    server.restart().unwrap();
    assert_eq!(server.url(), url);
    assert_eq!(database.sql("SELECT COUNT(*) FROM t;").unwrap(), "3");
    assert!(server.log_tail(100).contains("crash recovery"), "{}", server.log_tail(100));
}

#[test]
fn a_stopped_server_ends_cleanly_and_starts_again() {
    let server = start();
    server.stop().unwrap();
    assert!(is_refused(&server));
    assert!(server.log_tail(5).contains("Shutdown complete"), "{}", server.log_tail(5));
    server.restart().unwrap();
    assert!(server.is_up());
    assert!(!server.log_tail(200).contains("crash recovery"));
}

#[test]
fn a_paused_server_accepts_and_is_silent_until_it_is_resumed() {
    let server = start();
    server.pause().unwrap();
    let mut stream = connect(&server).unwrap();
    assert!(is_silent(&mut stream) && !server.is_up());
    server.resume().unwrap();
    one_byte(&mut stream).unwrap();
    assert!(server.is_up());
}

#[test]
fn a_setup_decides_over_safety_sizes_and_any_setting() {
    let show = |server: &MariaDb| {
        server.sql("SELECT @@innodb_flush_log_at_trx_commit, @@max_connections, @@wait_timeout;").unwrap()
    };
    assert_eq!(show(MariaDb::shared().unwrap()), "1\t100\t28800");
    let own = MariaDb::start(MariaDbSetup {
        fsync: false,
        max_connections: 12,
        settings: vec![("wait_timeout".to_owned(), "5".to_owned())],
        ..MariaDbSetup::default()
    });
    assert_eq!(show(&own.unwrap()), "0\t12\t5");
}

#[test]
fn a_changed_password_replaces_the_old_one() {
    let server = MariaDb::shared().unwrap();
    let name = "rotated `user'";
    server.create_user(name, r"the \first").unwrap();
    let who = |password| {
        server.sql_at(&server.url_for(name, password, "information_schema"), "SELECT CURRENT_USER();")
    };
    assert_eq!(who(r"the \first").unwrap(), format!("{name}@%"));
    server.set_password(name, "second+&%").unwrap();
    assert_eq!(who("second+&%").unwrap(), format!("{name}@%"));
    let refused = who(r"the \first").unwrap_err().to_string();
    assert!(refused.contains("Access denied") && !refused.contains("first"), "{refused}");
}

#[test]
fn each_test_has_a_database_of_its_own() {
    let server = MariaDb::shared().unwrap();
    let (one, other) = (server.fresh_database().unwrap(), server.fresh_database().unwrap());
    one.sql("CREATE TABLE t (n int);").unwrap();
    assert!(other.sql("SELECT * FROM t;").unwrap_err().to_string().contains("1146"));
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
    let error = MariaDb::start(MariaDbSetup { settings, ..MariaDbSetup::default() }).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ServerError::Start { .. }), "{text}");
    assert!(text.contains("--no_such_setting=1") && text.contains("unknown variable"), "{text}");
}

#[test]
fn a_missing_program_is_an_error_with_the_command_that_installs_it() {
    let programs = Some(PathBuf::from("/nowhere"));
    let text = MariaDb::start(MariaDbSetup { programs, ..MariaDbSetup::default() }).unwrap_err().to_string();
    assert!(text.contains("/nowhere"), "{text}");
    assert!(text.contains("apt-get install -y mariadb-server-core mariadb-client-core"), "{text}");
}
