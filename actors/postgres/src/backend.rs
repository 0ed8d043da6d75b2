//! One lane's instance: it checks statements, borrows connections, and runs one statement on each.

use std::{cell::RefCell, fmt, rc::Rc, sync::Arc, time::Duration};

use backstop_core::{
    backend::{Backend, Serve},
    call::{CallContext, Deadline},
    error::{ConfigError, Executed, Failure, FailureKind, Phase},
    snapshot::PoolSnapshot,
};
use backstop_sql::{
    BatchInsert, Execute, InsertReport, Query, QueryAs, Request, Rows, Sql, StatementError, Transaction,
    Written, crud::Shapes, memo::Memo,
};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use crate::{
    PostgresShared, bulk,
    error::{During, invalidates_statements, is_wrong_node},
    janitor,
    lane::Lane,
    run::Mode,
    statement::Known,
};

/// How many texts a lane remembers.
const TEXTS: usize = 1_024;

/// A PostgreSQL database as one lane sees it.
// Shared connections that pipeline short reads, and merged look-ups and inserts, are to live beside `lane`: they
// take their permits from `Core` as its connections do.
pub struct Postgres {
    shared: Arc<PostgresShared>,
    lane: Arc<Lane>,
    statements: RefCell<Memo<Rc<Known>>>,
    shapes: Shapes,
    listeners: RefCell<Vec<JoinHandle<()>>>,
}

impl Postgres {
    pub(crate) fn new(shared: Arc<PostgresShared>) -> Result<Self, ConfigError> {
        let lane = Arc::new(Lane::new(&shared.core, shared.core.next_lane())?);
        shared.core.join(&lane);
        janitor::start(&shared.core, &lane);
        Ok(Self {
            shared,
            lane,
            statements: RefCell::new(Memo::new(TEXTS)),
            shapes: Shapes::new(TEXTS),
            listeners: RefCell::default(),
        })
    }

    /// Keeps a task that listens until it ends or this does.
    pub(crate) fn keep(&self, listener: JoinHandle<()>) {
        let mut listeners = self.listeners.borrow_mut();
        listeners.retain(|listener| !listener.is_finished());
        listeners.push(listener);
    }

    fn stop_listening(&self) {
        for listener in self.listeners.borrow_mut().drain(..) {
            listener.abort();
        }
    }

    pub(crate) fn crud_shapes(&self) -> &Shapes {
        &self.shapes
    }

    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    pub(crate) fn known(&self, sql: &Sql) -> Result<Rc<Known>, StatementError> {
        let seen = &self.shared.core.seen;
        let parse = |text: &str| Known::parse(text).map(|known| Rc::new(known.seen(sql, seen)));
        self.statements.borrow_mut().get_or_make(sql, parse)
    }

    /// Checks a statement and its parameters before anything runs.
    pub(crate) fn checked(&self, request: &Request) -> Result<Rc<Known>, Failure> {
        let known = self.known(&request.sql)?;
        known.statement.bind(&request.params)?;
        Ok(known)
    }

    /// Notes what a failure says about the host.
    pub(crate) fn judged(&self, failure: Failure) -> Failure {
        if is_wrong_node(&failure) {
            self.shared.core.wrong_node();
        }
        failure
    }

    /// Runs a statement that is no part of a transaction.
    async fn alone(
        &self,
        request: &Request,
        call: &CallContext,
        (mode, operation): (Mode, &'static str),
    ) -> Result<Written, Failure> {
        let known = self.checked(request)?;
        let core = &self.shared.core;
        let lease = self.lane.acquire(call, operation).await?;
        let mut result = lease.statement(call, &known, request, mode).await;
        if result.as_ref().is_err_and(invalidates_statements) {
            // Refused before it began: the table is no longer what it was when the statement was prepared.
            core.schema_changed();
            result = lease.statement(call, &known, request, mode).await;
        }
        if known.changes_schema && result.is_ok() {
            core.schema_changed();
        }
        result.map_err(|failure| {
            // once more changed while it was prepared anew: it did not begin, and the guard may try again
            let failure = if invalidates_statements(&failure) { failure.transient(true) } else { failure };
            self.judged(failure)
        })
    }

    async fn rows(&self, request: &Request, call: &CallContext) -> Result<Rows, Failure> {
        let written = self.alone(request, call, (Mode::Read, "query")).await?;
        written.rows.ok_or_else(|| {
            Failure::refused("the statement returns no rows, and `Query` reads; use `Execute`")
                .counts_as(backstop_core::outcome::Outcome::NotCounted)
                .with_code("not_a_read")
        })
    }
}

impl Backend for Postgres {
    const KIND: &'static str = "postgres";

    // a statement that is cancelled at its deadline is known to be undone a few milliseconds later
    const SETTLE: Duration = Duration::from_millis(40);

    async fn probe(&self, call: &CallContext) -> Result<(), Failure> {
        let lease = self.lane.acquire(call, "probe").await?;
        let client = lease.connection()?;
        lease.run(call, During::Statement, false, client.batch_execute("SELECT 1")).await
    }

    async fn close(&self, deadline: Deadline) {
        self.stop_listening();
        self.lane.close(deadline).await;
    }

    fn pool(&self) -> PoolSnapshot {
        self.lane.snapshot()
    }
}

impl Serve<Query> for Postgres {
    async fn serve(&self, message: &Query, call: &CallContext) -> Result<Rows, Failure> {
        self.rows(message.request(), call).await
    }
}

impl<T: DeserializeOwned + Send + 'static> Serve<QueryAs<T>> for Postgres {
    async fn serve(&self, message: &QueryAs<T>, call: &CallContext) -> Result<Vec<T>, Failure> {
        let rows = self.rows(message.request(), call).await?;
        if rows.is_truncated() {
            let text = format!("the reply exceeds the limit after {} rows", rows.len());
            return Err(unusable(FailureKind::TooLarge, text));
        }
        rows.into_typed().map_err(|error| unusable(FailureKind::Decode, error.to_string()).caused_by(error))
    }
}

/// A read has no effect, so its lost reply leaves nothing executed.
fn unusable(kind: FailureKind, text: String) -> Failure {
    Failure::new(kind, text).in_phase(Phase::Decode).executed_is(Executed::No)
}

impl Serve<Execute> for Postgres {
    async fn serve(&self, message: &Execute, call: &CallContext) -> Result<Written, Failure> {
        let request = message.request();
        if request.rows_expected.is_some() {
            // what may have to be undone is not committed by itself
            let alone = Transaction::from_iter([Request::clone(request)]);
            let lost = || Failure::unavailable("the transaction returned no reply");
            return self.serve(&alone, call).await?.pop().ok_or_else(lost);
        }
        self.alone(request, call, (Mode::Write, "execute")).await
    }
}

impl Serve<BatchInsert> for Postgres {
    async fn serve(&self, message: &BatchInsert, call: &CallContext) -> Result<InsertReport, Failure> {
        let lease = self.lane.acquire(call, "batch_insert").await?;
        let stats = self.shared.core.seen.statement(&message.summary());
        let noted = stats.begin("batch_insert");
        let report = lease.borrowed(|client| bulk::insert(client, message, call)).await;
        noted.end(&report, |report| report.affected);
        report.map_err(|failure| self.judged(failure))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop_listening();
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("shared", &self.shared).finish_non_exhaustive()
    }
}
