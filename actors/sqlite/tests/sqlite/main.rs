//! The backend against real database files.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod awaiting;
mod batches;
mod child;
mod closures;
mod crud;
mod faults;
mod files;
mod full;
mod groups;
mod inputs;
mod kill;
mod lifecycle;
mod log;
mod options;
mod panics;
mod planted;
mod pool;
mod reads;
mod seen;
mod streams;
mod suite;
mod support;
mod tx_options;
mod values;
mod windows;
mod wire;
mod writes;
