//! What the SQL backends of Backstop share: statements, parameters, values, rows.
//!
//! The same text works on every engine: `:name`, `$1` and `?` are understood by a tokenizer that knows
//! strings, quoted identifiers, comments and casts. What would escape the backend's guard (a second
//! statement, transaction control, ATTACH) is refused before anything runs.
//!
//! ```
//! use backstop_sql::{Execute, Query};
//!
//! let read = Query::new("SELECT name FROM users WHERE id = :id").bind_named("id", 7);
//! let write = Execute::new("INSERT INTO users(name) VALUES (?)").bind("Ada");
//! # drop((read, write));
//! ```

pub mod crud;
pub mod dialect;
pub mod error;
pub mod memo;
pub mod message;
pub mod options;
pub mod parameters;
pub mod reply;
pub mod row;
mod screen;
pub mod seen;
pub mod statement;
mod table;
pub mod tokenizer;
pub mod transaction;
pub mod value;
pub mod wire;

pub use self::{
    dialect::Dialect,
    error::StatementError,
    message::{
        BatchInsert, ChunkReport, Execute, Explain, InsertReport, Plan, Query, QueryAs, QueryStream, Request,
        RowSink, RowStream, RowsExpected, Sql, Transact, TransactAsync, Transaction, Written,
    },
    parameters::Params,
    row::{Column, Columns, DecodeError, Row, Rows},
    statement::{Statement, Verb},
    table::TableName,
    transaction::{AsyncTx, AsyncTxEngine, Isolation, Tx, TxEngine, TxError, TxOptions},
    value::{Numbers, RawValue, Value},
};

/// What [`serve_crud!`] names in the crate that calls it.
#[doc(hidden)]
pub mod __private {
    pub use backstop_core::{backend::Serve, call::CallContext, error::Failure, message::Message};
    pub use serde::de::DeserializeOwned;
}
