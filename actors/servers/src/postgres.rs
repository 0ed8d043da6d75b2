//! PostgreSQL.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{
    Certificate, Server, ServerError,
    account::Account,
    certificate::Files,
    command,
    kind::Kind,
    private::{Private, Recipe},
    programs::Programs,
    secret,
};

/// The superuser of private servers.
const USER: &str = "backstop";

/// How a PostgreSQL of a test is set up.
#[derive(Clone, Debug)]
pub struct PostgresSetup {
    /// Whether a commit waits for the disk; default `true`, because durability is under test.
    pub fsync: bool,
    /// How many sessions it takes, three of them for superusers only; default 100.
    pub max_connections: u16,
    /// How many transactions may be prepared at a time; default 16.
    pub max_prepared_transactions: u16,
    /// Whether it offers TLS; default none.
    pub certificate: Certificate,
    /// Lines to stand before those of `pg_hba.conf`, which ask everybody for a password (scram-sha-256).
    pub hba: Vec<String>,
    /// Further settings by their names in `postgresql.conf`; they win over all others.
    pub settings: Vec<(String, String)>,
    /// The directory in which it gets its own; by default that for temporary files.
    pub place: Option<PathBuf>,
    /// The directory of its programs; by default the newest version on this machine.
    pub programs: Option<PathBuf>,
}

impl Default for PostgresSetup {
    fn default() -> Self {
        Self {
            fsync: true,
            max_connections: 100,
            max_prepared_transactions: 16,
            certificate: Certificate::None,
            hba: Vec::new(),
            settings: Vec::new(),
            place: None,
            programs: None,
        }
    }
}

/// A running PostgreSQL; a private one ends when this is dropped.
#[derive(Debug)]
pub struct Postgres(Server);

impl Postgres {
    /// Starts a private server; takes one to two seconds.
    ///
    /// # Errors
    /// [`ServerError::Missing`] with the command that installs it, [`ServerError::Start`] with the end of its log,
    /// [`ServerError::Program`] when no data directory can be made.
    pub fn start(setup: PostgresSetup) -> Result<Self, ServerError> {
        let programs = Programs::find(Kind::Postgres, setup.programs.clone());
        let password = secret::make()?;
        let initdb = programs.path("initdb")?;
        let mut authority = None;
        let private =
            Private::start(Kind::Postgres, &programs, setup.place.as_deref(), |directory, account| {
                init(&initdb, directory, account, &password, &setup.hba)?;
                let files = setup.certificate.make(directory, account)?;
                if let Some(files) = &files {
                    encrypt(files, directory, account)?;
                }
                let recipe = Recipe { arguments: arguments(&setup, directory), first: Vec::new() };
                authority = files.map(|files| files.authority);
                Ok(recipe)
            })?;
        Server::new((Kind::Postgres, programs), private, (USER, &password), authority).map(Self)
    }

    /// The server that all tests of this process share; it lives as long as the process. A test that kills or
    /// pauses starts a server of its own.
    ///
    /// # Errors
    /// As [`start`](Self::start), each time; [`ServerError::Address`] for a wrong `BACKSTOP_TEST_POSTGRES_URL`.
    pub fn shared() -> Result<&'static Self, ServerError> {
        static SHARED: OnceLock<Result<Postgres, ServerError>> = OnceLock::new();
        let start = || match Server::foreign(Kind::Postgres)? {
            Some(server) => Ok(Self(server)),
            None => Self::start(PostgresSetup::default()),
        };
        SHARED.get_or_init(start).as_ref().map_err(Clone::clone)
    }

    /// Gives it another certificate of the same authority for new connections, or none; sessions that are open go on.
    /// For a server that was started with one.
    ///
    /// # Errors
    /// [`ServerError::Foreign`], and as [`sql`](Server::sql).
    pub fn change_certificate(&self, wanted: Certificate) -> Result<(), ServerError> {
        let is_on = self.ours("change")?.certify(wanted)?;
        let value = if is_on { "on" } else { "off" };
        self.sql(&format!("ALTER SYSTEM SET ssl = {value};"))?;
        self.sql("SELECT pg_reload_conf();").map(drop)
    }
}

impl Deref for Postgres {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// Makes the data directory.
fn init(
    initdb: &Path,
    directory: &Path,
    account: Account,
    password: &str,
    hba: &[String],
) -> Result<(), ServerError> {
    let (data, secret) = (Kind::data(directory), directory.join("password"));
    account.write(&secret, password)?;
    let mut command = command::program(initdb);
    command.arg("-D").arg(&data).arg("--pwfile").arg(&secret).args(["-U", USER, "--auth=scram-sha-256"]);
    // What is written here can be made again; only what the server writes must be safe.
    command.args(["--encoding=UTF8", "--locale=C", "--no-sync"]).current_dir(directory);
    account.run_as(&mut command);
    command::output(&mut command, "")?;
    if !hba.is_empty() {
        let path = data.join("pg_hba.conf");
        let rules = std::fs::read_to_string(&path).map_err(ServerError::machine("read pg_hba.conf"))?;
        account.write(&path, &format!("{}\n{rules}", hba.join("\n")))?;
    }
    Ok(())
}

/// Turns TLS on in a file, where it can be changed while the server runs.
fn encrypt(files: &Files, directory: &Path, account: Account) -> Result<(), ServerError> {
    let path = Kind::data(directory).join("postgresql.conf");
    let before = std::fs::read_to_string(&path).map_err(ServerError::machine("read postgresql.conf"))?;
    let (chain, key) = (files.chain.display(), files.key.display());
    account.write(&path, &format!("{before}\nssl = on\nssl_cert_file = '{chain}'\nssl_key_file = '{key}'\n"))
}

/// The arguments of the server, all but the port.
fn arguments(setup: &PostgresSetup, directory: &Path) -> Vec<String> {
    let mut settings = vec![
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("unix_socket_directories", directory.display().to_string()),
        ("max_connections", setup.max_connections.to_string()),
        ("max_prepared_transactions", setup.max_prepared_transactions.to_string()),
        ("shared_buffers", "32MB".to_owned()),
    ];
    if !setup.fsync {
        settings
            .extend(["fsync", "synchronous_commit", "full_page_writes"].map(|name| (name, "off".to_owned())));
    }
    let settings = settings.iter().map(|(name, value)| (*name, value.as_str()));
    let further = setup.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let settings = settings.chain(further).map(|(name, value)| format!("--{name}={value}"));
    ["-D".to_owned(), Kind::data(directory).display().to_string()].into_iter().chain(settings).collect()
}
