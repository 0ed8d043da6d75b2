//! Reads replies within their limits.

use std::pin::{Pin, pin};

use backstop_core::error::{Executed, Failure, FailureKind, Phase};
use backstop_sql::{Columns, Request, Rows, Value, Written};
use futures_util::TryStreamExt;
use tokio_postgres::{Error, Row, RowStream};

use super::{Limits, Mode, Past};
use crate::{cache::columns, codec::Cell, pooled::Ready, statement::Known};

/// What a statement returned.
pub(crate) struct Collected {
    rows: Option<Rows>,
    affected: u64,
    /// The reply was left before its end.
    pub(crate) is_cut: bool,
    /// A cell that could not be read.
    unusable: Option<Failure>,
}

impl Collected {
    /// Rows that were returned or changed.
    pub(crate) fn count(&self) -> u64 {
        self.rows.as_ref().map_or(self.affected, |rows| rows.len() as u64)
    }

    /// Makes the reply of it.
    ///
    /// # Errors
    /// A cell that could not be read; the error says whether the work was done.
    pub(crate) fn reply(self, known: &Known, request: &Request, mode: Mode) -> Result<Written, Failure> {
        if let Some(failure) = self.unusable {
            return Err(failure.executed_is(if mode == Mode::Write { Executed::Yes } else { Executed::No }));
        }
        let mut written = Written::default();
        written.affected = if known.counts { self.affected } else { 0 };
        written.numbers = request.numbers;
        written.rows = self.rows.map(|rows| rows.with_numbers(request.numbers));
        Ok(written)
    }
}

/// Reads a reply to its end, or to its limit.
pub(crate) async fn collect(
    stream: RowStream,
    columns: &Columns,
    limits: Limits,
    past: Past,
) -> Result<Collected, Error> {
    read(pin!(stream), None, columns, limits, past).await
}

/// The same; of a statement without a name the columns may have changed since they were described.
pub(crate) async fn collect_as(
    stream: RowStream,
    ready: &Ready,
    limits: Limits,
    past: Past,
) -> Result<Collected, Error> {
    let mut stream = pin!(stream);
    let Ready::Unnamed(described) = ready else {
        return read(stream, None, ready.columns(), limits, past).await;
    };
    let first = stream.try_next().await?;
    let columns = first.as_ref().map_or_else(|| described.columns.clone(), |row| columns(row.columns()));
    read(stream, Some(first), &columns, limits, past).await
}

async fn read(
    mut stream: Pin<&mut RowStream>,
    mut first: Option<Option<Row>>,
    columns: &Columns,
    limits: Limits,
    past: Past,
) -> Result<Collected, Error> {
    let has_columns = !columns.is_empty();
    let mut rows = Rows::new(columns.clone());
    let (mut count, mut bytes, mut unusable) = (0_usize, 0_usize, None);
    while let Some(row) = next(&mut stream, &mut first).await? {
        bytes += row.raw_size_bytes() + row.len() * size_of::<Value>();
        let is_full = count == limits.rows || bytes > limits.bytes;
        if is_full && !rows.is_truncated() {
            rows.truncate();
        }
        if rows.is_truncated() || unusable.is_some() {
            if past == Past::Stop {
                return Ok(Collected { rows: Some(rows), affected: 0, is_cut: true, unusable });
            }
            continue;
        }
        unusable = push(&mut rows, &row).err();
        count += 1;
    }
    let affected = stream.rows_affected().unwrap_or(0);
    Ok(Collected { rows: has_columns.then_some(rows), affected, is_cut: false, unusable })
}

/// What was read ahead, a row or the end, then the rows of the stream, which must not be asked beyond its end.
async fn next(
    stream: &mut Pin<&mut RowStream>,
    first: &mut Option<Option<Row>>,
) -> Result<Option<Row>, Error> {
    match first.take() {
        Some(first) => Ok(first),
        None => stream.try_next().await,
    }
}

/// Copies the cells of a row.
pub(crate) fn push(rows: &mut Rows, row: &Row) -> Result<(), Failure> {
    for at in 0..row.len() {
        let cell: Cell = row.try_get(at).map_err(|error| unreadable(row, at, &error))?;
        rows.push_cell(cell.0);
    }
    Ok(())
}

fn unreadable(row: &Row, at: usize, error: &Error) -> Failure {
    let name = row.columns().get(at).map_or("", |column| column.name());
    let why = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    Failure::new(FailureKind::Decode, format!("column `{name}`: {why}")).in_phase(Phase::Decode)
}
