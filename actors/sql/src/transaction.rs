//! What a transaction's closure sees.

mod asynchronous;
mod options;
mod tags;

use std::{error::Error, fmt, sync::Arc};

use backstop_core::{
    error::{Executed, Failure, FailureKind, Phase},
    outcome::Outcome,
};
use serde::de::DeserializeOwned;

pub(crate) use self::tags::Tags;
pub use self::{
    asynchronous::{AfterCommit, AsyncTx, AsyncTxEngine, SavepointVerb},
    options::{Isolation, TxOptions},
};
use crate::{Params, Request, Rows, Sql, StatementError, Written};

/// An open transaction. It ends when the closure returns: `Ok` commits, `Err` and a panic roll back.
pub struct Tx<'a> {
    engine: &'a mut dyn TxEngine,
    /// The list of the message; none where no message runs it.
    pub(crate) tags: Option<Arc<Tags>>,
}

/// The engine's side of a transaction.
pub trait TxEngine {
    /// Runs one statement.
    ///
    /// # Errors
    /// What the statement failed with; the transaction may go on unless it is gone.
    fn run(&mut self, request: &Request) -> Result<Written, Failure>;
}

impl<'a> Tx<'a> {
    /// Lends an engine's transaction to a closure.
    pub fn new(engine: &'a mut dyn TxEngine) -> Self {
        Self { engine, tags: None }
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// What the statement failed with. A closure may handle it and go on, unless the transaction is gone;
    /// then every further statement fails.
    pub fn execute(&mut self, sql: impl Into<Sql>, params: impl Into<Params>) -> Result<Written, TxError> {
        self.run(&Request::with_params(sql, params))
    }

    /// Runs a statement with its limits, such as what a message on a table is lowered to; the tag that it names is
    /// dropped as with [`Self::invalidate`].
    ///
    /// # Errors
    /// What the statement failed with; also when it hit another number of rows than it expects. What it did then
    /// lasts only if the closure handles the error and commits.
    pub fn run(&mut self, request: &Request) -> Result<Written, TxError> {
        note(self.tags.as_ref(), request.invalidates.as_ref());
        let written = self.engine.run(request)?;
        request.check_rows(&written)?;
        Ok(written)
    }

    /// Names a tag of cached answers that the transaction makes stale, such as `table:users`.
    ///
    /// They are dropped after the commit and before the caller hears of it, also where the commit's fate is
    /// unknown, because it may have happened; never after a rollback.
    pub fn invalidate(&mut self, tag: impl Into<Arc<str>>) {
        note(self.tags.as_ref(), Some(&tag.into()));
    }

    /// Reads rows, with everything that this transaction wrote before.
    ///
    /// # Errors
    /// What the statement failed with; also when it returns no columns.
    pub fn query(&mut self, sql: impl Into<Sql>, params: impl Into<Params>) -> Result<Rows, TxError> {
        rows_of(self.execute(sql, params)?)
    }

    /// Reads rows of a type; see [`Rows::into_typed`].
    ///
    /// # Errors
    /// What the statement failed with, rows beyond the limit, or a cell that does not fit its type.
    pub fn query_as<T: DeserializeOwned>(
        &mut self,
        sql: impl Into<Sql>,
        params: impl Into<Params>,
    ) -> Result<Vec<T>, TxError> {
        typed(self.query(sql, params)?)
    }
}

fn note(tags: Option<&Arc<Tags>>, tag: Option<&Arc<str>>) {
    if let (Some(tags), Some(tag)) = (tags, tag) {
        tags.add(Arc::clone(tag));
    }
}

fn rows_of(written: Written) -> Result<Rows, TxError> {
    written.rows.ok_or_else(|| TxError::abort("the statement returns no rows; use `execute`"))
}

fn typed<T: DeserializeOwned>(rows: Rows) -> Result<Vec<T>, TxError> {
    if rows.is_truncated() {
        let failure = Failure::new(FailureKind::TooLarge, "more rows than the limit");
        return Err(failure.in_phase(Phase::Decode).executed_is(Executed::No).into());
    }
    rows.into_typed().map_err(TxError::abort)
}

impl fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

/// Why a closure gives its transaction up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TxError {
    /// A statement failed.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The closure itself decided so.
    #[error("the transaction was given up: {0}")]
    Abort(Box<dyn Error + Send + Sync>),
}

impl From<StatementError> for TxError {
    fn from(error: StatementError) -> Self {
        Self::Failed(error.into())
    }
}

impl TxError {
    /// Gives the transaction up for a reason of the caller; it is the source of the failure.
    pub fn abort(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Abort(reason.into())
    }

    /// Turns it into the failure of a call whose transaction was rolled back.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Failed(failure) => failure.executed_is(Executed::No),
            Self::Abort(reason) => Failure::refused(format!("the transaction was given up: {reason}"))
                .counts_as(Outcome::NotCounted)
                .with_code("given_up")
                .caused_by(reason),
        }
    }
}
