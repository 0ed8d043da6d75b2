//! PostgreSQL as callers and as faults see it, against a real server.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, missing_docs)]

mod ahead;
mod batches;
mod cancels;
mod crowds;
mod disks;
mod giants;
mod hostile;
mod hosts;
mod impostors;
mod kills;
mod leases;
mod limits;
mod listening;
mod memory;
mod merges;
mod merges_unique;
mod network;
mod options;
mod outages;
mod pipes;
mod planted;
mod poolers;
mod refused;
mod rogue;
mod seen;
mod silence;
mod statements;
mod storms;
mod streams;
mod suite;
mod support;
mod threads;
mod tls;
mod transactions;
