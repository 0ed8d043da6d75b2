//! Where the engines differ: quoting, placeholders, bind limits.

/// The SQL of one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    MySql,
}

impl Dialect {
    /// The most parameters one statement may have.
    #[must_use]
    pub fn bind_limit(self) -> usize {
        match self {
            Self::Sqlite => 32_766,                 // SQLITE_MAX_VARIABLE_NUMBER
            Self::Postgres | Self::MySql => 65_535, // 16 bits on the wire
        }
    }

    /// Appends `name` as a quoted identifier.
    pub fn push_identifier(self, sql: &mut String, name: &str) {
        let quote = if self == Self::MySql { '`' } else { '"' };
        sql.push(quote);
        for character in name.chars() {
            if character == quote {
                sql.push(quote);
            }
            sql.push(character);
        }
        sql.push(quote);
    }

    /// Appends the placeholder of the parameter `number`, counted from 1.
    pub(crate) fn push_placeholder(self, sql: &mut String, number: usize) {
        use std::fmt::Write as _;
        // writing to a string cannot fail
        let _ = match self {
            Self::Sqlite => write!(sql, "?{number}"),
            Self::Postgres => write!(sql, "${number}"),
            Self::MySql => {
                sql.push('?');
                Ok(())
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_inside_an_identifier_is_doubled() {
        let mut sql = String::new();
        Dialect::Sqlite.push_identifier(&mut sql, "a\"; DROP TABLE t; --");
        assert_eq!(sql, "\"a\"\"; DROP TABLE t; --\"");
        sql.clear();
        Dialect::MySql.push_identifier(&mut sql, "a`b");
        assert_eq!(sql, "`a``b`");
    }
}
