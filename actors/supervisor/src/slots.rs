//! The thread's own table of lanes: how a call finds the lane at hand without a lock.

use std::{any::Any, cell::RefCell, rc::Weak};

use actix::Addr;
use backstop_core::backend::Backend;

use crate::lane::{Core, Lane};

/// Names a lane of a backend on this thread; hub ids are never used twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlotKey {
    pub(crate) hub: u64,
    /// Several logical lanes may share a thread in tests; 0 otherwise.
    pub(crate) logical: u32,
}

/// A lane that this thread uses.
pub(crate) struct Slot<B: Backend> {
    pub(crate) addr: Addr<Lane<B>>,
    pub(crate) at: At<B>,
}

/// Where the lane of a slot runs.
pub(crate) enum At<B: Backend> {
    /// On this thread, so that a call enters it without its mailbox.
    Here(Weak<Core<B>>),
    /// On another one.
    Elsewhere,
}

thread_local! {
    static SLOTS: RefCell<Vec<(SlotKey, Box<dyn Any>)>> = const { RefCell::new(Vec::new()) };
}

/// Uses the slot of this thread, if there is one whose lane still lives.
pub(crate) fn with<B: Backend, T>(key: SlotKey, work: impl FnOnce(&Slot<B>) -> T) -> Option<T> {
    SLOTS.with_borrow_mut(|slots| {
        let position = slots.iter().position(|(slot, _)| *slot == key)?;
        let slot = slots[position].1.downcast_ref::<Slot<B>>()?;
        if slot.addr.connected() {
            return Some(work(slot));
        }
        slots.swap_remove(position);
        None
    })
}

/// Sets the slot of this thread.
pub(crate) fn put<B: Backend>(key: SlotKey, slot: Slot<B>) {
    SLOTS.with_borrow_mut(|slots| {
        slots.retain(|(present, _)| *present != key);
        slots.push((key, Box::new(slot)));
    });
}

/// Forgets the slots of a backend that is gone.
pub(crate) fn forget(hub: u64) {
    // A thread that ends has no table any more.
    let _ = SLOTS.try_with(|slots| slots.borrow_mut().retain(|(key, _)| key.hub != hub));
}
