//! Drives a backend as the guard will: a deadline, then the future is dropped.

use std::{future::Future, rc::Rc, sync::Arc, time::Duration};

use backstop_core::{
    backend::{Backend, Connect, Serve},
    call::{CallContext, Deadline, OpId},
    clock,
    error::{Executed, Failure, FailureKind},
    message::Message,
};
use backstop_mysql::{
    MySql, MySqlOptions, MySqlShared,
    sql::{Execute, QueryAs},
};
use backstop_testkit::server::{Database, MariaDb, Server};

/// Long enough for anything that should end by itself.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Short enough for a call that is to be given up.
pub(crate) const SHORT: Duration = Duration::from_millis(200);

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

/// A database with one lane.
pub(crate) struct Db<'a> {
    pub(crate) database: Database<'a>,
    pub(crate) options: MySqlOptions,
    pub(crate) shared: Arc<MySqlShared>,
    pub(crate) lane: Rc<MySql>,
}

impl Db<'static> {
    pub(crate) async fn new() -> Self {
        Self::with(|options| options).await
    }

    pub(crate) async fn with(change: impl FnOnce(MySqlOptions) -> MySqlOptions) -> Self {
        Db::on(MariaDb::shared().unwrap(), change).await
    }

    /// A database with `t(id BIGINT PRIMARY KEY, v BIGINT UNIQUE)` and no rows.
    pub(crate) async fn with_table() -> Self {
        let db = Self::new().await;
        db.make_table();
        db
    }
}

impl<'a> Db<'a> {
    /// A database of a server of the test's own.
    pub(crate) async fn on(server: &'a Server, change: impl FnOnce(MySqlOptions) -> MySqlOptions) -> Self {
        let database = server.fresh_database().unwrap();
        let options = change(MySqlOptions::url(database.url()));
        let shared = Arc::new(options.share().unwrap());
        let lane = Rc::new(options.connect(&shared).await.unwrap());
        Self { database, options, shared, lane }
    }

    /// A database whose backend reaches its server at another address.
    pub(crate) async fn behind(server: &'a Server, address: std::net::SocketAddr) -> Self {
        let database = server.fresh_database().unwrap();
        let (login, _) = database.url().split_once('@').unwrap();
        let options = MySqlOptions::url(format!("{login}@{address}/{}", database.name()));
        let shared = Arc::new(options.share().unwrap());
        let lane = Rc::new(options.connect(&shared).await.unwrap());
        Self { database, options, shared, lane }
    }

    pub(crate) fn make_table(&self) {
        self.database
            .sql("CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT UNIQUE) ENGINE = InnoDB;")
            .unwrap();
    }

    /// Another lane of the same backend.
    pub(crate) async fn another_lane(&self) -> Rc<MySql> {
        Rc::new(self.options.connect(&self.shared).await.unwrap())
    }

    pub(crate) async fn ask<M: Message>(&self, message: M) -> Result<M::Reply, End>
    where
        MySql: Serve<M>,
    {
        ask(&self.lane, &message, LONG).await
    }

    pub(crate) async fn ask_in<M: Message>(&self, timeout: Duration, message: M) -> Result<M::Reply, End>
    where
        MySql: Serve<M>,
    {
        ask(&self.lane, &message, timeout).await
    }

    /// Runs a statement that must work.
    pub(crate) async fn run(&self, sql: &'static str) {
        self.ask(Execute::new(sql)).await.unwrap_or_else(|end| panic!("{sql}: {end:?}"));
    }

    /// The ids of `t`, as the backend reads them.
    pub(crate) async fn ids(&self) -> Vec<i64> {
        self.ask(QueryAs::<i64>::new("SELECT id FROM t ORDER BY id")).await.unwrap()
    }

    /// Starts a call in the background.
    pub(crate) fn start<M: Message>(
        &self,
        timeout: Duration,
        message: M,
    ) -> tokio::task::JoinHandle<Result<M::Reply, End>>
    where
        MySql: Serve<M>,
    {
        let lane = Rc::clone(&self.lane);
        tokio::task::spawn_local(async move { ask(&lane, &message, timeout).await })
    }

    /// Counts the sessions of this database whose statement holds `text`, as the server sees them.
    pub(crate) fn sessions_with(&self, text: &str) -> usize {
        let name = self.database.name();
        let count = format!(
            "SELECT count(*) FROM information_schema.processlist WHERE db = '{name}' AND info LIKE '%{text}%' \
             AND id <> CONNECTION_ID();"
        );
        self.database.sql(&count).unwrap().parse().unwrap()
    }

    /// Counts the sessions of this database, as the server sees them.
    pub(crate) fn sessions(&self) -> usize {
        let name = self.database.name();
        let count = format!(
            "SELECT count(*) FROM information_schema.processlist WHERE db = '{name}' AND id <> CONNECTION_ID();"
        );
        self.database.sql(&count).unwrap().parse().unwrap()
    }
}

pub(crate) async fn ask<M: Message>(lane: &MySql, message: &M, timeout: Duration) -> Result<M::Reply, End>
where
    MySql: Serve<M>,
{
    let call = CallContext::new(OpId::next(), Deadline::after(timeout));
    let patience = call.deadline().instant() + MySql::SETTLE;
    match tokio::time::timeout_at(patience, lane.serve(message, &call)).await {
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

/// Waits until `done`, which is looked at.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let given_up = clock::now() + LONG;
    while !done() {
        assert!(clock::now() < given_up, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
