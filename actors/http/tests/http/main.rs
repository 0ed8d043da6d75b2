//! The HTTP backend against real servers on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up must fail")]

mod admission;
mod body;
mod cancel;
mod limits;
mod normal;
mod pool;
mod support;
mod timing;
mod tls;
mod unanswered;
