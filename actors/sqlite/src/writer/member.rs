//! One operation inside a transaction: its own statements succeed or are undone, its neighbours' stay.

use std::{cell::Cell, sync::Arc};

use backstop_core::{
    clock::{self, Instant},
    error::{Executed, Failure, FailureKind},
};
use backstop_sql::{
    ChunkReport, InsertReport, Request, Statement, Written,
    message::{Chunk, Chunks},
    reply::at_statement,
    seen::Watched,
};
use rusqlite::Connection;

use super::{Writer, transaction};
use crate::{
    error::{During, Fault},
    job::{self, Reply, Ticket, Work},
    options::SqliteOptions,
    run::{self, Limits},
    shared::Core,
    watch::Watch,
};

/// What a member needs of the thread that runs it.
pub(crate) struct Bench<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) watch: &'a Watch,
    pub(crate) options: &'a SqliteOptions,
    pub(crate) core: &'a Core,
    /// Whether statements that write are refused.
    read_only: bool,
    /// When the last statement ended: in a group the next one begins then, and the clock is not read again.
    ended: Cell<Option<Instant>>,
}

impl Writer<'_> {
    /// Lends the open connection; `None` when it is closed.
    pub(super) fn bench(&self) -> Option<Bench<'_>> {
        let connection = self.connection.as_ref()?;
        Some(Bench::new(connection, &self.watch, self.core))
    }
}

impl<'a> Bench<'a> {
    pub(crate) fn new(connection: &'a Connection, watch: &'a Watch, core: &'a Core) -> Self {
        let (options, ended) = (&core.options, Cell::new(None));
        Self { connection, watch, options, core, read_only: false, ended }
    }

    /// Refuses statements that write.
    pub(crate) fn read_only(self, read_only: bool) -> Self {
        Self { read_only, ..self }
    }
}

impl Bench<'_> {
    /// Runs a member inside the open transaction.
    pub(super) fn member(&self, work: &Work, ticket: &Arc<Ticket>) -> Result<Reply, Failure> {
        let result = match work {
            Work::One(statement, request) => {
                let _watching = self.watch.job(ticket);
                self.one(statement, request, During::Statement).map(Reply::Written)
            }
            Work::List(statements, requests, _) => {
                self.undone_together(|| self.list(statements, requests, ticket)).map(Reply::List)
            }
            Work::Insert(chunks, Chunks::Together) if chunks.len() > 1 => {
                self.undone_together(|| self.insert(chunks, Chunks::Together, ticket)).map(Reply::Inserted)
            }
            Work::Insert(chunks, mode) => self.insert(chunks, *mode, ticket).map(Reply::Inserted),
            Work::Body(..)
            | Work::Held(..)
            | Work::Read(..)
            | Work::Stream(..)
            | Work::Open
            | Work::Close => Err(Failure::new(FailureKind::Server, "the work has no place in a group")
                .executed_is(Executed::No)),
        };
        result.map_err(|failure| verdict(failure, ticket))
    }

    /// Runs one statement; an error undoes it alone.
    pub(crate) fn one(
        &self,
        statement: &Watched,
        request: &Request,
        during: During,
    ) -> Result<Written, Failure> {
        let began = self.ended.take().unwrap_or_else(clock::now);
        self.noted(("execute", began), statement, || self.run(statement, request, during), changed)
    }

    /// Runs one statement of a closure, which may have let time pass since the last one.
    pub(crate) fn inside(&self, statement: &Watched, request: &Request) -> Result<Written, Failure> {
        let run = || self.run(statement, request, During::Statement);
        self.noted(("transaction", clock::now()), statement, run, changed)
    }

    fn noted<T>(
        &self,
        (operation, began): (&'static str, Instant),
        statement: &Watched,
        run: impl FnOnce() -> Result<T, Failure>,
        rows: impl FnOnce(&T) -> u64,
    ) -> Result<T, Failure> {
        let noted = statement.stats.begin_at(operation, began);
        let result = run();
        self.ended.set(Some(noted.end(&result, rows)));
        result
    }

    fn run(&self, statement: &Statement, request: &Request, during: During) -> Result<Written, Failure> {
        if during == During::Autocommit {
            job::may_be_durable();
        }
        #[cfg(test)]
        self.options.planted.pass(statement.sql());
        let before = self.connection.total_changes();
        let limits = Limits::of(request, self.options).read_only(self.read_only);
        run::write(self.connection, self.watch, statement, request, limits)
            .map_err(|fault| self.judged(fault, before, during))
    }

    /// Under ON CONFLICT FAIL the rows before the failed one stay; the counter of changes tells.
    fn judged(&self, fault: Fault, before: u64, during: During) -> Failure {
        let gone = during == During::Statement && self.connection.is_autocommit();
        let kept = matches!(fault, Fault::Engine(_)) && !gone && self.connection.total_changes() != before;
        let failure = fault.into_failure(during);
        if kept && failure.kind() == FailureKind::Conflict {
            failure.executed_is(Executed::Yes)
        } else {
            failure
        }
    }

    /// Runs several statements under a savepoint, so that an error undoes all of them and nothing else.
    fn undone_together<T>(&self, body: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let own = |sql| transaction::run(self.connection, sql);
        let engine = |error| Fault::from(error).into_failure(During::Statement);
        own("SAVEPOINT member").map_err(engine)?;
        let result = body();
        let closed = match &result {
            Ok(_) => own("RELEASE member"),
            Err(_) if self.connection.is_autocommit() => Ok(()),
            Err(_) => own("ROLLBACK TO member").and_then(|()| own("RELEASE member")),
        };
        if let Err(error) = closed {
            // what a savepoint could not undo must not be committed with the neighbours
            let _ = own("ROLLBACK");
            return Err(engine(error));
        }
        result.map_err(|failure| failure.executed_is(Executed::No))
    }

    /// Runs statements in order; the first error ends the list.
    pub(crate) fn list(
        &self,
        statements: &[Arc<Watched>],
        requests: &[Request],
        ticket: &Arc<Ticket>,
    ) -> Result<Vec<Written>, Failure> {
        let mut replies = Vec::with_capacity(statements.len());
        for (statement, request) in statements.iter().zip(requests) {
            let _watching = self.watch.job(ticket);
            let result = self.inside(statement, request);
            let result = result.and_then(|written| request.check_rows(&written).map(|()| written));
            replies.push(result.map_err(|failure| at_statement(failure, replies.len()))?);
        }
        Ok(replies)
    }

    /// Inserts chunks; the caller's transaction decides what commits together.
    pub(crate) fn insert(
        &self,
        chunks: &[(Arc<Watched>, Chunk)],
        mode: Chunks,
        ticket: &Arc<Ticket>,
    ) -> Result<InsertReport, Failure> {
        let mut report = InsertReport::default();
        for (statement, chunk) in chunks {
            let _watching = self.watch.job(ticket);
            let before = self.connection.total_changes();
            let run = || {
                let inserted = run::insert(self.connection, statement, chunk.values());
                inserted.map_err(|fault| self.judged(fault, before, During::Statement))
            };
            let outcome = self.noted(("batch_insert", clock::now()), statement, run, |rows| *rows);
            match outcome {
                Err(failure) if mode == Chunks::Together || self.connection.is_autocommit() => {
                    return Err(failure);
                }
                outcome => {
                    report.affected += outcome.as_ref().copied().unwrap_or(0);
                    report.chunks.push(ChunkReport::new(chunk, outcome));
                }
            }
        }
        Ok(report)
    }
}

/// How many rows a statement returned or changed.
fn changed(written: &Written) -> u64 {
    written.rows.as_ref().map_or(written.affected, |rows| rows.len() as u64)
}

/// Says why a statement was interrupted: its caller left, or its deadline passed.
pub(crate) fn verdict(failure: Failure, ticket: &Ticket) -> Failure {
    if failure.kind() != FailureKind::Timeout {
        return failure;
    }
    if !ticket.deadline().is_past(clock::now()) && ticket.is_abandoned() {
        return Failure::new(FailureKind::Cancelled, "the caller left, and the statement was rolled back")
            .executed_is(Executed::No);
    }
    let code = failure.code().unwrap_or_default().to_owned();
    Failure::new(FailureKind::Timeout, "the deadline passed, and the statement was rolled back")
        .executed_is(Executed::No)
        .with_code(code)
}
