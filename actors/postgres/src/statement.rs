//! What is known of a statement's text before the server sees it.

use std::sync::Arc;

use crate::service::Service;
use backstop_sql::{
    Dialect, Sql, Statement, StatementError, Verb,
    seen::{Seen, StatementStats},
    tokenizer::{Kind, Tokens},
};

/// Functions and words that change the session they run in. A list is never complete: a function of the user's
/// own may hide one, and its session then keeps what it did.
const SESSION: &[&str] = &[
    "set_config",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "setseed",
    "lo_open",
    "dblink_connect",
    "temp",
    "temporary",
    "pg_temp",
];

/// A statement that may be sent.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) statement: Arc<Statement>,
    /// Whether it leaves something behind in its session, which is then reset.
    pub(crate) changes_session: bool,
    /// Whether it changes the schema, so that prepared statements may no longer fit.
    pub(crate) changes_schema: bool,
    /// Whether the server counts rows that were written; it counts those that were read too.
    pub(crate) counts: bool,
    /// How long the server takes for it.
    pub(crate) service: Service,
    /// What happens to it.
    pub(crate) stats: Arc<StatementStats>,
}

/// What writes rows, behind a WITH too.
const WRITES: &[&str] = &["insert", "update", "delete", "merge"];

impl Known {
    pub(crate) fn parse(text: &str) -> Result<Self, StatementError> {
        let statement = Arc::new(Statement::parse(text, Dialect::Postgres)?);
        let has = |list: &[&str]| {
            let words = Tokens::new(text, Dialect::Postgres).flatten().filter_map(|token| match token.kind {
                Kind::Word => Some(token.text),
                Kind::Quoted => Some(token.text.trim_matches('"')),
                _ => None,
            });
            words.into_iter().any(|word| list.iter().any(|known| known.eq_ignore_ascii_case(word)))
        };
        let changes_session = has(SESSION);
        let counts = match statement.verb() {
            Verb::Insert | Verb::Update | Verb::Delete => true,
            Verb::With | Verb::Other => has(WRITES),
            _ => false,
        };
        let changes_schema = statement.verb() == Verb::Schema;
        let stats = StatementStats::unread();
        Ok(Self { statement, changes_session, changes_schema, counts, service: Service::default(), stats })
    }

    /// Takes a statement of ours, which leaves nothing behind in its session.
    pub(crate) fn ours(text: &str) -> Result<Self, StatementError> {
        Ok(Self { changes_session: false, ..Self::parse(text)? })
    }

    /// Has its runs counted under `sql`.
    pub(crate) fn seen(mut self, sql: &Sql, seen: &Seen) -> Self {
        self.stats = seen.statement(sql);
        self
    }

    pub(crate) fn sql(&self) -> &str {
        self.statement.sql()
    }

    /// Says whether it may run on a connection that others read from at the same moment.
    pub(crate) fn may_share(&self) -> bool {
        !self.changes_session && self.service.is_short()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_a_session_is_seen_and_strings_are_not_read() {
        let changes = |text: &str| Known::parse(text).unwrap().changes_session;
        assert!(changes("SELECT set_config('a.b', 'c', false)"));
        assert!(changes("SELECT PG_ADVISORY_LOCK(1)"));
        assert!(changes("CREATE TEMP TABLE t (n int)"));
        assert!(!changes("SELECT 'set_config', pg_advisory_xact_lock(1)"));
    }

    #[test]
    fn raw_transaction_control_is_refused() {
        for text in ["BEGIN", "START TRANSACTION", "COMMIT", "ROLLBACK", "SAVEPOINT a", "ABORT", "END"] {
            assert_eq!(Known::parse(text).unwrap_err().code(), "refused_statement", "{text}");
        }
    }
}
