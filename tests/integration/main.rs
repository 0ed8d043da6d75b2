//! The whole house from outside: runtime, orchestrator, gathers, batches, and the hosts they run under.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers outside test functions may too

mod attributes;
mod batch;
mod batch_atomic;
mod batch_isolation;
mod catalog;
mod fake;
mod fallback;
mod gather;
mod hosts;
mod messaging;
mod repository;
mod runtime;
mod seen;
mod strangers;
mod web;
