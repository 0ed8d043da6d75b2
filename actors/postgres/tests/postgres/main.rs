//! PostgreSQL as callers and as faults see it, against a real server.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, missing_docs)]

mod batches;
mod cancels;
mod hosts;
mod kills;
mod leases;
mod limits;
mod listening;
mod merges;
mod network;
mod options;
mod pipes;
mod seen;
mod statements;
mod streams;
mod suite;
mod support;
mod threads;
mod tls;
mod transactions;
