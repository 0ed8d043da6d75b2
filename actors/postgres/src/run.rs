//! Runs one statement on a lease: prepare, bind, collect within limits.

mod collect;

use std::{pin::pin, sync::atomic::Ordering::Relaxed};

use backstop_core::{
    call::CallContext,
    clock,
    error::{Failure, Phase},
};
use backstop_sql::{Request, StatementError, Written};
use futures_util::future;
use tokio_postgres::{Client, Error, RowStream, Statement, types::Type};

pub(crate) use self::collect::{Collected, collect, collect_as, push};
use crate::{
    cache::Prepared,
    codec::Param,
    error::{During, refused_by_us},
    lease::Lease,
    options::PostgresOptions,
    pooled::{self, Ready},
    statement::Known,
};

/// The bounds of one reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl Limits {
    pub(crate) fn of(request: &Request, options: &PostgresOptions) -> Self {
        let rows = request.rows_max.map_or(options.rows_max, |rows| rows.min(options.rows_max));
        Self { rows, bytes: options.bytes_max }
    }
}

/// What happens to a statement whose reply has reached its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// It is stopped.
    Stop,
    /// It writes, so it goes on to its end, where its errors show.
    Finish,
}

/// How a statement runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// By itself, in a session that refuses to write.
    Read,
    /// By itself; it commits as it ends.
    Write,
    /// Inside a transaction, whose commit decides.
    Inside,
}

impl Mode {
    /// What it is called in lists of slow queries.
    pub(crate) fn operation(self) -> &'static str {
        match self {
            Self::Read => "query",
            Self::Write => "execute",
            Self::Inside => "transaction",
        }
    }
}

impl Lease {
    /// Runs a statement and collects its reply.
    ///
    /// # Errors
    /// What the server said; a reply that cannot be used says whether the work was done.
    pub(crate) async fn statement(
        &self,
        call: &CallContext,
        known: &Known,
        request: &Request,
        mode: Mode,
    ) -> Result<Written, Failure> {
        if mode != Mode::Inside && !self.lane().core.naming().is_on() {
            return Box::pin(self.unnamed(call, known, request, mode)).await;
        }
        let limits = Limits::of(request, self.lane().core.options());
        let ready = self.ready(call, known).await?;
        let params = bound(known, request, ready.params())?;
        self.note_effects(known);
        // a read changes nothing, however it ends
        if mode == Mode::Write {
            call.sending();
        }
        let client = self.connection()?;
        let past = if mode == Mode::Write { Past::Finish } else { Past::Stop };
        // pinned here, so that it is not moved once more
        let work = pin!(async {
            let stream = self.send(client, known, &ready, &params, mode).await?;
            collect_as(stream, &ready, limits, past).await
        });
        let began = clock::now();
        let noted = known.stats.begin_at(mode.operation(), began);
        // a read and what is inside a transaction have no effect that could outlive the connection
        let collected = self.run(call, During::Statement, mode == Mode::Write, work).await;
        let collected =
            collected.map_err(|failure| if mode == Mode::Read { refused_by_us(failure) } else { failure });
        let ended = noted.end(&collected, Collected::count);
        let collected = collected?;
        if collected.is_cut {
            known.service.note_long();
            // the rest is on its way: the lease is in flight until the server has stopped
            self.state().in_flight.store(true, Relaxed);
        }
        if mode == Mode::Read && !collected.is_cut {
            known.service.note(ended.saturating_duration_since(began));
        }
        collected.reply(known, request, mode)
    }

    /// Makes the statement ready to be sent; where names are lost, inside the transaction that is open.
    pub(crate) async fn ready(&self, call: &CallContext, known: &Known) -> Result<Ready, Failure> {
        if self.lane().core.naming().is_on() {
            self.prepared(call, known).await.map(Ready::Named)
        } else {
            Box::pin(self.described(call, known, true)).await.map(Ready::Unnamed)
        }
    }

    /// Sends a statement by its name, see [`start`](Self::start), or with its text.
    pub(crate) async fn send(
        &self,
        client: &Client,
        known: &Known,
        ready: &Ready,
        params: &[Param<'_>],
        mode: Mode,
    ) -> Result<RowStream, Error> {
        match ready {
            Ready::Named(prepared) => self.start(client, &prepared.statement, params, mode).await,
            Ready::Unnamed(described) => pooled::send(client, known.sql(), &described.params, params).await,
        }
    }

    /// Sends the statement, and before it, without waiting, what turns the session to the right mode.
    pub(crate) async fn start(
        &self,
        client: &Client,
        statement: &Statement,
        params: &[Param<'_>],
        mode: Mode,
    ) -> Result<RowStream, Error> {
        let run = client.query_raw(
            statement,
            params.iter().map(|param| param as &(dyn tokio_postgres::types::ToSql + Sync)),
        );
        match self.turn(mode) {
            None => run.await,
            Some(turn) => Box::pin(self.turned(client, turn, mode, run)).await,
        }
    }

    async fn turned(
        &self,
        client: &Client,
        turn: &'static str,
        mode: Mode,
        run: impl Future<Output = Result<RowStream, Error>>,
    ) -> Result<RowStream, Error> {
        // Nothing of ours stops the turn, or the statement behind it would run in the other mode.
        self.state().turning.store(true, Relaxed);
        let turned = async {
            let turned = client.batch_execute(turn).await;
            self.state().turning.store(turned.is_err(), Relaxed);
            turned
        };
        // Each one is sent as it is polled first, so the turn precedes the statement.
        let (turned, stream) = future::join(turned, run).await;
        turned.inspect_err(|_| self.break_up())?;
        if let Ok(connection) = self.connection() {
            connection.note_read_only(mode == Mode::Read);
        }
        stream
    }

    fn turn(&self, mode: Mode) -> Option<&'static str> {
        let is_read_only = self.connection().is_ok_and(|connection| connection.is_read_only());
        match mode {
            Mode::Read if !is_read_only => Some("SET default_transaction_read_only = on"),
            Mode::Write if is_read_only => Some("SET default_transaction_read_only = off"),
            _ => None,
        }
    }

    /// Finds the statement in the connection's cache, or prepares it, which has no effect.
    pub(crate) async fn prepared(&self, call: &CallContext, known: &Known) -> Result<Prepared, Failure> {
        let (connection, core) = (self.connection()?, &self.lane().core);
        call.enter(Phase::Execute);
        let epoch = core.schema();
        if let Some(prepared) = connection.cache.lock().get(known.sql(), epoch) {
            return Ok(prepared);
        }
        // boxed, so that those whose statement is prepared carry no room for it
        Box::pin(self.prepare(call, known)).await
    }

    async fn prepare(&self, call: &CallContext, known: &Known) -> Result<Prepared, Failure> {
        let connection = self.connection()?;
        self.lane().core.counts.prepared.fetch_add(1, Relaxed);
        let statement = self.run(call, During::Prepare, false, connection.prepare(known.sql())).await?;
        let prepared = Prepared::new(statement);
        connection.cache.lock().put(known.sql(), prepared.clone());
        Ok(prepared)
    }

    fn note_effects(&self, known: &Known) {
        // behind a pooler the session is another's by the time it could be reset
        if known.changes_session && self.lane().core.naming().is_on() {
            self.state().changed_session.store(true, Relaxed);
        }
    }
}

/// Finds the values of the placeholders and compares their number with what the server sees.
pub(crate) fn params<'r>(
    known: &Known,
    request: &'r Request,
    statement: &Statement,
) -> Result<Vec<Param<'r>>, Failure> {
    bound(known, request, statement.params())
}

/// The same for the types that the server described.
pub(crate) fn bound<'r>(
    known: &Known,
    request: &'r Request,
    types: &[Type],
) -> Result<Vec<Param<'r>>, Failure> {
    let params: Vec<_> = known.statement.bind(&request.params)?.map(Param).collect();
    if params.len() != types.len() {
        let (ours, theirs) = (params.len(), types.len());
        let text = format!("the server sees {theirs} placeholders where {ours} were found");
        return Err(StatementError::Message(text).into());
    }
    Ok(params)
}
