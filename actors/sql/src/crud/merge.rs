//! The shapes that a backend can merge: many messages of one shape become one statement.

use super::{InsertOne, SelectOne};
use crate::{TableName, Value};

/// A [`SelectOne`] that asks by one column, in no order.
///
/// The column need not be unique: of several rows with the key, the reply holds one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeyLookup<'m> {
    /// The table.
    pub table: &'m TableName,
    /// The columns of the reply; all where it is empty.
    pub columns: &'m [Box<str>],
    /// The column of the key.
    pub key_column: &'m str,
    /// The key; never null.
    pub key: &'m Value,
}

/// An [`InsertOne`] as columns and values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowInsert<'m> {
    /// The table.
    pub table: &'m TableName,
    /// The columns that have values.
    pub columns: &'m [Box<str>],
    /// The values, in the order of the columns.
    pub values: &'m [Value],
    /// The column whose value the reply must hold; a merged statement has no promised order of what it
    /// returns, so only inserts without it can be merged by themselves.
    pub id: Option<&'m str>,
}

impl SelectOne {
    /// Shows it as a look-up by one key, if it is one.
    ///
    /// ```
    /// use backstop_sql::crud::{Filter, SelectOne};
    ///
    /// let by_key = SelectOne::new("users", ("id", 7));
    /// assert_eq!(by_key.as_key_lookup().map(|lookup| lookup.key_column), Some("id"));
    /// let by_range = SelectOne::new("users", Filter::gt("id", 7));
    /// assert!(by_range.as_key_lookup().is_none());
    /// ```
    #[must_use]
    pub fn as_key_lookup(&self) -> Option<KeyLookup<'_>> {
        let (table, columns, key_column, key) = self.key()?;
        Some(KeyLookup { table, columns, key_column, key })
    }
}

impl InsertOne {
    /// Shows it as one row of a list.
    #[must_use]
    pub fn as_row_insert(&self) -> RowInsert<'_> {
        let (table, record, id) = self.parts();
        RowInsert { table, columns: record.columns(), values: record.values(), id }
    }
}
