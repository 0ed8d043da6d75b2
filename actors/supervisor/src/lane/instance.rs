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

/// The use of an instance by one call; the last use of a retired instance hands it over to be closed.
pub(super) struct InUse<B: Backend> {
    core: Rc<Core<B>>,
    instance: Option<Rc<Instance<B>>>,
}

impl<B: Backend> InUse<B> {
    pub(super) fn new(core: Rc<Core<B>>, instance: Rc<Instance<B>>) -> Self {
        Self { core, instance: Some(instance) }
    }

    pub(super) fn get(&self) -> Option<&Rc<Instance<B>>> {
        self.instance.as_ref()
    }
}

impl<B: Backend> Drop for InUse<B> {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take() {
            if instance.retired.get() {
                self.core.close_when_unused(instance);
            }
        }
    }
}
