//! The backend against a real MariaDB, on one lane and without the actors around it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod ceilings;
mod closures;
mod faults;
mod gone;
mod inserts;
mod kill;
mod locks;
mod meddler;
mod options;
mod packets;
mod pool;
mod refusals;
mod round_trips;
mod seen;
mod sessions;
mod streams;
mod suite;
mod support;
mod transactions;
mod types;
