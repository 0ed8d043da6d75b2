//! Statements behind a pooler that gives each transaction another session of the server.
//!
//! A statement has no name there. The server describes its parameters and columns once for all lanes, in a transaction
//! that ends without a trace; from then on it is sent with the types of its parameters, in one go, inside a transaction
//! that carries what else would be set for the session.
//!
//! | statement | what is sent | round trips |
//! |---|---|---|
//! | read | BEGIN READ ONLY + limits + statement + COMMIT | 1 |
//! | read of types of the user's own | BEGIN READ ONLY + limits + statement, then COMMIT | 2 |
//! | write | BEGIN READ WRITE + limits + statement, then COMMIT | 2 |
//! | write that returns types of the user's own | BEGIN READ WRITE + limits, then the statement, then COMMIT | 3 |
//! | change of the schema, CALL and the like, without rows | the statement alone, because some refuse a transaction | 1 |
//! | in a transaction of the caller's | the statement | 1 |

use std::{future::Future, pin::pin, sync::atomic::Ordering::Relaxed};

use backstop_core::{
    call::CallContext,
    clock,
    error::{Executed, Failure, Phase},
    outcome::Outcome,
};
use backstop_sql::{Columns, Request, Verb, Written};
use futures_util::future::{Either, join, select};
use tokio_postgres::{Client, Error, Row, RowStream, types::Type};

use crate::{
    cache::{Described, Prepared, columns},
    codec::Param,
    error::{During, invalidates_statements, refused_by_us},
    lease::Lease,
    options::PostgresOptions,
    run::{Collected, Limits, Mode, Past, bound, collect_as},
    statement::Known,
};

/// A statement that can be sent.
pub(crate) enum Ready {
    /// By its name on this connection.
    Named(Prepared),
    /// With its text, on any connection.
    Unnamed(Described),
}

impl Ready {
    pub(crate) fn columns(&self) -> &Columns {
        match self {
            Self::Named(prepared) => &prepared.columns,
            Self::Unnamed(described) => &described.columns,
        }
    }

    /// The columns of the rows, the first of which may be known.
    pub(crate) fn columns_with(&self, first: Option<&Row>) -> Columns {
        match (self, first) {
            (Self::Unnamed(_), Some(row)) => columns(row.columns()),
            _ => self.columns().clone(),
        }
    }

    pub(crate) fn params(&self) -> &[Type] {
        match self {
            Self::Named(prepared) => prepared.statement.params(),
            Self::Unnamed(described) => &described.params,
        }
    }
}

/// Has the server describe a statement without leaving a trace there: its name is given up before the transaction ends,
/// so it is the same session that forgets it.
pub(crate) async fn describe(client: &Client, sql: &str, is_inside: bool) -> Result<Described, Error> {
    if is_inside {
        return client.prepare(sql).await.map(|statement| Described::new(&statement));
    }
    let (begun, described) = join(client.batch_execute("BEGIN READ ONLY"), client.prepare(sql)).await;
    begun?;
    // the name goes with the statement, at the end of this line
    let described = described.map(|statement| Described::new(&statement));
    let ended = client.batch_execute("COMMIT").await; // a rollback, where it was refused
    let described = described?;
    ended.map(|()| described)
}

/// Sends a statement with the types of its parameters.
pub(crate) async fn send(
    client: &Client,
    sql: &str,
    types: &[Type],
    params: &[Param<'_>],
) -> Result<RowStream, Error> {
    let params = params.iter().map(|param| param as &(dyn tokio_postgres::types::ToSql + Sync));
    client.query_typed_raw(sql, params.zip(types.iter().cloned())).await
}

/// The limits that a session of our own has from its start.
pub(crate) fn limits(options: &PostgresOptions) -> String {
    let (statement, idle) =
        (options.statement_timeout.as_millis(), options.idle_in_transaction_timeout.as_millis());
    format!(
        "; SET LOCAL statement_timeout = {statement}; SET LOCAL idle_in_transaction_session_timeout = {idle}"
    )
}

/// Refuses what would stay behind in a session that is another's a moment later.
pub(crate) fn needs_session(what: &str) -> Failure {
    Failure::refused(format!(
        "{what} needs a session of its own, and behind a pooler there is none (see `prepared_statements`)"
    ))
    .in_phase(Phase::Admission)
    .counts_as(Outcome::NotCounted)
    .with_code("needs_session")
}

/// How the transaction of one statement begins; none where it runs by itself. What returns rows never does: a look-up of
/// their types that fails must undo it.
fn begin(known: &Known, described: &Described, mode: Mode, options: &PostgresOptions) -> Option<String> {
    let is_wrapped = match known.statement.verb() {
        Verb::Select | Verb::With | Verb::Explain | Verb::Insert | Verb::Update | Verb::Delete => true,
        _ => known.counts || !described.columns.is_empty(),
    };
    let verb = match mode {
        Mode::Read => "BEGIN READ ONLY",
        Mode::Write if is_wrapped => "BEGIN READ WRITE",
        _ => return None,
    };
    Some(format!("{verb}{}", limits(options)))
}

impl Lease {
    /// Finds what the server said of a statement, or asks it; nothing takes effect.
    ///
    /// # Errors
    /// What the server said.
    pub(crate) async fn described(
        &self,
        call: &CallContext,
        known: &Known,
        is_inside: bool,
    ) -> Result<Described, Failure> {
        let (client, core) = (self.connection()?, &self.lane().core);
        call.enter(Phase::Execute);
        let epoch = core.schema();
        if let Some(described) = core.described.lock().get(known.sql(), epoch) {
            return Ok(described);
        }
        // dropped on the way, it is rolled back
        let in_transaction = &self.state().in_transaction;
        in_transaction.store(true, Relaxed);
        let asked = describe(client, known.sql(), is_inside);
        let described = self.run(call, During::Prepare, false, asked).await;
        in_transaction.store(is_inside, Relaxed);
        let described = described.inspect_err(|failure| self.forget_names(failure))?;
        core.described.lock().put(known.sql(), described.clone());
        Ok(described)
    }

    /// The driver looks types of the user's own up by statements of its own, with names; a new connection begins anew.
    fn forget_names(&self, failure: &Failure) {
        if invalidates_statements(failure) {
            self.break_up();
        }
    }

    /// What was described may have changed since; nothing was done, so that it may be tried again.
    fn out_of_date(&self, known: &Known, failure: Failure) -> Failure {
        self.forget_names(&failure);
        // types that do not fit any more: they did when it was described
        if invalidates_statements(&failure) || matches!(failure.code(), Some("42804" | "42883")) {
            self.lane().core.described.lock().forget(known.sql());
            return failure.transient(true);
        }
        failure
    }

    /// Runs one statement by itself and collects its reply.
    ///
    /// # Errors
    /// What the server said; a reply that cannot be used says whether the work was done.
    pub(crate) async fn unnamed(
        &self,
        call: &CallContext,
        known: &Known,
        request: &Request,
        mode: Mode,
    ) -> Result<Written, Failure> {
        if known.changes_session {
            return Err(needs_session("what the statement does to its session"));
        }
        let options = self.lane().core.options();
        let described = self.described(call, known, false).await?;
        // the driver's look-ups of types belong into the transaction, which then ends when they are done
        let is_plain = described.is_plain;
        let ends_itself = mode == Mode::Read && is_plain;
        let begin = begin(known, &described, mode, options);
        let ready = Ready::Unnamed(described);
        let params = bound(known, request, ready.params())?;
        let is_bare = begin.is_none();
        // should BEGIN fail, a write behind it runs and commits by itself
        let sent = mode == Mode::Write;
        if sent {
            call.sending();
        }
        let past = if mode == Mode::Write { Past::Finish } else { Past::Stop };
        let (client, noted) = (self.connection()?, known.stats.begin_at(mode.operation(), clock::now()));
        self.state().in_transaction.store(!is_bare, Relaxed);
        let reply = async {
            let statement = send(client, known.sql(), ready.params(), &params);
            let rows = match begin.as_deref() {
                None => statement.await?,
                Some(begin) if mode == Mode::Write && !is_plain => {
                    client.batch_execute(begin).await?;
                    statement.await?
                }
                Some(begin) => self.behind(client, begin, statement, mode).await?,
            };
            collect_as(rows, &ready, Limits::of(request, options), past).await
        };
        let work = async { if ends_itself { ended(client, reply).await } else { reply.await } };
        let collected = self.run(call, During::Statement, sent, work).await;
        let collected =
            collected.map_err(|failure| if mode == Mode::Read { refused_by_us(failure) } else { failure });
        noted.end(&collected, Collected::count);
        let collected = collected.map_err(|failure| self.out_of_date(known, failure))?;
        if !(is_bare || ends_itself || collected.is_cut) {
            self.commit(call, mode).await?;
        }
        self.state().in_transaction.store(collected.is_cut, Relaxed);
        if collected.is_cut {
            known.service.note_long();
            // the rest is on its way: the lease is in flight until the server has stopped
            self.state().in_flight.store(true, Relaxed);
        }
        collected.reply(known, request, mode)
    }

    /// Begins a transaction, and sends the statement behind it without waiting.
    async fn behind(
        &self,
        client: &Client,
        begin: &str,
        statement: impl Future<Output = Result<RowStream, Error>>,
        mode: Mode,
    ) -> Result<RowStream, Error> {
        // nothing of ours stops the BEGIN, or the statement behind it would run outside
        self.state().turning.store(true, Relaxed);
        let begun = async {
            let begun = client.batch_execute(begin).await;
            self.state().turning.store(begun.is_err(), Relaxed);
            begun
        };
        // each is sent as it is polled first
        let (begun, rows) = join(begun, statement).await;
        if begun.is_err() {
            self.break_up();
        }
        match begun {
            // a read that ran in a session that may write does not count
            Err(error) if mode == Mode::Read => Err(error),
            // a write has the fate that the server tells, in a transaction of its own
            _ => rows,
        }
    }

    /// Commits; the statement before it succeeded, so that there is no hidden rollback.
    async fn commit(&self, call: &CallContext, mode: Mode) -> Result<(), Failure> {
        let client = self.connection()?;
        let (during, sent) =
            if mode == Mode::Write { (During::Commit, true) } else { (During::Statement, false) };
        let ended = self.run(call, during, sent, client.batch_execute("COMMIT")).await;
        ended.inspect_err(|failure| {
            // an answer to COMMIT, whatever it says, ends the transaction
            self.state().in_transaction.store(failure.executed() != Executed::No, Relaxed);
        })
    }
}

/// Sends COMMIT right behind a read. Where the reply fails or is cut, nobody waits for its end here.
async fn ended(
    client: &Client,
    reply: impl Future<Output = Result<Collected, Error>>,
) -> Result<Collected, Error> {
    // each is sent as it is polled first
    match select(pin!(reply), pin!(client.batch_execute("COMMIT"))).await {
        Either::Left((reply, commit)) => {
            let collected = reply?;
            if !collected.is_cut {
                commit.await?;
            }
            Ok(collected)
        }
        Either::Right((ended, reply)) => {
            ended?;
            reply.await
        }
    }
}
