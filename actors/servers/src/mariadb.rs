//! MariaDB.

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

/// How a MariaDB of a test is set up.
#[derive(Clone, Debug)]
pub struct MariaDbSetup {
    /// Whether a commit waits for the disk; default `true`, because durability is under test.
    pub fsync: bool,
    /// How many sessions it takes, and one more for a superuser; default 100, 10 at least.
    pub max_connections: u16,
    /// Whether it offers TLS; default none.
    pub certificate: Certificate,
    /// Further settings by their names as server options; they win over all others.
    pub settings: Vec<(String, String)>,
    /// The directory of its programs; by default those on this machine.
    pub programs: Option<PathBuf>,
}

impl Default for MariaDbSetup {
    fn default() -> Self {
        Self {
            fsync: true,
            max_connections: 100,
            certificate: Certificate::None,
            settings: Vec::new(),
            programs: None,
        }
    }
}

/// A running MariaDB; a private one ends when this is dropped.
#[derive(Debug)]
pub struct MariaDb(Server);

impl MariaDb {
    /// Starts a private server; takes one to two seconds.
    ///
    /// # Errors
    /// [`ServerError::Missing`] with the command that installs it, [`ServerError::Start`] with the end of its log,
    /// [`ServerError::Program`] when no data directory can be made.
    pub fn start(setup: MariaDbSetup) -> Result<Self, ServerError> {
        let programs = Programs::find(Kind::MariaDb, setup.programs.clone());
        let password = secret::make()?;
        let install = programs.path("mariadb-install-db")?;
        let mut authority = None;
        let private = Private::start(Kind::MariaDb, &programs, None, |directory, account| {
            let first = init(&install, directory, account, &password)?;
            let files = setup.certificate.make(directory, account)?;
            let recipe = Recipe { arguments: arguments(&setup, directory, files.as_ref()), first };
            authority = files.map(|files| files.authority);
            Ok(recipe)
        })?;
        Server::new((Kind::MariaDb, programs), private, (USER, &password), authority).map(Self)
    }

    /// The server that all tests of this process share; it lives as long as the process. A test that kills or
    /// pauses starts a server of its own.
    ///
    /// # Errors
    /// As [`start`](Self::start), each time; [`ServerError::Address`] for a wrong `BACKSTOP_TEST_MYSQL_URL`.
    pub fn shared() -> Result<&'static Self, ServerError> {
        static SHARED: OnceLock<Result<MariaDb, ServerError>> = OnceLock::new();
        let start = || match Server::foreign(Kind::MariaDb)? {
            Some(server) => Ok(Self(server)),
            None => Self::start(MariaDbSetup::default()),
        };
        SHARED.get_or_init(start).as_ref().map_err(Clone::clone)
    }
}

impl Deref for MariaDb {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// Makes the data directory; returns the arguments of the first start, which creates the superuser.
fn init(
    install: &Path,
    directory: &Path,
    account: Account,
    password: &str,
) -> Result<Vec<String>, ServerError> {
    let mut command = command::program(install);
    command.arg("--no-defaults").arg(format!("--datadir={}", Kind::data(directory).display()));
    command.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
    // What is written here can be made again; only what the server writes must be safe.
    command.args(["--debug-no-sync", LOG_SIZE]).current_dir(directory);
    // ours may be closed to the server's user
    command.env("TMPDIR", directory);
    account.run_as(&mut command);
    command::output(&mut command, "")?;
    let statements = directory.join("first.sql");
    let user = Kind::MariaDb.identifier(USER);
    // The installer leaves some roots without a password, one of them under the name of the machine.
    let text = format!(
        "CREATE USER {user}@'%' IDENTIFIED BY '{password}';\n\
         GRANT ALL PRIVILEGES ON *.* TO {user}@'%' WITH GRANT OPTION;\n\
         DELETE FROM mysql.global_priv WHERE User = 'root';\n\
         DELETE FROM mysql.proxies_priv;\n\
         FLUSH PRIVILEGES;\n"
    );
    account.write(&statements, &text)?;
    Ok(vec![format!("--init-file={}", statements.display())])
}

/// Small, for a quick start; the installer and the server must agree.
const LOG_SIZE: &str = "--innodb-log-file-size=16M";

/// The arguments of the server, all but the port.
fn arguments(setup: &MariaDbSetup, directory: &Path, tls: Option<&Files>) -> Vec<String> {
    let mut arguments = vec![
        "--no-defaults".to_owned(),
        format!("--datadir={}", Kind::data(directory).display()),
        format!("--socket={}", directory.join("socket").display()),
        format!("--tmpdir={}", directory.display()),
        "--pid-file=mariadbd.pid".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        "--skip-name-resolve".to_owned(),
        format!("--max-connections={}", setup.max_connections),
        "--innodb-buffer-pool-size=64M".to_owned(),
        LOG_SIZE.to_owned(),
    ];
    if !setup.fsync {
        arguments.extend(["--innodb-flush-log-at-trx-commit=0", "--debug-no-sync"].map(str::to_owned));
    }
    if let Some(files) = tls {
        arguments.push(format!("--ssl-ca={}", files.authority.display()));
        arguments.push(format!("--ssl-cert={}", files.chain.display()));
        arguments.push(format!("--ssl-key={}", files.key.display()));
    }
    arguments.extend(setup.settings.iter().map(|(name, value)| format!("--{name}={value}")));
    arguments
}
