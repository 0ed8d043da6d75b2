//! The texts of a batch; every name is quoted.

use backstop_sql::{BatchInsert, Dialect, TableName};
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
        push_array_type(&mut sql, ty);
    }
    sql.push(')');
    sql
}

/// Names the type of an array of a type.
pub(crate) fn push_array_type(sql: &mut String, ty: &Type) {
    Dialect::Postgres.push_identifier(sql, ty.schema());
    sql.push('.');
    Dialect::Postgres.push_identifier(sql, ty.name());
    sql.push_str("[]");
}

/// Many rows as a stream.
pub(super) fn copy(message: &BatchInsert) -> String {
    into(message, "COPY ") + " FROM STDIN (FORMAT binary)"
}

fn into(message: &BatchInsert, verb: &str) -> String {
    let mut sql = verb.to_owned();
    push_target(&mut sql, message.table(), message.columns());
    sql
}

/// Names a table and some of its columns.
pub(crate) fn push_target<C: AsRef<str>>(sql: &mut String, table: &TableName, columns: &[C]) {
    Dialect::Postgres.push_table(sql, table);
    for (at, column) in columns.iter().enumerate() {
        sql.push_str(if at == 0 { " (" } else { ", " });
        Dialect::Postgres.push_identifier(sql, column.as_ref());
    }
    sql.push(')');
}
