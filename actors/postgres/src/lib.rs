//! PostgreSQL as a supervised backend of Backstop.
#![allow(dead_code, reason = "a stand-in: the backend that uses these parts is built elsewhere")]

mod bulk;
mod codec;
mod error;
mod listen;
#[cfg(test)]
mod session;

pub use self::listen::{Listen, Notice, NoticeStream};
