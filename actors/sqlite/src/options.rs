//! The recipe of a SQLite backend, and what is refused in it.

mod default;

use std::{
    any::Any,
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use backstop_core::{backend::Connect, error::ConfigError, policy::duration, snapshot::PoolSnapshot};
use backstop_sql::options::in_range;
use serde::Deserialize;

use crate::{Sqlite, SqliteShared};

/// How to serve one SQLite database.
///
/// ```
/// use std::time::Duration;
/// use backstop_sqlite::{SqliteOptions, Synchronous};
///
/// let options = SqliteOptions::file("data/app.db")
///     .synchronous(Synchronous::Normal)
///     .busy_timeout(Duration::from_secs(2));
/// # drop(options);
/// ```
///
/// As data, each setting has the name of its setter and its default; `path` is required, unknown names are
/// refused, and durations are text:
///
/// ```
/// use backstop_sqlite::SqliteOptions;
///
/// let settings = r#"{"path": "data/app.db", "synchronous": "normal", "busy_timeout": "500ms"}"#;
/// let options: SqliteOptions = serde_json::from_str(settings).unwrap();
/// # drop(options);
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqliteOptions {
    #[serde(rename = "path")]
    pub(crate) place: Place,
    #[serde(default = "default::create")]
    pub(crate) create: bool,
    #[serde(default = "default::readers")]
    pub(crate) readers: usize,
    #[serde(default)]
    pub(crate) synchronous: Synchronous,
    #[serde(default = "default::busy_timeout", with = "duration")]
    pub(crate) busy_timeout: Duration,
    #[serde(default = "default::statement_cache")]
    pub(crate) statement_cache: usize,
    #[serde(default = "default::group_max")]
    pub(crate) group_max: usize,
    #[serde(default = "default::rows_max")]
    pub(crate) rows_max: usize,
    #[serde(default = "default::bytes_max")]
    pub(crate) bytes_max: usize,
    #[serde(default = "default::inline_steps")]
    pub(crate) inline_steps: u32,
    #[serde(default = "default::read_window", with = "duration")]
    pub(crate) read_window: Duration,
    #[serde(default = "default::transaction_idle", with = "duration")]
    pub(crate) transaction_idle: Duration,
    #[serde(default = "default::stream_idle", with = "duration")]
    pub(crate) stream_idle: Duration,
    #[serde(default = "default::slow_query_threshold", with = "duration")]
    pub(crate) slow_query_threshold: Duration,
    #[serde(default = "default::leak_after", with = "duration")]
    pub(crate) leak_after: Duration,
    #[serde(default = "default::wal_limit")]
    pub(crate) wal_limit: usize,
    #[serde(default = "default::wal_hold", with = "duration")]
    pub(crate) wal_hold: Duration,
    /// Where this crate's own tests make the writer panic.
    #[cfg(test)]
    #[serde(skip)]
    pub(crate) planted: crate::planted::Planted,
}

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "PathBuf")]
pub(crate) enum Place {
    Memory,
    File(PathBuf),
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == ":memory:" { Self::Memory } else { Self::File(path) }
    }
}

/// When a commit counts as durable; `"full"` or `"normal"` as data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// A commit is synced before it is acknowledged: it survives a loss of power.
    #[default]
    Full,
    /// The log is synced at checkpoints alone: a commit survives the process, and a loss of power may undo
    /// the last ones. The database stays consistent.
    Normal,
}

impl Synchronous {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

impl SqliteOptions {
    /// Serves the database file at `path`, or a database in memory for `:memory:`.
    ///
    /// The file is created at the first call unless [`Self::create`] says otherwise; its directory must exist.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::at(path.into().into())
    }

    /// Serves a database in memory; it lives on the writer's connection, so reads wait for writes there.
    #[must_use]
    pub fn memory() -> Self {
        Self::at(Place::Memory)
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            create: default::create(),
            readers: default::readers(),
            synchronous: Synchronous::default(),
            busy_timeout: default::busy_timeout(),
            statement_cache: default::statement_cache(),
            group_max: default::group_max(),
            rows_max: default::rows_max(),
            bytes_max: default::bytes_max(),
            inline_steps: default::inline_steps(),
            read_window: default::read_window(),
            transaction_idle: default::transaction_idle(),
            stream_idle: default::stream_idle(),
            slow_query_threshold: default::slow_query_threshold(),
            leak_after: default::leak_after(),
            wal_limit: default::wal_limit(),
            wal_hold: default::wal_hold(),
            #[cfg(test)]
            planted: crate::planted::Planted::default(),
        }
    }

    backstop_sql::setters! {
        /// Sets whether a missing file is created; `true` by default.
        create: bool,
        /// Sets how many threads serve long reads, 1 to 64; 2 by default. As many more serve streams and
        /// read-only transactions once there are any; further ones wait for their turn.
        readers: usize,
        /// Sets when a commit counts as durable; [`Synchronous::Full`] by default.
        synchronous: Synchronous,
        /// Sets how long a call waits for a lock of another process, up to 60 s and never past the call's
        /// deadline; 5 s by default.
        busy_timeout: Duration,
        /// Sets how many prepared statements a connection keeps, 1 to 10,000; 256 by default.
        statement_cache: usize,
        /// Sets how many operations may share a commit, 1 to 10,000; 512 by default. At [`Synchronous::Normal`]
        /// a commit takes 96 at most, which is faster there.
        group_max: usize,
        /// Sets the most rows of a reply, 1 to 10,000,000; 10,000 by default.
        rows_max: usize,
        /// Sets the most bytes of a reply, 1 KiB to 1 GB; 16 MiB by default.
        bytes_max: usize,
        /// Sets how many steps of the engine a read may take on the caller's thread before it moves to a reader
        /// thread, 1,000 to 10,000,000; 20,000 by default, which is a fraction of a millisecond.
        inline_steps: u32,
        /// Sets how long reads on the caller's thread may share one read transaction, up to 100 ms; 1 ms by
        /// default, and 0 gives each read its own.
        ///
        /// A commit of this backend ends it at once, so reads always see what was acknowledged. A commit of
        /// another process is seen this much later at most. Sharing saves two locks of the file a read: a point
        /// read costs half.
        read_window: Duration,
        /// Sets how long a transaction's closure may stay without a statement, up to 60 s; 1 s by default.
        ///
        /// A closure that awaits is ended when the limit has passed. One that does not cannot be stopped from
        /// outside: the limit is noticed at its next statement or at its end. Either way the transaction is
        /// rolled back.
        transaction_idle: Duration,
        /// Sets how long a stream may stand still between two chunks, because nobody reads or because the
        /// statement finds nothing, up to an hour; 30 s by default. In memory it is [`Self::transaction_idle`]
        /// where that is shorter, because the stream holds the writer there.
        stream_idle: Duration,
        /// Sets the size of the write-ahead log in bytes above which it is emptied by force, 8 MiB or more; 96 MiB
        /// by default.
        ///
        /// The engine uses the log anew by itself when nobody reads from it for a moment. Above the limit the writer
        /// makes such a moment: once a second it pauses for 50 ms at most. Where reads are too long for that, see
        /// [`Self::wal_hold`]. Until it has come to that, about two seconds of writes come on top; a single
        /// transaction may make the log as long as itself.
        wal_limit: usize,
        /// Sets how long the writer pauses, and new reads that are not short wait, for those that run to end when
        /// the log is over [`Self::wal_limit`] and a pause was not enough; up to 10 s, 250 ms by default, and 0
        /// holds nobody back.
        ///
        /// It ends early for a read that would lose more than half of the time to its deadline, and short reads on
        /// their caller's thread never wait. Reads that overlap and are longer than this keep the log: that is an
        /// alert, and it is tried again every 10 s. A stream or a read-only transaction is as long as its caller
        /// makes it.
        wal_hold: Duration,
    }

    /// Sets how long a statement runs before it is listed among the slow queries; 1 s by default, 0 lists none.
    #[must_use]
    pub fn slow_query_threshold(mut self, threshold: Duration) -> Self {
        self.slow_query_threshold = threshold;
        self
    }

    /// Sets after how long an operator is told of a transaction or stream that holds the writer or a reader's
    /// thread; 60 s by default, 0 tells of none.
    #[must_use]
    pub fn leak_after(mut self, held: Duration) -> Self {
        self.leak_after = held;
        self
    }

    /// Checks every setting and returns them with the path made absolute.
    pub(crate) fn checked(&self) -> Result<Self, ConfigError> {
        in_range("readers", self.readers, 1..=64)?;
        in_range("statement_cache", self.statement_cache, 1..=10_000)?;
        in_range("group_max", self.group_max, 1..=10_000)?;
        in_range("rows_max", self.rows_max, 1..=10_000_000)?;
        in_range("bytes_max", self.bytes_max, 1 << 10..=1_000_000_000)?;
        in_range("wal_limit", self.wal_limit, 8 << 20..=usize::MAX / 2)?;
        in_range("inline_steps", self.inline_steps as usize, 1_000..=10_000_000)?;
        let (shortest, minute) = (Duration::from_nanos(1), Duration::from_secs(60));
        duration::check("busy_timeout", self.busy_timeout, Duration::ZERO, minute)?;
        duration::check("read_window", self.read_window, Duration::ZERO, Duration::from_millis(100))?;
        duration::check("wal_hold", self.wal_hold, Duration::ZERO, Duration::from_secs(10))?;
        duration::check("transaction_idle", self.transaction_idle, shortest, minute)?;
        duration::check("stream_idle", self.stream_idle, shortest, 60 * minute)?;
        let place = match &self.place {
            Place::Memory => Place::Memory,
            Place::File(path) => Place::File(checked_path(path)?),
        };
        Ok(Self { place, ..self.clone() })
    }
}

impl Connect for SqliteOptions {
    type Shared = SqliteShared;
    type Backend = Sqlite;

    fn share(&self) -> Result<SqliteShared, ConfigError> {
        Ok(SqliteShared::new(self.checked()?))
    }

    async fn connect(&self, shared: &Arc<SqliteShared>) -> Result<Sqlite, ConfigError> {
        Ok(Sqlite::new(Arc::clone(shared)))
    }

    fn insight(&self, shared: &SqliteShared) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::clone(&shared.core.seen) as _)
    }

    fn warnings(&self, shared: &SqliteShared) -> Vec<Arc<str>> {
        shared.core.seen.warnings()
    }

    fn alarms(&self, shared: &SqliteShared) -> Vec<Arc<str>> {
        shared.core.alarms()
    }

    fn shared_pool(&self, shared: &SqliteShared) -> PoolSnapshot {
        shared.core.shared_pool()
    }
}

/// Refuses what could name another file than the one that is meant, and makes the rest absolute.
fn checked_path(path: &Path) -> Result<PathBuf, ConfigError> {
    let refuse = |message: String| Err(ConfigError::new("path", message));
    let Some(text) = path.to_str() else { return refuse("must be UTF-8".into()) };
    if text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:")) {
        return refuse(
            "must be a plain path; the options of a `file:` URI would go around these settings".into(),
        );
    }
    if text.contains('\0') || text.starts_with(':') {
        return refuse(format!("{text:?} is no path of a file; use `:memory:` for a database in memory"));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return refuse("must not contain `..`".into());
    }
    let Some(name) = path.file_name().filter(|_| !text.ends_with('/')) else {
        return refuse(format!("{text:?} names no file"));
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match parent.canonicalize() {
        Ok(directory) if directory.is_dir() => Ok(directory.join(name)),
        Ok(_) => refuse(format!("{} is no directory", parent.display())),
        Err(error) => refuse(format!("directory {} cannot be used: {error}", parent.display())),
    }
}
