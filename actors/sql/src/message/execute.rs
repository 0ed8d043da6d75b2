//! One statement that writes.

use std::sync::Arc;

use backstop_core::message::{Class, Message};
use serde::{Serialize, Serializer};

use super::{Request, Sql, request::request_setters};
use crate::{Numbers, Rows, row::Envelope};

/// Runs one statement and commits it.
///
/// It is [`Class::Unsafe`] unless the caller says more: nobody can see in a text whether running it twice
/// does harm.
#[derive(Clone, Debug)]
pub struct Execute {
    request: Arc<Request>,
    class: Class,
}

impl Execute {
    /// Runs `sql`.
    pub fn new(sql: impl Into<Sql>) -> Self {
        Request::new(sql).into()
    }

    /// Declares that running it again has the same effect, such as an upsert of a full row.
    #[must_use]
    pub fn idempotent(self) -> Self {
        self.class(Class::Idempotent)
    }

    /// Declares its class.
    #[must_use]
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Says how many rows it must insert, update or delete; with another number it is undone as a whole and fails
    /// with the code `wrong_row_count`.
    #[must_use]
    pub fn expecting(mut self, rows: impl Into<super::RowsExpected>) -> Self {
        self.edit().rows_expected = Some(rows.into());
        self
    }

    /// Names a tag of cached answers that it makes stale, such as `table:users`.
    #[must_use]
    pub fn invalidating(mut self, tag: impl Into<Arc<str>>) -> Self {
        self.edit().invalidates = Some(tag.into());
        self
    }

    request_setters!();
}

impl From<Request> for Execute {
    fn from(request: Request) -> Self {
        Self { request: Arc::new(request), class: Class::Unsafe }
    }
}

impl Message for Execute {
    type Reply = Written;
    const NAME: &'static str = "execute";

    fn class(&self) -> Class {
        self.class
    }

    fn invalidates(&self, tag: &mut dyn FnMut(&str)) {
        if let Some(stale) = &self.request.invalidates {
            tag(stale);
        }
    }
}

/// What a statement did.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Written {
    /// Rows inserted, updated or deleted.
    pub affected: u64,
    /// The id that the engine gave to the last row this very statement inserted.
    pub last_insert_id: Option<i64>,
    /// What RETURNING, or a read inside a transaction, returned.
    pub rows: Option<Rows>,
    /// How wide numbers are written when the reply becomes JSON.
    pub numbers: Numbers,
}

impl Written {
    /// Says that so many rows were written, and nothing else.
    #[must_use]
    pub fn counting(affected: u64) -> Self {
        Self { affected, ..Self::default() }
    }
}

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { affected, last_insert_id, rows, numbers } = self;
        Envelope {
            rows: rows.as_ref(),
            affected: *affected,
            last_insert_id: *last_insert_id,
            numbers: *numbers,
        }
        .serialize(serializer)
    }
}
