//! Drives a backend as the guard does: a deadline, a little patience beyond it, then the future is dropped.

use std::{future::Future, rc::Rc, sync::Arc, time::Duration};

use backstop_core::{
    backend::{Backend, Connect, Serve},
    call::{CallContext, Deadline, OpId},
    clock,
    error::{Executed, Failure, FailureKind},
    message::Message,
};
use backstop_postgres::{
    Postgres as Lane, PostgresOptions, PostgresShared,
    sql::{Execute, Query},
};
use backstop_testkit::server::{Database, Postgres};

/// Long enough for anything that should end by itself.
pub(crate) const LONG: Duration = Duration::from_secs(20);

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

    pub(crate) fn executed(&self) -> Executed {
        match self {
            Self::Failed(failure) => failure.executed(),
            Self::Dropped { sent: true } => Executed::Unknown,
            Self::Dropped { sent: false } => Executed::No,
        }
    }
}

/// One lane on a database of its own.
pub(crate) struct Db<'s> {
    pub(crate) database: Database<'s>,
    pub(crate) shared: Arc<PostgresShared>,
    pub(crate) lane: Rc<Lane>,
    pub(crate) options: PostgresOptions,
}

impl Db<'static> {
    pub(crate) async fn new() -> Self {
        Self::with(|options| options).await
    }

    pub(crate) async fn with(change: impl FnOnce(PostgresOptions) -> PostgresOptions) -> Self {
        Self::on(Postgres::shared().unwrap(), change).await
    }
}

impl<'s> Db<'s> {
    pub(crate) async fn on(
        server: &'s Postgres,
        change: impl FnOnce(PostgresOptions) -> PostgresOptions,
    ) -> Self {
        let database = server.fresh_database().unwrap();
        let options = change(PostgresOptions::url(database.url()));
        Self::of(database, options).await
    }

    pub(crate) async fn of(database: Database<'s>, options: PostgresOptions) -> Self {
        let options = options.application_name(database.name());
        let shared = Arc::new(options.share().unwrap());
        let lane = Rc::new(options.connect(&shared).await.unwrap());
        Self { database, shared, lane, options }
    }

    /// One more lane of the same backend.
    pub(crate) async fn another_lane(&self) -> Rc<Lane> {
        Rc::new(self.options.connect(&self.shared).await.unwrap())
    }

    pub(crate) async fn ask<M: Message>(&self, message: M) -> Result<M::Reply, End>
    where
        Lane: Serve<M>,
    {
        ask(&self.lane, &message, LONG).await
    }

    pub(crate) async fn ask_in<M: Message>(&self, timeout: Duration, message: M) -> Result<M::Reply, End>
    where
        Lane: Serve<M>,
    {
        ask(&self.lane, &message, timeout).await
    }

    /// Starts a call in the background.
    pub(crate) fn start<M: Message>(
        &self,
        timeout: Duration,
        message: M,
    ) -> tokio::task::JoinHandle<Result<M::Reply, End>>
    where
        Lane: Serve<M>,
    {
        let lane = Rc::clone(&self.lane);
        tokio::task::spawn_local(async move { ask(&lane, &message, timeout).await })
    }

    /// Runs a statement that must work.
    #[track_caller]
    pub(crate) fn run(&self, sql: &'static str) -> impl Future<Output = ()> {
        let ask = self.ask(Execute::new(sql));
        async move {
            ask.await.unwrap_or_else(|end| panic!("{sql}: {end:?}"));
        }
    }

    pub(crate) async fn int(&self, sql: &'static str) -> i64 {
        let rows = self.ask(Query::new(sql)).await.unwrap_or_else(|end| panic!("{sql}: {end:?}"));
        rows.get(0).unwrap()[0].as_int().unwrap()
    }

    /// What the server says of our sessions, past the backend.
    pub(crate) fn sessions(&self, condition: &str) -> usize {
        let name = self.database.name();
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' AND {condition};"
        );
        self.database.sql(&sql).unwrap().parse().unwrap()
    }

    /// Waits until the server says so of one of our sessions.
    pub(crate) async fn until_session(&self, condition: &str) {
        until(condition, async || self.sessions(condition) > 0).await;
    }
}

/// Looks again until it is so.
pub(crate) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let given_up = clock::now() + LONG;
    while !done().await {
        assert!(clock::now() < given_up, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) async fn ask<M: Message>(lane: &Lane, message: &M, timeout: Duration) -> Result<M::Reply, End>
where
    Lane: Serve<M>,
{
    let call = CallContext::new(OpId::next(), Deadline::after(timeout));
    let patience = call.deadline().instant() + Lane::SETTLE;
    let result = {
        let serve = std::pin::pin!(lane.serve(message, &call));
        tokio::time::timeout_at(patience, serve).await
    };
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
