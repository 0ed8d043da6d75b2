//! Rows as they come back: dynamic, typed, and as one JSON envelope for every engine.

mod decode;
mod envelope;

use std::{ops::Index, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

pub use self::decode::DecodeError;
pub(crate) use self::envelope::Envelope;
use crate::{Numbers, Value};

/// A column of a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name, as the statement gives it.
    pub name: Box<str>,
    /// Its declared type in the engine's words; none for an expression.
    pub db_type: Option<Box<str>>,
}

/// The columns of a reply; cloning costs one reference count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns(Arc<[Column]>);

impl Columns {
    /// Finds the position of a column.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|column| *column.name == *name)
    }
}

impl FromIterator<Column> for Columns {
    fn from_iter<I: IntoIterator<Item = Column>>(columns: I) -> Self {
        Self(columns.into_iter().collect())
    }
}

impl std::ops::Deref for Columns {
    type Target = [Column];

    fn deref(&self) -> &[Column] {
        &self.0
    }
}

/// The rows of a reply; all cells lie in one block of memory.
///
/// As JSON it is the envelope of every SQL backend: `columns`, `rows`, `affected`, `truncated`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    columns: Columns,
    cells: Vec<Value>,
    truncated: bool,
    numbers: Numbers,
}

impl Rows {
    /// Starts with no rows.
    #[must_use]
    pub fn new(columns: Columns) -> Self {
        Self { columns, cells: Vec::new(), truncated: false, numbers: Numbers::default() }
    }

    /// Adds a cell; after as many as there are columns, the next row starts.
    pub fn push_cell(&mut self, cell: Value) {
        self.cells.push(cell);
    }

    /// Notes that the limit cut rows off.
    pub fn truncate(&mut self) {
        self.truncated = true;
    }

    /// Sets how wide numbers are written as JSON; strings by default.
    #[must_use]
    pub fn with_numbers(mut self, numbers: Numbers) -> Self {
        self.numbers = numbers;
        self
    }

    /// Takes the cells, row after row.
    #[must_use]
    pub fn into_cells(self) -> Vec<Value> {
        self.cells
    }

    /// Returns the columns.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Counts the rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.len() / self.columns.len().max(1)
    }

    /// Says whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Says whether the limit cut rows off.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Returns a row, counted from 0.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<Row<'_>> {
        let width = self.columns.len();
        let start = row.checked_mul(width)?;
        let cells = self.cells.get(start..start + width)?;
        (!cells.is_empty()).then_some(Row { columns: &self.columns, cells })
    }

    /// Walks over the rows.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        self.cells.chunks_exact(self.columns.len().max(1)).map(|cells| Row { columns: &self.columns, cells })
    }

    /// Turns each row into a `T`: a struct by column name, a tuple by position, or the value of the only
    /// column.
    ///
    /// ```
    /// # use backstop_sql::{Column, Rows};
    /// # let columns = ["id", "name"].map(|name| Column { name: name.into(), db_type: None });
    /// # let mut rows = Rows::new(columns.into_iter().collect());
    /// # rows.push_cell(1.into());
    /// # rows.push_cell("Ada".into());
    /// #[derive(serde::Deserialize)]
    /// struct User { id: u64, name: String }
    ///
    /// let users = rows.into_typed::<User>()?;
    /// assert_eq!((users[0].id, users[0].name.as_str()), (1, "Ada"));
    /// # Ok::<_, backstop_sql::DecodeError>(())
    /// ```
    ///
    /// # Errors
    /// [`DecodeError`] names the row and the column.
    pub fn into_typed<T: DeserializeOwned>(self) -> Result<Vec<T>, DecodeError> {
        decode::rows(&self.columns, self.cells)
    }
}

impl Serialize for Rows {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Envelope { rows: Some(self), affected: 0, last_insert_id: None, numbers: self.numbers }
            .serialize(serializer)
    }
}

/// One row of a reply.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    columns: &'a Columns,
    cells: &'a [Value],
}

impl<'a> Row<'a> {
    /// Returns the value of a column by its name; the first one where names repeat.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&'a Value> {
        self.cells.get(self.columns.position(column)?)
    }

    /// Returns the values in the order of the columns.
    #[must_use]
    pub fn values(&self) -> &'a [Value] {
        self.cells
    }
}

impl Index<usize> for Row<'_> {
    type Output = Value;

    /// # Panics
    /// When there are not as many columns.
    fn index(&self, column: usize) -> &Value {
        &self.cells[column]
    }
}
