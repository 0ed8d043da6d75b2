//! The door and the breaker in every order that threads can take, with every value that a load may see.
//!
//! Run by `cargo xtask ci`; by hand with `RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom
//! cargo test -p backstop-core --all-features --test loom`. A thread is taken off at most three times where it
//! could go on; `LOOM_MAX_PREEMPTIONS` says otherwise. Time stands still: an open time is over at once or
//! not at all.
#![cfg(loom)]
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "loom/breaker.rs"]
mod breaker;
#[path = "loom/door.rs"]
mod door;
#[cfg(feature = "planted")]
#[path = "loom/planted.rs"]
mod planted;
#[path = "loom/stage.rs"]
mod stage;
