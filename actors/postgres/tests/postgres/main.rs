//! PostgreSQL as callers and as faults see it, against a real server.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, missing_docs)]

mod batches;
mod cancels;
mod crud;
mod hosts;
mod kills;
mod leases;
mod limits;
mod listening;
mod network;
mod options;
mod seen;
mod statements;
mod streams;
mod support;
mod threads;
mod tls;
mod transactions;
mod wire;
