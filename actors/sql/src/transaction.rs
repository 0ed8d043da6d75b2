//! What a transaction's closure sees.

mod asynchronous;
mod options;

use std::{error::Error, fmt};

use backstop_core::{
    error::{Executed, Failure, FailureKind, Phase},
    outcome::Outcome,
};
use serde::de::DeserializeOwned;

pub use self::{
    asynchronous::{AfterCommit, AsyncTx, AsyncTxEngine, SavepointVerb},
    options::{Isolation, TxOptions},
};
use crate::{Params, Request, Rows, Sql, Written};

/// An open transaction. It ends when the closure returns: `Ok` commits, `Err` and a panic roll back.
pub struct Tx<'a> {
    engine: &'a mut dyn TxEngine,
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
        Self { engine }
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// What the statement failed with. A closure may handle it and go on, unless the transaction is gone;
    /// then every further statement fails.
    pub fn execute(&mut self, sql: impl Into<Sql>, params: impl Into<Params>) -> Result<Written, TxError> {
        Ok(self.engine.run(&Request::with_params(sql, params))?)
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
