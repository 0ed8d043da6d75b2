//! Runs one statement on a lease: prepare, bind, collect within limits.

use std::{pin::pin, sync::atomic::Ordering::Relaxed};

use backstop_core::{
    call::CallContext,
    clock,
    error::{Executed, Failure, FailureKind, Phase},
};
use backstop_sql::{Columns, Request, Rows, StatementError, Value, Written};
use futures_util::{TryStreamExt, future};
use tokio_postgres::{Client, Error, RowStream, Statement};

use crate::{
    cache::Prepared,
    codec::{Cell, Param},
    error::{During, refused_by_us},
    lease::Lease,
    options::PostgresOptions,
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
        let limits = Limits::of(request, self.lane().core.options());
        let prepared = self.prepared(call, known).await?;
        let params = params(known, request, &prepared.statement)?;
        self.note_effects(known);
        // a read changes nothing, however it ends
        if mode == Mode::Write {
            call.sending();
        }
        let client = self.connection()?;
        let past = if mode == Mode::Write { Past::Finish } else { Past::Stop };
        // pinned here, so that it is not moved once more
        let work = pin!(async {
            let stream = self.start(client, &prepared.statement, &params, mode).await?;
            collect(stream, &prepared.columns, limits, past).await
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
        if known.changes_session {
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
    let params: Vec<_> = known.statement.bind(&request.params)?.map(Param).collect();
    if params.len() != statement.params().len() {
        let (ours, theirs) = (params.len(), statement.params().len());
        let text = format!("the server sees {theirs} placeholders where {ours} were found");
        return Err(StatementError::Message(text).into());
    }
    Ok(params)
}

/// What a statement returned.
pub(crate) struct Collected {
    rows: Option<Rows>,
    affected: u64,
    /// The reply was left before its end.
    pub(crate) is_cut: bool,
    /// A cell that could not be read.
    unusable: Option<Failure>,
}

impl Collected {
    /// Rows that were returned or changed.
    pub(crate) fn count(&self) -> u64 {
        self.rows.as_ref().map_or(self.affected, |rows| rows.len() as u64)
    }

    /// Makes the reply of it.
    ///
    /// # Errors
    /// A cell that could not be read; the error says whether the work was done.
    pub(crate) fn reply(self, known: &Known, request: &Request, mode: Mode) -> Result<Written, Failure> {
        if let Some(failure) = self.unusable {
            return Err(failure.executed_is(if mode == Mode::Write { Executed::Yes } else { Executed::No }));
        }
        let mut written = Written::default();
        written.affected = if known.counts { self.affected } else { 0 };
        written.numbers = request.numbers;
        written.rows = self.rows.map(|rows| rows.with_numbers(request.numbers));
        Ok(written)
    }
}

/// Reads a reply to its end, or to its limit.
pub(crate) async fn collect(
    stream: RowStream,
    columns: &Columns,
    limits: Limits,
    past: Past,
) -> Result<Collected, Error> {
    let mut stream = pin!(stream);
    let has_columns = !columns.is_empty();
    let mut rows = Rows::new(columns.clone());
    let (mut count, mut bytes, mut unusable) = (0_usize, 0_usize, None);
    while let Some(row) = stream.try_next().await? {
        bytes += row.raw_size_bytes() + row.len() * size_of::<Value>();
        let is_full = count == limits.rows || bytes > limits.bytes;
        if is_full && !rows.is_truncated() {
            rows.truncate();
        }
        if rows.is_truncated() || unusable.is_some() {
            if past == Past::Stop {
                return Ok(Collected { rows: Some(rows), affected: 0, is_cut: true, unusable });
            }
            continue;
        }
        unusable = push(&mut rows, &row).err();
        count += 1;
    }
    let affected = stream.rows_affected().unwrap_or(0);
    Ok(Collected { rows: has_columns.then_some(rows), affected, is_cut: false, unusable })
}

/// Copies the cells of a row.
pub(crate) fn push(rows: &mut Rows, row: &tokio_postgres::Row) -> Result<(), Failure> {
    for at in 0..row.len() {
        let cell: Cell = row.try_get(at).map_err(|error| unreadable(row, at, &error))?;
        rows.push_cell(cell.0);
    }
    Ok(())
}

fn unreadable(row: &tokio_postgres::Row, at: usize, error: &Error) -> Failure {
    let name = row.columns().get(at).map_or("", |column| column.name());
    let why = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    Failure::new(FailureKind::Decode, format!("column `{name}`: {why}")).in_phase(Phase::Decode)
}
