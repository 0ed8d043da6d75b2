//! An actor-based concurrent runtime that stands between a service and everything it depends on.
//!
//! Each backend is a supervised actor that owns its own pool. Callers send typed messages with a deadline;
//! an orchestrator gathers results; a circuit breaker trips what fails and a supervisor restarts what
//! panics. Two promises hold everywhere:
//!
//! 1. All calls of a backend meet in one place, so they are pipelined, grouped and coalesced.
//! 2. Every message has exactly one fate, by its deadline, and the fate says whether the work was executed:
//!    `yes`, `no` or `unknown`.
//!
//! # Three ways to use it
//!
//! **Embedded**, in an actix-web app or any tokio program: ask by type.
//!
//! ```
//! # #[cfg(not(feature = "sqlite"))] fn main() {}
//! # #[cfg(feature = "sqlite")]
//! use backstop::{prelude::*, sql::{Execute, Query}, sqlite::{Sqlite, SqliteOptions}};
//! # #[cfg(feature = "sqlite")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! let runtime = Runtime::builder()
//!     .backend("users", SqliteOptions::memory(), Policy::default())
//!     .start()
//!     .await?;
//! let users: BackendRef<Sqlite> = runtime.backend("users")?; // a wrong name or kind fails here
//! users.ask(Execute::new("CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT)")).await?;
//! users.ask(Execute::new("INSERT INTO user (name) VALUES (?)").bind("Ada")).await?;
//!
//! let find = Query::new("SELECT name FROM user WHERE id = :id").bind_named("id", 1);
//! let rows = users.ask(find).within(Duration::from_millis(250)).await?;
//! assert_eq!(rows.len(), 1);
//! # runtime.shutdown(Deadline::after(Duration::from_secs(1))).await;
//! # Ok(()) }
//! ```
//!
//! **Messaged by other actors**, or by anything that has data instead of types: ask by name.
//!
//! ```
//! # #[cfg(not(feature = "sqlite"))] fn main() {}
//! # #[cfg(feature = "sqlite")]
//! use backstop::{Batch, BatchItem, prelude::*, sqlite::SqliteOptions};
//! # #[cfg(feature = "sqlite")]
//! # #[actix_rt::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use backstop::orchestrator::{Execute, RunBatch};
//! use serde_json::json;
//!
//! # let runtime = Runtime::builder().backend("users", SqliteOptions::memory(), Policy::default()).start().await?;
//! let orchestrator = runtime.orchestrator().local_addr()?; // the actor of this thread
//! let one = orchestrator.send(Execute::new("users", "query", json!({"sql": "SELECT 1 AS one"}))).await??;
//! assert_eq!(one["columns"][0]["name"], "one");
//!
//! let batch = Batch::new()
//!     .then(BatchItem::new("users", "query", json!({"sql": "SELECT 20 AS n"})).id("first"))
//!     .then(BatchItem::new("users", "query", json!({
//!         "sql": "SELECT ? + 1 AS n",
//!         "params": [{"type": "ref", "value": "#/first/rows/0/0"}],
//!     })));
//! let report = orchestrator.send(RunBatch(batch)).await??;
//! assert!(report.is_ok());
//! # runtime.shutdown(Deadline::after(std::time::Duration::from_secs(1))).await;
//! # Ok(()) }
//! ```
//!
//! **As the `backstop` binary**: `backstop demo` breaks a supervised tree on purpose and accounts for every
//! message. A configuration file and REST come later.
//!
//! # Rooms
//!
//! | module | what it is for |
//! |---|---|
//! | [`runtime`] | starts backends by name, hands out typed references, stops them in reverse |
//! | [`orchestrator`] | many backends as one: by name, [`Gather`], [`Fallback`], [`Batch`], statistics |
//! | [`catalog`] | from a kind and its settings as data to a backend |
//! | [`core`] | the contract (messages, backends, errors) and all policies; enough for a backend of your own |
//! | [`supervisor`] | hosts backends as actors |
//! | [`durations`](mod@durations) | how long parts of the application took, told by itself |
//! | [`SqlInsight`] | statements, slow queries and leases of a SQL backend |
//! | [`Repository`] | a table as a set of rows of one type |
//! | `sql`, `sqlite`, `postgres`, `mysql`, `http` | the backends, one feature each |
//! | `web` | inside actix-web |

#[cfg(feature = "demo")]
pub mod demo;
pub mod durations;
#[cfg(feature = "sql")]
mod insight;
mod observe;
pub mod orchestrator;
#[cfg(feature = "sql")]
mod repository;
pub mod runtime;
#[cfg(feature = "web")]
pub mod web;

pub use backstop_core as core;
pub use backstop_core::{
    call::Deadline,
    error::{CallError, ConfigError, Executed, Failure, Phase, Rejection},
    message::{Class, Message},
    policy::Policy,
};
#[cfg(feature = "http")]
pub use backstop_http as http;
#[cfg(feature = "sql")]
pub use backstop_macros::transactional;
pub use backstop_macros::{api_operation, background_task, database_operation};
#[cfg(feature = "mysql")]
pub use backstop_mysql as mysql;
#[cfg(feature = "postgres")]
pub use backstop_postgres as postgres;
#[cfg(feature = "sql")]
pub use backstop_sql as sql;
#[cfg(feature = "sqlite")]
pub use backstop_sqlite as sqlite;
pub use backstop_supervisor as supervisor;
pub use backstop_supervisor::{
    Ask, BackendRef, BackendSnapshot, BlockingError, DynBackend, Order, Placement, ShutdownReport, Strategy,
};

pub use self::{
    durations::durations,
    observe::{Background, background, observe},
    orchestrator::{Batch, BatchItem, Fallback, Gather, Orchestrator},
    runtime::{Builder, Runtime, RuntimeError, catalog},
};
#[cfg(feature = "sql")]
pub use self::{insight::SqlInsight, repository::Repository};

/// What an application usually needs.
///
/// ```
/// use backstop::prelude::*;
/// ```
pub mod prelude {
    pub use crate::{
        BackendRef, CallError, Class, Deadline, Executed, Fallback, Gather, Message, Orchestrator, Policy,
        Runtime,
    };
}

/// The examples of the README compile and run with the doc tests.
#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../README.md")]
struct Readme;
