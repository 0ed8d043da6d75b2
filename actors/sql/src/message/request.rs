//! One statement with its parameters, shared by the messages and the thread that runs it.

use std::{
    borrow::Borrow,
    fmt,
    hash::{Hash, Hasher},
    ops::{RangeInclusive, RangeToInclusive},
    sync::Arc,
};

use backstop_core::{
    error::{Executed, Failure},
    outcome::Outcome,
};

use serde::{Serialize, Serializer};

use super::Written;
use crate::{Numbers, Params, Value};

/// The text of a statement; cloning copies a pointer.
#[derive(Clone)]
pub enum Sql {
    /// A text of the program.
    Static(&'static str),
    /// A text made at run time.
    Shared(Arc<str>),
}

impl Sql {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self::Static(text)
    }
}

impl From<String> for Sql {
    fn from(text: String) -> Self {
        Self::Shared(text.into())
    }
}

impl From<Arc<str>> for Sql {
    fn from(text: Arc<str>) -> Self {
        Self::Shared(text)
    }
}

impl Borrow<str> for Sql {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Sql {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}
impl Eq for Sql {}

impl Hash for Sql {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Serialize for Sql {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// One statement with its parameters and the limits of its reply.
///
/// Messages hold it in an `Arc`, so that handing it to another thread copies nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The text.
    pub sql: Sql,
    /// The parameters.
    pub params: Params,
    /// The most rows of the reply; the backend's limit where it is lower or this is `None`.
    pub rows_max: Option<usize>,
    /// The tag of cached answers that a write makes stale; see
    /// [`Message::invalidates`](backstop_core::message::Message::invalidates).
    pub invalidates: Option<Arc<str>>,
    /// How wide numbers are written when the reply becomes JSON.
    pub numbers: Numbers,
    /// How many rows the statement must insert, update or delete; any number when `None`.
    pub rows_expected: Option<RowsExpected>,
}

/// How many rows a statement must insert, update or delete: a number, or a range with its end.
///
/// ```
/// use backstop_sql::message::RowsExpected;
///
/// assert!(RowsExpected::from(1).contains(1));
/// assert!(RowsExpected::from(..=1).contains(0));
/// assert!(!RowsExpected::from(1..=3).contains(4));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowsExpected {
    least: u64,
    most: u64,
}

impl RowsExpected {
    /// Says whether that many rows are right.
    #[must_use]
    pub fn contains(self, rows: u64) -> bool {
        (self.least..=self.most).contains(&rows)
    }
}

impl From<u64> for RowsExpected {
    fn from(rows: u64) -> Self {
        Self { least: rows, most: rows }
    }
}

impl From<RangeInclusive<u64>> for RowsExpected {
    fn from(rows: RangeInclusive<u64>) -> Self {
        Self { least: *rows.start(), most: *rows.end() }
    }
}

impl From<RangeToInclusive<u64>> for RowsExpected {
    fn from(rows: RangeToInclusive<u64>) -> Self {
        Self { least: 0, most: rows.end }
    }
}

impl fmt::Display for RowsExpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.least, self.most) {
            (least, most) if least == most => write!(f, "{least}"),
            (0, most) => write!(f, "at most {most}"),
            (least, most) => write!(f, "{least} to {most}"),
        }
    }
}

/// The code of a write that hit another number of rows than it must.
pub const WRONG_ROW_COUNT: &str = "wrong_row_count";

impl Request {
    /// Asks for a statement without parameters.
    pub fn new(sql: impl Into<Sql>) -> Self {
        Self::with_params(sql, Params::default())
    }

    /// Asks for a statement with parameters.
    pub fn with_params(sql: impl Into<Sql>, params: impl Into<Params>) -> Self {
        Self {
            sql: sql.into(),
            params: params.into(),
            rows_max: None,
            invalidates: None,
            numbers: Numbers::default(),
            rows_expected: None,
        }
    }

    /// Says how many rows the statement must insert, update or delete; with another number its whole
    /// transaction is rolled back, and the failure has the code `wrong_row_count`.
    ///
    /// ```
    /// use backstop_sql::{Request, Transaction};
    ///
    /// let only_one = Request::with_params("DELETE FROM users WHERE email = ?", ["a@b.c"]).expecting(..=1);
    /// # drop(Transaction::new().then(only_one));
    /// ```
    #[must_use]
    pub fn expecting(mut self, rows: impl Into<RowsExpected>) -> Self {
        self.rows_expected = Some(rows.into());
        self
    }

    /// Names a tag of cached answers that it makes stale, such as `table:users`, in whatever message it runs.
    #[must_use]
    pub fn invalidating(mut self, tag: impl Into<Arc<str>>) -> Self {
        self.invalidates = Some(tag.into());
        self
    }

    /// Compares what the statement did with what was expected; backends call it before they commit.
    ///
    /// # Errors
    /// [`Refused`](backstop_core::error::FailureKind::Refused) with the code `wrong_row_count`: the transaction
    /// is to be rolled back, so it says `executed: no`.
    pub fn check_rows(&self, written: &Written) -> Result<(), Failure> {
        let affected = written.affected;
        let Some(expected) = self.rows_expected.filter(|expected| !expected.contains(affected)) else {
            return Ok(());
        };
        let text = format!("the statement hit {affected} rows where {expected} were expected");
        Err(Failure::refused(text)
            .executed_is(Executed::No)
            .counts_as(Outcome::NotCounted)
            .with_code(WRONG_ROW_COUNT))
    }
}

/// The setters that all messages of one statement have.
macro_rules! request_setters {
    () => {
        /// Gives the next parameter, for `?` and `$1`.
        #[must_use]
        pub fn bind(mut self, value: impl Into<$crate::Value>) -> Self {
            self.edit().bind(value.into());
            self
        }

        /// Gives a parameter by name, without the colon.
        #[must_use]
        pub fn bind_named(mut self, name: impl Into<Box<str>>, value: impl Into<$crate::Value>) -> Self {
            self.edit().bind_named(name.into(), value.into());
            self
        }

        /// Gives all parameters at once, in place of those given before.
        #[must_use]
        pub fn bind_all(mut self, params: impl Into<$crate::Params>) -> Self {
            self.edit().params = params.into();
            self
        }

        /// Limits the rows of the reply; the backend's own limit stays the upper bound.
        #[must_use]
        pub fn limit_rows(mut self, rows: usize) -> Self {
            self.edit().rows_max = Some(rows);
            self
        }

        /// Sets how wide numbers are written when the reply becomes JSON; strings by default.
        #[must_use]
        pub fn numbers(mut self, numbers: $crate::Numbers) -> Self {
            self.edit().numbers = numbers;
            self
        }

        /// Returns the statement; backends share it with their threads.
        #[must_use]
        pub fn request(&self) -> &std::sync::Arc<$crate::Request> {
            &self.request
        }

        /// The message is the only owner while it is built, so nothing is cloned.
        fn edit(&mut self) -> &mut $crate::Request {
            std::sync::Arc::make_mut(&mut self.request)
        }
    };
}
pub(super) use request_setters;

impl Request {
    pub(super) fn bind(&mut self, value: Value) {
        self.params.push(value);
    }

    pub(super) fn bind_named(&mut self, name: Box<str>, value: Value) {
        self.params.set(name, value);
    }
}
