//! The HTTP backend against real servers on loopback.

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
