//! Reads: dynamic rows, or rows of a type.

use std::{fmt, marker::PhantomData, sync::Arc};

use backstop_core::message::{Class, Message};
use serde::de::DeserializeOwned;

use super::{Request, Sql, request::request_setters};
use crate::Rows;

/// Reads rows. The engine enforces that nothing is written, so it may be repeated.
///
/// More rows than the limit are cut off, and [`Rows::is_truncated`] says so.
#[derive(Clone, Debug)]
pub struct Query {
    request: Arc<Request>,
}

impl Query {
    /// Reads what `sql` selects.
    pub fn new(sql: impl Into<Sql>) -> Self {
        Request::new(sql).into()
    }

    /// Turns each row into a `T`; see [`Rows::into_typed`].
    #[must_use]
    pub fn typed<T: DeserializeOwned + Send + 'static>(self) -> QueryAs<T> {
        QueryAs { request: self.request, typed: PhantomData }
    }

    request_setters!();
}

impl From<Request> for Query {
    fn from(request: Request) -> Self {
        Self { request: Arc::new(request) }
    }
}

impl Message for Query {
    type Reply = Rows;
    const NAME: &'static str = "query";

    fn class(&self) -> Class {
        Class::Read
    }
}

/// Reads rows of a type. More rows than the limit are an error, because a cut list would look whole.
pub struct QueryAs<T> {
    request: Arc<Request>,
    typed: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + Send + 'static> QueryAs<T> {
    /// Reads what `sql` selects.
    pub fn new(sql: impl Into<Sql>) -> Self {
        Query::new(sql).typed()
    }

    request_setters!();
}

impl<T> Clone for QueryAs<T> {
    fn clone(&self) -> Self {
        Self { request: Arc::clone(&self.request), typed: PhantomData }
    }
}

impl<T> fmt::Debug for QueryAs<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryAs").field("request", &self.request).finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned + Send + 'static> Message for QueryAs<T> {
    type Reply = Vec<T>;
    const NAME: &'static str = "query";

    fn class(&self) -> Class {
        Class::Read
    }
}
