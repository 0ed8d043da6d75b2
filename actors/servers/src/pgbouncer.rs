//! pgbouncer, before a server.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use std::os::unix::process::CommandExt;
use url::Url;

use crate::{
    Server, ServerError, account::Account, command, greeting, guardian::Guardian, kind::Kind, port,
    processes, programs,
};

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(20);
/// How long its process may take to die.
const SIGNAL: Duration = Duration::from_secs(10);
/// How many ports are tried.
const PORTS: usize = 5;
/// How many lines of the log an error shows.
const LINES: usize = 20;

/// How a pgbouncer of a test is set up.
#[derive(Clone, Debug)]
pub struct PgBouncerSetup {
    /// How many sessions of the server it uses for a database; default 4.
    pub pool_size: u16,
    /// Further settings by their names in `pgbouncer.ini`; they win over all others.
    pub settings: Vec<(String, String)>,
}

impl Default for PgBouncerSetup {
    fn default() -> Self {
        Self { pool_size: 4, settings: Vec::new() }
    }
}

/// A running pgbouncer in transaction mode, which gives the sessions of its server out in turn; it ends when this is
/// dropped.
#[derive(Debug)]
pub struct PgBouncer {
    directory: PathBuf,
    address: SocketAddr,
    child: Option<Child>,
    guardian: Option<Guardian>,
}

impl PgBouncer {
    /// Starts one before `server`, for its superuser and all of its databases; takes a fraction of a second.
    ///
    /// # Errors
    /// [`ServerError::Missing`] with the command that installs it, [`ServerError::Start`] with the end of its log.
    pub fn start(server: &Server, setup: &PgBouncerSetup) -> Result<Self, ServerError> {
        let program = programs::pgbouncer()?;
        let made = tempfile::Builder::new().prefix("backstop-pgbouncer-").tempdir().and_then(|made| {
            let directory = made.path().canonicalize()?;
            Ok((made, directory))
        });
        let (made, directory) = made.map_err(ServerError::machine("make a directory for pgbouncer"))?;
        let guardian = Guardian::start(&directory)?;
        let _ = made.keep(); // from here on it is the guardian's
        let account = Account::find(&directory, Kind::Postgres.accounts())?;
        account.own(&directory)?;
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let mut new = Self { directory, address, child: None, guardian: Some(guardian) };
        let url = Url::parse(server.url()).map_err(|error| ServerError::Machine {
            doing: "read the address of the server".to_owned(),
            reason: error.to_string(),
        })?;
        let users = format!("\"{}\" \"{}\"\n", url.username(), url.password().unwrap_or_default());
        account.write(&new.directory.join("users"), &users)?;
        for tried in 1.. {
            let port = port::free().map_err(ServerError::machine("find a free port"))?;
            new.address = (Ipv4Addr::LOCALHOST, port).into();
            let settings = settings(server.address()?, port, &new.directory, setup);
            account.write(&new.directory.join("ini"), &settings)?;
            match new.launch(&program, account) {
                Ok(()) => break,
                Err(ServerError::Start { log, .. }) if log.contains("already in use") && tried < PORTS => {}
                Err(error) => return Err(error),
            }
        }
        Ok(new)
    }

    /// The address of a database for a driver, by the address that its server has for it.
    ///
    /// # Errors
    /// [`ServerError::Machine`] for an address that is none.
    pub fn url(&self, database: &str) -> Result<String, ServerError> {
        let wrong = |reason: String| ServerError::Machine { doing: "read an address".to_owned(), reason };
        let mut url = Url::parse(database).map_err(|error| wrong(error.to_string()))?;
        url.set_host(Some(&self.address.ip().to_string())).map_err(|error| wrong(error.to_string()))?;
        url.set_port(Some(self.address.port())).map_err(|()| wrong("it takes no port".to_owned()))?;
        Ok(url.into())
    }

    /// The last lines of its log, for messages.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        command::tail(&self.directory.join("log"), lines)
    }

    fn launch(&mut self, program: &Path, account: Account) -> Result<(), ServerError> {
        let mut command = command::program(program);
        let log = command::open_log(&self.directory.join("log"))?;
        let copy = log.try_clone().map_err(ServerError::machine("share a log"))?;
        command.arg("ini").current_dir(&self.directory).stdin(Stdio::null()).stdout(log).stderr(copy);
        command.process_group(0); // Ctrl-C is for the tests
        account.run_as(&mut command);
        let line = command::line(&command);
        let mut child = command.spawn().map_err(ServerError::machine(format!("start `{line}`")))?;
        let reason = match wait_until_ready(&mut child, self.address) {
            Ok(()) => {
                self.child = Some(child);
                return Ok(());
            }
            Err(reason) => reason,
        };
        processes::kill_all(&self.directory, SIGNAL);
        let _ = child.wait(); // reaped; the reason is already known
        Err(ServerError::Start { command: line, reason, log: self.log_tail(LINES) })
    }
}

fn wait_until_ready(child: &mut Child, address: SocketAddr) -> Result<(), String> {
    let started = Instant::now();
    while started.elapsed() < START {
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => return Err(format!("ended with {status} before it was ready")),
            Err(error) => return Err(format!("cannot be watched: {error}")),
        }
        if greeting::postgres(address, SIGNAL).is_ok() {
            return Ok(());
        }
        thread::sleep(processes::POLL);
    }
    Err(format!("was not ready after {} s", START.as_secs()))
}

fn settings(server: SocketAddr, port: u16, directory: &Path, setup: &PgBouncerSetup) -> String {
    let mut text = format!("[databases]\n* = host={} port={}\n\n[pgbouncer]\n", server.ip(), server.port());
    let own = [
        ("listen_addr", "127.0.0.1".to_owned()),
        ("listen_port", port.to_string()),
        ("unix_socket_dir", String::new()),
        ("auth_type", "scram-sha-256".to_owned()),
        ("auth_file", directory.join("users").display().to_string()),
        ("pool_mode", "transaction".to_owned()),
        ("default_pool_size", setup.pool_size.to_string()),
        ("max_client_conn", "100".to_owned()),
        ("server_round_robin", "1".to_owned()),
    ];
    // of two lines with one name the last one holds
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    let further = setup.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in own.chain(further) {
        text.push_str(&format!("{name} = {value}\n"));
    }
    text
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // Here and not by the guardian, so that the process leaves no zombie.
        if !processes::kill_all(&self.directory, SIGNAL) {
            eprintln!("pgbouncer did not die within {} s", SIGNAL.as_secs());
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
        drop(self.guardian.take());
    }
}
