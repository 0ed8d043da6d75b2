//! One lane's instance: it checks statements, reads inline, and hands the rest to the shared threads.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use backstop_core::{
    backend::{Backend, Serve},
    call::{CallContext, Deadline},
    clock,
    error::Failure,
    snapshot::PoolSnapshot,
};
use backstop_sql::{
    BatchInsert, Dialect, Execute, InsertReport, Query, QueryAs, QueryStream, Request, RowStream, Rows, Sql,
    StatementError, Transact, TransactAsync, Transaction, TxOptions, Written,
    crud::Shapes,
    memo::Memo,
    reply::{self, at_statement},
    seen::Watched,
};
use serde::de::DeserializeOwned;

use crate::{
    SqliteShared, error, held,
    job::{Job, Reply, Work},
    pool::Pool,
    reader::{Inline, Inlined, Known},
    session,
    shared::{Core, Queue},
    stream,
};

/// Reads the first page of the database, so that a file that is gone or damaged shows.
const PROBE: &str = "SELECT count(*) FROM sqlite_schema";

/// A SQLite database as one lane sees it.
pub struct Sqlite {
    shared: Arc<SqliteShared>,
    statements: RefCell<Memo<Rc<Known>>>,
    shapes: Shapes,
    inline: RefCell<Option<Inline>>,
    opened: Cell<u64>,
    closed: Cell<u64>,
}

impl Sqlite {
    pub(crate) fn new(shared: Arc<SqliteShared>) -> Self {
        shared.core.lanes.fetch_add(1, Ordering::AcqRel);
        let statements = RefCell::new(Memo::new(shared.core.options.statement_cache));
        let shapes = Shapes::new(shared.core.options.statement_cache);
        let inline = RefCell::default();
        Self { shared, statements, shapes, inline, opened: Cell::new(0), closed: Cell::new(0) }
    }

    /// The texts of CRUD messages that this lane knows.
    pub(crate) fn crud_shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// The counts of the shared threads.
    pub(crate) fn pool_counts(&self) -> &Pool {
        &self.core().pool
    }

    fn core(&self) -> &Arc<Core> {
        &self.shared.core
    }

    fn known(&self, sql: &Sql) -> Result<Rc<Known>, StatementError> {
        let parse = |_: &str| {
            let watched = Watched::parse(sql, Dialect::Sqlite, &self.core().seen)?;
            Ok(Rc::new(Known::new(watched)))
        };
        self.statements.borrow_mut().get_or_make(sql, parse)
    }

    /// Checks a statement and its parameters before anything runs.
    pub(crate) fn checked(&self, request: &Request) -> Result<Rc<Known>, Failure> {
        let known = self.known(&request.sql)?;
        known.statement.bind(&request.params)?;
        Ok(known)
    }

    async fn rows(&self, request: &Arc<Request>, call: &CallContext) -> Result<Rows, Failure> {
        let known = self.checked(request)?;
        let work = || Work::Read(Arc::clone(&known.statement), Arc::clone(request));
        if self.core().in_memory() {
            return rows_of(self.core().write(work(), call).await?);
        }
        let inlined = if known.is_slow() {
            // a long read runs elsewhere, and it is here that the path is looked at
            if !self.is_ready() {
                self.ensure_open(call).await?;
            }
            Inlined::Elsewhere
        } else {
            let read = |it: &mut Inline| it.read(self.core(), &known, request, call.served());
            let ready = self.inline.borrow_mut().as_mut().and_then(read);
            match ready {
                Some(inlined) => inlined,
                None => {
                    self.ensure_open(call).await?;
                    self.open_inline(&known, request)?
                }
            }
        };
        if let Inlined::Done(result) = inlined {
            return result;
        }
        rows_of(self.core().read(work(), call).await?)
    }

    /// Reads on another thread, whose time this read is not counted with.
    pub(crate) async fn read_elsewhere(&self, work: Work, call: &CallContext) -> Result<Rows, Failure> {
        if self.core().in_memory() {
            return rows_of(self.core().write(work, call).await?);
        }
        if !self.is_ready() {
            self.ensure_open(call).await?;
        }
        rows_of(self.core().read(work, call).await?)
    }

    /// Says who runs a transaction, and makes sure that a reader finds the database open.
    async fn thread_of(&self, options: TxOptions, call: &CallContext) -> Result<Queue, Failure> {
        if options.read_only { self.long_reads(call).await } else { Ok(Queue::Writes) }
    }

    async fn long_reads(&self, call: &CallContext) -> Result<Queue, Failure> {
        if self.core().in_memory() {
            return Ok(Queue::Writes);
        }
        // the path is looked at here, because a thread that reads does not
        if !self.is_ready() {
            self.ensure_open(call).await?;
        }
        Ok(Queue::LongReads)
    }

    /// Hands a transaction whose answer somebody else waits for to its thread.
    pub(crate) async fn submit_transaction(
        &self,
        job: Job,
        options: TxOptions,
        call: &CallContext,
    ) -> Result<(), Failure> {
        let queue = self.thread_of(options, call).await?;
        self.core().push(queue, job)
    }

    /// Says whether the lane's connection reads the database that the writer has open.
    fn is_ready(&self) -> bool {
        let Some(epoch) = self.core().epoch() else { return false };
        let current = |inline: &mut Inline| inline.is_current(self.core(), epoch, clock::now());
        self.inline.borrow_mut().as_mut().is_some_and(current)
    }

    /// Makes sure that the writer has the database open; it creates what is missing.
    async fn ensure_open(&self, call: &CallContext) -> Result<(), Failure> {
        if self.core().epoch().is_none() {
            self.core().write(Work::Open, call).await?;
        }
        Ok(())
    }

    /// Opens the lane's connection anew and reads on it.
    fn open_inline(&self, known: &Known, request: &Request) -> Result<Inlined, Failure> {
        let core = self.core();
        let mut slot = self.inline.borrow_mut();
        self.drop_inline(&mut slot);
        let epoch = core.epoch().ok_or_else(|| Failure::unavailable("the database is closed"))?;
        let inline = slot.insert(Inline::open(core, epoch)?);
        self.opened.set(self.opened.get() + 1);
        // a file that was replaced this very moment
        Ok(inline.read(core, known, request, clock::now()).unwrap_or(Inlined::Elsewhere))
    }

    fn drop_inline(&self, slot: &mut Option<Inline>) {
        if let Some(mut inline) = slot.take() {
            inline.count(self.core());
            self.closed.set(self.closed.get() + 1);
        }
    }
}

impl Backend for Sqlite {
    const KIND: &'static str = "sqlite";

    // an interrupted statement knows within a few steps of the engine that it was rolled back
    const SETTLE: Duration = Duration::from_millis(30);

    async fn probe(&self, call: &CallContext) -> Result<(), Failure> {
        if let Some(inline) = self.inline.borrow_mut().as_mut() {
            inline.look_again();
        }
        self.rows(&Arc::new(Request::new(PROBE)), call).await.map(drop)
    }

    /// Closes the lane's connection; the last lane also writes the log back and closes the database.
    async fn close(&self, deadline: Deadline) {
        self.drop_inline(&mut self.inline.borrow_mut());
        if self.core().lanes.load(Ordering::Acquire) <= 1 {
            self.core().close(deadline).await;
        }
    }

    fn pool(&self) -> PoolSnapshot {
        let idle = usize::from(self.inline.borrow().is_some());
        PoolSnapshot {
            idle,
            created_total: self.opened.get(),
            closed_total: self.closed.get(),
            ..PoolSnapshot::default()
        }
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.drop_inline(&mut self.inline.borrow_mut());
        self.core().lanes.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Serve<Query> for Sqlite {
    async fn serve(&self, message: &Query, call: &CallContext) -> Result<Rows, Failure> {
        self.rows(message.request(), call).await
    }
}

impl<T: DeserializeOwned + Send + 'static> Serve<QueryAs<T>> for Sqlite {
    async fn serve(&self, message: &QueryAs<T>, call: &CallContext) -> Result<Vec<T>, Failure> {
        reply::typed(self.rows(message.request(), call).await?)
    }
}

impl Serve<Execute> for Sqlite {
    async fn serve(&self, message: &Execute, call: &CallContext) -> Result<Written, Failure> {
        let known = self.checked(message.request())?;
        let (statement, request) = (Arc::clone(&known.statement), message.request());
        drop(known);
        if request.rows_expected.is_some() {
            return reply::undoable(self, request, call).await;
        }
        let work = Work::One(statement, Arc::clone(request));
        match self.core().write(work, call).await? {
            Reply::Written(written) => Ok(written),
            _ => Err(error::lost()),
        }
    }
}

impl Serve<Transaction> for Sqlite {
    async fn serve(&self, message: &Transaction, call: &CallContext) -> Result<Vec<Written>, Failure> {
        let requests = message.requests();
        let mut statements = Vec::with_capacity(requests.len());
        for (at, request) in requests.iter().enumerate() {
            let known = self.checked(request).map_err(|failure| at_statement(failure, at))?;
            session::joins(&known.statement).map_err(|error| at_statement(error.into(), at))?;
            statements.push(Arc::clone(&known.statement));
        }
        if statements.is_empty() {
            return Err(StatementError::Message("the transaction has no statements".into()).into());
        }
        let options = message.options();
        let queue = self.thread_of(options, call).await?;
        let work = Work::List(statements, Arc::clone(requests), options);
        match self.core().submit(queue, work, call).await? {
            Reply::List(replies) => Ok(replies),
            _ => Err(error::lost()),
        }
    }
}

impl<R: Send + 'static> Serve<Transact<R>> for Sqlite {
    async fn serve(&self, message: &Transact<R>, call: &CallContext) -> Result<R, Failure> {
        let options = message.options();
        let queue = self.thread_of(options, call).await?;
        let work = Work::Body(Arc::clone(message.body()), options);
        match self.core().submit(queue, work, call).await? {
            Reply::Any(reply) => typed(reply),
            _ => Err(error::lost()),
        }
    }
}

impl<R: Send + 'static> Serve<TransactAsync<R>> for Sqlite {
    async fn serve(&self, message: &TransactAsync<R>, call: &CallContext) -> Result<R, Failure> {
        typed(held::transact(self, &**message.body(), message.options(), call).await?)
    }
}

fn typed<R: 'static>(reply: Box<dyn Any + Send>) -> Result<R, Failure> {
    reply.downcast().map(|reply| *reply).map_err(|_| error::lost())
}

impl Serve<QueryStream> for Sqlite {
    async fn serve(&self, message: &QueryStream, call: &CallContext) -> Result<RowStream, Failure> {
        let known = self.checked(message.request())?;
        let (statement, request) = (Arc::clone(&known.statement), Arc::clone(message.request()));
        drop(known);
        let queue = self.long_reads(call).await?;
        let (sink, rows) = RowStream::channel(stream::CHUNKS);
        let work = Work::Stream(statement, request, message.rows_per_chunk(), sink);
        self.core().submit(queue, work, call).await.map(|_| rows)
    }
}

impl Serve<BatchInsert> for Sqlite {
    async fn serve(&self, message: &BatchInsert, call: &CallContext) -> Result<InsertReport, Failure> {
        let mut chunks = Vec::new();
        for chunk in message.plan(Dialect::Sqlite)? {
            let known = self.known(&Sql::Shared(Arc::clone(&chunk.sql)))?;
            chunks.push((Arc::clone(&known.statement), chunk));
        }
        if chunks.is_empty() {
            return Ok(InsertReport::default());
        }
        match self.core().write(Work::Insert(chunks, message.chunks()), call).await? {
            Reply::Inserted(report) => Ok(report),
            _ => Err(error::lost()),
        }
    }
}

fn rows_of(reply: Reply) -> Result<Rows, Failure> {
    match reply {
        Reply::Rows(rows) => Ok(rows),
        _ => Err(error::lost()),
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("shared", &self.shared).finish_non_exhaustive()
    }
}
