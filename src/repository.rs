//! A table as a set of rows of one type, over whichever backend serves the messages on a table.

use std::future::Future;

use backstop_core::error::{CallError, Executed, Failure, FailureKind, Phase};
use backstop_sql::{
    Rows, StatementError, Value,
    crud::{Count, Crud, DeleteOne, Filter, InsertOne, Record, SelectMany, SelectOne, UpdateOne},
};
use backstop_supervisor::BackendRef;
use serde::{Serialize, de::DeserializeOwned};

/// Finds, creates, changes and deletes the rows of one table.
///
/// Implement the three items without a default, and add methods of your own that ask the backend for more.
/// Everything is a message, so deadlines, retries, the breaker and statistics hold as for any other one.
///
/// ```
/// use backstop::{BackendRef, Repository, sqlite::Sqlite};
///
/// #[derive(serde::Deserialize)]
/// struct User { id: i64, email: String }
///
/// struct Users(BackendRef<Sqlite>);
///
/// impl Repository for Users {
///     type Backend = Sqlite;
///     type Row = User;
///     const TABLE: &'static str = "users";
///     fn backend(&self) -> &BackendRef<Sqlite> { &self.0 }
/// }
///
/// impl Users {
///     async fn find_by_email(&self, email: &str) -> Result<Option<User>, backstop::CallError> {
///         self.find_one(("email", email)).await
///     }
/// }
/// ```
///
/// # Cancel safety
/// Dropping a future of this trait cancels its call, as with any [`Ask`](crate::Ask).
pub trait Repository {
    /// The backend that holds the table.
    type Backend: Crud;
    /// A row, read by serde.
    type Row: DeserializeOwned;
    /// The name of the table.
    const TABLE: &'static str;
    /// The column of the key; `id` unless overridden.
    const KEY: &'static str = "id";
    /// The columns that are read; all of the table unless overridden.
    const COLUMNS: &'static [&'static str] = &[];

    /// Returns the backend that holds the table.
    fn backend(&self) -> &BackendRef<Self::Backend>;

    /// Finds the row with a key.
    ///
    /// # Errors
    /// As [`Ask`](crate::Ask); also `decode`, where the row does not fit its type.
    fn find(&self, key: impl Into<Value>) -> impl Future<Output = Result<Option<Self::Row>, CallError>> {
        self.find_one((Self::KEY, key.into()))
    }

    /// Finds the first row that fits.
    ///
    /// # Errors
    /// As [`Repository::find`].
    fn find_one(
        &self,
        filter: impl Into<Filter>,
    ) -> impl Future<Output = Result<Option<Self::Row>, CallError>> {
        let select = SelectOne::new(Self::TABLE, filter).columns(Self::COLUMNS.iter().copied());
        let ask = self.backend().ask(select);
        async move { Ok(self.typed(ask.await?)?.pop()) }
    }

    /// Finds the rows that fit in the order of their keys, at most 100.
    ///
    /// # Errors
    /// As [`Repository::find`].
    fn find_many(
        &self,
        filter: impl Into<Filter>,
    ) -> impl Future<Output = Result<Vec<Self::Row>, CallError>> {
        self.find_page(filter, backstop_sql::crud::LIMIT, 0)
    }

    /// Finds at most `limit` of the rows that fit, in the order of their keys, after `offset` others.
    ///
    /// # Errors
    /// As [`Repository::find`]; `too_large` where the backend's own limit cut the page.
    fn find_page(
        &self,
        filter: impl Into<Filter>,
        limit: u64,
        offset: u64,
    ) -> impl Future<Output = Result<Vec<Self::Row>, CallError>> {
        let select = SelectMany::new(Self::TABLE, filter).columns(Self::COLUMNS.iter().copied());
        let ask = self.backend().ask(select.order_by(Self::KEY).limit(limit).offset(offset));
        async move { self.typed(ask.await?) }
    }

    /// Creates a row from the fields of a struct or the entries of a map, and returns its key.
    ///
    /// A key without a value is left to the engine.
    ///
    /// # Errors
    /// As [`Ask`](crate::Ask); `invalid_value` names a field that has no place in a row.
    fn create<N: Serialize + ?Sized>(&self, row: &N) -> impl Future<Output = Result<Value, CallError>> {
        let record = Record::from_struct(row);
        async move {
            let mut record =
                record.map_err(|error| self.refused(StatementError::Value(error.to_string())))?;
            if record.get(Self::KEY).is_some_and(Value::is_null) {
                record.remove(Self::KEY);
            }
            let insert = InsertOne::new(Self::TABLE, record).returning(Self::KEY);
            Ok(self.backend().ask(insert).await?.id.unwrap_or_default())
        }
    }

    /// Sets columns of the row with a key; `false` where there is none.
    ///
    /// # Errors
    /// As [`Ask`](crate::Ask); `wrong_row_count` where the key is not unique.
    fn update(
        &self,
        key: impl Into<Value>,
        changes: impl Into<Record>,
    ) -> impl Future<Output = Result<bool, CallError>> {
        let ask = self.backend().ask(UpdateOne::new(Self::TABLE, (Self::KEY, key.into()), changes));
        async move { Ok(ask.await?.affected > 0) }
    }

    /// Deletes the row with a key; `false` where there is none.
    ///
    /// # Errors
    /// As [`Ask`](crate::Ask); `wrong_row_count` where the key is not unique.
    fn delete(&self, key: impl Into<Value>) -> impl Future<Output = Result<bool, CallError>> {
        let ask = self.backend().ask(DeleteOne::new(Self::TABLE, (Self::KEY, key.into())));
        async move { Ok(ask.await?.affected > 0) }
    }

    /// Counts the rows that fit.
    ///
    /// # Errors
    /// As [`Ask`](crate::Ask).
    fn count(&self, filter: impl Into<Filter>) -> impl Future<Output = Result<u64, CallError>> {
        self.backend().ask(Count::new(Self::TABLE, filter))
    }

    #[doc(hidden)]
    fn typed(&self, rows: Rows) -> Result<Vec<Self::Row>, CallError> {
        let unusable = |kind, text: String| {
            self.refused(Failure::new(kind, text).in_phase(Phase::Decode).executed_is(Executed::No))
        };
        if rows.is_truncated() {
            let text = format!("the reply exceeds the limit after {} rows", rows.len());
            return Err(unusable(FailureKind::TooLarge, text));
        }
        rows.into_typed().map_err(|error| unusable(FailureKind::Decode, error.to_string()))
    }

    #[doc(hidden)]
    fn refused(&self, failure: impl Into<Failure>) -> CallError {
        self.backend().guard().stamped(failure.into()).into()
    }
}
