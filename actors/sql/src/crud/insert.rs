//! Writes that add rows.

use backstop_core::message::{Class, Message};
use serde::Serialize;

use super::{
    Record, Shapes,
    draft::{Draft, Form},
};
use crate::{
    BatchInsert, Dialect, Numbers, Params, Request, StatementError, TableName, Value, Written,
    value::JsonValue,
};

/// Inserts one row and returns the id that the engine gave it.
///
/// The id is that of the column `id` unless another one is named. On MySQL it is the value of the
/// AUTO_INCREMENT column, or the one in the row.
#[derive(Clone, Debug)]
pub struct InsertOne {
    table: TableName,
    record: Record,
    id: Option<Box<str>>,
}

impl InsertOne {
    /// Inserts `row` into `table`.
    pub fn new(table: impl Into<TableName>, row: impl Into<Record>) -> Self {
        Self { table: table.into(), record: row.into(), id: Some("id".into()) }
    }

    /// Names the column of the id.
    #[must_use]
    pub fn returning(mut self, column: impl Into<Box<str>>) -> Self {
        self.id = Some(column.into());
        self
    }

    /// Asks for no id, for tables without one; inserts that ask for none can share a statement with others.
    #[must_use]
    pub fn without_id(mut self) -> Self {
        self.id = None;
        self
    }

    /// Builds the statement for an engine.
    ///
    /// # Errors
    /// [`StatementError`] names what no engine takes.
    pub fn lower(&self, dialect: Dialect) -> Result<Request, StatementError> {
        self.request(dialect, None)
    }

    /// Builds the statement with the texts that a lane remembers, for a backend.
    ///
    /// # Errors
    /// [`StatementError`] names what no engine takes.
    pub fn lower_known(&self, dialect: Dialect, shapes: &Shapes) -> Result<Request, StatementError> {
        self.request(dialect, Some(shapes))
    }

    pub(super) fn request(
        &self,
        dialect: Dialect,
        shapes: Option<&Shapes>,
    ) -> Result<Request, StatementError> {
        let form = Form::Insert { record: &self.record, id: self.id.as_deref() };
        Draft { table: &self.table, form }.lower(dialect, shapes)
    }

    /// Finds the id in what the engine said; for a backend.
    #[must_use]
    pub fn reply(&self, written: Written) -> Inserted {
        let returned = written.rows.as_ref().and_then(|rows| rows.get(0)?.values().first().cloned());
        let given = || self.id.as_ref().and_then(|id| self.record.get(id).cloned());
        let generated = || written.last_insert_id.map(Value::Int).filter(|_| self.id.is_some());
        Inserted { id: returned.or_else(given).or_else(generated), written }
    }

    pub(super) fn parts(&self) -> (&TableName, &Record, Option<&str>) {
        (&self.table, &self.record, self.id.as_deref())
    }
}

/// What [`InsertOne`] did; as JSON it is the envelope of every SQL backend with one more field, `id`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Inserted {
    /// The id of the row; none where none was asked for.
    #[serde(serialize_with = "as_json")]
    pub id: Option<Value>,
    /// What the statement did.
    #[serde(flatten)]
    pub written: Written,
}

impl Inserted {
    /// Returns the id if it is a whole number.
    #[must_use]
    pub fn int_id(&self) -> Option<i64> {
        self.id.as_ref().and_then(Value::as_int)
    }
}

fn as_json<S: serde::Serializer>(id: &Option<Value>, serializer: S) -> Result<S::Ok, S::Error> {
    id.as_ref().map(|id| JsonValue(id, Numbers::String)).serialize(serializer)
}

/// Inserts many rows in one transaction: all of them or none.
///
/// The first row names the columns, and the others have the same ones in any order. They go in chunks below the
/// engine's limit of parameters. [`BatchInsert`] is the form for rows without names.
#[derive(Clone, Debug)]
pub struct InsertMany {
    table: TableName,
    columns: Vec<Box<str>>,
    rows: Vec<Record>,
}

impl InsertMany {
    /// Inserts `rows` into `table`; no rows are no error.
    pub fn new<R: Into<Record>>(table: impl Into<TableName>, rows: impl IntoIterator<Item = R>) -> Self {
        let rows: Vec<Record> = rows.into_iter().map(Into::into).collect();
        let columns = rows.first().map(|row| row.columns().to_vec()).unwrap_or_default();
        Self { table: table.into(), columns, rows }
    }

    /// Counts the rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Says whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Builds the batch that does the work.
    ///
    /// # Errors
    /// [`StatementError`] names a row whose columns are not those of the first one, and a name that no engine
    /// takes.
    pub fn batch(&self, dialect: Dialect) -> Result<BatchInsert, StatementError> {
        super::name::check_table(dialect, &self.table)?;
        self.columns.iter().try_for_each(|column| super::name::check(dialect, "column", column))?;
        let mut rows = Vec::with_capacity(self.rows.len());
        for (at, row) in self.rows.iter().enumerate() {
            let cells: Option<Vec<Value>> =
                self.columns.iter().map(|column| row.get(column).cloned()).collect();
            match cells.filter(|_| row.len() == self.columns.len()) {
                Some(cells) => rows.push(Params::Positional(cells)),
                None => {
                    let names = self.columns.join(", ");
                    let text = format!("row {at} must have the columns of the first one: {names}");
                    return Err(StatementError::Message(text));
                }
            }
        }
        Ok(BatchInsert::new(&self.table, self.columns.iter().cloned()).rows(rows))
    }
}

/// Inserts a row, or updates the one with the same key.
///
/// The key is a unique one of the table. MySQL looks at every unique key of the table, whichever is named.
#[derive(Clone, Debug)]
pub struct Upsert {
    table: TableName,
    record: Record,
    keys: Vec<Box<str>>,
    update: Option<Vec<Box<str>>>,
}

impl Upsert {
    /// Inserts `row` into `table`, or sets its columns in the row with the same `keys`.
    pub fn new<K: Into<Box<str>>>(
        table: impl Into<TableName>,
        row: impl Into<Record>,
        keys: impl IntoIterator<Item = K>,
    ) -> Self {
        let keys = keys.into_iter().map(Into::into).collect();
        Self { table: table.into(), record: row.into(), keys, update: None }
    }

    /// Sets these columns alone in a row that exists; none of them keeps it as it is. The message is then
    /// [`Class::Unsafe`].
    #[must_use]
    pub fn update_only<C: Into<Box<str>>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.update = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Builds the statement for an engine.
    ///
    /// # Errors
    /// [`StatementError`] for a key that is not in the row, and names that no engine takes.
    pub fn lower(&self, dialect: Dialect) -> Result<Request, StatementError> {
        self.request(dialect, None)
    }

    pub(super) fn request(
        &self,
        dialect: Dialect,
        shapes: Option<&Shapes>,
    ) -> Result<Request, StatementError> {
        let refuse = |text: String| Err(StatementError::Message(text));
        if self.keys.is_empty() {
            return refuse("an upsert names at least one key column".to_owned());
        }
        let named = self.keys.iter().chain(self.update.iter().flatten());
        if let Some(missing) = named.into_iter().find(|name| self.record.get(name).is_none()) {
            return refuse(format!("column `{missing}` has no value in the row"));
        }
        let form = Form::Upsert { record: &self.record, keys: &self.keys, update: self.update.as_deref() };
        Draft { table: &self.table, form }.lower(dialect, shapes)
    }
}

macro_rules! write_message {
    ($message:ident, $name:literal, $reply:ty, $class:expr) => {
        impl Message for $message {
            type Reply = $reply;
            const NAME: &'static str = $name;

            fn class(&self) -> Class {
                let class: fn(&Self) -> Class = $class;
                class(self)
            }

            fn invalidates(&self, tag: &mut dyn FnMut(&str)) {
                tag(&self.table.tag());
            }
        }
    };
}
pub(super) use write_message;

write_message!(InsertOne, "insert_one", Inserted, |_| Class::Unsafe);
write_message!(InsertMany, "insert_many", Written, |_| Class::Unsafe);
write_message!(Upsert, "upsert", Written, |upsert| match upsert.update {
    None => Class::Idempotent,
    Some(_) => Class::Unsafe,
});
