//! Which names of tables and columns are sent at all; all of them are quoted.

use crate::{Dialect, StatementError, TableName};

/// Refuses a table that no engine has.
pub(super) fn check_table(dialect: Dialect, table: &TableName) -> Result<(), StatementError> {
    table.check()?;
    table.schema().map_or(Ok(()), |schema| check(dialect, "schema", schema))?;
    check(dialect, "table", table.name())
}

/// Refuses a name that no engine takes: PostgreSQL would cut a long one and then mean another table.
pub(super) fn check(dialect: Dialect, what: &str, name: &str) -> Result<(), StatementError> {
    let refuse = |why: &str| {
        let shown: String = name.chars().take(32).collect();
        Err(StatementError::Message(format!("{what} `{}` {why}", shown.escape_debug())))
    };
    let (length, most, unit) = match dialect {
        Dialect::Postgres => (name.len(), 63, "bytes"),
        Dialect::MySql | Dialect::Sqlite => (name.chars().count(), 64, "characters"),
    };
    if name.is_empty() {
        return Err(StatementError::Message(format!("{what} has an empty name")));
    }
    if name.contains('\0') {
        return refuse("holds a NUL");
    }
    if length > most {
        return refuse(&format!("is longer than {most} {unit}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_engine_takes_are_refused_and_hostile_ones_are_only_quoted() {
        for (dialect, name, fits) in [
            (Dialect::Postgres, "x".repeat(63), true),
            (Dialect::Postgres, "x".repeat(64), false),
            (Dialect::Postgres, "ä".repeat(32), false),
            (Dialect::MySql, "ä".repeat(64), true),
            (Dialect::MySql, "x".repeat(65), false),
            (Dialect::Sqlite, String::new(), false),
            (Dialect::Sqlite, "a\0b".into(), false),
            (Dialect::Sqlite, "a\"; DROP TABLE t; --".into(), true),
        ] {
            assert_eq!(check(dialect, "table", &name).is_ok(), fits, "{dialect:?} {name:?}");
        }
    }
}
