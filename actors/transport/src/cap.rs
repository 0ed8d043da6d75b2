//! The bound on connections in use, over all lanes of a backend.

use std::{cell::Cell, rc::Rc, sync::Arc};

use backstop_core::{call::CallContext, error::Phase};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many connections may serve calls at once; fair, first come first served over all lanes.
#[derive(Debug)]
pub struct Cap {
    permits: Arc<Semaphore>,
    max: usize,
}

impl Cap {
    /// Allows `max` connections; at least 1.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        Self { permits: Arc::new(Semaphore::new(max)), max }
    }

    /// Returns the bound.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }
}

/// What one lane counts of its slots.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) active: Cell<usize>,
    pub(crate) waiting: Cell<usize>,
    pub(crate) gave_up: Cell<u64>,
}

/// The right to use one connection; given back on drop.
#[derive(Debug)]
pub(crate) struct Slot {
    usage: Rc<Usage>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Slot {
    /// Waits for its turn; dropping the future gives the place in the queue up.
    pub(crate) async fn take(cap: &Cap, usage: &Rc<Usage>, call: &CallContext) -> Self {
        let permit = match Arc::clone(&cap.permits).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                call.enter(Phase::Acquire);
                let waiting = Waiting::start(usage);
                let permit = Arc::clone(&cap.permits).acquire_owned().await;
                waiting.end();
                // the semaphore is never closed, so there is always a permit
                permit.ok()
            }
        };
        usage.active.set(usage.active.get() + 1);
        Self { usage: Rc::clone(usage), _permit: permit }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.usage.active.set(self.usage.active.get() - 1);
    }
}

/// A call in the queue; one that is dropped there is counted.
struct Waiting<'a> {
    usage: &'a Usage,
    served: bool,
}

impl<'a> Waiting<'a> {
    fn start(usage: &'a Usage) -> Self {
        usage.waiting.set(usage.waiting.get() + 1);
        Self { usage, served: false }
    }

    fn end(mut self) {
        self.served = true;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.usage.waiting.set(self.usage.waiting.get() - 1);
        if !self.served {
            self.usage.gave_up.set(self.usage.gave_up.get() + 1);
        }
    }
}
