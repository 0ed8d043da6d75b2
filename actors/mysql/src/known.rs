//! What is known of a statement before it is sent: its text for the server, and what it may do.

use std::sync::Arc;

use backstop_core::{error::Failure, outcome::Outcome};
use backstop_sql::{
    Dialect, Sql, Statement, StatementError, Verb,
    seen::{Seen, StatementStats},
    tokenizer::{Kind, Tokens},
};

/// A statement that was checked.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) statement: Statement,
    /// Whether it leaves something in its session: a variable, a lock, a temporary table.
    ///
    /// What a stored function or a trigger leaves is in no text. The server could tell (`session_track_state_change`),
    /// but the driver does not ask it to.
    pub(crate) soils: bool,
    /// What happens to it.
    pub(crate) stats: Arc<StatementStats>,
}

/// Words of statements that leave something in their session.
const SOILS: &[&str] = &["temporary", "get_lock", "release_lock", "last_insert_id", "setval", "call", "kill"];

/// Words behind INTO that make the server write a file.
const FILES: &[&str] = &["outfile", "dumpfile"];

impl Known {
    pub(crate) fn parse(text: &str) -> Result<Self, StatementError> {
        let statement = Statement::parse(text, Dialect::MySql)?;
        // FLUSH … WITH READ LOCK, BACKUP LOCK, and what is to come
        let (mut soils, mut after_into) = (statement.verb() == Verb::Other, false);
        for token in Tokens::new(text, Dialect::MySql) {
            let token = token?;
            let is = |words: &[&str]| words.iter().any(|word| token.text.eq_ignore_ascii_case(word));
            if token.kind == Kind::Word {
                if after_into && is(FILES) {
                    let what = format!("INTO {}", token.text.to_ascii_uppercase());
                    return Err(StatementError::Refused { what, why: "it writes a file of the server" });
                }
                soils |= is(SOILS);
            }
            // user variables, `@v := 1` and `INTO @v`; reading the server's `@@…` too, which does no harm
            soils |= token.text.contains('@') && token.kind != Kind::String && token.kind != Kind::Quoted;
            after_into = token.kind == Kind::Word && is(&["into"]);
        }
        Ok(Self { statement, soils, stats: StatementStats::unread() })
    }

    /// Has its runs counted under `sql`.
    pub(crate) fn seen(mut self, sql: &Sql, seen: &Seen) -> Self {
        self.stats = seen.statement(sql);
        self
    }

    /// Refuses what cannot be part of a transaction.
    ///
    /// The server commits before and after a change of the schema, and a procedure may commit by itself; both would
    /// take the promise away that all takes effect or nothing.
    pub(crate) fn within_transaction(&self) -> Result<(), Failure> {
        match self.statement.verb() {
            Verb::Select | Verb::With | Verb::Explain | Verb::Insert | Verb::Update | Verb::Delete => Ok(()),
            _ => Err(Failure::refused(
                "only SELECT, INSERT, REPLACE, UPDATE and DELETE have a place in a transaction: MySQL commits by \
                 itself at a change of the schema, and a procedure may",
            )
            .counts_as(Outcome::NotCounted)
            .with_code("refused_statement")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_something_in_its_session_is_seen() {
        for text in [
            "SELECT @v := 1",
            "SELECT 1 INTO @v",
            "SELECT GET_LOCK('a', 1)",
            "CREATE TEMPORARY TABLE t (a int)",
            "CALL p()",
            "FLUSH TABLES WITH READ LOCK",
            "BACKUP LOCK t",
            "DO RELEASE_ALL_LOCKS()",
        ] {
            assert!(Known::parse(text).unwrap().soils, "{text}");
        }
        for text in ["SELECT 1", "SELECT 'a@b', \"@c\", `@d`", "INSERT INTO t VALUES ('temporary')"] {
            assert!(!Known::parse(text).unwrap().soils, "{text}");
        }
    }

    #[test]
    fn a_file_of_the_server_is_never_written() {
        for text in ["SELECT 1 INTO OUTFILE 'x'", "SELECT 1 into /* */ dumpfile 'x'"] {
            assert_eq!(Known::parse(text).unwrap_err().code(), "refused_statement", "{text}");
        }
    }

    #[test]
    fn a_transaction_takes_nothing_that_commits_by_itself() {
        for text in
            ["CREATE TABLE t (a int)", "TRUNCATE t", "CALL p()", "GRANT SELECT ON t TO u", "FLUSH TABLES"]
        {
            let failure = Known::parse(text).unwrap().within_transaction().unwrap_err();
            assert_eq!(failure.code(), Some("refused_statement"), "{text}");
        }
        for text in
            ["SELECT 1", "(SELECT 1)", "REPLACE INTO t VALUES (1)", "WITH a AS (SELECT 1) SELECT * FROM a"]
        {
            Known::parse(text).unwrap().within_transaction().unwrap();
        }
    }
}
