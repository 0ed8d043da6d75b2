//! A private server.

use std::{ops::Deref, path::PathBuf};

use backstop_servers::{MariaDb, MariaDbSetup, Postgres, PostgresSetup, Server, ServerError};

use crate::demo::Role;

/// The database of the demo on each server.
const DATABASE: &str = "demo";

/// The longest reason, in characters; some servers print pages.
const LINE: usize = 400;

/// A running server with an empty database; it ends when this is dropped, and at the latest with the program.
#[derive(Debug)]
pub(in crate::demo) struct Engine(Private);

#[derive(Debug)]
enum Private {
    Postgres(Postgres),
    MariaDb(MariaDb),
}

impl Engine {
    /// Starts the server of one role; takes one to two seconds.
    ///
    /// # Errors
    /// In one line, why it cannot be had; if it is not installed, with the command that installs it.
    pub(in crate::demo) fn start(role: Role) -> Result<Self, String> {
        Self::start_from(role, None)
    }

    /// Starts it with the programs of one directory, or with those that are found.
    fn start_from(role: Role, programs: Option<PathBuf>) -> Result<Self, String> {
        let start = || -> Result<Self, ServerError> {
            let private = match role {
                Role::Savings => Private::MariaDb(MariaDb::start(MariaDbSetup { programs, ..mariadb() })?),
                _ => Private::Postgres(Postgres::start(PostgresSetup { programs, ..postgres() })?),
            };
            private.sql(&format!("CREATE DATABASE {DATABASE};"))?;
            Ok(Self(private))
        };
        start().map_err(in_a_line)
    }

    /// Its address for a driver, with user and password.
    pub(in crate::demo) fn url(&self) -> String {
        self.0.url_of(DATABASE)
    }

    /// Kills all of its processes.
    ///
    /// # Errors
    /// When they do not die.
    pub(in crate::demo) fn kill(&self) -> Result<(), String> {
        self.0.kill().map_err(in_a_line)
    }

    /// Starts it again on the same port and data.
    ///
    /// # Errors
    /// When it does not start, with the end of its log.
    pub(in crate::demo) fn restart(&self) -> Result<(), String> {
        self.0.restart().map_err(|error| error.to_string())
    }

    /// Lets all of its processes stand still.
    ///
    /// # Errors
    /// When they do not.
    pub(in crate::demo) fn pause(&self) -> Result<(), String> {
        self.0.pause().map_err(in_a_line)
    }

    /// Lets all of its processes go on.
    ///
    /// # Errors
    /// Never for a server of the demo's own.
    pub(in crate::demo) fn resume(&self) -> Result<(), String> {
        self.0.resume().map_err(in_a_line)
    }

    /// Runs statements by the server's own client program; returns the rows, one a line.
    ///
    /// # Errors
    /// What the server said.
    pub(in crate::demo) fn sql(&self, statements: &str) -> Result<String, String> {
        self.0.sql_at(&self.url(), statements).map_err(in_a_line)
    }
}

impl Deref for Private {
    type Target = Server;

    fn deref(&self) -> &Server {
        match self {
            Self::Postgres(server) => server,
            Self::MariaDb(server) => server,
        }
    }
}

/// The demo outlives no loss of power, and some disks sync slowly. A commit is with the system when it is
/// acknowledged, so killed processes lose nothing.
fn postgres() -> PostgresSetup {
    PostgresSetup { settings: vec![("fsync".to_owned(), "off".to_owned())], ..PostgresSetup::default() }
}

/// As [`postgres`]: 2 writes at each commit and syncs once a second.
fn mariadb() -> MariaDbSetup {
    let settings = vec![("innodb-flush-log-at-trx-commit".to_owned(), "2".to_owned())];
    MariaDbSetup { settings, ..MariaDbSetup::default() }
}

fn in_a_line(error: ServerError) -> String {
    match error {
        ServerError::Missing { program, install, .. } => {
            format!("no `{program}` on this machine; install it with: {install}")
        }
        other => {
            let text = other.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ");
            if text.chars().count() <= LINE { text } else { text.chars().take(LINE).chain(['…']).collect() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_server_is_one_line_with_the_command_that_installs_it() {
        let empty = tempfile::tempdir().unwrap();
        for (role, package) in [(Role::Payments, "postgresql"), (Role::Savings, "mariadb-server-core")] {
            let reason = Engine::start_from(role, Some(empty.path().to_owned())).unwrap_err();
            assert!(reason.contains("apt-get install") && reason.contains(package), "{reason}");
            assert_eq!(reason.lines().count(), 1, "{reason}");
        }
    }
}
