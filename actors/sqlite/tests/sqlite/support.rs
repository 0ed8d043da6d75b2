//! Drives a backend as the guard will: a deadline, a little patience beyond it, then the future is dropped.

use std::{
    future::Future,
    path::{Path, PathBuf},
    rc::Rc,
    sync::{Arc, mpsc},
    time::Duration,
};

use backstop_core::{
    backend::{Backend, Connect, Serve},
    call::{CallContext, Deadline, OpId},
    error::{Executed, Failure, FailureKind},
    message::Message,
};
use backstop_sqlite::{
    Sqlite, SqliteOptions, SqliteShared,
    sql::{Execute, Query, QueryAs, Transact},
};
use tempfile::TempDir;

/// Long enough for anything that should end by itself.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A statement that runs for minutes unless something stops it.
pub(crate) const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000000) SELECT count(*) FROM n";

/// Runs a test on one thread, as a lane would.
pub(crate) fn lane<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

/// How a call ended without a reply.
#[derive(Debug)]
pub(crate) enum End {
    Failed(Failure),
    /// The future was dropped; whether the backend says that something was sent.
    Dropped {
        sent: bool,
    },
}

impl End {
    #[track_caller]
    pub(crate) fn failure(self) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::Dropped { sent } => panic!("the call was dropped (sent: {sent}), it should have failed"),
        }
    }
}

/// A database with one lane, in a directory that vanishes where it has its own.
pub(crate) struct Db {
    pub(crate) dir: TempDir,
    file: PathBuf,
    pub(crate) shared: Arc<SqliteShared>,
    pub(crate) lane: Rc<Sqlite>,
    pub(crate) options: SqliteOptions,
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
        let shared = Arc::new(options.share().unwrap());
        let lane = Rc::new(options.connect(&shared).await.unwrap());
        Self { dir, file, shared, lane, options }
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

    pub(crate) async fn ask<M: Message>(&self, message: M) -> Result<M::Reply, End>
    where
        Sqlite: Serve<M>,
    {
        ask(&self.lane, &message, LONG).await
    }

    pub(crate) async fn ask_in<M: Message>(&self, timeout: Duration, message: M) -> Result<M::Reply, End>
    where
        Sqlite: Serve<M>,
    {
        ask(&self.lane, &message, timeout).await
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

    /// Runs a statement that must work.
    pub(crate) async fn run(&self, sql: &'static str) {
        self.ask(Execute::new(sql)).await.unwrap_or_else(|end| panic!("{sql}: {end:?}"));
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        let rows = self.ask(Query::new(format!("SELECT count(*) FROM {table}"))).await.unwrap();
        rows.get(0).unwrap()[0].as_int().unwrap()
    }

    pub(crate) async fn values(&self) -> Vec<i64> {
        self.ask(QueryAs::<i64>::new("SELECT v FROM t ORDER BY v")).await.unwrap()
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
        let lane = Rc::clone(&self.lane);
        let task = tokio::task::spawn_local(async move { ask(&lane, &message, timeout).await });
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

pub(crate) async fn ask<M: Message>(lane: &Sqlite, message: &M, timeout: Duration) -> Result<M::Reply, End>
where
    Sqlite: Serve<M>,
{
    let call = CallContext::new(OpId::next(), Deadline::after(timeout));
    let patience = call.deadline().instant() + Sqlite::SETTLE;
    let result = tokio::time::timeout_at(patience, lane.serve(message, &call)).await;
    match result {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(failure)) => Err(End::Failed(failure)),
        Err(_) => Err(End::Dropped { sent: call.was_sent() }),
    }
}

#[track_caller]
pub(crate) fn assert_failed<T: std::fmt::Debug>(
    result: Result<T, End>,
    kind: FailureKind,
    executed: Executed,
) -> Failure {
    let failure = result.unwrap_err().failure();
    assert_eq!((failure.kind(), failure.executed()), (kind, executed), "{failure}");
    failure
}
