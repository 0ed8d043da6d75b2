//! The recipe of a PostgreSQL backend.

use std::{any::Any, path::PathBuf, sync::Arc, time::Duration};

use backstop_core::{backend::Connect, error::ConfigError, policy::duration};
use backstop_sql::seen;
use serde::Deserialize;

use crate::{Credentials, Postgres, PostgresShared, PreparedStatements, Secret, TlsMode, check::Settings};

/// How to serve one PostgreSQL database.
///
/// ```
/// use std::time::Duration;
/// use backstop_postgres::{PostgresOptions, TargetSession};
///
/// let options = PostgresOptions::url("postgres://app:secret@127.0.0.1:5432/app")
///     .pool_size(8)
///     .connect_timeout(Duration::from_secs(2));
/// let cluster = PostgresOptions::hosts(["/run/postgresql", "localhost:5433"])
///     .user("app")
///     .database("app")
///     .target_session(TargetSession::ReadWrite);
/// # drop((options, cluster));
/// ```
///
/// As data, each setting has the name of its setter and its default; unknown names are refused, and durations
/// are text:
///
/// ```
/// use backstop_postgres::PostgresOptions;
///
/// let settings = r#"{"hosts": ["localhost"], "user": "app", "database": "app", "connect_timeout": "2s"}"#;
/// let options: PostgresOptions = serde_json::from_str(settings).unwrap();
/// # drop(options);
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresOptions {
    // it may hold a password
    pub(crate) url: Option<Secret>,
    pub(crate) hosts: Vec<String>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    #[serde(skip)]
    pub(crate) credentials: Option<Credentials>,
    pub(crate) database: Option<String>,
    pub(crate) application_name: String,
    pub(crate) target_session: Option<TargetSession>,
    pub(crate) tls: Option<TlsMode>,
    pub(crate) root_certificates: Option<PathBuf>,
    pub(crate) allow_plain_text_password: bool,
    pub(crate) pool_size: usize,
    pub(crate) max_overflow: usize,
    pub(crate) min_idle: usize,
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
    pub(crate) user_timeout: Duration,
    #[serde(with = "duration")]
    pub(crate) statement_timeout: Duration,
    #[serde(with = "duration")]
    pub(crate) idle_in_transaction_timeout: Duration,
    #[serde(with = "duration")]
    pub(crate) stream_idle: Duration,
    #[serde(with = "duration")]
    pub(crate) slow_query_threshold: Duration,
    #[serde(with = "duration")]
    pub(crate) leak_after: Duration,
    pub(crate) prepared_statements: PreparedStatements,
    pub(crate) statement_cache: usize,
    pub(crate) rows_max: usize,
    pub(crate) bytes_max: usize,
}

/// Which of several hosts will do; as data in kebab case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetSession {
    /// The first one that answers.
    #[default]
    Any,
    /// One that takes writes: the primary.
    ReadWrite,
    /// One that takes none: a standby.
    ReadOnly,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            url: None,
            hosts: Vec::new(),
            user: None,
            password: None,
            credentials: None,
            database: None,
            application_name: "backstop".into(),
            target_session: None,
            tls: None,
            root_certificates: None,
            allow_plain_text_password: false,
            pool_size: 10,
            max_overflow: 5,
            min_idle: 0,
            acquire_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            verify_after: Duration::from_secs(1),
            max_lifetime: Duration::from_secs(30 * 60),
            idle_timeout: Duration::from_secs(10 * 60),
            keepalive: Duration::from_secs(6),
            user_timeout: Duration::from_secs(12),
            statement_timeout: Duration::from_secs(60),
            idle_in_transaction_timeout: Duration::from_secs(60),
            stream_idle: Duration::from_secs(60),
            slow_query_threshold: seen::SLOW_QUERY_THRESHOLD,
            leak_after: seen::LEAK_AFTER,
            prepared_statements: PreparedStatements::Auto,
            statement_cache: 256,
            rows_max: 10_000,
            bytes_max: 16 << 20,
        }
    }
}

impl PostgresOptions {
    /// Serves the database at `url`: `postgres://user:password@host:port,host:port/database?setting=value`.
    ///
    /// `sslmode` may be `disable`, `verify-ca`, `verify-full` or `require`, which verifies fully too;
    /// `sslrootcert` is [`root_certificates`](Self::root_certificates). Settings beside the address win over it.
    pub fn url(url: impl Into<Secret>) -> Self {
        Self { url: Some(url.into()), ..Self::default() }
    }

    /// Serves a database on one of `hosts`, tried in order: `name`, `name:port`, `[::1]:port`, or the directory
    /// of a socket.
    pub fn hosts<H: Into<String>>(hosts: impl IntoIterator<Item = H>) -> Self {
        Self { hosts: hosts.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Sets the user; that of the address by default.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Sets the password; that of the address by default.
    #[must_use]
    pub fn password(mut self, password: impl Into<Secret>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Takes passwords from a handle or a provider, so that they can be changed while the backend runs.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Sets the database; that of the address by default, else the one named after the user.
    #[must_use]
    pub fn database(mut self, database: impl Into<String>) -> Self {
        self.database = Some(database.into());
        self
    }

    /// Sets the name that the server shows for our sessions; `backstop` by default.
    #[must_use]
    pub fn application_name(mut self, name: impl Into<String>) -> Self {
        self.application_name = name.into();
        self
    }

    /// Sets which hosts will do; that of the address by default, else any.
    #[must_use]
    pub fn target_session(mut self, target: TargetSession) -> Self {
        self.target_session = Some(target);
        self
    }

    /// Sets how connections are encrypted; by default not at all to loopback and sockets, and
    /// [`TlsMode::VerifyFull`] elsewhere.
    #[must_use]
    pub fn tls(mut self, mode: TlsMode) -> Self {
        self.tls = Some(mode);
        self
    }

    /// Sets the PEM file of the authorities that are trusted, in place of Mozilla's.
    #[must_use]
    pub fn root_certificates(mut self, file: impl Into<PathBuf>) -> Self {
        self.root_certificates = Some(file.into());
        self
    }

    backstop_sql::setters! {
        /// Sets whether a password may travel in plain text beyond loopback and sockets; `false` by default.
        allow_plain_text_password: bool,
        /// Sets how many connections stay open, 1 to 1,000 over all lanes; 10 by default.
        pool_size: usize,
        /// Sets how many more may be opened under load, up to 1,000; 5 by default.
        max_overflow: usize,
        /// Sets how many idle connections are opened ahead and kept whatever their age, up to `pool_size`; 0 by
        /// default.
        ///
        /// They are spread over the lanes, opened one after the other from the start of a lane on, with growing
        /// pauses while the server cannot be reached, and opened again when they are lost or lent.
        min_idle: usize,
        /// Sets how long a call waits for a connection, never past its deadline; 30 s by default.
        acquire_timeout: Duration,
        /// Sets how long one host may take to resolve, connect, encrypt and authenticate; 5 s by default.
        connect_timeout: Duration,
        /// Sets after how much idleness a connection is asked for a sign of life before use; 1 s by default.
        verify_after: Duration,
        /// Sets how old a connection may become, less up to a tenth at random; 30 min by default.
        max_lifetime: Duration,
        /// Sets how long a connection may be idle before it is closed; 10 min by default.
        idle_timeout: Duration,
        /// Sets after how much silence TCP asks for a sign of life, every 2 s from then on; 6 s by default. On Linux
        /// an idle connection is lost when there was none for `user_timeout`, elsewhere after three questions.
        keepalive: Duration,
        /// Sets how long sent bytes may stay unacknowledged before the connection is lost; 12 s by default.
        user_timeout: Duration,
        /// Sets the ceiling of a statement at the server, for when we are gone; 60 s by default.
        statement_timeout: Duration,
        /// Sets how long the server keeps an idle transaction; 60 s by default.
        idle_in_transaction_timeout: Duration,
        /// Sets the longest pause of a stream, of the server or of its reader; 60 s by default.
        stream_idle: Duration,
        /// Sets how long a statement takes before it is listed among the slow queries; 1 s by default, 0 lists none.
        slow_query_threshold: Duration,
        /// Sets after how long an operator is told of a connection that is lent; 60 s by default, 0 tells of none.
        leak_after: Duration,
        /// Sets whether statements are prepared; [`PreparedStatements::Auto`] by default.
        prepared_statements: PreparedStatements,
        /// Sets how many prepared statements a connection keeps, 1 to 10,000; 256 by default.
        statement_cache: usize,
        /// Sets the most rows of a reply, 1 to 10,000,000; 10,000 by default.
        rows_max: usize,
        /// Sets the most bytes of a reply, 1 KiB to 1 GB; 16 MiB by default. A single row that is 16 MiB longer than
        /// that is not read at all: it is `too_large` and costs its connection.
        bytes_max: usize,
    }

    /// The most connections there may be.
    pub(crate) fn cap(&self) -> usize {
        self.pool_size.saturating_add(self.max_overflow)
    }
}

impl Connect for PostgresOptions {
    type Shared = PostgresShared;
    type Backend = Postgres;

    fn share(&self) -> Result<PostgresShared, ConfigError> {
        Ok(PostgresShared::new(Settings::of(self)?))
    }

    async fn connect(&self, shared: &Arc<PostgresShared>) -> Result<Postgres, ConfigError> {
        Postgres::new(Arc::clone(shared))
    }

    fn insight(&self, shared: &PostgresShared) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::clone(&shared.core.seen) as _)
    }

    fn warnings(&self, shared: &PostgresShared) -> Vec<Arc<str>> {
        let mut warnings = shared.core.seen.warnings();
        warnings.extend(shared.core.naming().take_warning());
        warnings
    }

    /// Every lane can own two connections.
    fn lanes_max(&self) -> usize {
        (self.cap() / 2).max(1)
    }
}
