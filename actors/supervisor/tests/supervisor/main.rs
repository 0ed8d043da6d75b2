//! The supervisor against a small backend of its own, on virtual time.
#![allow(clippy::unwrap_used, missing_docs)]

mod fake;
mod panics;
