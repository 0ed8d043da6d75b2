//! Statements that no backend lets through: they block others, leave the database or change the connection.
//!
//! The data is one table; each row is a test. It is the first of two fences: the second one is the engine's
//! own (read-only sessions, no ATTACH, no extensions), because a list of words is never complete.

use crate::{
    Dialect, StatementError,
    tokenizer::{Kind, Token},
};

const ALL: &[Dialect] = &[Dialect::Sqlite, Dialect::Postgres, Dialect::MySql];
const SQLITE: &[Dialect] = &[Dialect::Sqlite];
const SERVERS: &[Dialect] = &[Dialect::Postgres, Dialect::MySql];
const POSTGRES: &[Dialect] = &[Dialect::Postgres];
const MYSQL: &[Dialect] = &[Dialect::MySql];

const TRANSACTION: &str = "transactions go through `Transaction` or `Transact`, so that they always end";
const FILES: &str = "the backend serves the one database of its settings";
const SESSION: &str = "connections are shared, so their state cannot change";
const SERVER_FILES: &str = "it can reach files or programs of the server";

/// First words, the dialects that refuse them, and why.
const VERBS: &[(&str, &[Dialect], &str)] = &[
    ("begin", ALL, TRANSACTION),
    ("start", SERVERS, TRANSACTION),
    ("commit", ALL, TRANSACTION),
    ("end", ALL, TRANSACTION),
    ("rollback", ALL, TRANSACTION),
    ("abort", POSTGRES, TRANSACTION),
    ("savepoint", ALL, TRANSACTION),
    ("release", ALL, TRANSACTION),
    ("xa", MYSQL, TRANSACTION),
    ("attach", SQLITE, FILES),
    ("detach", SQLITE, FILES),
    ("use", MYSQL, FILES),
    ("set", SERVERS, SESSION),
    ("reset", SERVERS, SESSION),
    ("discard", POSTGRES, SESSION),
    ("prepare", SERVERS, SESSION),
    ("execute", SERVERS, SESSION),
    ("deallocate", SERVERS, SESSION),
    ("declare", POSTGRES, SESSION),
    ("listen", POSTGRES, SESSION),
    ("unlisten", POSTGRES, SESSION),
    ("lock", SERVERS, SESSION),
    ("unlock", MYSQL, SESSION),
    ("handler", MYSQL, SESSION),
    ("copy", POSTGRES, SERVER_FILES),
    ("do", POSTGRES, SERVER_FILES),
    ("load", SERVERS, SERVER_FILES),
];

/// Functions that load code.
const FUNCTIONS: &[(&str, &[Dialect])] = &[("load_extension", SQLITE)];

/// SQLite pragmas that only tell something, or that do bounded maintenance. Some pragmas take effect while
/// they are prepared, so they must be refused by name.
const PRAGMAS: &[&str] = &[
    "application_id",
    "collation_list",
    "compile_options",
    "data_version",
    "database_list",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "freelist_count",
    "function_list",
    "incremental_vacuum",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "module_list",
    "optimize",
    "page_count",
    "pragma_list",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
    "wal_checkpoint",
];

/// Pragmas that may be read but not set, because they are settings of the backend.
const READ_PRAGMAS: &[&str] = &[
    "auto_vacuum",
    "busy_timeout",
    "cache_size",
    "foreign_keys",
    "journal_mode",
    "journal_size_limit",
    "page_size",
    "query_only",
    "recursive_triggers",
    "schema_version",
    "synchronous",
    "temp_store",
    "wal_autocheckpoint",
];

/// Refuses a statement by its first words.
pub(crate) fn screen(tokens: &[Token<'_>], dialect: Dialect) -> Result<(), StatementError> {
    let Some(first) = tokens.first() else { return Err(StatementError::Empty) };
    let refused = |what: &str, why| Err(StatementError::Refused { what: what.to_ascii_uppercase(), why });
    for (verb, dialects, why) in VERBS {
        if dialects.contains(&dialect) && is_word(first, verb) {
            return refused(verb, *why);
        }
    }
    if dialect == Dialect::Sqlite {
        if is_word(first, "vacuum") && tokens.iter().any(|token| is_word(token, "into")) {
            return refused("vacuum into", "it writes a file of the statement's choice");
        }
        // EXPLAIN prepares the pragma behind it, and some take effect then
        let at = tokens.iter().take(4).position(|token| is_word(token, "pragma"));
        if let Some(at) = at.filter(|at| *at == 0 || is_word(first, "explain")) {
            return pragma(&tokens[at + 1..]);
        }
    }
    for pair in tokens.windows(2) {
        for (function, dialects) in FUNCTIONS {
            if dialects.contains(&dialect)
                && pair[1].text == "("
                && unquoted(&pair[0]).eq_ignore_ascii_case(function)
            {
                return refused(function, "extensions are off");
            }
        }
    }
    Ok(())
}

fn pragma(tokens: &[Token<'_>]) -> Result<(), StatementError> {
    let tokens = match tokens {
        [_, dot, rest @ ..] if dot.text == "." => rest,
        all => all,
    };
    let name = tokens.first().map_or("", unquoted);
    let known = |list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(name));
    let why = match () {
        () if known(PRAGMAS) || (known(READ_PRAGMAS) && tokens.len() == 1) => return Ok(()),
        () if known(READ_PRAGMAS) => "it may be read, but it is set by the backend's options",
        () => "it is not among the pragmas that only tell something or do maintenance",
    };
    Err(StatementError::Refused {
        what: format!("PRAGMA {}", name.chars().take(40).collect::<String>()),
        why,
    })
}

pub(crate) fn is_word(token: &Token<'_>, word: &str) -> bool {
    token.kind == Kind::Word && token.text.eq_ignore_ascii_case(word)
}

fn unquoted<'a>(token: &Token<'a>) -> &'a str {
    match token.kind {
        Kind::Quoted | Kind::String => token.text.get(1..token.text.len() - 1).unwrap_or(""),
        _ => token.text,
    }
}
