//! A statement together with its counters, for threads that are handed both.

use std::{ops::Deref, sync::Arc};

use super::{Seen, StatementStats};
use crate::{Dialect, Sql, Statement, StatementError};

/// A statement that was checked, and the counters of its text.
#[derive(Clone, Debug)]
pub struct Watched {
    statement: Statement,
    /// What happens to it.
    pub stats: Arc<StatementStats>,
}

impl Watched {
    /// Checks a text, and makes counters of it.
    ///
    /// # Errors
    /// Those of [`Statement::parse`].
    pub fn parse(sql: &Sql, dialect: Dialect, seen: &Seen) -> Result<Self, StatementError> {
        Ok(Self { statement: Statement::parse(sql.as_str(), dialect)?, stats: seen.statement(sql) })
    }

    /// Checks a text that is counted nowhere.
    ///
    /// # Errors
    /// Those of [`Statement::parse`].
    pub fn unread(sql: &Sql, dialect: Dialect) -> Result<Self, StatementError> {
        Ok(Self { statement: Statement::parse(sql.as_str(), dialect)?, stats: StatementStats::unread() })
    }
}

impl Deref for Watched {
    type Target = Statement;

    fn deref(&self) -> &Statement {
        &self.statement
    }
}
