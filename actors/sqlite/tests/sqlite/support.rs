//! A database file of the test's own with one lane of the backend.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use backstop_core::{
    backend::{Backend as _, Serve},
    call::{CallContext, Deadline, OpId},
    message::Message,
};
use backstop_sqlite::{Sqlite, SqliteOptions, sql::Transact};
use backstop_testkit::lane::OneLane;
use tempfile::TempDir;

pub(crate) use backstop_testkit::lane::{End, LONG, ask, assert_failed, lane, until};

/// A statement that runs for minutes unless something stops it.
pub(crate) const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000000) SELECT count(*) FROM n";

/// A database with one lane, in a directory that vanishes where it has its own.
pub(crate) struct Db {
    pub(crate) dir: TempDir,
    file: PathBuf,
    pub(crate) one: OneLane<SqliteOptions>,
}

impl Db {
    pub(crate) async fn new() -> Self {
        Self::with(|options| options).await
    }

    pub(crate) async fn with(change: impl FnOnce(SqliteOptions) -> SqliteOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("test.db");
        Self::open(dir, file, change).await
    }

    /// A database whose file is somebody else's.
    pub(crate) async fn at(file: &Path) -> Self {
        Self::open(tempfile::tempdir().unwrap(), file.to_owned(), |options| options).await
    }

    async fn open(dir: TempDir, file: PathBuf, change: impl FnOnce(SqliteOptions) -> SqliteOptions) -> Self {
        let options = change(SqliteOptions::file(&file));
        Self { dir, file, one: OneLane::new(options).await }
    }

    /// A database with `t(id INTEGER PRIMARY KEY, v UNIQUE)`.
    pub(crate) async fn with_table() -> Self {
        let db = Self::new().await;
        db.run("CREATE TABLE t(id INTEGER PRIMARY KEY, v UNIQUE)").await;
        db
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.file.clone()
    }

    /// Closes the lane, and with it the database.
    pub(crate) async fn close(&self) {
        self.lane.close(Deadline::after(LONG)).await;
    }

    /// Another process, as far as the database can tell.
    pub(crate) fn stranger(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }

    /// Asks as one who waits for the word beyond the deadline: how soon it comes is another test's matter.
    pub(crate) async fn ask_patiently<M: Message>(
        &self,
        timeout: Duration,
        message: M,
    ) -> Result<M::Reply, End>
    where
        Sqlite: Serve<M>,
    {
        let call = CallContext::new(OpId::next(), Deadline::after(timeout));
        let result = tokio::time::timeout(LONG, self.lane.serve(&message, &call)).await;
        result.unwrap_or_else(|_| panic!("no word after {LONG:?}")).map_err(End::Failed)
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        self.int(format!("SELECT count(*) FROM {table}")).await
    }

    pub(crate) async fn values(&self) -> Vec<i64> {
        self.ints("SELECT v FROM t ORDER BY v").await
    }

    /// Starts a call in the background and lets it reach its queue.
    pub(crate) async fn start<M: Message>(
        &self,
        timeout: Duration,
        message: M,
    ) -> tokio::task::JoinHandle<Result<M::Reply, End>>
    where
        Sqlite: Serve<M>,
    {
        let task = self.one.start(timeout, message);
        tokio::task::yield_now().await;
        task
    }

    /// Keeps the writer busy until the returned hold is dropped.
    pub(crate) async fn hold_writer(&self) -> Hold {
        let (entered, is_held) = tokio::sync::oneshot::channel();
        let (release, released) = mpsc::channel::<()>();
        let state = std::sync::Mutex::new(Some((entered, released)));
        self.start(
            LONG,
            Transact::new(move |_| {
                let (entered, released) = state.lock().unwrap().take().unwrap();
                entered.send(()).unwrap();
                let _ = released.recv();
                Ok(())
            }),
        )
        .await;
        is_held.await.unwrap();
        Hold { _release: release }
    }
}

/// The writer waits inside a closure until this is dropped.
pub(crate) struct Hold {
    _release: mpsc::Sender<()>,
}

impl Deref for Db {
    type Target = OneLane<SqliteOptions>;

    fn deref(&self) -> &Self::Target {
        &self.one
    }
}
