//! The outside of the fake: its mode, its plans, and the log of what happened.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use backstop_core::{
    clock::{self, Instant},
    error::Failure,
};
use parking_lot::{Condvar, Mutex};

/// How the fake server is doing.
#[derive(Clone, Debug, Default)]
pub enum Mode {
    /// It does what messages say.
    #[default]
    Up,
    /// It cannot be reached.
    Down,
    /// Everything takes so much longer.
    Slow(Duration),
    /// Nothing ends.
    Hanging,
    /// Everything fails in this way after it was sent.
    Failing(Failure),
}

/// How building an instance ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectEnd {
    /// With an instance.
    #[default]
    Build,
    /// With a wrong setting.
    Refuse,
    /// With a panic.
    Panic,
    /// Never.
    Hang,
}

/// How closing an instance ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CloseEnd {
    /// At once.
    #[default]
    Quick,
    /// After some time.
    After(Duration),
    /// Never.
    Hang,
    /// With a panic.
    Panic,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// An instance was built.
    Connected {
        /// Its number.
        instance: u64,
    },
    /// An attempt reached an instance.
    Received {
        /// The instance.
        instance: u64,
        /// The message.
        nonce: u64,
        /// The attempt.
        attempt: u32,
    },
    /// The message took effect.
    Executed {
        /// The message.
        nonce: u64,
    },
    /// An attempt left its instance.
    Left {
        /// The instance.
        instance: u64,
        /// The message.
        nonce: u64,
        /// Whether the script came to its end; a dropped future's did not.
        ended: bool,
    },
    /// An instance panicked.
    Panicked {
        /// The instance.
        instance: u64,
    },
    /// An instance was asked for a sign of life.
    Probed {
        /// The instance.
        instance: u64,
    },
    /// An instance was closed.
    Closed {
        /// The instance.
        instance: u64,
    },
}

/// The outside of all fakes that were built from one recipe; clones share it.
#[derive(Clone, Debug, Default)]
pub struct World(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    mode: Mode,
    connects: VecDeque<ConnectEnd>,
    close: CloseEnd,
    alarms: Vec<Arc<str>>,
    probe_panics: u32,
    instances: u64,
    shares: usize,
    active: usize,
    active_max: usize,
    executed: HashMap<u64, u32>,
    log: Vec<(Instant, Fact)>,
    breaches: Vec<String>,
}

impl World {
    /// A world in which the backend is up.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Switches the mode, from now on.
    pub fn set_mode(&self, mode: Mode) {
        self.0.lock().mode = mode;
    }

    /// Returns the mode.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.0.lock().mode.clone()
    }

    /// Says what is wrong from now on.
    pub fn set_alarms(&self, alarms: &[&str]) {
        self.0.lock().alarms = alarms.iter().map(|alarm| Arc::from(*alarm)).collect();
    }

    /// Returns what is wrong.
    #[must_use]
    pub fn alarms(&self) -> Vec<Arc<str>> {
        self.0.lock().alarms.clone()
    }

    /// Plans how the next instances come to be; those after the plan are built.
    pub fn plan_connects(&self, ends: impl IntoIterator<Item = ConnectEnd>) {
        self.0.lock().connects.extend(ends);
    }

    /// Sets how instances close from now on.
    pub fn set_close(&self, end: CloseEnd) {
        self.0.lock().close = end;
    }

    /// Returns how instances close.
    #[must_use]
    pub fn planned_close(&self) -> CloseEnd {
        self.0.lock().close
    }

    /// Lets the next `count` probes panic.
    pub fn plan_probe_panics(&self, count: u32) {
        self.0.lock().probe_panics = count;
    }

    /// Returns what happened so far.
    #[must_use]
    pub fn log(&self) -> Vec<(Instant, Fact)> {
        self.0.lock().log.clone()
    }

    /// Counts what happened so far.
    #[must_use]
    pub fn count(&self, mut which: impl FnMut(&Fact) -> bool) -> usize {
        self.0.lock().log.iter().filter(|(_, fact)| which(fact)).count()
    }

    /// Counts how often an operation took effect: the outside record.
    #[must_use]
    pub fn executions(&self, nonce: u64) -> u32 {
        self.0.lock().executed.get(&nonce).copied().unwrap_or(0)
    }

    /// Counts the attempts of an operation that reached an instance.
    #[must_use]
    pub fn attempts(&self, nonce: u64) -> usize {
        self.count(|fact| matches!(fact, Fact::Received { nonce: received, .. } if *received == nonce))
    }

    /// Counts the instances that were built.
    #[must_use]
    pub fn instances(&self) -> u64 {
        self.0.lock().instances
    }

    /// Counts the attempts that are with an instance now.
    #[must_use]
    pub fn active(&self) -> usize {
        self.0.lock().active
    }

    /// Counts the recipes in use: what the instances of one share is alive.
    #[must_use]
    pub fn shares(&self) -> usize {
        self.0.lock().shares
    }

    /// Returns the most attempts that were with instances at once, and starts to count anew.
    pub fn take_active_max(&self) -> usize {
        let mut inner = self.0.lock();
        let active = inner.active;
        std::mem::replace(&mut inner.active_max, active)
    }

    /// Lists what the host must never do to an instance, and did.
    #[must_use]
    pub fn breaches(&self) -> Vec<String> {
        self.0.lock().breaches.clone()
    }

    pub(super) fn next_connect(&self) -> ConnectEnd {
        self.0.lock().connects.pop_front().unwrap_or_default()
    }

    pub(super) fn take_probe_panic(&self) -> bool {
        let mut inner = self.0.lock();
        let planned = inner.probe_panics > 0;
        inner.probe_panics = inner.probe_panics.saturating_sub(1);
        planned
    }

    pub(super) fn note_connected(&self) -> u64 {
        let mut inner = self.0.lock();
        inner.instances += 1;
        let instance = inner.instances;
        inner.log.push((clock::now(), Fact::Connected { instance }));
        instance
    }

    pub(super) fn note(&self, fact: Fact) {
        let mut inner = self.0.lock();
        if let Fact::Executed { nonce } = fact {
            *inner.executed.entry(nonce).or_default() += 1;
        }
        inner.log.push((clock::now(), fact));
    }

    pub(super) fn enter(&self, fact: Fact) {
        let mut inner = self.0.lock();
        inner.active += 1;
        inner.active_max = inner.active_max.max(inner.active);
        drop(inner);
        self.note(fact);
    }

    pub(super) fn leave(&self, fact: Fact) {
        self.0.lock().active -= 1;
        self.note(fact);
    }

    pub(super) fn breach(&self, breach: String) {
        self.0.lock().breaches.push(breach);
    }
}

/// A gate that blocks threads until it is opened; for backends whose code blocks.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<Open>, Condvar)>);

#[derive(Debug, Default)]
struct Open {
    open: bool,
    reached: usize,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Blocks until the gate is open.
    pub fn wait(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock();
        state.reached += 1;
        changed.notify_all();
        while !state.open {
            changed.wait(&mut state);
        }
    }

    /// Blocks until `count` threads have come to the gate.
    pub fn wait_reached(&self, count: usize) {
        let (state, changed) = &*self.0;
        let mut state = state.lock();
        while state.reached < count {
            changed.wait(&mut state);
        }
    }

    /// Opens the gate for good.
    pub fn open(&self) {
        let (state, changed) = &*self.0;
        state.lock().open = true;
        changed.notify_all();
    }
}

/// What the instances of one recipe share: nothing but the fact that it is there.
#[derive(Debug)]
pub struct Shared(World);

impl Shared {
    pub(super) fn new(world: &World) -> Self {
        world.0.lock().shares += 1;
        Self(world.clone())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.0.0.lock().shares -= 1;
    }
}
