//! One statement with its parameters, shared by the messages and the thread that runs it.

use std::{
    borrow::Borrow,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use backstop_core::error::Failure;

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
    /// The most rows that a write may touch; one that would touch more is undone as a whole and fails with
    /// [`WRONG_ROW_COUNT`]. Every SQL backend keeps it, in `Execute` and in transactions.
    pub affected_max: Option<u64>,
    /// The tag of cached answers that a write makes stale; see
    /// [`Message::invalidates`](backstop_core::message::Message::invalidates).
    pub invalidates: Option<Arc<str>>,
    /// How wide numbers are written when the reply becomes JSON.
    pub numbers: Numbers,
}

/// The code of a write that would have touched more rows than it may.
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
            affected_max: None,
            invalidates: None,
            numbers: Numbers::default(),
        }
    }
}

impl Request {
    /// Refuses a write that has touched more rows than it may; the backend then undoes it.
    ///
    /// # Errors
    /// A refusal with the code [`WRONG_ROW_COUNT`], executed `no`.
    pub fn check_affected(&self, affected: u64) -> Result<(), Failure> {
        match self.affected_max {
            Some(most) if affected > most => {
                let rows = if most == 1 { "row" } else { "rows" };
                let text = format!("{affected} rows fit, and at most {most} {rows} may be written");
                Err(Failure::refused(text).with_code(WRONG_ROW_COUNT))
            }
            _ => Ok(()),
        }
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
