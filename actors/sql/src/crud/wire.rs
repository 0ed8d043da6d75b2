//! The JSON form of the messages.
//!
//! `{"table": "users", "where": {"id": 7}}` reads as it looks. In `where`, a bare value is an equality, an
//! object of operators is more than that: `{"age": {"ge": 18, "lt": 65}}`, `{"name": {"like": "A%"}}`,
//! `{"id": {"in": [1, 2]}}`, `{"at": {"between": [1, 5]}}`, `{"gone": {"is_null": true}}`. All entries must
//! hold; `$and`, `$or` (lists) and `$not` combine. Values are those of parameters, so that
//! `{"type": "decimal", "value": "9.90"}` keeps its type.

mod arguments;
mod condition;

use backstop_core::operation::{Operation, OperationInfo, WireError};
use serde_json::Value as Json;

use self::arguments::{
    Counted, Deleted, InsertedMany, InsertedOne, SelectedMany, SelectedOne, Updated, Upserted,
};
use super::{Crud, CrudMessage};
use crate::{Dialect, Request};

/// The operations, for the list of a backend that serves them.
pub const OPERATIONS: [OperationInfo; 11] = [
    info(
        "select_one",
        "Reads the first row that fits, or none.",
        &["table", "where", "columns?", "order?", "numbers?", "cache_key?", "ttl_ms?", "tags?"],
    ),
    info(
        "select_many",
        "Reads the rows that fit, at most 100 unless `limit` says otherwise.",
        &[
            "table",
            "where?",
            "columns?",
            "order?",
            "limit?",
            "offset?",
            "numbers?",
            "cache_key?",
            "ttl_ms?",
            "tags?",
        ],
    ),
    info("count", "Counts the rows that fit.", &["table", "where?"]),
    info("exists", "Says whether any row fits.", &["table", "where?"]),
    info("insert_one", "Inserts a row and returns its id.", &["table", "data", "returning?"]),
    info("insert_many", "Inserts rows, all of them or none.", &["table", "data"]),
    info(
        "upsert",
        "Inserts a row or updates the one with the same key.",
        &["table", "data", "keys", "update_only?"],
    ),
    info("update_one", "Changes one row; refuses to change more.", &["table", "where", "data"]),
    info("update_many", "Changes the rows that fit.", &["table", "where", "data", "all_rows?"]),
    info("delete_one", "Deletes one row; refuses to delete more.", &["table", "where"]),
    info("delete_many", "Deletes the rows that fit.", &["table", "where", "all_rows?"]),
];

const fn info(
    name: &'static str,
    summary: &'static str,
    arguments: &'static [&'static str],
) -> OperationInfo {
    OperationInfo { name, summary, arguments }
}

/// Puts the operations of a backend and those of this module into one list.
#[must_use]
pub const fn with_operations<const OWN: usize, const ALL: usize>(
    own: [OperationInfo; OWN],
) -> [OperationInfo; ALL] {
    assert!(OWN + OPERATIONS.len() == ALL, "the list has another length");
    let mut all = [OPERATIONS[0]; ALL];
    let mut at = 0;
    while at < ALL {
        all[at] = if at < OWN { own[at] } else { OPERATIONS[at - OWN] };
        at += 1;
    }
    all
}

/// Turns a name and JSON arguments into a message; `None` where the name is none of this module.
///
/// # Errors
/// [`WireError`] names the argument that is unknown, missing or malformed.
pub fn decode<B>(name: &str, arguments: Json) -> Option<Result<Operation<B>, WireError>>
where
    B: Crud,
{
    Some(match name {
        "select_one" => {
            operation(arguments::read::<SelectedOne>(name, arguments).and_then(|it| it.message(name)))
        }
        "select_many" => {
            operation(arguments::read::<SelectedMany>(name, arguments).and_then(|it| it.message(name)))
        }
        "count" => operation(arguments::read::<Counted>(name, arguments).and_then(|it| it.count(name))),
        "exists" => operation(arguments::read::<Counted>(name, arguments).and_then(|it| it.exists(name))),
        "insert_one" => {
            operation(arguments::read::<InsertedOne>(name, arguments).and_then(|it| it.message(name)))
        }
        "insert_many" => {
            operation(arguments::read::<InsertedMany>(name, arguments).and_then(|it| it.message(name)))
        }
        "upsert" => operation(arguments::read::<Upserted>(name, arguments).and_then(|it| it.message(name))),
        "update_one" => operation(arguments::read::<Updated>(name, arguments).and_then(|it| it.one(name))),
        "update_many" => operation(arguments::read::<Updated>(name, arguments).and_then(|it| it.many(name))),
        "delete_one" => operation(arguments::read::<Deleted>(name, arguments).and_then(|it| it.one(name))),
        "delete_many" => operation(arguments::read::<Deleted>(name, arguments).and_then(|it| it.many(name))),
        _ => return None,
    })
}

/// Turns a name and JSON arguments into a statement for an atomic batch; `None` where the name is none of this
/// module, or of a message that is more than one statement (`insert_many`).
///
/// # Errors
/// [`WireError`] names the argument that is unknown, missing or malformed.
pub fn statement(
    dialect: Dialect,
    name: &str,
    arguments: Json,
    place: &str,
) -> Option<Result<Request, WireError>> {
    macro_rules! lowered {
        ($arguments:ty, $message:ident) => {
            arguments::read::<$arguments>(place, arguments)
                .and_then(|it| it.$message(place))
                .and_then(|message| message.lower(dialect).map_err(|error| wrong(place, &error)))
        };
    }
    Some(match name {
        "select_one" => lowered!(SelectedOne, message),
        "select_many" => lowered!(SelectedMany, message),
        "count" => lowered!(Counted, count),
        "exists" => lowered!(Counted, exists),
        "insert_one" => lowered!(InsertedOne, message),
        "upsert" => lowered!(Upserted, message),
        "update_one" => lowered!(Updated, one),
        "update_many" => lowered!(Updated, many),
        "delete_one" => lowered!(Deleted, one),
        "delete_many" => lowered!(Deleted, many),
        _ => return None,
    })
}

fn operation<B, M>(message: Result<M, WireError>) -> Result<Operation<B>, WireError>
where
    B: backstop_core::backend::Serve<M>,
    M: CrudMessage,
    M::Reply: serde::Serialize,
{
    message.map(Operation::new)
}

fn wrong(place: &str, error: &dyn std::fmt::Display) -> WireError {
    WireError::new(format!("{place}: {error}"))
}
