//! Runs one statement on a connection: bind, step, collect within limits.

use backstop_core::error::{Executed, Failure, FailureKind, Phase};
use backstop_sql::{
    Column, Columns, Params, Request, Rows, Statement, StatementError, Value, Verb, Written,
    reply::not_a_read,
};
use rusqlite::{
    CachedStatement, Connection,
    types::{ToSql, ToSqlOutput, ValueRef},
};

use crate::{error::Fault, options::SqliteOptions, watch::Watch};

/// The bounds of one reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    rows: usize,
    bytes: usize,
    read_only: bool,
}

impl Limits {
    pub(crate) fn of(request: &Request, options: &SqliteOptions) -> Self {
        let rows = request.rows_max.map_or(options.rows_max, |rows| rows.min(options.rows_max));
        Self { rows, bytes: options.bytes_max, read_only: false }
    }

    /// Refuses statements that write.
    pub(crate) fn read_only(self, read_only: bool) -> Self {
        Self { read_only, ..self }
    }
}

/// Runs a statement that must not write.
///
/// `columns` remembers the reply's columns between calls; it is replaced when they changed.
pub(crate) fn read(
    connection: &Connection,
    statement: &Statement,
    request: &Request,
    limits: Limits,
    columns: &mut Option<Columns>,
) -> Result<Rows, Fault> {
    let mut prepared = prepare_read(connection, statement, request)?;
    collect(&mut prepared, columns, limits, Past::Stop).map(|rows| rows.with_numbers(request.numbers))
}

/// Prepares a statement that must not write, with its parameters.
pub(crate) fn prepare_read<'c>(
    connection: &'c Connection,
    statement: &Statement,
    request: &Request,
) -> Result<CachedStatement<'c>, Fault> {
    let mut prepared = connection.prepare_cached(statement.sql())?;
    // what is explained is not run
    let writes = !prepared.readonly() && prepared.is_explain() == 0;
    if writes || prepared.column_count() == 0 {
        return Err(not_a_read().into());
    }
    bind(&mut prepared, statement, &request.params)?;
    Ok(prepared)
}

/// Runs a statement of any kind.
pub(crate) fn write(
    connection: &Connection,
    watch: &Watch,
    statement: &Statement,
    request: &Request,
    limits: Limits,
) -> Result<Written, Fault> {
    let mut prepared = connection.prepare_cached(statement.sql())?;
    if limits.read_only && !prepared.readonly() {
        return Err(read_only().into());
    }
    bind(&mut prepared, statement, &request.params)?;
    let mut written = step(connection, watch, &mut prepared, statement.verb(), limits)?;
    written.numbers = request.numbers;
    written.rows = written.rows.map(|rows| rows.with_numbers(request.numbers));
    Ok(written)
}

/// Inserts the rows of a chunk; returns how many.
pub(crate) fn insert(connection: &Connection, statement: &Statement, values: &[Value]) -> Result<u64, Fault> {
    let mut prepared = connection.prepare_cached(statement.sql())?;
    bind_values(&mut prepared, values.len(), values.iter())?;
    Ok(prepared.raw_execute().map(|rows| rows as u64)?)
}

fn step(
    connection: &Connection,
    watch: &Watch,
    prepared: &mut CachedStatement<'_>,
    verb: Verb,
    limits: Limits,
) -> Result<Written, Fault> {
    let mut written = Written::default();
    watch.take_insert();
    if prepared.column_count() == 0 {
        prepared.raw_execute()?;
    } else {
        let past = if prepared.readonly() { Past::Stop } else { Past::Finish };
        written.rows = Some(collect(prepared, &mut None, limits, past)?);
    }
    // the counter keeps the value of an earlier statement where this one has none
    let counts = matches!(verb, Verb::Insert | Verb::Update | Verb::Delete | Verb::With);
    if counts && !prepared.readonly() {
        written.affected = connection.changes();
    }
    // the engine keeps the id of an earlier insert, which may be another caller's
    let inserted = watch.take_insert() && matches!(verb, Verb::Insert | Verb::With) && written.affected > 0;
    written.last_insert_id = inserted.then(|| connection.last_insert_rowid());
    Ok(written)
}

fn bind(prepared: &mut CachedStatement<'_>, statement: &Statement, params: &Params) -> Result<(), Fault> {
    let values = statement.bind(params)?;
    bind_values(prepared, statement.placeholders(), values)
}

fn bind_values<'v>(
    prepared: &mut CachedStatement<'_>,
    expected: usize,
    values: impl Iterator<Item = &'v Value>,
) -> Result<(), Fault> {
    // the engine would read NULL for a placeholder that our tokenizer did not see
    if prepared.parameter_count() != expected {
        let found = prepared.parameter_count();
        let text = format!("the engine sees {found} placeholders where {expected} were found");
        return Err(StatementError::Message(text).into());
    }
    for (at, value) in values.enumerate() {
        if let Some(why) = misfit(value) {
            return Err(StatementError::Value(format!("parameter ${} is {why}", at + 1)).into());
        }
        prepared.raw_bind_parameter(at + 1, Bind(value))?;
    }
    Ok(())
}

/// Says why SQLite cannot hold a value exactly.
fn misfit(value: &Value) -> Option<String> {
    match value {
        Value::Float(float) if float.is_nan() => {
            Some("not a number, which SQLite would store as NULL".to_owned())
        }
        Value::UInt(value) if i64::try_from(*value).is_err() => Some(format!(
            "the uint8 {value}, and SQLite's whole numbers end at {}; send it as text",
            i64::MAX
        )),
        Value::Array(_) => Some("an array, and SQLite has none; send it as type `json`".to_owned()),
        Value::Raw(raw) => {
            Some(format!("of type `{}`, which SQLite does not have; send it as type `text`", raw.db_type))
        }
        _ => None,
    }
}

/// A value as SQLite holds it: days, times and UUIDs as text, in a form that sorts as they do.
struct Bind<'a>(&'a Value);

impl ToSql for Bind<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Bool(value) => ToSqlOutput::Borrowed(ValueRef::Integer(i64::from(*value))),
            Value::Int(value) => ToSqlOutput::Borrowed(ValueRef::Integer(*value)),
            Value::Float(value) => ToSqlOutput::Borrowed(ValueRef::Real(*value)),
            Value::Decimal(text) | Value::Text(text) => {
                ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
            }
            Value::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Value::Json(json) => ToSqlOutput::Owned(rusqlite::types::Value::Text(json.to_string())),
            Value::Uuid(_) | Value::Date(_) | Value::Time(_) | Value::DateTime(_) | Value::Timestamp(_) => {
                ToSqlOutput::Owned(rusqlite::types::Value::Text(self.0.iso().unwrap_or_default()))
            }
            other => match other.as_int() {
                Some(value) => ToSqlOutput::Borrowed(ValueRef::Integer(value)),
                None => {
                    let text = format!("SQLite has no type for a {}", other.type_name());
                    return Err(rusqlite::Error::ToSqlConversionFailure(text.into()));
                }
            },
        })
    }
}

/// Returns the columns, the remembered ones where they are still the same.
///
/// It is asked after the first step: a change of the schema makes the engine prepare the text anew there, and
/// may give it other columns.
pub(crate) fn columns_of(prepared: &rusqlite::Statement<'_>, known: &mut Option<Columns>) -> Columns {
    if let Some(known) = known.as_ref().filter(|known| same(known, prepared)) {
        return known.clone();
    }
    let columns = columns_now(prepared);
    *known = Some(columns.clone());
    columns
}

#[allow(clippy::useless_conversion, reason = "a list on some lines of rusqlite, an iterator on others")]
fn columns_now(prepared: &rusqlite::Statement<'_>) -> Columns {
    prepared
        .columns()
        .into_iter()
        .map(|column| Column { name: column.name().into(), db_type: column.decl_type().map(Into::into) })
        .collect()
}

fn same(known: &Columns, prepared: &rusqlite::Statement<'_>) -> bool {
    known.len() == prepared.column_count()
        && known
            .iter()
            .enumerate()
            .all(|(at, column)| prepared.column_name(at).is_ok_and(|name| *name == *column.name))
}

/// What happens to a statement whose reply has reached its limit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Past {
    /// It ends here.
    Stop,
    /// It writes, so it goes on to its end, where its errors show.
    Finish,
}

fn collect(
    prepared: &mut CachedStatement<'_>,
    known: &mut Option<Columns>,
    limits: Limits,
    past: Past,
) -> Result<Rows, Fault> {
    let mut reply = None;
    let (mut count, mut bytes) = (0_usize, 0_usize);
    let mut rows = prepared.raw_query();
    while let Some(row) = rows.next()? {
        let reply = reply.get_or_insert_with(|| Rows::new(columns_of(row.as_ref(), known)));
        let width = reply.columns().len();
        if !reply.is_truncated() {
            bytes += weight(row, width)?;
            if count == limits.rows || bytes > limits.bytes {
                reply.truncate();
            }
        }
        if reply.is_truncated() {
            if past == Past::Stop {
                break;
            }
            continue;
        }
        for at in 0..width {
            let value = cell(row.get_ref(at)?).ok_or_else(|| not_text(reply.columns(), at, past))?;
            reply.push_cell(value);
        }
        count += 1;
    }
    drop(rows);
    Ok(reply.unwrap_or_else(|| Rows::new(columns_of(prepared, known))))
}

/// Weighs a row before it is copied, so that a row beyond the limit costs no memory.
pub(crate) fn weight(row: &rusqlite::Row<'_>, width: usize) -> Result<usize, Fault> {
    let mut bytes = width * size_of::<Value>();
    for at in 0..width {
        bytes += match row.get_ref(at)? {
            ValueRef::Text(text) => text.len(),
            ValueRef::Blob(blob) => blob.len(),
            _ => 0,
        };
    }
    Ok(bytes)
}

/// Copies a cell; `None` where a text is not UTF-8.
pub(crate) fn cell(value: ValueRef<'_>) -> Option<Value> {
    Some(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Real(value) => Value::Float(value),
        ValueRef::Text(text) => Value::Text(std::str::from_utf8(text).ok()?.to_owned()),
        ValueRef::Blob(blob) => Value::Bytes(blob.to_vec()),
    })
}

pub(crate) fn not_text(columns: &Columns, at: usize, past: Past) -> Failure {
    let executed = if past == Past::Finish { Executed::Unknown } else { Executed::No };
    let name = columns.get(at).map_or("", |column| &column.name);
    Failure::new(
        FailureKind::Decode,
        format!("column `{name}` holds text that is not UTF-8; read it as a blob"),
    )
    .in_phase(Phase::Decode)
    .executed_is(executed)
}

fn read_only() -> Failure {
    Failure::refused("the statement writes, and its transaction is read-only")
        .counts_as(backstop_core::outcome::Outcome::NotCounted)
        .with_code("read_only_transaction")
}
