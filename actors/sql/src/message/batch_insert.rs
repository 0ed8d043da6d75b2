//! Many rows into one table.

use std::{ops::Range, sync::Arc};

use backstop_core::{
    error::Failure,
    message::{Class, Message},
};
use serde::Serialize;

use crate::{Dialect, Sql, StatementError, TableName, Value};

/// Rows of one statement. More of them gain little, and an interrupt waits for the statement's end; few
/// sizes mean few texts to prepare, whatever the number of rows.
const CHUNK_ROWS: [usize; 5] = [500, 100, 20, 5, 1];

/// Inserts many rows into one table, in one transaction unless asked otherwise.
///
/// Names are quoted, so they are never read as SQL. Rows go in chunks that stay below the engine's limit of
/// parameters.
///
/// ```
/// use backstop_sql::BatchInsert;
///
/// let users = BatchInsert::new("users", ["id", "name"]).row((1, "Ada")).row((2, "Grace"));
/// assert_eq!(users.len(), 2);
/// ```
#[derive(Clone, Debug)]
pub struct BatchInsert {
    spec: Arc<Spec>,
}

#[derive(Clone)]
struct Spec {
    table: TableName,
    columns: Vec<Box<str>>,
    cells: Vec<Value>,
    rows: usize,
    /// The first row whose width is wrong, and its width.
    misfit: Option<(usize, usize)>,
    chunks: Chunks,
}

impl std::fmt::Debug for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { table, columns, rows, .. } = self;
        write!(f, "{rows} rows of {columns:?} into {table:?}")
    }
}

/// What commits together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Chunks {
    /// All rows or none (the default).
    #[default]
    Together,
    /// Each chunk by itself: the report says which ones failed. A chunk is about 1 MiB, and at most 1,000 rows where
    /// rows are not copied; on PostgreSQL, which copies from 1,000 rows on, it can be many thousand small rows, and
    /// one bad row costs all of its chunk.
    Independent,
}

impl BatchInsert {
    /// Inserts into `columns` of `table`.
    pub fn new<C: Into<Box<str>>>(table: impl Into<TableName>, columns: impl IntoIterator<Item = C>) -> Self {
        let columns = columns.into_iter().map(Into::into).collect();
        let (table, chunks) = (table.into(), Chunks::Together);
        Self { spec: Arc::new(Spec { table, columns, cells: Vec::new(), rows: 0, misfit: None, chunks }) }
    }

    /// Adds a row.
    #[must_use]
    pub fn row(self, row: impl Into<crate::Params>) -> Self {
        self.rows([row])
    }

    /// Adds rows.
    #[must_use]
    pub fn rows<R: Into<crate::Params>>(mut self, rows: impl IntoIterator<Item = R>) -> Self {
        let spec = Arc::make_mut(&mut self.spec);
        for row in rows {
            spec.push(row.into());
        }
        self
    }

    /// Lets each chunk succeed or fail by itself.
    #[must_use]
    pub fn independent_chunks(mut self) -> Self {
        Arc::make_mut(&mut self.spec).chunks = Chunks::Independent;
        self
    }

    /// Counts the rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spec.rows
    }

    /// Says whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spec.rows == 0
    }

    /// Says what commits together.
    #[must_use]
    pub fn chunks(&self) -> Chunks {
        self.spec.chunks
    }

    /// Says in one text what all of its statements do, for statistics: `INSERT INTO t (a, b) VALUES …`.
    #[must_use]
    pub fn summary(&self) -> Sql {
        format!("INSERT INTO {} ({}) VALUES …", self.spec.table, self.spec.columns.join(", ")).into()
    }

    /// Returns the name of the table.
    #[must_use]
    pub fn table(&self) -> &TableName {
        &self.spec.table
    }

    /// Returns the names of the columns, not quoted.
    #[must_use]
    pub fn columns(&self) -> &[Box<str>] {
        &self.spec.columns
    }

    /// Checks the batch without cutting it.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn check(&self, dialect: Dialect) -> Result<(), StatementError> {
        self.spec.check(dialect)
    }

    /// Cuts some rows out, for an engine with a statement of its own for many rows; `sql` is that statement.
    ///
    /// Rows that do not exist are left out.
    #[must_use]
    pub fn cut(&self, rows: Range<usize>, sql: Arc<str>) -> Chunk {
        let held = self.spec.cells.len() / self.spec.columns.len().max(1);
        let end = rows.end.min(held);
        Chunk { message: self.clone(), rows: rows.start.min(end)..end, sql }
    }

    /// Cuts the rows into statements.
    ///
    /// # Errors
    /// Refuses no table, no columns, a column twice, too many columns, and rows of another width.
    pub fn plan(&self, dialect: Dialect) -> Result<Vec<Chunk>, StatementError> {
        let spec = &*self.spec;
        spec.check(dialect)?;
        let fit = dialect.bind_limit() / spec.columns.len();
        let (mut chunks, mut start) = (Vec::new(), 0);
        for size in CHUNK_ROWS.into_iter().map(|size| size.min(fit)) {
            let mut text: Option<Arc<str>> = None;
            while spec.rows - start >= size {
                let sql = text.get_or_insert_with(|| spec.sql(dialect, size).into());
                chunks.push(Chunk { message: self.clone(), rows: start..start + size, sql: Arc::clone(sql) });
                start += size;
            }
        }
        Ok(chunks)
    }
}

impl Spec {
    fn push(&mut self, row: crate::Params) {
        let width = row.len();
        match row {
            crate::Params::Positional(values) if width == self.columns.len() => self.cells.extend(values),
            _ => self.misfit = self.misfit.or(Some((self.rows, width))),
        }
        self.rows += 1;
    }

    fn check(&self, dialect: Dialect) -> Result<(), StatementError> {
        let refuse = |message: String| Err(StatementError::Message(message));
        self.table.check()?;
        if self.columns.is_empty() || self.columns.iter().any(|name| name.is_empty() || name.contains('\0')) {
            return refuse("`columns` must name at least one column".into());
        }
        if self.columns.len() > dialect.bind_limit() {
            return Err(StatementError::TooMany { count: self.columns.len(), limit: dialect.bind_limit() });
        }
        let twice = self.columns.iter().enumerate().find(|(at, name)| self.columns[..*at].contains(name));
        if let Some((_, name)) = twice {
            return refuse(format!("column `{name}` is named twice"));
        }
        match self.misfit {
            None => Ok(()),
            Some((row, width)) => refuse(format!(
                "row {row} must have {} values by position, it has {width}",
                self.columns.len()
            )),
        }
    }

    fn sql(&self, dialect: Dialect, rows: usize) -> String {
        let mut sql = String::from("INSERT INTO ");
        dialect.push_table(&mut sql, &self.table);
        for (at, column) in self.columns.iter().enumerate() {
            sql.push_str(if at == 0 { " (" } else { ", " });
            dialect.push_identifier(&mut sql, column);
        }
        sql.push_str(") VALUES ");
        for row in 0..rows {
            for column in 0..self.columns.len() {
                sql.push_str(match (row, column) {
                    (0, 0) => "(",
                    (_, 0) => "), (",
                    _ => ",",
                });
                dialect.push_placeholder(&mut sql, row * self.columns.len() + column + 1);
            }
        }
        sql.push(')');
        sql
    }
}

/// Some rows of a batch as one statement.
#[derive(Clone, Debug)]
pub struct Chunk {
    message: BatchInsert,
    /// The rows of the batch that it holds.
    pub rows: Range<usize>,
    /// The statement; its placeholders are those of the engine.
    pub sql: Arc<str>,
}

impl Chunk {
    /// Returns the values of its placeholders, in order.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        let width = self.message.spec.columns.len();
        &self.message.spec.cells[self.rows.start * width..self.rows.end * width]
    }
}

impl Message for BatchInsert {
    type Reply = InsertReport;
    const NAME: &'static str = "batch_insert";

    fn class(&self) -> Class {
        Class::Unsafe
    }
}

/// What a batch inserted.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct InsertReport {
    /// Rows inserted in all.
    pub affected: u64,
    /// One entry per chunk, in order.
    pub chunks: Vec<ChunkReport>,
}

/// What one chunk of a batch did.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ChunkReport {
    /// Its first row in the batch, counted from 0.
    pub first_row: usize,
    /// How many rows it held.
    pub rows: usize,
    /// Rows inserted.
    pub affected: u64,
    /// Why it failed; only where chunks are independent.
    #[serde(serialize_with = "as_text")]
    pub error: Option<Failure>,
}

impl ChunkReport {
    /// Reports the end of a chunk.
    #[must_use]
    pub fn new(chunk: &Chunk, outcome: Result<u64, Failure>) -> Self {
        let (affected, error) = match outcome {
            Ok(affected) => (affected, None),
            Err(error) => (0, Some(error)),
        };
        Self { first_row: chunk.rows.start, rows: chunk.rows.len(), affected, error }
    }
}

fn as_text<S: serde::Serializer>(error: &Option<Failure>, serializer: S) -> Result<S::Ok, S::Error> {
    error.as_ref().map(ToString::to_string).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_stay_below_the_bind_limit_and_cover_every_row() {
        let columns: Vec<String> = (0..100).map(|at| format!("c{at}")).collect();
        let rows = (0..1_000).map(|at| crate::Params::Positional(vec![Value::Int(at); 100]));
        let plan = BatchInsert::new("t", columns).rows(rows).plan(Dialect::Sqlite).unwrap();
        assert!(plan.iter().all(|chunk| chunk.values().len() <= 32_766));
        assert_eq!(plan.iter().map(|chunk| chunk.rows.len()).sum::<usize>(), 1_000);
        assert_eq!(plan.len(), 10);
        assert_eq!(plan[1].values()[0], Value::Int(327));
    }

    #[test]
    fn names_are_quoted_and_misfits_are_named() {
        let batch = || BatchInsert::new("t\"x", ["a", "b"]);
        let plan = batch().row((1, 2)).plan(Dialect::Sqlite).unwrap();
        assert_eq!(&*plan[0].sql, "INSERT INTO \"t\"\"x\" (\"a\", \"b\") VALUES (?1,?2)");
        let error = batch().row((1, 2)).row([1]).plan(Dialect::Sqlite).unwrap_err();
        assert!(error.to_string().starts_with("row 1 must have 2 values"), "{error}");
        let twice = BatchInsert::new("t", ["a", "a"]).plan(Dialect::Sqlite).unwrap_err();
        assert!(twice.to_string().contains("twice"));
        assert!(batch().plan(Dialect::Sqlite).unwrap().is_empty());
    }

    #[test]
    fn a_cut_holds_the_rows_that_exist() {
        let batch = BatchInsert::new("t", ["a", "b"]).row((1, 2)).row((3, 4)).row((5, 6));
        assert_eq!(batch.cut(1..3, "x".into()).values(), [3, 4, 5, 6].map(Value::Int));
        assert_eq!(batch.cut(2..9, "x".into()).rows, 2..3);
        assert!(batch.cut(9..12, "x".into()).values().is_empty());
    }
}
