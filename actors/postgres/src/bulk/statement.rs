//! The texts of a batch; every name is quoted.

use backstop_sql::{BatchInsert, Dialect};
use tokio_postgres::types::Type;

/// One row.
pub(super) fn row(message: &BatchInsert) -> String {
    let mut sql = into(message, "INSERT INTO ");
    sql.push_str(" VALUES (");
    for number in 1..=message.columns().len() {
        sql.push_str(&format!("{}${number}", if number == 1 { "" } else { ", " }));
    }
    sql.push(')');
    sql
}

/// Many rows, one array a column; the names of types are those of the server, with their schemas.
pub(super) fn unnest(message: &BatchInsert, types: &[Type]) -> String {
    let mut sql = into(message, "INSERT INTO ");
    sql.push_str(" SELECT * FROM unnest(");
    for (at, ty) in types.iter().enumerate() {
        sql.push_str(&format!("{}${}::", if at == 0 { "" } else { ", " }, at + 1));
        Dialect::Postgres.push_identifier(&mut sql, ty.schema());
        sql.push('.');
        Dialect::Postgres.push_identifier(&mut sql, ty.name());
        sql.push_str("[]");
    }
    sql.push(')');
    sql
}

/// Many rows as a stream.
pub(super) fn copy(message: &BatchInsert) -> String {
    into(message, "COPY ") + " FROM STDIN (FORMAT binary)"
}

fn into(message: &BatchInsert, verb: &str) -> String {
    let mut sql = verb.to_owned();
    Dialect::Postgres.push_identifier(&mut sql, message.table());
    for (at, column) in message.columns().iter().enumerate() {
        sql.push_str(if at == 0 { " (" } else { ", " });
        Dialect::Postgres.push_identifier(&mut sql, column);
    }
    sql.push(')');
    sql
}
