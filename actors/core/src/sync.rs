//! What threads share, from one home: the real thing, or under `--cfg loom` its model.
//!
//! `actors/core/tests/loom.rs` runs the door and the breaker over the models, in every order that threads can
//! take. What is not from here (statistics, cache, events) is not modelled.

#[cfg(loom)]
mod modelled;

#[cfg(loom)]
pub(crate) use self::modelled::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Mutex, Notify, RwLock};
pub(crate) use std::sync::atomic::Ordering;
#[cfg(not(loom))]
pub(crate) use {
    parking_lot::{Mutex, RwLock},
    std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize},
    tokio::sync::Notify,
};
