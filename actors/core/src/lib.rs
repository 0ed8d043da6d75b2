//! The contract of Backstop and all of its policies: no actor library, no I/O.

pub mod backend;
pub mod batch;
pub mod call;
pub mod clock;
pub mod error;
pub mod event;
pub mod guard;
pub mod local;
pub mod message;
pub mod name;
pub mod operation;
pub mod outcome;
#[doc(hidden)]
pub mod planted;
pub mod policy;
pub mod snapshot;
pub mod stats;
mod sync;
