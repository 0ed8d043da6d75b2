//! PostgreSQL as a supervised backend of Backstop: leases that clean up, proven fates, read-only reads.
//!
//! - **One cap** over all lanes: a permit travels with every connection, whether it is leased, idle, being
//!   cleaned or listening. A lane that waits makes another one close what it does not use.
//! - **A lease** knows what its connection is in the middle of. Dropped in flight, the statement is cancelled at
//!   the server, and the connection is lent again only after a round trip proves it idle; otherwise it is closed.
//! - **Reads are read-only** by the session, so a volatile function cannot hide in a `SELECT`, and repeating a
//!   read is always safe.
//! - **A commit is proven.** One that the server turned into a rollback is an error, and one whose answer was
//!   lost is `unknown`.
//!
//! ```
//! use backstop_postgres::PostgresOptions;
//!
//! let options = PostgresOptions::url("postgres://app@localhost/app").password("secret").pool_size(8);
//! # drop(options);
//! ```

mod ahead;
mod autocommit;
mod backend;
mod bulk;
mod cache;
mod cancel;
mod check;
mod codec;
mod connection;
mod connector;
mod credentials;
mod crud;
mod driver;
mod engine;
mod error;
mod explain;
mod framing;
mod holder;
mod janitor;
mod lane;
mod lease;
mod listen;
mod manager;
mod merge;
mod naming;
mod options;
mod pipe;
mod pooled;
mod quarantine;
mod run;
mod service;
#[cfg(test)]
mod session;
mod shared;
mod socket;
mod statement;
mod stats;
mod stream;
mod tls;
mod transact;
mod wire;

pub use backstop_sql as sql;

pub use self::{
    backend::Postgres,
    credentials::{Credentials, Secret},
    listen::{Listen, Notice, NoticeStream},
    naming::PreparedStatements,
    options::{PostgresOptions, TargetSession},
    shared::PostgresShared,
    stats::{HolderSnapshot, PostgresSnapshot},
    tls::TlsMode,
};
