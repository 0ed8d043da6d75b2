//! The circuit breaker behind a lock, with a word in front of it that the common case reads alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::{Acquire, Release}},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};

use crate::{
    clock::{self, Instant},
    error::OpenInfo,
    outcome::Outcome,
    policy::circuit_breaker::{BreakerPolicy, BreakerState, CircuitBreaker, Permit, Transition},
};

/// A breaker that many threads use.
///
/// `word` says what the next call finds, so that a closed breaker costs one load and an open one no lock
/// on the machine.
pub(super) struct Breaker {
    word: AtomicU64,
    machine: Mutex<CircuitBreaker>,
    open: RwLock<Arc<OpenInfo>>,
}

const OPEN: u64 = 1;
const HALF_OPEN: u64 = 2;

impl Breaker {
    pub(super) fn new(policy: BreakerPolicy, seed: u64, now: Instant) -> Self {
        let machine = CircuitBreaker::new(policy, seed, now);
        let open = RwLock::new(Arc::new(machine.open_info()));
        Self { word: AtomicU64::new(0), machine: Mutex::new(machine), open }
    }

    /// Works on the machine, publishes what the next call will find, and returns what changed.
    pub(super) fn with<R>(
        &self,
        work: impl FnOnce(&mut CircuitBreaker) -> (R, Option<Transition>),
    ) -> (R, Vec<Transition>) {
        let mut machine = self.machine.lock();
        let (result, first) = work(&mut machine);
        let transitions = self.changes(&mut machine, first);
        (result, transitions)
    }

    /// Collects the changes of one step; nothing is allocated or published where there is none.
    fn changes(&self, machine: &mut CircuitBreaker, first: Option<Transition>) -> Vec<Transition> {
        let rest = std::iter::from_fn(|| machine.take_transition());
        let transitions: Vec<_> = first.into_iter().chain(rest).collect();
        if !transitions.is_empty() {
            self.publish(machine);
        }
        transitions
    }

    fn publish(&self, machine: &CircuitBreaker) {
        let word = match machine.state() {
            BreakerState::Closed => 0,
            BreakerState::Open => OPEN,
            BreakerState::HalfOpen => HALF_OPEN,
        };
        if word == OPEN {
            let info = machine.open_info();
            let mut open = self.open.write();
            if **open != info {
                *open = Arc::new(info);
            }
        }
        if self.word.load(Acquire) != word {
            self.word.store(word, Release);
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.word.load(Acquire) {
            OPEN => BreakerState::Open,
            HALF_OPEN => BreakerState::HalfOpen,
            _ => BreakerState::Closed,
        }
    }

    /// Refuses at once while it is open; lets through what the machine has to judge.
    #[inline]
    pub(super) fn peek(&self) -> Result<(), Arc<OpenInfo>> {
        if self.word.load(Acquire) != OPEN {
            return Ok(());
        }
        let open = self.open.read();
        match open.retry_at {
            Some(retry_at) if clock::now() >= retry_at => Ok(()),
            _ => Err(Arc::clone(&open)),
        }
    }

    /// Takes the right to make one attempt.
    pub(super) fn acquire(&self, now: Instant) -> (Result<Permit, Arc<OpenInfo>>, Vec<Transition>) {
        let mut machine = self.machine.lock();
        let acquired = machine.try_acquire(now);
        let transitions = self.changes(&mut machine, None);
        (acquired.map_err(|_| Arc::new(machine.open_info())), transitions)
    }

    /// Notes how an attempt ended.
    pub(super) fn record(
        &self,
        permit: Permit,
        outcome: Outcome,
        elapsed: Duration,
        now: Instant,
        hint: Option<Duration>,
        error: Option<&str>,
    ) -> Vec<Transition> {
        let mut machine = self.machine.lock();
        let first = machine.record(permit, outcome, elapsed, now, hint, error);
        self.changes(&mut machine, first)
    }
}
