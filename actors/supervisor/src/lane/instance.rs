//! One instance of a backend and the calls that use it.

use std::{cell::Cell, rc::Rc};

use backstop_core::backend::Backend;

use super::core::Core;

/// An instance; calls under way share it.
pub(super) struct Instance<B> {
    pub(super) backend: B,
    /// Counts the instances of the backend, over all lanes.
    pub(super) incarnation: u64,
    /// The recipe it was built from.
    pub(super) epoch: u64,
    /// Whether it takes no new calls.
    pub(super) retired: Cell<bool>,
}

/// The use of an instance by one call; the last use of a retired instance has it closed.
pub(super) struct InUse<'a, B: Backend> {
    core: &'a Core<B>,
    instance: Rc<Instance<B>>,
}

impl<'a, B: Backend> InUse<'a, B> {
    pub(super) fn new(core: &'a Core<B>, instance: Rc<Instance<B>>) -> Self {
        Self { core, instance }
    }

    pub(super) fn get(&self) -> &Rc<Instance<B>> {
        &self.instance
    }
}

impl<B: Backend> Drop for InUse<'_, B> {
    fn drop(&mut self) {
        if self.instance.retired.get() {
            self.core.release(&self.instance);
        } else if std::thread::panicking() {
            // A drop of the backend's code panics; whoever catches it replaces the instance.
            self.core.suspect(&self.instance);
        }
    }
}
