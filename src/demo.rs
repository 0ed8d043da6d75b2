//! `backstop demo`: the main job on real backends, under a schedule of faults, with a proof at the end.
//!
//! Needs nothing but this program: a SQLite file in a temporary directory, an HTTP API of its own on a free
//! loopback port, and a worker whose code can panic. Where PostgreSQL and MariaDB are installed, a private
//! server of each takes part (Linux); the report says so where one is left out. A bounded number of callers sends
//! single messages, gathers and batches through the runtime and moves money between accounts, while the API is
//! slow, hangs, fails and dies, the worker panics and is flooded, the database is locked by somebody else, and the
//! servers are killed and stand still.
//!
//! Afterwards every message is accounted for, and what callers were told is held against ledgers outside
//! the runtime: the database file, read by a fresh connection, the API's own log, and the tables of the servers,
//! which are killed once more and read by their own client programs.
//!
//! ```no_run
//! use backstop::demo::{self, Options, Silent};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), demo::StartError> {
//! let report = demo::run(&Options::default(), &mut Silent, std::future::pending()).await?;
//! assert!(report.ok, "{report}");
//! # Ok(()) }
//! ```

mod audit;
mod books;
mod bug;
mod cast;
mod checks;
mod chronicle;
mod director;
mod fate;
mod ledger;
mod lock;
mod options;
mod pulse;
mod report;
mod run;
mod schedule;
mod servers;
mod stage;
mod upstream;
mod view;
mod worker;
mod workload;

use std::io;

use backstop_core::error::CallError;

pub use self::{
    bug::Bug,
    cast::Role,
    checks::{Check, Rule, RuntimeCounts},
    chronicle::{EventLine, TransitionSeen},
    director::Episode,
    fate::{Failed, Fates},
    options::{LONGEST, Options, Presence, SHORTEST, parse_duration},
    report::{BackendReport, Report},
    run::run,
    schedule::FaultKind,
    servers::LeftOut,
    view::{Lines, Row, Scene, Screen, Silent, Style, View},
};
use crate::{orchestrator::LookupError, runtime::RuntimeError};

/// Why a run could not be started, or its ledgers not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No temporary directory.
    #[error("no temporary directory could be made: {0}; set TMPDIR to a directory that can be written")]
    Directory(#[source] io::Error),
    /// The embedded API.
    #[error("the embedded API failed: {0}; it needs one free port on 127.0.0.1")]
    Upstream(#[source] io::Error),
    /// A setting of the demo itself.
    #[error("a setting of the demo is wrong: {0}")]
    Settings(String),
    /// The runtime.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A backend is not there.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The table.
    #[error("the table of orders could not be made: {0}")]
    Schema(#[source] CallError),
    /// The database file at the end.
    #[error("the database file could not be read at the end: {0}")]
    Ledger(#[from] rusqlite::Error),
    /// A server that was asked for.
    #[error("{server} is asked for and cannot be had: {reason}")]
    Server {
        /// Which one.
        server: &'static str,
        /// Why, in one line.
        reason: String,
    },
    /// A server at the end.
    #[error("{server} could not be read at the end: {reason}")]
    ServerLedger {
        /// Which one.
        server: &'static str,
        /// Why.
        reason: String,
    },
    /// A task.
    #[error("a task of the demo failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}
