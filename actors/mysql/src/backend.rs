//! One lane's instance: it checks statements and runs them on the lane's connections.

use std::{cell::RefCell, fmt, rc::Rc, sync::Arc};

use backstop_core::{
    backend::{Backend, Serve},
    call::{CallContext, Deadline},
    error::Failure,
    snapshot::PoolSnapshot,
};
use backstop_sql::{
    Execute, Query, QueryAs, Request, Rows, Sql, StatementError, Written, crud::Shapes, memo::Memo, reply,
};
use mysql_async::prelude::Queryable as _;
use serde::de::DeserializeOwned;

use crate::{
    MySqlShared,
    error::During,
    known::Known,
    options::MySqlOptions,
    pool::{Pool, State},
    run::{self, Limits, Purpose},
    session::Mode,
};

/// How many texts a lane remembers as checked, for each prepared statement that a connection keeps.
const TEXTS: usize = 4;

/// A MySQL or MariaDB database as one lane sees it.
pub struct MySql {
    pub(crate) pool: Arc<Pool>,
    statements: RefCell<Memo<Rc<Known>>>,
    crud_shapes: Shapes,
}

impl MySql {
    pub(crate) fn new(shared: &MySqlShared) -> Self {
        let texts = shared.core.options.statement_cache.saturating_mul(TEXTS);
        Self {
            pool: Pool::new(&shared.core),
            statements: RefCell::new(Memo::new(texts)),
            crud_shapes: Shapes::new(texts),
        }
    }

    pub(crate) fn options(&self) -> &MySqlOptions {
        &self.pool.core().options
    }

    pub(crate) fn crud_shapes(&self) -> &Shapes {
        &self.crud_shapes
    }

    /// Checks a statement, or finds it checked.
    pub(crate) fn known(&self, sql: &Sql) -> Result<Rc<Known>, StatementError> {
        let seen = &self.pool.core().seen;
        let parse = |text: &str| Known::parse(text).map(|known| Rc::new(known.seen(sql, seen)));
        self.statements.borrow_mut().get_or_make(sql, parse)
    }

    /// Checks a statement and its parameters before anything runs.
    pub(crate) fn checked(&self, request: &Request) -> Result<Rc<Known>, Failure> {
        let known = self.known(&request.sql)?;
        known.statement.bind(&request.params)?;
        Ok(known)
    }

    async fn rows(&self, request: &Request, call: &CallContext) -> Result<Rows, Failure> {
        let known = self.checked(request)?;
        let limits = Limits::of(request, self.options());
        let mut lease = self.pool.acquire("query", Some(Mode::ReadOnly), call).await?;
        run::read(&mut lease, &known, request, limits, call).await.map_err(as_not_a_read)
    }
}

/// The server refused to write in a session that we made read-only: the caller's mistake, and no failover.
pub(crate) fn as_not_a_read(failure: Failure) -> Failure {
    if failure.code().is_some_and(|code| code.starts_with("1792/")) { reply::not_a_read() } else { failure }
}

impl Backend for MySql {
    const KIND: &'static str = "mysql";

    async fn probe(&self, call: &CallContext) -> Result<(), Failure> {
        let mut lease = self.pool.acquire("probe", None, call).await?;
        lease.set(State::Broken);
        match lease.conn()?.ping().await {
            Ok(()) => {
                lease.set(State::Clean);
                Ok(())
            }
            Err(error) => Err(lease.failed(&error, During::Connect, State::Clean)),
        }
    }

    async fn close(&self, deadline: Deadline) {
        self.pool.close(deadline).await;
    }

    fn pool(&self) -> PoolSnapshot {
        self.pool.snapshot()
    }
}

impl Serve<Query> for MySql {
    async fn serve(&self, message: &Query, call: &CallContext) -> Result<Rows, Failure> {
        self.rows(message.request(), call).await
    }
}

impl<T: DeserializeOwned + Send + 'static> Serve<QueryAs<T>> for MySql {
    async fn serve(&self, message: &QueryAs<T>, call: &CallContext) -> Result<Vec<T>, Failure> {
        reply::typed(self.rows(message.request(), call).await?)
    }
}

impl Serve<Execute> for MySql {
    async fn serve(&self, message: &Execute, call: &CallContext) -> Result<Written, Failure> {
        let request = message.request();
        if request.rows_expected.is_some() {
            return reply::undoable(self, request, call).await;
        }
        let known = self.checked(request)?;
        let limits = Limits::of(request, self.options());
        let mut lease = self.pool.acquire("execute", Some(Mode::ReadWrite), call).await?;
        run::write(&mut lease, &known, request, limits, Purpose::COMMIT, call).await
    }
}

impl Drop for MySql {
    fn drop(&mut self) {
        // idle connections hold the pool that holds them
        self.pool.end();
    }
}

impl fmt::Debug for MySql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySql").field("pool", &self.pool.snapshot()).finish_non_exhaustive()
    }
}
