//! Several statements that commit together: as a list, or as a closure.

use std::{
    any::Any,
    fmt,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
};

use backstop_core::message::{Class, Message};

use super::{Request, Written};
use crate::{Tx, TxError, TxOptions, transaction::Tags};

/// Runs a list of statements; all of them take effect or none. The reply has one entry per statement.
///
/// ```
/// use backstop_sql::{Request, Transaction};
///
/// let transfer = Transaction::new()
///     .then(Request::with_params("UPDATE account SET cents = cents - ? WHERE id = ?", (500, 1)))
///     .then(Request::with_params("UPDATE account SET cents = cents + ? WHERE id = ?", (500, 2)));
/// assert_eq!(transfer.requests().len(), 2);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    requests: Arc<Vec<Request>>,
    options: TxOptions,
    tags: Vec<Arc<str>>,
}

impl Transaction {
    /// Starts with an empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a statement.
    #[must_use]
    pub fn then(mut self, request: Request) -> Self {
        Arc::make_mut(&mut self.requests).push(request);
        self
    }

    /// Names a tag of cached answers that it makes stale, such as `table:users`, beside those of its statements.
    ///
    /// They are dropped after the commit and before the caller hears of it, also where the commit's fate is
    /// unknown; never after a rollback.
    #[must_use]
    pub fn invalidating(mut self, tag: impl Into<Arc<str>>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Sets how it runs.
    #[must_use]
    pub fn with_options(mut self, options: TxOptions) -> Self {
        self.options = options;
        self
    }

    /// Returns how it runs.
    #[must_use]
    pub fn options(&self) -> TxOptions {
        self.options
    }

    /// Returns the statements in order; backends share them with their threads.
    #[must_use]
    pub fn requests(&self) -> &Arc<Vec<Request>> {
        &self.requests
    }
}

impl FromIterator<Request> for Transaction {
    fn from_iter<I: IntoIterator<Item = Request>>(requests: I) -> Self {
        Self { requests: Arc::new(requests.into_iter().collect()), ..Self::default() }
    }
}

impl Message for Transaction {
    type Reply = Vec<Written>;
    const NAME: &'static str = "transaction";

    fn class(&self) -> Class {
        Class::Transaction
    }

    fn invalidates(&self, tag: &mut dyn FnMut(&str)) {
        let of_statements = self.requests.iter().filter_map(|request| request.invalidates.as_ref());
        of_statements.chain(&self.tags).for_each(|stale| tag(stale));
    }
}

/// Runs a closure that does not await inside a transaction of SQLite: commits when it returns `Ok`, rolls back
/// when it returns `Err` or panics. [`TransactAsync`](super::TransactAsync) is the form for every engine.
///
/// The closure may run again after a conflict, so its only effects should be those on the transaction. It runs
/// on the writer's thread and holds up all other writes: keep it short, and do no I/O in it.
///
/// ```
/// use backstop_sql::{Transact, Tx, TxError};
///
/// let take = Transact::new(|tx: &mut Tx<'_>| {
///     let left: Vec<i64> = tx.query_as("SELECT amount FROM stock WHERE sku = ?", ["A1"])?;
///     if left.first().is_none_or(|left| *left < 1) {
///         return Err(TxError::abort("out of stock"));
///     }
///     tx.execute("UPDATE stock SET amount = amount - 1 WHERE sku = ?", ["A1"])?;
///     Ok(left)
/// });
/// # drop(take);
/// ```
pub struct Transact<R> {
    body: Arc<dyn TxBody>,
    options: TxOptions,
    tags: Arc<Tags>,
    reply: PhantomData<fn() -> R>,
}

impl<R: Send + 'static> Transact<R> {
    /// Runs `body`.
    pub fn new<F>(body: F) -> Self
    where
        F: Fn(&mut Tx<'_>) -> Result<R, TxError> + Send + 'static,
    {
        let tags: Arc<Tags> = Arc::default();
        let body = Arc::new(Body(Mutex::new(body), Arc::clone(&tags)));
        Self { body, options: TxOptions::default(), tags, reply: PhantomData }
    }

    /// Names a tag of cached answers that it makes stale, such as `table:users`; the closure may name more by
    /// [`Tx::invalidate`].
    #[must_use]
    pub fn invalidating(self, tag: impl Into<Arc<str>>) -> Self {
        self.tags.add(tag.into());
        self
    }

    /// Sets how it runs.
    #[must_use]
    pub fn with_options(mut self, options: TxOptions) -> Self {
        self.options = options;
        self
    }

    /// Returns how it runs.
    #[must_use]
    pub fn options(&self) -> TxOptions {
        self.options
    }

    /// Returns the closure without the type of its reply; backends share it with their threads.
    #[must_use]
    pub fn body(&self) -> &Arc<dyn TxBody> {
        &self.body
    }
}

impl<R> fmt::Debug for Transact<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transact").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<R: Send + 'static> Message for Transact<R> {
    type Reply = R;
    const NAME: &'static str = "transaction";

    fn class(&self) -> Class {
        Class::Transaction
    }

    fn invalidates(&self, tag: &mut dyn FnMut(&str)) {
        self.tags.each(tag);
    }
}

/// A closure whose reply has no type, for the thread that runs it.
pub trait TxBody: Send + Sync {
    /// Runs the closure once.
    ///
    /// # Errors
    /// Those of the closure.
    ///
    /// # Panics
    /// When the closure does.
    fn run(&self, tx: &mut Tx<'_>) -> Result<Box<dyn Any + Send>, TxError>;
}

/// The lock makes a closure that is only `Send` shareable; one thread at a time runs it, so it never waits.
struct Body<F>(Mutex<F>, Arc<Tags>);

impl<F, R> TxBody for Body<F>
where
    F: Fn(&mut Tx<'_>) -> Result<R, TxError> + Send,
    R: Send + 'static,
{
    fn run(&self, tx: &mut Tx<'_>) -> Result<Box<dyn Any + Send>, TxError> {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tx.tags = Some(Arc::clone(&self.1));
        body(tx).map(|reply| Box::new(reply) as Box<dyn Any + Send>)
    }
}
