//! A transaction's closure that awaits; the form that every engine serves.

use std::{any::Any, fmt, marker::PhantomData, sync::Arc};

use backstop_core::message::{Class, Message};
use futures_util::future::LocalBoxFuture;

use crate::{AsyncTx, TxError, TxOptions, transaction::Tags};

/// Runs an async closure inside a transaction: commits when it returns `Ok`, rolls back when it returns `Err`,
/// panics, or its caller goes away.
///
/// It runs on the lane's thread, and again after a definite abort (a deadlock, a serialisation failure), so its
/// only effects should be those on the transaction; what is to happen once goes to [`AsyncTx::after_commit`].
/// On SQLite it holds the one writer: keep it short, and await nothing but the transaction in it.
///
/// ```
/// use backstop_sql::{TransactAsync, TxError};
///
/// let take = TransactAsync::new(async |tx| {
///     let left: Vec<i64> = tx.query_as("SELECT amount FROM stock WHERE sku = $1", ["A1"]).await?;
///     if left.first().is_none_or(|left| *left < 1) {
///         return Err(TxError::abort("out of stock"));
///     }
///     tx.execute("UPDATE stock SET amount = amount - 1 WHERE sku = $1", ["A1"]).await?;
///     Ok(left)
/// });
/// # drop(take);
/// ```
pub struct TransactAsync<R> {
    body: Arc<dyn AsyncTxBody>,
    options: TxOptions,
    tags: Arc<Tags>,
    reply: PhantomData<fn() -> R>,
}

impl<R: Send + 'static> TransactAsync<R> {
    /// Runs `body`.
    pub fn new<F>(body: F) -> Self
    where
        F: AsyncFn(&mut AsyncTx<'_>) -> Result<R, TxError> + Send + Sync + 'static,
    {
        let tags: Arc<Tags> = Arc::default();
        let body = Arc::new(Body(body, Arc::clone(&tags)));
        Self { body, options: TxOptions::default(), tags, reply: PhantomData }
    }

    /// Names a tag of cached answers that it makes stale, such as `table:users`; the closure may name more by
    /// [`AsyncTx::invalidate`].
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

    /// Returns the closure without the type of its reply.
    #[must_use]
    pub fn body(&self) -> &Arc<dyn AsyncTxBody> {
        &self.body
    }
}

impl<R> fmt::Debug for TransactAsync<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactAsync").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<R: Send + 'static> Message for TransactAsync<R> {
    type Reply = R;
    const NAME: &'static str = "transaction";

    fn class(&self) -> Class {
        Class::Transaction
    }

    fn invalidates(&self, tag: &mut dyn FnMut(&str)) {
        self.tags.each(tag);
    }
}

/// A closure whose reply has no type, for the backend that runs it.
pub trait AsyncTxBody: Send + Sync {
    /// Runs the closure once.
    ///
    /// # Errors
    /// Those of the closure.
    fn run<'a>(&'a self, tx: &'a mut AsyncTx<'_>)
    -> LocalBoxFuture<'a, Result<Box<dyn Any + Send>, TxError>>;
}

struct Body<F>(F, Arc<Tags>);

impl<F, R> AsyncTxBody for Body<F>
where
    F: AsyncFn(&mut AsyncTx<'_>) -> Result<R, TxError> + Send + Sync,
    R: Send + 'static,
{
    fn run<'a>(
        &'a self,
        tx: &'a mut AsyncTx<'_>,
    ) -> LocalBoxFuture<'a, Result<Box<dyn Any + Send>, TxError>> {
        tx.tags = Some(Arc::clone(&self.1));
        Box::pin(async move { (self.0)(tx).await.map(|reply| Box::new(reply) as Box<dyn Any + Send>) })
    }
}
