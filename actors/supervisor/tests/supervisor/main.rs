//! The supervisor against a scripted backend, on virtual time unless real threads are the point.
#![allow(clippy::unwrap_used, missing_docs)]

mod alerts;
mod cancels;
mod deadlines;
mod drain;
mod fairness;
mod intake;
mod lifecycle;
mod orders;
mod outage;
mod panics;
mod restarts;
mod retries;
mod sharing;
mod strangers;
mod strategies;
mod stress;
mod stuck;
mod support;
mod threads;
