//! A server ends with the process that owns it, and a variable points a process at another server.
//!
//! Both need a process of their own: this test binary, asked for one test that others ignore.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use backstop_testkit::server::{MariaDb, MariaDbSetup, Postgres, PostgresSetup, ServerError};

use crate::{eventually, processes_in};

/// How long a child may need for its servers on a busy machine.
const STARTED: Duration = Duration::from_secs(60);

/// This binary running one ignored test; dropped, it is killed.
struct Other {
    child: Child,
    lines: Receiver<String>,
}

impl Other {
    fn run(test: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
        command
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    /// What it says after `words`.
    fn told(&self, words: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(STARTED).unwrap();
            if let Some((_, told)) = line.split_once(words) {
                return told.trim().to_owned();
            }
        }
    }

    /// Where its two servers are, which run.
    fn servers(&self) -> Vec<PathBuf> {
        let servers: Vec<PathBuf> = self.told("servers at ").split(' ').map(PathBuf::from).collect();
        assert_eq!(servers.len(), 2);
        assert!(servers.iter().all(|directory| !processes_in(directory).is_empty()));
        servers
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_gone(directory: &Path) -> bool {
    !directory.exists() && processes_in(directory).is_empty()
}

/// Says where its servers are and waits for its end.
#[test]
#[ignore = "the child of another test"]
fn holds_servers() {
    let postgres = Postgres::shared().unwrap();
    let mariadb = MariaDb::start(MariaDbSetup::default()).unwrap();
    mariadb.pause().unwrap(); // must not save it
    println!(
        "\nservers at {} {}",
        postgres.directory().unwrap().display(),
        mariadb.directory().unwrap().display()
    );
    let _ = std::io::stdin().read_line(&mut String::new());
    assert!(std::env::var_os("BACKSTOP_SERVERS_PANIC").is_none(), "asked to");
}

#[test]
fn servers_end_with_an_owner_that_is_killed() {
    let mut owner = Other::run("owner::holds_servers", &[]);
    let servers = owner.servers();
    owner.child.kill().unwrap();
    assert_eq!(owner.child.wait().unwrap().signal(), Some(9));
    assert!(eventually(|| servers.iter().all(|directory| is_gone(directory))));
}

#[test]
fn servers_end_with_an_owner_that_panics_or_ends() {
    for variables in [&[][..], &[("BACKSTOP_SERVERS_PANIC", "yes")]] {
        let mut owner = Other::run("owner::holds_servers", variables);
        let servers = owner.servers();
        drop(owner.child.stdin.take());
        assert_eq!(owner.child.wait().unwrap().success(), variables.is_empty());
        assert!(eventually(|| servers.iter().all(|directory| is_gone(directory))));
    }
}

/// Uses the servers that the variables name as the shared ones.
#[test]
#[ignore = "the child of another test"]
fn uses_other_servers() {
    let (postgres, mariadb) = (Postgres::shared().unwrap(), MariaDb::shared().unwrap());
    assert!(postgres.is_up() && mariadb.is_up());
    for refused in [postgres.kill(), mariadb.pause(), postgres.restart()] {
        assert!(matches!(refused.unwrap_err(), ServerError::Foreign { .. }));
    }
    let (one, other) = (postgres.fresh_database().unwrap(), mariadb.fresh_database().unwrap());
    assert_eq!(one.sql("SELECT current_database();").unwrap(), one.name());
    assert_eq!(other.sql("SELECT DATABASE();").unwrap(), other.name());
    println!("\nused {} {}", one.name(), other.name());
}

#[test]
fn variables_point_at_other_servers_which_are_left_as_they_were() {
    let postgres = Postgres::start(PostgresSetup::default()).unwrap();
    let mariadb = MariaDb::start(MariaDbSetup::default()).unwrap();
    let databases = || {
        let one = postgres.sql("SELECT datname FROM pg_database;").unwrap();
        [one, mariadb.sql("SHOW DATABASES;").unwrap()]
    };
    let before = databases();
    let variables =
        [("BACKSTOP_TEST_POSTGRES_URL", postgres.url()), ("BACKSTOP_TEST_MYSQL_URL", mariadb.url())];
    let mut user = Other::run("owner::uses_other_servers", &variables);
    assert_eq!(user.told("used ").split(' ').count(), 2);
    assert!(user.child.wait().unwrap().success());
    assert_eq!(databases(), before);
    assert!(postgres.is_up() && mariadb.is_up());
}
