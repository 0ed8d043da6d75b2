//! Look-ups by the key of a unique column: `= ANY` with a list of keys, about a third cheaper for the server than a
//! look-up for each of them.
//!
//! Only for types whose values are equal exactly when they are the same: then the key in a row says whose row it is.

use std::collections::HashMap;

use backstop_core::{call::CallContext, error::Failure};
use backstop_sql::{Columns, Params, Request, Rows, Value};
use foldhash::fast::RandomState;
use tokio_postgres::types::Type;

use super::Item;
use crate::{autocommit::Autocommit, bulk::push_array_type, statement::Known};

/// A key as a row brings it back.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key<'v> {
    Int(i64),
    Uuid(u128),
    Bytes(&'v [u8]),
}

impl<'v> Key<'v> {
    /// The key of a message, where it is of a kind that the column gives back as it is.
    pub(super) fn of(item: &'v Item, ty: &Type) -> Option<Self> {
        let key = Self::from_value(item.request.params.positional().first()?)?;
        let fits = match key {
            Self::Int(_) => [Type::INT2, Type::INT4, Type::INT8].contains(ty),
            Self::Uuid(_) => *ty == Type::UUID,
            Self::Bytes(_) => *ty == Type::BYTEA,
        };
        fits.then_some(key)
    }

    fn from_value(value: &'v Value) -> Option<Self> {
        match value {
            Value::Int(number) => Some(Self::Int(*number)),
            Value::Uuid(uuid) => Some(Self::Uuid(uuid.as_u128())),
            Value::Bytes(bytes) => Some(Self::Bytes(bytes)),
            _ => None,
        }
    }
}

/// Says whether a column of a table has values of this type and none of them twice, now and at the end of each
/// statement; the rows of tables that inherit are under no index of their parent.
const IS_UNIQUE: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_index i \
     JOIN pg_catalog.pg_class c ON c.oid = i.indrelid \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
     WHERE c.oid = $1::text::regclass AND a.attname::text = $2::text AND a.atttypid = $3::int8::oid \
     AND c.relkind IN ('r', 'p') AND (c.relkind = 'p' OR NOT c.relhassubclass) \
     AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indnkeyatts = 1 \
     AND i.indpred IS NULL AND i.indexprs IS NULL)";

/// The statement for many keys of one column, and the table that it asks.
#[derive(Debug, PartialEq)]
pub(super) struct ByKey<'t> {
    pub(super) sql: String,
    pub(super) table: &'t str,
}

/// Makes the statement for many keys of one for one key; none where the text has another form than ours.
pub(super) fn statement<'t>(one: &'t str, ty: &Type) -> Option<ByKey<'t>> {
    let body = one.strip_prefix("SELECT ")?.strip_suffix(" = $1 LIMIT 1")?;
    // a name that holds such a word, or a sign, has the other statement
    let (columns, from) = split_once_only(body, " FROM ")?;
    let (table, key) = split_once_only(from, " WHERE ")?;
    if body.contains('$') {
        return None;
    }
    // the sub-select hides the length of the list from the planner, the cast makes it a list and no set of rows
    let mut sql = format!("SELECT {key}, {columns} FROM {table} WHERE {key} = ANY((SELECT $1::");
    push_array_type(&mut sql, ty);
    sql.push_str(")::");
    push_array_type(&mut sql, ty);
    sql.push(')');
    Some(ByKey { sql, table })
}

fn split_once_only<'t>(text: &'t str, separator: &str) -> Option<(&'t str, &'t str)> {
    let (before, after) = text.split_once(separator)?;
    (!after.contains(separator)).then_some((before, after))
}

/// Asks whether the column is unique.
///
/// # Errors
/// As a read fails; a table that is not there is an error of the look-up itself and not of this question.
pub(super) async fn is_unique(
    autocommit: &Autocommit,
    call: &CallContext,
    table: &str,
    (column, ty): (&str, &Type),
    operation: &'static str,
) -> Result<bool, Failure> {
    let params = vec![Value::Text(table.into()), Value::Text(column.into()), Value::Int(ty.oid().into())];
    let request = Request::with_params(IS_UNIQUE, Params::from(params));
    let rows = autocommit.read(call, &Known::parse(IS_UNIQUE)?, &request, operation).await?;
    Ok(rows.get(0).is_some_and(|row| row.values().first() == Some(&Value::Bool(true))))
}

/// Gives each message its row; `None` where the rows are not what a unique column has.
pub(super) fn split(rows: Rows, items: &[Item], ty: &Type) -> Option<Vec<Rows>> {
    let width = rows.columns().len();
    if rows.is_truncated() || width < 2 {
        return None;
    }
    let columns: Columns = rows.columns().iter().skip(1).cloned().collect();
    let count = rows.len();
    let mut cells = rows.into_cells();
    let mut places = HashMap::with_capacity_and_hasher(count, RandomState::default());
    for (at, row) in cells.chunks_exact(width).enumerate() {
        if places.insert(Key::from_value(row.first()?)?, at).is_some() {
            return None;
        }
    }
    let place = |item| Key::of(item, ty).map(|key| places.get(&key).copied());
    let places: Vec<Option<usize>> = items.iter().map(place).collect::<Option<_>>()?;
    // a row goes to the first who asked for it, and the others have a copy
    let mut given: Vec<Option<usize>> = vec![None; count];
    let mut replies: Vec<Rows> = Vec::with_capacity(items.len());
    for (item, place) in items.iter().zip(places) {
        let mut reply = Rows::new(columns.clone()).with_numbers(item.request.numbers);
        if let Some(at) = place {
            match given.get(at).copied()? {
                Some(earlier) => {
                    let row = replies.get(earlier)?.get(0)?;
                    row.values().iter().for_each(|cell| reply.push_cell(cell.clone()));
                }
                None => {
                    let row = cells.get_mut(at * width + 1..(at + 1) * width)?;
                    row.iter_mut().for_each(|cell| reply.push_cell(std::mem::take(cell)));
                    *given.get_mut(at)? = Some(replies.len());
                }
            }
        }
        replies.push(reply);
    }
    Some(replies)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "SELECT \"t\".\"a\" FROM \"t\" WHERE \"t\".\"id\" = $1 LIMIT 1";

    #[test]
    fn the_key_comes_first_and_the_list_is_hidden_from_the_planner() {
        let made = statement(ONE, &Type::INT8).unwrap();
        assert_eq!(made.table, "\"t\"");
        assert_eq!(
            made.sql,
            "SELECT \"t\".\"id\", \"t\".\"a\" FROM \"t\" WHERE \"t\".\"id\" = \
             ANY((SELECT $1::\"pg_catalog\".\"int8\"[])::\"pg_catalog\".\"int8\"[])"
        );
    }

    #[test]
    fn a_text_of_another_form_has_no_such_statement() {
        for text in [
            "SELECT \"a\" FROM \"t\" WHERE \"id\" = $1",
            "SELECT \" FROM \" FROM \"t\" WHERE \"id\" = $1 LIMIT 1",
            "SELECT \"a\" FROM \"t\" WHERE \" WHERE \" = $1 LIMIT 1",
            "SELECT \"a\" FROM \"t\" WHERE \"x\" = $1 AND \"id\" = $1 LIMIT 1",
        ] {
            assert_eq!(statement(text, &Type::INT8), None, "{text}");
        }
    }
}
