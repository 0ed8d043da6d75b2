//! SQLite as a supervised backend of Backstop: one writer with group commit, inline readers.
//!
//! - **Writes** of all lanes meet at one thread, which commits everything that waits in one transaction and
//!   answers only after the commit. With many callers that is one sync for hundreds of writes; with one
//!   caller it is what a plain connection does.
//! - **Reads** run on the caller's thread, on a read-only connection of its own, for a few thousand steps of
//!   the engine; what takes longer moves to a reader thread.
//! - **Streams** and read-only transactions have threads of their own, so that a slow reader of a stream stands
//!   in nobody's way; a transaction that awaits holds the one writer while it lasts.
//! - Every call ends by its deadline and says whether it was executed; a statement that is interrupted was
//!   rolled back.
//!
//! ```
//! use backstop_sqlite::SqliteOptions;
//!
//! let options = SqliteOptions::file("data/app.db").readers(4);
//! # drop(options);
//! ```

mod backend;
mod connection;
mod crud;
mod error;
mod explain;
mod file;
mod gate;
mod held;
mod job;
mod lock;
mod options;
#[cfg(test)]
mod planted;
mod pool;
mod reader;
mod run;
mod session;
mod shared;
mod stats;
mod stream;
mod unwind;
mod wait;
mod watch;
mod wire;
mod writer;

pub use backstop_sql as sql;

pub use self::{
    backend::Sqlite,
    options::{SqliteOptions, Synchronous},
    shared::SqliteShared,
    stats::SqliteSnapshot,
};
