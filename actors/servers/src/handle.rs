//! What a test does with a server, ours or another.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use url::Url;

use crate::{Database, ServerError, command, kind::Kind, private::Private, programs::Programs};

/// How long a server may take to greet before it counts as down.
const GREETING: Duration = Duration::from_secs(1);

/// A running server; both [`Postgres`](crate::Postgres) and [`MariaDb`](crate::MariaDb) are one.
///
/// Every function blocks its thread, see the [module](super).
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    programs: Programs,
    url: Url,
    authority: Option<PathBuf>,
    private: Option<Private>,
}

impl Server {
    /// A private server with its superuser.
    pub(crate) fn new(
        (kind, programs): (Kind, Programs),
        private: Private,
        (user, password): (&str, &str),
        authority: Option<PathBuf>,
    ) -> Result<Self, ServerError> {
        let text = format!(
            "{}://{user}:{password}@{}/{}",
            kind.schemes()[0],
            private.address(),
            kind.first_database()
        );
        let url = parse(kind, &text)?;
        Ok(Self { kind, programs, url, authority, private: Some(private) })
    }

    /// The server that the environment variable points at, if it is set.
    pub(crate) fn foreign(kind: Kind) -> Result<Option<Self>, ServerError> {
        let Ok(text) = std::env::var(kind.variable()) else { return Ok(None) };
        let url = parse(kind, &text)?;
        let programs = Programs::find(kind, None);
        Ok(Some(Self { kind, programs, url, authority: None, private: None }))
    }

    /// The address for a driver, with superuser and password, to the database that is always there.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The address of another database, as superuser.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        let mut url = self.url.clone();
        url.set_path(database);
        url.into()
    }

    /// The address of a database for another user.
    #[must_use]
    pub fn url_for(&self, user: &str, password: &str, database: &str) -> String {
        let mut url = self.url.clone();
        // Only addresses without a host refuse a user, and `parse` lets none pass.
        let _ = (url.set_username(user), url.set_password(Some(password)));
        url.set_path(database);
        url.into()
    }

    /// Where it listens.
    ///
    /// # Errors
    /// [`ServerError::Machine`] when the host of another server cannot be resolved.
    pub fn address(&self) -> Result<SocketAddr, ServerError> {
        if let Some(private) = &self.private {
            return Ok(private.address());
        }
        let host = self.url.host_str().unwrap_or("127.0.0.1");
        let found = (host, self.url.port().unwrap_or(self.kind.port())).to_socket_addrs();
        let found = found.map_err(ServerError::machine(format!("resolve {host}")))?.next();
        found.ok_or_else(|| ServerError::Machine {
            doing: format!("resolve {host}"),
            reason: "no address".to_owned(),
        })
    }

    /// The directory of a private server: its log, its Unix socket (`PostgreSQL` names it after the port, `MariaDB`'s
    /// is `socket`), and in `data` its data.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        self.private.as_ref().map(Private::directory)
    }

    /// The file with the authority that clients must trust, when a private server offers TLS.
    #[must_use]
    pub fn authority(&self) -> Option<&Path> {
        self.authority.as_deref()
    }

    /// The last lines of a private server's log, for messages; empty for another server.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        self.private.as_ref().map(|private| private.log_tail(lines)).unwrap_or_default()
    }

    /// Whether it greets a new connection within one second, and takes sessions.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.address().is_ok_and(|address| self.kind.greets(address, GREETING).is_ok())
    }

    /// Runs statements as superuser, each in a transaction of its own; returns the rows, one a line.
    ///
    /// # Errors
    /// [`ServerError::Program`] with what the server said, [`ServerError::Missing`] without the client program.
    pub fn sql(&self, statements: &str) -> Result<String, ServerError> {
        self.run(&self.url, statements)
    }

    /// Like [`sql`](Self::sql), at an address: another user or database, or parameters such as `sslmode` for
    /// PostgreSQL and `ssl-ca` (a file, which also verifies the name) for `MariaDB`.
    ///
    /// # Errors
    /// As [`sql`](Self::sql), and [`ServerError::Address`] for no address.
    pub fn sql_at(&self, url: &str, statements: &str) -> Result<String, ServerError> {
        self.run(&parse(self.kind, url)?, statements)
    }

    /// Creates a database of the caller's own; on another server it is removed when the value is dropped.
    ///
    /// # Errors
    /// As [`sql`](Self::sql).
    pub fn fresh_database(&self) -> Result<Database<'_>, ServerError> {
        let name = format!("test_{:012x}", fastrand::u64(..1 << 48));
        self.sql(&format!("CREATE DATABASE {};", self.kind.identifier(&name)))?;
        Ok(Database::new(self, name))
    }

    /// Creates a user that may connect, and nothing else.
    ///
    /// # Errors
    /// As [`sql`](Self::sql).
    pub fn create_user(&self, name: &str, password: &str) -> Result<(), ServerError> {
        let (name, password) = (self.kind.identifier(name), self.kind.literal(password));
        let statement = match self.kind {
            Kind::Postgres => format!("CREATE ROLE {name} LOGIN PASSWORD {password};"),
            Kind::MariaDb => format!("CREATE USER {name}@'%' IDENTIFIED BY {password};"),
        };
        self.sql(&statement).map(drop)
    }

    /// Changes a user's password; sessions that are open go on.
    ///
    /// # Errors
    /// As [`sql`](Self::sql).
    pub fn set_password(&self, user: &str, password: &str) -> Result<(), ServerError> {
        let (name, password) = (self.kind.identifier(user), self.kind.literal(password));
        let statement = match self.kind {
            Kind::Postgres => format!("ALTER ROLE {name} PASSWORD {password};"),
            Kind::MariaDb => format!("ALTER USER {name}@'%' IDENTIFIED BY {password};"),
        };
        self.sql(&statement).map(drop)
    }

    /// Kills all of its processes (SIGKILL) and waits until none is left; one that is down stays down.
    ///
    /// # Errors
    /// [`ServerError::Foreign`], and [`ServerError::Stubborn`] after ten seconds.
    pub fn kill(&self) -> Result<(), ServerError> {
        self.ours("kill")?.kill()
    }

    /// Ends it cleanly, without waiting for clients; one that is down stays down.
    ///
    /// # Errors
    /// [`ServerError::Foreign`], and [`ServerError::Stubborn`] after a minute.
    pub fn stop(&self) -> Result<(), ServerError> {
        self.ours("stop")?.stop()
    }

    /// Starts it again on the same port and data and waits until it takes sessions; stops it first if it runs.
    ///
    /// # Errors
    /// [`ServerError::Foreign`], [`ServerError::Stubborn`], and [`ServerError::Start`] with the end of the log.
    pub fn restart(&self) -> Result<(), ServerError> {
        self.ours("restart")?.restart()
    }

    /// Lets all of its processes stand still (SIGSTOP) and waits until they do. The system still accepts connections
    /// for it, but nobody answers.
    ///
    /// # Errors
    /// [`ServerError::Foreign`], and [`ServerError::Stubborn`] after ten seconds.
    pub fn pause(&self) -> Result<(), ServerError> {
        self.ours("pause")?.pause()
    }

    /// Lets all of its processes go on (SIGCONT).
    ///
    /// # Errors
    /// [`ServerError::Foreign`].
    pub fn resume(&self) -> Result<(), ServerError> {
        self.ours("resume")?.resume();
        Ok(())
    }

    /// Lets one process stand still: the session of `PostgreSQL` that has this `pg_backend_pid()`.
    ///
    /// # Errors
    /// [`ServerError::Foreign`], and [`ServerError::Machine`] for a process that is not this server's.
    pub fn pause_one(&self, pid: u32) -> Result<(), ServerError> {
        self.ours("pause")?.signal_one(pid, Signal::STOP)
    }

    /// Lets one process go on.
    ///
    /// # Errors
    /// As [`pause_one`](Self::pause_one).
    pub fn resume_one(&self, pid: u32) -> Result<(), ServerError> {
        self.ours("resume")?.signal_one(pid, Signal::CONT)
    }

    /// Removes a database of another server; with a private one it goes anyway.
    pub(crate) fn forget(&self, database: &str) {
        if self.private.is_none() {
            let force = if self.kind == Kind::Postgres { " WITH (FORCE)" } else { "" };
            let statement = format!("DROP DATABASE IF EXISTS {}{force};", self.kind.identifier(database));
            if let Err(error) = self.sql(&statement) {
                eprintln!("cannot remove the test database {database}: {error}");
            }
        }
    }

    /// The server, if it is our own.
    pub(crate) fn ours(&self, verb: &'static str) -> Result<&Private, ServerError> {
        self.private.as_ref().ok_or(ServerError::Foreign { verb, variable: self.kind.variable() })
    }

    fn run(&self, url: &Url, statements: &str) -> Result<String, ServerError> {
        let client = self.programs.path(self.kind.client())?;
        command::output(&mut self.kind.client_of(&client, url), statements)
    }
}

/// An address of such a server, with a database.
fn parse(kind: Kind, text: &str) -> Result<Url, ServerError> {
    let wrong = |reason: String| ServerError::Address { variable: kind.variable(), reason };
    let mut url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    if !kind.schemes().contains(&url.scheme()) {
        return Err(wrong(format!("the scheme is not one of {:?}", kind.schemes())));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("it names no host".to_owned()));
    }
    if url.path().trim_start_matches('/').is_empty() {
        url.set_path(kind.first_database());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn another() -> Server {
        let (kind, url) = (Kind::Postgres, "postgresql://someone:secret@127.0.0.1:1");
        let programs = Programs::find(kind, None);
        Server { kind, programs, url: parse(kind, url).unwrap(), authority: None, private: None }
    }

    #[test]
    fn another_server_is_never_killed_paused_or_restarted() {
        let server = another();
        for refused in [server.kill(), server.stop(), server.restart(), server.pause(), server.resume()] {
            let text = refused.unwrap_err().to_string();
            assert!(text.contains("BACKSTOP_TEST_POSTGRES_URL"), "{text}");
        }
        assert!(server.url().ends_with("/postgres") && !server.is_up());
    }

    #[test]
    fn an_address_of_something_else_is_refused_without_showing_it() {
        for wrong in ["http://u:secret@host/", "postgres:///db", "secret"] {
            let text = parse(Kind::Postgres, wrong).unwrap_err().to_string();
            assert!(text.contains("BACKSTOP_TEST_POSTGRES_URL") && !text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn a_failing_client_shows_no_password() {
        let text = another().sql("SELECT 1;").unwrap_err().to_string();
        assert!(text.contains("psql") && !text.contains("secret"), "{text}");
    }
}
