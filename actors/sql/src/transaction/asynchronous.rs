//! An open transaction whose closure awaits.

use std::{fmt, sync::Arc};

use backstop_core::error::Failure;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use super::{Tags, TxError, note, rows_of, typed};
use crate::{Params, Request, Rows, Sql, Written};

/// An open transaction for a closure that awaits. It ends when the closure returns: `Ok` commits, `Err` and a
/// panic roll back; so does a caller that goes away.
///
/// # Cancel safety
/// A statement whose future is dropped leaves the transaction in doubt: every further statement fails, and the
/// transaction is rolled back.
pub struct AsyncTx<'a> {
    engine: &'a mut dyn AsyncTxEngine,
    /// Depth of savepoints, which are named by it.
    depth: usize,
    hooks: Vec<AfterCommit>,
    /// The list of the message; none where no message runs it.
    pub(crate) tags: Option<Arc<Tags>>,
}

/// What runs once a commit is proven.
pub type AfterCommit = Box<dyn FnOnce() + Send>;

/// A savepoint's verbs; `0` is the outermost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavepointVerb {
    /// Sets it.
    Set(usize),
    /// Keeps what was done since, and forgets it.
    Release(usize),
    /// Undoes what was done since, and forgets it.
    RollBack(usize),
}

impl SavepointVerb {
    /// Returns the statements for it, which every engine understands.
    #[must_use]
    pub fn sql(self) -> String {
        match self {
            Self::Set(depth) => format!("SAVEPOINT backstop_{depth}"),
            Self::Release(depth) => format!("RELEASE SAVEPOINT backstop_{depth}"),
            Self::RollBack(depth) => format!("ROLLBACK TO SAVEPOINT backstop_{depth}"),
        }
    }
}

/// The engine's side of a transaction that awaits.
pub trait AsyncTxEngine {
    /// Runs one statement.
    ///
    /// # Errors
    /// What the statement failed with. Where the engine aborts a transaction at its first error, every further
    /// statement fails until a savepoint is rolled back.
    fn run<'a>(&'a mut self, request: &'a Request) -> LocalBoxFuture<'a, Result<Written, Failure>>;

    /// Sets, releases or rolls back a savepoint.
    ///
    /// # Errors
    /// What the engine said; the transaction is then to be rolled back.
    fn savepoint(&mut self, verb: SavepointVerb) -> LocalBoxFuture<'_, Result<(), Failure>>;
}

impl<'a> AsyncTx<'a> {
    /// Lends an engine's transaction to a closure.
    pub fn new(engine: &'a mut dyn AsyncTxEngine) -> Self {
        Self { engine, depth: 0, hooks: Vec::new(), tags: None }
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// What the statement failed with.
    pub async fn execute(
        &mut self,
        sql: impl Into<Sql>,
        params: impl Into<Params>,
    ) -> Result<Written, TxError> {
        self.run(&Request::with_params(sql, params)).await
    }

    /// Runs a statement with its limits, such as what a message on a table is lowered to; the tag that it names is
    /// dropped as with [`Self::invalidate`].
    ///
    /// # Errors
    /// What the statement failed with; also when it hit another number of rows than it expects. What it did
    /// then lasts only if the closure handles the error and commits.
    pub async fn run(&mut self, request: &Request) -> Result<Written, TxError> {
        note(self.tags.as_ref(), request.invalidates.as_ref());
        let written = self.engine.run(request).await?;
        request.check_rows(&written)?;
        Ok(written)
    }

    /// Reads rows, with everything that this transaction wrote before.
    ///
    /// # Errors
    /// What the statement failed with; also when it returns no columns.
    pub async fn query(&mut self, sql: impl Into<Sql>, params: impl Into<Params>) -> Result<Rows, TxError> {
        rows_of(self.execute(sql, params).await?)
    }

    /// Reads rows of a type; see [`Rows::into_typed`].
    ///
    /// # Errors
    /// What the statement failed with, rows beyond the limit, or a cell that does not fit its type.
    pub async fn query_as<T: DeserializeOwned>(
        &mut self,
        sql: impl Into<Sql>,
        params: impl Into<Params>,
    ) -> Result<Vec<T>, TxError> {
        typed(self.query(sql, params).await?)
    }

    /// Runs a part that can fail by itself: what it did is undone, and the transaction goes on.
    ///
    /// Hooks and tags that the part registered are forgotten with it.
    ///
    /// # Errors
    /// What the part returned, or what the engine said of the savepoint.
    pub async fn savepoint<R>(
        &mut self,
        part: impl AsyncFnOnce(&mut AsyncTx<'_>) -> Result<R, TxError>,
    ) -> Result<R, TxError> {
        let (depth, hooks) = (self.depth, self.hooks.len());
        let tags = self.tags.as_ref().map(|tags| tags.len());
        self.engine.savepoint(SavepointVerb::Set(depth)).await?;
        self.depth += 1;
        let result = part(self).await;
        self.depth = depth;
        if result.is_err() {
            self.hooks.truncate(hooks);
            self.engine.savepoint(SavepointVerb::RollBack(depth)).await?;
            // not before: until it is undone, it may last
            if let (Some(all), Some(tags)) = (&self.tags, tags) {
                all.truncate(tags);
            }
        }
        self.engine.savepoint(SavepointVerb::Release(depth)).await?;
        result
    }

    /// Names a tag of cached answers that the transaction makes stale, such as `table:users`.
    ///
    /// They are dropped after the commit and before the caller hears of it, also where the commit's fate is
    /// unknown, because it may have happened; never after a rollback.
    pub fn invalidate(&mut self, tag: impl Into<Arc<str>>) {
        note(self.tags.as_ref(), Some(&tag.into()));
    }

    /// Has `hook` run once the commit is proven, such as a word to somebody else; never after a rollback, and not
    /// while a commit's fate is unknown.
    pub fn after_commit(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.hooks.push(Box::new(hook));
    }

    /// Takes the hooks; the backend runs them after a proven commit.
    #[must_use]
    pub fn into_hooks(self) -> Vec<AfterCommit> {
        self.hooks
    }
}

impl fmt::Debug for AsyncTx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncTx").field("depth", &self.depth).finish_non_exhaustive()
    }
}
