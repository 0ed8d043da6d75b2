//! The connections of one lane: counted, and closed when they have been idle too long.
//!
//! awc looks at idle connections only when it needs one for the same target, so without this they stay
//! open for as long as nobody calls.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use backstop_core::clock::{self, Instant};
use tokio::{sync::Notify, task::JoinHandle};

use crate::{cap::Cap, connection::Connection};

/// The connections of one lane.
#[derive(Debug)]
pub(crate) struct Registry {
    keep_alive: Duration,
    connections: RefCell<Vec<Weak<Connection>>>,
    created: Cell<u64>,
    closed: Cell<u64>,
    became_idle: Notify,
    /// Whether the reaper will look by itself before anything that is idle now is due.
    armed: Cell<bool>,
    cap: Arc<Cap>,
}

impl Registry {
    pub(crate) fn new(keep_alive: Duration, cap: Arc<Cap>) -> Rc<Self> {
        Rc::new(Self {
            keep_alive,
            connections: RefCell::default(),
            created: Cell::default(),
            closed: Cell::default(),
            became_idle: Notify::new(),
            armed: Cell::default(),
            cap,
        })
    }

    pub(crate) fn add(&self, connection: &Rc<Connection>) {
        self.created.set(self.created.get() + 1);
        let mut connections = self.connections.borrow_mut();
        connections.retain(|known| known.strong_count() > 0);
        connections.push(Rc::downgrade(connection));
    }

    pub(crate) fn note_closed(&self) {
        self.closed.set(self.closed.get() + 1);
    }

    /// Wakes the reaper if it has to know; on the path of a call this is almost never so.
    pub(crate) fn note_idle(&self) {
        if !self.armed.get() || self.cap.has_demand() {
            self.became_idle.notify_one();
        }
    }

    pub(crate) fn created(&self) -> u64 {
        self.created.get()
    }

    pub(crate) fn closed(&self) -> u64 {
        self.closed.get()
    }

    pub(crate) fn idle(&self) -> usize {
        self.live().iter().filter(|connection| connection.idle_since().is_some()).count()
    }

    fn has_idle(&self) -> bool {
        self.live().iter().any(|connection| connection.idle_since().is_some())
    }

    /// Closes the idle connections, whatever their age.
    pub(crate) fn close_idle(&self) {
        for connection in self.live() {
            if connection.idle_since().is_some() {
                connection.shut();
            }
        }
    }

    fn live(&self) -> Vec<Rc<Connection>> {
        self.connections.borrow().iter().filter_map(Weak::upgrade).collect()
    }

    /// Closes the connection that has been idle for longest, to make a place for another lane.
    fn close_oldest(&self) {
        let live = self.live();
        let idle = live.iter().filter_map(|connection| Some((connection.idle_since()?, connection)));
        if let Some((_, connection)) = idle.min_by_key(|(since, _)| *since) {
            connection.shut();
        }
    }

    /// Closes what has been idle too long and returns when to look again.
    fn reap(&self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for connection in self.live() {
            let Some(since) = connection.idle_since() else { continue };
            let due = since + self.keep_alive;
            if due <= now {
                connection.shut();
            } else {
                next = Some(next.map_or(due, |earliest| earliest.min(due)));
            }
        }
        next
    }
}

/// Closes idle connections of a registry until it is dropped.
#[derive(Debug)]
pub(crate) struct Reaper(JoinHandle<()>);

impl Reaper {
    /// Starts on the current thread.
    pub(crate) fn start(registry: Rc<Registry>) -> Self {
        Self(tokio::task::spawn_local(async move {
            loop {
                let mut pressed = std::pin::pin!(registry.cap.pressed());
                // from here on no call for a place is missed
                pressed.as_mut().enable();
                while registry.has_idle() && registry.cap.claim() {
                    registry.close_oldest();
                }
                let next = registry.reap(clock::now());
                registry.armed.set(next.is_some());
                let due = async {
                    match next {
                        Some(instant) => tokio::time::sleep_until(instant).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = due => {}
                    () = registry.became_idle.notified() => {}
                    () = pressed => {}
                }
            }
        }))
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.0.abort();
    }
}
