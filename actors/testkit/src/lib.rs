//! What the tests of Backstop share; never published.
//!
//! | module | what it is for |
//! |---|---|
//! | [`fake`] | a backend that does what each message says, for scripted faults on virtual time |
//! | [`contract`] | one suite that every backend runs: [`contract_suite!`] |
//! | [`lane`] | one lane of a backend, driven as the guard does and without the actors around it |
//! | [`ledger`] | what callers were told, compared with what was executed |
//! | [`proxy`] | a seeded TCP fault proxy for backends with real servers |
//! | [`server`] | PostgreSQL and MariaDB of the test's own, to kill, stop, continue and restart |
//! | [`sim`] | a runtime on virtual time |
//! | [`sql`] | one suite that every SQL backend runs: [`sql_suite!`] |
//!
//! Test support may panic: a broken assumption of a test should end it.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::missing_panics_doc)]

pub mod contract;
pub mod fake;
pub mod lane;
pub mod ledger;
pub mod proxy;
pub mod sim;
pub mod sql;

pub use backstop_core::planted;
pub use backstop_servers as server;
