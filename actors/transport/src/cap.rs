//! The bound on connections, over all lanes of a backend.
//!
//! Two semaphores of the same size: a slot is the right of a call to use a connection, a place belongs to
//! each open socket, idle ones too. A call with a slot that finds no idle connection and no place makes a
//! lane close an idle one; since there are no more calls than slots, there always is one.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backstop_core::{call::CallContext, error::Phase};
use futures_util::FutureExt;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, futures::Notified},
    time::timeout,
};

/// How often a call that waits for a place asks the lanes again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// How many connections there may be; fair, first come first served over all lanes.
#[derive(Debug)]
pub struct Cap {
    slots: Arc<Semaphore>,
    places: Arc<Semaphore>,
    pressure: Notify,
    waiters: AtomicUsize,
    demand: AtomicUsize,
    max: usize,
}

/// The place of an open socket; given back on drop.
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>);

impl Cap {
    /// Allows `max` connections; at least 1.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            slots: Arc::new(Semaphore::new(max)),
            places: Arc::new(Semaphore::new(max)),
            pressure: Notify::new(),
            waiters: AtomicUsize::new(0),
            demand: AtomicUsize::new(0),
            max,
        }
    }

    /// Returns the bound.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// Waits for a place; while there is none, the lanes are asked to close idle connections.
    pub(crate) async fn place(&self) -> Place {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Place(Some(permit));
        }
        let _waiter = Waiter::start(&self.waiters);
        let mut place = std::pin::pin!(Arc::clone(&self.places).acquire_owned());
        loop {
            // in the queue before the lanes are asked, so that what they free is not missed
            if let Some(permit) = place.as_mut().now_or_never() {
                // the semaphore is never closed, so there is always a permit
                return Place(permit.ok());
            }
            self.demand.store(self.waiters.load(Ordering::Relaxed), Ordering::Release);
            self.pressure.notify_waiters();
            if let Ok(permit) = timeout(ASK_AGAIN, place.as_mut()).await {
                return Place(permit.ok());
            }
        }
    }

    /// Resolves when a lane is in need of a place; enable it before asking [`Self::claim`].
    pub(crate) fn pressed(&self) -> Notified<'_> {
        self.pressure.notified()
    }

    /// Says whether a place is in demand.
    pub(crate) fn has_demand(&self) -> bool {
        self.demand.load(Ordering::Acquire) > 0
    }

    /// Takes one place upon oneself that is in demand: whoever gets `true` closes one connection.
    pub(crate) fn claim(&self) -> bool {
        let one_less = |demand: usize| demand.checked_sub(1);
        self.demand.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).is_ok()
    }
}

/// A call that waits for a place.
struct Waiter<'a>(&'a AtomicUsize);

impl<'a> Waiter<'a> {
    fn start(waiters: &'a AtomicUsize) -> Self {
        waiters.fetch_add(1, Ordering::Relaxed);
        Self(waiters)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
        let permit = match Arc::clone(&cap.slots).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                call.enter(Phase::Acquire);
                let waiting = Waiting::start(usage);
                let permit = Arc::clone(&cap.slots).acquire_owned().await;
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
