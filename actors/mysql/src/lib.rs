//! MySQL and MariaDB as a supervised backend of Backstop.
//!
//! - **Statements** are prepared, one at a time, and their texts are remembered per connection within a bound.
//! - **Reads** run in sessions that the server keeps read-only, so a function that writes cannot hide in a select.
//! - **Connections** belong to the lane that opened them, and share one cap over all lanes. One whose call was
//!   given up is never used again: its session is killed on the server, and counts until that is done.
//! - **Sessions** are reset where a statement's text can leave something in them. What stored functions and triggers
//!   leave is in no text: [`reset_always`](MySqlOptions::reset_always) is for databases that have such ones.
//! - Every call ends by its deadline and says whether it was executed; a commit whose answer is lost is `unknown`.
//!
//! ```
//! use backstop_mysql::MySqlOptions;
//!
//! let options = MySqlOptions::url("mysql://app:secret@127.0.0.1/shop").pool_size(8);
//! # drop(options);
//! ```
//!
//! # What differs from other engines
//! - `BOOLEAN` is `TINYINT(1)`: it comes back as a whole number, and as a `bool` where a typed row asks for one.
//! - MariaDB has no JSON type: such a column comes back as text. MySQL's comes back as JSON.
//! - `TIMESTAMP` is an instant, because every session runs at `+00:00`; `DATETIME` has no offset.
//! - A locking read (`FOR UPDATE`) counts as a write to MariaDB: `Query` refuses it, a transaction takes it.
//! - Both servers know lock timeouts in whole seconds: [`lock_timeout`](sql::TxOptions::lock_timeout) is rounded up.
//! - A failed statement is undone by InnoDB. Tables of other engines (MyISAM, Aria) keep what was done: no promise
//!   about `executed: no` or about transactions holds for them.
//! - TLS takes the process's default provider of rustls where several are linked: install one first then.

mod backend;
mod crud;
mod error;
mod explain;
mod insert;
mod known;
mod options;
mod pool;
mod run;
mod session;
mod shared;
mod stream;
mod transaction;
mod value;
mod wire;

pub use backstop_sql as sql;

pub use self::{
    backend::MySql,
    options::{MySqlOptions, Tls},
    shared::MySqlShared,
};
