//! The backend against real database files.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod batches;
mod closures;
mod faults;
mod groups;
mod inputs;
mod lifecycle;
mod options;
mod reads;
mod support;
mod windows;
mod wire;
mod writes;
