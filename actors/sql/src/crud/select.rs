//! Reads: one row, several rows, how many, whether any.

use std::{fmt, marker::PhantomData};

use backstop_core::message::{Class, Message, Sharing};
use serde::de::DeserializeOwned;

use super::{
    Filter, LIMIT, Shapes,
    draft::{Draft, Form, Order, Page},
    kept::{Kept, kept_setters},
};
use crate::{Dialect, Numbers, Request, Rows, StatementError, TableName};

/// What the reads of rows have in common.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    table: TableName,
    columns: Vec<Box<str>>,
    filter: Filter,
    order: Vec<Order>,
    numbers: Numbers,
}

impl Selection {
    fn new(table: TableName, filter: Filter) -> Self {
        let (columns, order) = (Vec::new(), Vec::new());
        Self { table, columns, filter, order, numbers: Numbers::default() }
    }

    fn draft(&self, page: Page) -> Draft<'_> {
        let Self { table, columns, filter, order, .. } = self;
        Draft { table, form: Form::Select { columns, filter, order, page } }
    }
}

macro_rules! selection_setters {
    () => {
        /// Reads these columns and no others; all of the table unless set.
        #[must_use]
        pub fn columns<C: Into<Box<str>>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
            self.selection.columns = columns.into_iter().map(Into::into).collect();
            self
        }

        /// Sorts by a column, after those that were named before.
        #[must_use]
        pub fn order_by(self, column: impl Into<Box<str>>) -> Self {
            self.ordered(column.into(), false)
        }

        /// Sorts by a column from its end, after those that were named before.
        #[must_use]
        pub fn order_by_desc(self, column: impl Into<Box<str>>) -> Self {
            self.ordered(column.into(), true)
        }

        /// Sets how wide numbers are written when the reply becomes JSON; strings by default.
        #[must_use]
        pub fn numbers(mut self, numbers: Numbers) -> Self {
            self.selection.numbers = numbers;
            self
        }

        /// Builds the statement for an engine.
        ///
        /// # Errors
        /// [`StatementError`] names what no engine takes.
        pub fn lower(&self, dialect: Dialect) -> Result<Request, StatementError> {
            self.request(dialect, None)
        }

        pub(super) fn request(
            &self,
            dialect: Dialect,
            shapes: Option<&Shapes>,
        ) -> Result<Request, StatementError> {
            let mut request = self.draft().lower(dialect, shapes)?;
            request.numbers = self.selection.numbers;
            Ok(request)
        }

        fn ordered(mut self, column: Box<str>, descending: bool) -> Self {
            self.selection.order.push(Order { column, descending });
            self
        }

        kept_setters!();
    };
}

/// Reads the first row that fits, or none; the reply holds at most one.
///
/// ```
/// use backstop_sql::crud::SelectOne;
///
/// #[derive(Clone, serde::Deserialize)]
/// struct User { id: i64, name: String }
///
/// let user = SelectOne::new("users", ("id", 7)).columns(["id", "name"]).cache_key("user:7").typed::<User>();
/// # drop(user);
/// ```
#[derive(Clone, Debug)]
pub struct SelectOne {
    selection: Selection,
    kept: Kept,
}

impl SelectOne {
    /// Reads a row of `table`.
    pub fn new(table: impl Into<TableName>, filter: impl Into<Filter>) -> Self {
        Self { selection: Selection::new(table.into(), filter.into()), kept: Kept::default() }
    }

    /// Turns the row into a `T`; see [`Rows::into_typed`].
    #[must_use]
    pub fn typed<T: DeserializeOwned + Clone + Send + Sync + 'static>(self) -> SelectOneAs<T> {
        SelectOneAs { untyped: self, typed: PhantomData }
    }

    /// The column and the value of its only condition, where it asks by one key and in no order.
    pub(super) fn key(&self) -> Option<(&TableName, &[Box<str>], &str, &crate::Value)> {
        let Selection { table, columns, filter, order, .. } = &self.selection;
        let (column, value) = filter.as_key().filter(|_| order.is_empty())?;
        Some((table, columns, column, value))
    }

    /// Builds the statement with the texts that a lane remembers, for a backend.
    ///
    /// # Errors
    /// [`StatementError`] names what no engine takes.
    pub fn lower_known(&self, dialect: Dialect, shapes: &Shapes) -> Result<Request, StatementError> {
        self.request(dialect, Some(shapes))
    }

    fn draft(&self) -> Draft<'_> {
        self.selection.draft(Page::First)
    }

    selection_setters!();
}

/// Reads the rows that fit: at most 100, from the first one, unless set.
///
/// The pages of a list need an order that leaves no two rows equal, or rows appear twice or not at all.
#[derive(Clone, Debug)]
pub struct SelectMany {
    selection: Selection,
    limit: u64,
    offset: u64,
    kept: Kept,
}

impl SelectMany {
    /// Reads rows of `table`; `()` means all of them.
    pub fn new(table: impl Into<TableName>, filter: impl Into<Filter>) -> Self {
        let selection = Selection::new(table.into(), filter.into());
        Self { selection, limit: LIMIT, offset: 0, kept: Kept::default() }
    }

    /// Sets the most rows; 100 by default. The backend's own limit stays the upper bound.
    #[must_use]
    pub fn limit(mut self, rows: u64) -> Self {
        self.limit = rows;
        self
    }

    /// Sets how many rows are passed over; none by default.
    #[must_use]
    pub fn offset(mut self, rows: u64) -> Self {
        self.offset = rows;
        self
    }

    /// Turns each row into a `T`; see [`Rows::into_typed`].
    #[must_use]
    pub fn typed<T: DeserializeOwned + Clone + Send + Sync + 'static>(self) -> SelectManyAs<T> {
        SelectManyAs { untyped: self, typed: PhantomData }
    }

    fn draft(&self) -> Draft<'_> {
        self.selection.draft(Page::Window { limit: self.limit, offset: self.offset })
    }

    selection_setters!();
}

/// Counts the rows that fit.
#[derive(Clone, Debug)]
pub struct Count {
    table: TableName,
    filter: Filter,
    kept: Kept,
}

/// Says whether any row fits.
#[derive(Clone, Debug)]
pub struct Exists {
    table: TableName,
    filter: Filter,
    kept: Kept,
}

macro_rules! about_rows {
    ($message:ident, $form:ident, $name:literal, $reply:ty) => {
        impl $message {
            /// Asks about rows of `table`; `()` means all of them.
            pub fn new(table: impl Into<TableName>, filter: impl Into<Filter>) -> Self {
                Self { table: table.into(), filter: filter.into(), kept: Kept::default() }
            }

            /// Builds the statement for an engine.
            ///
            /// # Errors
            /// [`StatementError`] names what no engine takes.
            pub fn lower(&self, dialect: Dialect) -> Result<Request, StatementError> {
                self.request(dialect, None)
            }

            pub(super) fn request(
                &self,
                dialect: Dialect,
                shapes: Option<&Shapes>,
            ) -> Result<Request, StatementError> {
                self.draft().lower(dialect, shapes)
            }

            fn draft(&self) -> Draft<'_> {
                Draft { table: &self.table, form: Form::$form { filter: &self.filter } }
            }

            kept_setters!();
        }

        read_message!($message, $name, $reply);
    };
}

macro_rules! read_message {
    ($message:ident, $name:literal, $reply:ty) => {
        impl Message for $message {
            type Reply = $reply;
            const NAME: &'static str = $name;

            fn class(&self) -> Class {
                Class::Read
            }

            fn sharing(&self) -> Option<Sharing<$reply>> {
                self.kept.sharing(&self.draft())
            }
        }
    };
}

about_rows!(Count, Count, "count", u64);
about_rows!(Exists, Exists, "exists", bool);
read_message!(SelectOne, "select_one", Rows);
read_message!(SelectMany, "select_many", Rows);

/// Reads the first row that fits as a `T`, or none.
pub struct SelectOneAs<T> {
    pub(super) untyped: SelectOne,
    typed: PhantomData<fn() -> T>,
}

/// Reads the rows that fit, each as a `T`. More rows than the backend's limit are an error, because a cut list
/// would look whole.
pub struct SelectManyAs<T> {
    pub(super) untyped: SelectMany,
    typed: PhantomData<fn() -> T>,
}

macro_rules! typed_message {
    ($message:ident, $name:literal, $reply:ty) => {
        impl<T> Clone for $message<T> {
            fn clone(&self) -> Self {
                Self { untyped: self.untyped.clone(), typed: PhantomData }
            }
        }

        impl<T> fmt::Debug for $message<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.untyped, f)
            }
        }

        impl<T: DeserializeOwned + Clone + Send + Sync + 'static> Message for $message<T> {
            type Reply = $reply;
            const NAME: &'static str = $name;

            fn class(&self) -> Class {
                Class::Read
            }

            fn sharing(&self) -> Option<Sharing<$reply>> {
                self.untyped.kept.sharing(&self.untyped.draft())
            }
        }
    };
}

typed_message!(SelectOneAs, "select_one", Option<T>);
typed_message!(SelectManyAs, "select_many", Vec<T>);
