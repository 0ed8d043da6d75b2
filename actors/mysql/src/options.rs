//! The recipe of a MySQL backend, and what is refused in it.

mod address;
mod check;
mod secret;

use std::{any::Any, path::PathBuf, sync::Arc, time::Duration};

use backstop_core::{backend::Connect, error::ConfigError, policy::duration};
use backstop_sql::seen;
use serde::Deserialize;

use self::secret::Secret;
use crate::{MySql, MySqlShared};

/// How to serve one MySQL or MariaDB database.
///
/// ```
/// use std::time::Duration;
/// use backstop_mysql::MySqlOptions;
///
/// let options = MySqlOptions::host("127.0.0.1")
///     .user("app")
///     .password("secret")
///     .database("shop")
///     .connect_timeout(Duration::from_secs(2));
/// assert!(!format!("{options:?}").contains("secret"));
/// ```
///
/// As data, each setting has the name of its setter and its default; one of `url`, `host` and `socket` is required, unknown
/// names are refused, and durations are text:
///
/// ```
/// use backstop_mysql::MySqlOptions;
///
/// let settings = r#"{"url": "mysql://app:secret@127.0.0.1/shop", "pool_size": 4, "idle_timeout": "5m"}"#;
/// let options: MySqlOptions = serde_json::from_str(settings).unwrap();
/// # drop(options);
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default = "MySqlOptions::empty")]
pub struct MySqlOptions {
    pub(crate) url: Option<Secret>,
    pub(crate) host: Option<String>,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) database: Option<String>,
    pub(crate) tls: Tls,
    pub(crate) tls_ca: Option<PathBuf>,
    pub(crate) allow_plain_text: bool,
    pub(crate) reset_always: bool,
    pub(crate) pool_size: usize,
    pub(crate) max_overflow: usize,
    #[serde(with = "duration")]
    pub(crate) acquire_timeout: Duration,
    #[serde(with = "duration")]
    pub(crate) connect_timeout: Duration,
    #[serde(with = "duration")]
    pub(crate) verify_after: Duration,
    #[serde(with = "duration")]
    pub(crate) max_lifetime: Duration,
    #[serde(with = "duration")]
    pub(crate) idle_timeout: Duration,
    #[serde(with = "duration")]
    pub(crate) keepalive: Duration,
    #[serde(with = "duration")]
    pub(crate) statement_timeout: Duration,
    #[serde(with = "duration")]
    pub(crate) idle_in_transaction_timeout: Duration,
    #[serde(with = "duration")]
    pub(crate) lock_timeout: Duration,
    #[serde(with = "duration")]
    pub(crate) stream_idle: Duration,
    #[serde(with = "duration")]
    pub(crate) slow_query_threshold: Duration,
    #[serde(with = "duration")]
    pub(crate) leak_after: Duration,
    pub(crate) statement_cache: usize,
    pub(crate) rows_max: usize,
    pub(crate) bytes_max: usize,
}

/// Whether connections are encrypted; `"off"` or `"verified"` as data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Plain text; with a password only to this machine unless [`MySqlOptions::allow_plain_text`] says otherwise.
    #[default]
    Off,
    /// TLS, with the certificate and its name checked; a server without TLS is refused.
    Verified,
}

impl MySqlOptions {
    /// Serves the database at an address such as `mysql://user:password@host:3306/database`; `mariadb://` is the
    /// same. Parameters behind a `?` are refused: every setting has a name here.
    pub fn url(url: impl Into<String>) -> Self {
        Self { url: Some(Secret::new(url)), ..Self::empty() }
    }

    /// Serves a database of `host`, on port 3306 unless [`Self::port`] says otherwise.
    pub fn host(host: impl Into<String>) -> Self {
        Self { host: Some(host.into()), ..Self::empty() }
    }

    /// Serves a database of this machine through its Unix socket, which costs less of both sides than TCP does.
    pub fn socket(path: impl Into<PathBuf>) -> Self {
        Self { socket: Some(path.into()), ..Self::empty() }
    }

    /// Sets the port; 3306 by default.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Sets the user.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Sets the password; nothing shows it.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(Secret::new(password));
        self
    }

    /// Sets the database; none by default, and statements then name theirs.
    #[must_use]
    pub fn database(mut self, database: impl Into<String>) -> Self {
        self.database = Some(database.into());
        self
    }

    /// Trusts the authorities of this PEM file alone, in place of the public ones; none by default.
    #[must_use]
    pub fn tls_ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.tls_ca = Some(file.into());
        self
    }

    backstop_sql::setters! {
        /// Sets whether connections are encrypted; [`Tls::Off`] by default.
        tls: Tls,
        /// Lets a password travel in plain text to another machine; `false` by default.
        allow_plain_text: bool,
        /// Sets whether a session is reset after every call; `false` by default, which resets it where a statement's text
        /// can leave something in it. It is for databases whose stored functions or triggers leave user variables,
        /// named locks or temporary tables behind, which no text shows. A reset costs two commands, and the
        /// session's prepared statements.
        reset_always: bool,
        /// Sets how many connections are kept, over all lanes, 1 to 1,000; 10 by default.
        pool_size: usize,
        /// Sets how many more there may be while calls wait, up to 1,000; 5 by default.
        max_overflow: usize,
        /// Sets how long a call waits for a connection, up to 60 s and never past its deadline; 30 s by
        /// default.
        acquire_timeout: Duration,
        /// Sets how long opening a connection may take, up to 60 s; 5 s by default.
        connect_timeout: Duration,
        /// Sets how long a connection may be idle before it is checked with a ping when it is next used, up to
        /// 1 h; 1 s by default. It is never longer than half of the server's `wait_timeout`.
        verify_after: Duration,
        /// Sets how long a connection lives, 1 s to 24 h, less a jitter of up to 10 %; 30 min by default.
        max_lifetime: Duration,
        /// Sets how long a connection may be idle before it is closed, 1 s to 24 h; 10 min by default. The last
        /// idle one of a lane stays.
        idle_timeout: Duration,
        /// Sets after how long without traffic the system asks whether the other side is there, 1 s to 2 h; 30
        /// s by default.
        keepalive: Duration,
        /// Sets the ceiling of a statement at the server, for when we are gone, up to 24 h; 60 s by default, 0 sets
        /// none. MariaDB ends every statement at it, MySQL a `SELECT` alone. A stream has none, and the server's
        /// own ceiling holds where it is lower.
        statement_timeout: Duration,
        /// Sets how long the server keeps an idle transaction, in whole seconds (rounded up), up to 24 h; 60 s by
        /// default, 0 sets no bound. MySQL has none: it closes the session a minute after
        /// [`max_lifetime`](Self::max_lifetime), as both servers do with any session that they hear nothing of.
        idle_in_transaction_timeout: Duration,
        /// Sets how long a statement waits at the server for a lock on a row or on a table's definition, in whole
        /// seconds (rounded up), up to 24 h; 60 s by default, 0 sets no bound. The server's own bound (50 s for rows)
        /// holds where it is lower; a transaction's
        /// [`lock_timeout`](backstop_sql::TxOptions::lock_timeout) takes its place for rows.
        lock_timeout: Duration,
        /// Sets how long a stream may wait for its server or for its reader after the first chunk, 1 ms to 1 h;
        /// 30 s by default.
        stream_idle: Duration,
        /// Sets how long a statement takes before it is listed among the slow queries; 1 s by default, 0 lists none.
        slow_query_threshold: Duration,
        /// Sets after how long an operator is told of a connection that is lent; 60 s by default, 0 tells of none.
        leak_after: Duration,
        /// Sets how many prepared statements a connection keeps, 1 to 10,000; 256 by default. The server's
        /// `max_prepared_stmt_count` bounds them over all connections.
        statement_cache: usize,
        /// Sets the most rows of a reply, 1 to 10,000,000; 10,000 by default. A stream has no such limit.
        rows_max: usize,
        /// Sets the most bytes of a reply, 1 KiB to 1 GB; 16 MiB by default.
        bytes_max: usize,
    }

    /// The most connections there may be.
    pub(crate) fn cap(&self) -> usize {
        self.pool_size + self.max_overflow
    }

    fn empty() -> Self {
        Self {
            url: None,
            host: None,
            socket: None,
            port: None,
            user: None,
            password: None,
            database: None,
            tls: Tls::default(),
            tls_ca: None,
            allow_plain_text: false,
            reset_always: false,
            pool_size: 10,
            max_overflow: 5,
            acquire_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            verify_after: Duration::from_secs(1),
            max_lifetime: Duration::from_secs(30 * 60),
            idle_timeout: Duration::from_secs(10 * 60),
            keepalive: Duration::from_secs(30),
            statement_timeout: Duration::from_secs(60),
            idle_in_transaction_timeout: Duration::from_secs(60),
            lock_timeout: Duration::from_secs(60),
            stream_idle: Duration::from_secs(30),
            slow_query_threshold: seen::SLOW_QUERY_THRESHOLD,
            leak_after: seen::LEAK_AFTER,
            statement_cache: 256,
            rows_max: 10_000,
            bytes_max: 16 << 20,
        }
    }
}

impl Connect for MySqlOptions {
    type Shared = MySqlShared;
    type Backend = MySql;

    fn share(&self) -> Result<MySqlShared, ConfigError> {
        check::settings(self)?;
        let address = address::of(self)?;
        Ok(MySqlShared::new(self.clone(), address))
    }

    async fn connect(&self, shared: &Arc<MySqlShared>) -> Result<MySql, ConfigError> {
        Ok(MySql::new(shared))
    }

    fn insight(&self, shared: &MySqlShared) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::clone(&shared.core.seen) as _)
    }

    fn warnings(&self, shared: &MySqlShared) -> Vec<Arc<str>> {
        shared.core.seen.warnings()
    }

    fn lanes_max(&self) -> usize {
        (self.cap() / 2).max(1)
    }
}
