//! `backstop demo` as a user runs it: the binary, its exit codes, and what it prints.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where something is missing")]

mod bugs;
mod program;
mod runs;
mod usage;
