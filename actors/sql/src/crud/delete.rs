//! Writes that remove rows.

use backstop_core::message::{Class, Message};

use super::{
    Filter, Shapes,
    draft::{Draft, Form},
    insert::write_message,
    update::refuse_everything,
};
use crate::{Dialect, Request, StatementError, TableName, Written};

/// Deletes the one row that fits; none is no error, and `affected` says so.
///
/// Where more than one row would be deleted, none is: the statement is rolled back, and the call ends with the
/// code `wrong_row_count`, executed `no`. A condition that is one equality counts as a key, so the message is
/// then [`Class::Idempotent`]: it may be sent again after a lost answer, and then finds nothing left.
#[derive(Clone, Debug)]
pub struct DeleteOne {
    table: TableName,
    filter: Filter,
}

/// Deletes all rows that fit.
///
/// A condition that means every row is refused unless [`all_rows`](Self::all_rows) is said.
#[derive(Clone, Debug)]
pub struct DeleteMany {
    table: TableName,
    filter: Filter,
    all_rows: bool,
}

impl DeleteOne {
    /// Deletes the row of `table` that fits.
    pub fn new(table: impl Into<TableName>, filter: impl Into<Filter>) -> Self {
        Self { table: table.into(), filter: filter.into() }
    }

    /// Builds the statement for an engine.
    ///
    /// # Errors
    /// [`StatementError`] for a condition that means every row, and names that no engine takes.
    pub fn lower(&self, dialect: Dialect) -> Result<Request, StatementError> {
        self.request(dialect, None)
    }

    pub(super) fn request(
        &self,
        dialect: Dialect,
        shapes: Option<&Shapes>,
    ) -> Result<Request, StatementError> {
        let mut request = delete(&self.table, &self.filter, false, (dialect, shapes))?;
        request.rows_expected = Some((..=1).into());
        Ok(request)
    }
}

impl DeleteMany {
    /// Deletes the rows of `table` that fit.
    pub fn new(table: impl Into<TableName>, filter: impl Into<Filter>) -> Self {
        Self { table: table.into(), filter: filter.into(), all_rows: false }
    }

    /// Allows a condition that means every row of the table.
    #[must_use]
    pub fn all_rows(mut self) -> Self {
        self.all_rows = true;
        self
    }

    /// Builds the statement for an engine.
    ///
    /// # Errors
    /// [`StatementError`] for a condition that means every row, and names that no engine takes.
    pub fn lower(&self, dialect: Dialect) -> Result<Request, StatementError> {
        self.request(dialect, None)
    }

    pub(super) fn request(
        &self,
        dialect: Dialect,
        shapes: Option<&Shapes>,
    ) -> Result<Request, StatementError> {
        delete(&self.table, &self.filter, self.all_rows, (dialect, shapes))
    }
}

fn delete(
    table: &TableName,
    filter: &Filter,
    all_rows: bool,
    (dialect, shapes): (Dialect, Option<&Shapes>),
) -> Result<Request, StatementError> {
    refuse_everything("a delete", filter, all_rows)?;
    Draft { table, form: Form::Delete { filter } }.lower(dialect, shapes)
}

write_message!(DeleteOne, "delete_one", Written, |delete| match delete.filter.as_key() {
    Some(_) => Class::Idempotent,
    None => Class::Unsafe,
});
write_message!(DeleteMany, "delete_many", Written, |_| Class::Unsafe);
