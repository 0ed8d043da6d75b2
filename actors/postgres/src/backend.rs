//! One lane's instance: it checks statements, borrows connections, and runs one statement on each.

use std::{cell::RefCell, fmt, rc::Rc, sync::Arc, time::Duration};

use backstop_core::{
    backend::{Backend, Serve},
    call::{CallContext, Deadline},
    error::{ConfigError, Failure},
    snapshot::PoolSnapshot,
};
use backstop_sql::{
    BatchInsert, Execute, InsertReport, Query, QueryAs, Request, Rows, Sql, StatementError, Written,
    crud::Shapes, memo::Memo, reply,
};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use crate::{
    PostgresShared, ahead,
    autocommit::Autocommit,
    bulk,
    error::During,
    janitor,
    lane::Lane,
    merge::{Groups, Insert, Lookup},
    statement::Known,
};

/// How many texts a lane remembers.
const TEXTS: usize = 1_024;

/// A PostgreSQL database as one lane sees it.
pub struct Postgres {
    shared: Arc<PostgresShared>,
    autocommit: Rc<Autocommit>,
    lookups: Groups<Lookup>,
    inserts: Groups<Insert>,
    statements: RefCell<Memo<Rc<Known>>>,
    shapes: Shapes,
    listeners: RefCell<Vec<JoinHandle<()>>>,
}

impl Postgres {
    pub(crate) fn new(shared: Arc<PostgresShared>) -> Result<Self, ConfigError> {
        let lane = Arc::new(Lane::new(&shared.core, shared.core.next_lane())?);
        shared.core.join(&lane);
        janitor::start(&shared.core, &lane);
        ahead::start(&shared.core, &lane);
        Ok(Self {
            shared,
            autocommit: Autocommit::new(lane),
            lookups: Groups::new(TEXTS),
            inserts: Groups::new(TEXTS),
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

    pub(crate) fn autocommit(&self) -> &Rc<Autocommit> {
        &self.autocommit
    }

    pub(crate) fn lookups(&self) -> &Groups<Lookup> {
        &self.lookups
    }

    pub(crate) fn inserts(&self) -> &Groups<Insert> {
        &self.inserts
    }

    pub(crate) fn crud_shapes(&self) -> &Shapes {
        &self.shapes
    }

    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.autocommit.lane
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

    /// See [`Autocommit::judged`].
    pub(crate) fn judged(&self, failure: Failure) -> Failure {
        self.autocommit.judged(failure)
    }

    async fn rows(&self, request: &Request, call: &CallContext) -> Result<Rows, Failure> {
        let known = self.checked(request)?;
        self.autocommit.read(call, &known, request, "query").await
    }
}

impl Backend for Postgres {
    const KIND: &'static str = "postgres";

    // a statement that is cancelled at its deadline is known to be undone a few milliseconds later
    const SETTLE: Duration = Duration::from_millis(40);

    async fn probe(&self, call: &CallContext) -> Result<(), Failure> {
        let lease = self.lane().acquire(call, "probe").await?;
        let client = lease.connection()?;
        lease.run(call, During::Statement, false, client.batch_execute("SELECT 1")).await
    }

    async fn close(&self, deadline: Deadline) {
        self.stop_listening();
        self.lane().close(deadline).await;
    }

    fn pool(&self) -> PoolSnapshot {
        self.lane().snapshot()
    }
}

impl Serve<Query> for Postgres {
    async fn serve(&self, message: &Query, call: &CallContext) -> Result<Rows, Failure> {
        self.rows(message.request(), call).await
    }
}

impl<T: DeserializeOwned + Send + 'static> Serve<QueryAs<T>> for Postgres {
    async fn serve(&self, message: &QueryAs<T>, call: &CallContext) -> Result<Vec<T>, Failure> {
        reply::typed(self.rows(message.request(), call).await?)
    }
}

impl Serve<Execute> for Postgres {
    async fn serve(&self, message: &Execute, call: &CallContext) -> Result<Written, Failure> {
        let request = message.request();
        if request.rows_expected.is_some() {
            return reply::undoable(self, request, call).await;
        }
        let known = self.checked(request)?;
        self.autocommit.write(call, &known, request, "execute").await
    }
}

impl Serve<BatchInsert> for Postgres {
    async fn serve(&self, message: &BatchInsert, call: &CallContext) -> Result<InsertReport, Failure> {
        let lease = self.lane().acquire(call, "batch_insert").await?;
        let stats = self.shared.core.seen.statement(&message.summary());
        let noted = stats.begin("batch_insert");
        let core = &self.shared.core;
        let session = bulk::Session::of(core.naming(), core.options());
        let report = lease.borrowed(|client| bulk::insert(client, message, call, &session)).await;
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
