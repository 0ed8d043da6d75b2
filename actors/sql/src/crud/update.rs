//! Writes that change rows.

use backstop_core::message::{Class, Message};

use super::{
    Filter, Record, Shapes,
    draft::{Draft, Form},
    insert::write_message,
};
use crate::{Dialect, Request, StatementError, TableName, Written};

/// Sets columns of the one row that fits; none is no error, and `affected` says so.
///
/// Where more than one row would be changed, none is: the statement is rolled back, and the call ends with the
/// code `wrong_row_count`, executed `no`.
#[derive(Clone, Debug)]
pub struct UpdateOne {
    table: TableName,
    filter: Filter,
    record: Record,
}

/// Sets columns of all rows that fit.
///
/// A condition that means every row is refused unless [`all_rows`](Self::all_rows) is said.
#[derive(Clone, Debug)]
pub struct UpdateMany {
    table: TableName,
    filter: Filter,
    record: Record,
    all_rows: bool,
}

impl UpdateOne {
    /// Sets `changes` in the row of `table` that fits.
    pub fn new(table: impl Into<TableName>, filter: impl Into<Filter>, changes: impl Into<Record>) -> Self {
        Self { table: table.into(), filter: filter.into(), record: changes.into() }
    }

    /// Builds the statement for an engine.
    ///
    /// # Errors
    /// [`StatementError`] for no changes, a condition that means every row, and names that no engine takes.
    pub fn lower(&self, dialect: Dialect) -> Result<Request, StatementError> {
        self.request(dialect, None)
    }

    pub(super) fn request(
        &self,
        dialect: Dialect,
        shapes: Option<&Shapes>,
    ) -> Result<Request, StatementError> {
        let mut request = update(&self.table, &self.filter, &self.record, false, (dialect, shapes))?;
        request.rows_expected = Some((..=1).into());
        Ok(request)
    }
}

impl UpdateMany {
    /// Sets `changes` in the rows of `table` that fit.
    pub fn new(table: impl Into<TableName>, filter: impl Into<Filter>, changes: impl Into<Record>) -> Self {
        Self { table: table.into(), filter: filter.into(), record: changes.into(), all_rows: false }
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
    /// [`StatementError`] for no changes, a condition that means every row, and names that no engine takes.
    pub fn lower(&self, dialect: Dialect) -> Result<Request, StatementError> {
        self.request(dialect, None)
    }

    pub(super) fn request(
        &self,
        dialect: Dialect,
        shapes: Option<&Shapes>,
    ) -> Result<Request, StatementError> {
        update(&self.table, &self.filter, &self.record, self.all_rows, (dialect, shapes))
    }
}

fn update(
    table: &TableName,
    filter: &Filter,
    record: &Record,
    all_rows: bool,
    (dialect, shapes): (Dialect, Option<&Shapes>),
) -> Result<Request, StatementError> {
    if record.is_empty() {
        return Err(StatementError::Message("an update sets at least one column".to_owned()));
    }
    refuse_everything("an update", filter, all_rows)?;
    Draft { table, form: Form::Update { record, filter } }.lower(dialect, shapes)
}

/// A forgotten condition must not reach the whole table.
pub(super) fn refuse_everything(what: &str, filter: &Filter, all_rows: bool) -> Result<(), StatementError> {
    if all_rows || !filter.is_everything() {
        return Ok(());
    }
    Err(StatementError::Refused {
        what: format!("a condition that means every row in {what}"),
        why: "give a condition, or say `all_rows` with the form for many",
    })
}

write_message!(UpdateOne, "update_one", Written, |_| Class::Unsafe);
write_message!(UpdateMany, "update_many", Written, |_| Class::Unsafe);
