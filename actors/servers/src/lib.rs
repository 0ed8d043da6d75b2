//! Private database servers for tests and the demo: in a temporary directory, on a free port of 127.0.0.1 and a Unix socket,
//! as an unprivileged user when we run as root.
//!
//! | type | what it is |
//! |---|---|
//! | [`Postgres`], [`MariaDb`] | a running server with its setup: [`PostgresSetup`], [`MariaDbSetup`] |
//! | [`Server`] | what both can do: kill, stop, restart, pause, resume, run statements, make databases |
//! | [`PgBouncer`] | a pooler in transaction mode before a PostgreSQL: [`PgBouncerSetup`] |
//! | [`Database`] | a database of one test's own |
//! | [`Certificate`] | whether the server offers TLS, and how good its certificate is |
//! | [`in_namespaces`], [`Cable`], [`SmallDisk`] | a network that loses packets and a disk that is full, where the machine grants them |
//!
//! Most tests share one server per test binary and take a fresh database each; a test that kills or pauses starts
//! a server of its own:
//!
//! ```no_run
//! use backstop_servers::{Postgres, PostgresSetup};
//!
//! # fn demo() -> Result<(), backstop_servers::ServerError> {
//! let database = Postgres::shared()?.fresh_database()?;
//! println!("connect to {}", database.url());
//!
//! let own = Postgres::start(PostgresSetup { max_connections: 5, ..PostgresSetup::default() })?;
//! own.kill()?;
//! own.restart()?; // the same port, the same data
//! # Ok(()) }
//! ```
//!
//! **Everything here blocks its thread**: a start for one to two seconds, a statement for tens of milliseconds. In a
//! runtime whose thread must go on, wrap the call in `tokio::task::spawn_blocking`; on paused time, call it before
//! the clock is paused.
//!
//! **Nothing outlives the process that started it.** Each server has a guardian, a small shell script that holds a pipe from
//! that process. When the pipe closes (drop, end, panic, SIGKILL) it kills every process that works in the
//! server's directory and removes the directory. Do not work in that directory with a shell of your own.
//!
//! **Other servers.** With `BACKSTOP_TEST_POSTGRES_URL` or `BACKSTOP_TEST_MYSQL_URL` the shared server is the one
//! at that address. Such a server is never killed, paused or restarted: those verbs are [`ServerError::Foreign`].
//! `start` always starts a private one.
//!
//! A missing server is an error with the command that installs it ([`ServerError::Missing`]), never a reason to skip
//! a test. Linux only: the
//! processes of a server are found through `/proc`.
#![allow(
    clippy::disallowed_methods,
    reason = "real time of real processes; every function here says it blocks"
)]

mod account;
mod certificate;
mod command;
mod database;
mod error;
mod greeting;
mod guardian;
mod handle;
mod kind;
mod mariadb;
#[cfg(target_os = "linux")]
mod namespace;
mod pgbouncer;
mod port;
mod postgres;
mod private;
mod processes;
mod programs;
mod secret;

pub use certificate::Certificate;
pub use database::Database;
pub use error::ServerError;
pub use handle::Server;
pub use mariadb::{MariaDb, MariaDbSetup};
#[cfg(target_os = "linux")]
pub use namespace::{Cable, SmallDisk, in_namespaces};
pub use pgbouncer::{PgBouncer, PgBouncerSetup};
pub use postgres::{Postgres, PostgresSetup};
