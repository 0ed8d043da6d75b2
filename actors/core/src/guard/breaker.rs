//! The circuit breaker behind a lock, with a word in front of it that the common case reads alone.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::{
    clock::{self, Instant},
    error::OpenInfo,
    outcome::Outcome,
    policy::circuit_breaker::{BreakerPolicy, BreakerState, CircuitBreaker, Permit, Transition},
};

/// A breaker that many threads use.
///
/// `word` says what the next call finds, so that a closed breaker costs one load and an open one no lock
/// on the machine: the state in the low bits, the generation above.
pub(super) struct Breaker {
    word: AtomicU64,
    machine: Mutex<CircuitBreaker>,
    open: ArcSwap<OpenInfo>,
}

/// Closed, at full ramp, without an override: every call passes with the same permit.
const PLAIN: u64 = 0;
const CLOSED: u64 = 1;
const OPEN: u64 = 2;
const HALF_OPEN: u64 = 3;
const STATE: u64 = 3;

fn word_of(machine: &CircuitBreaker) -> u64 {
    let state = match machine.state() {
        _ if machine.is_plain() => PLAIN,
        BreakerState::Closed => CLOSED,
        BreakerState::Open => OPEN,
        BreakerState::HalfOpen => HALF_OPEN,
    };
    machine.generation() << 2 | state
}

impl Breaker {
    pub(super) fn new(policy: BreakerPolicy, seed: u64, now: Instant) -> Self {
        let machine = CircuitBreaker::new(policy, seed, now);
        let open = ArcSwap::from_pointee(machine.open_info());
        Self { word: AtomicU64::new(word_of(&machine)), machine: Mutex::new(machine), open }
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
    #[inline]
    fn changes(&self, machine: &mut CircuitBreaker, first: Option<Transition>) -> Vec<Transition> {
        let Some(first) = first.or_else(|| machine.take_transition()) else {
            self.publish(machine);
            return Vec::new();
        };
        let rest = std::iter::from_fn(|| machine.take_transition());
        let transitions = std::iter::once(first).chain(rest).collect();
        self.publish(machine);
        transitions
    }

    #[inline]
    fn publish(&self, machine: &CircuitBreaker) {
        let word = word_of(machine);
        if word & STATE == OPEN {
            self.describe(machine);
        }
        if self.word.load(Acquire) != word {
            self.word.store(word, Release);
        }
    }

    #[cold]
    fn describe(&self, machine: &CircuitBreaker) {
        let info = machine.open_info();
        if **self.open.load() != info {
            self.open.store(Arc::new(info));
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.word.load(Acquire) & STATE {
            OPEN => BreakerState::Open,
            HALF_OPEN => BreakerState::HalfOpen,
            _ => BreakerState::Closed,
        }
    }

    /// Refuses at once while it is open; lets through what the machine has to judge.
    #[inline]
    pub(super) fn peek(&self) -> Result<(), Arc<OpenInfo>> {
        if self.word.load(Acquire) & STATE != OPEN {
            return Ok(());
        }
        let open = self.open.load();
        match open.retry_at {
            Some(retry_at) if clock::now() >= retry_at => Ok(()),
            _ => Err(Arc::clone(&open)),
        }
    }

    /// Takes the right to make one attempt.
    #[inline]
    pub(super) fn acquire(&self, now: Instant) -> (Result<Permit, Arc<OpenInfo>>, Vec<Transition>) {
        let word = self.word.load(Acquire);
        if word & STATE == PLAIN {
            // A trip between this load and the call makes the permit a late one, as with any other.
            return (Ok(Permit::plain(word >> 2)), Vec::new());
        }
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
