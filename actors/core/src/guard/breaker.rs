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

/// The right to make one attempt; dropped unused, it leaves no trace.
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    permit: Option<Permit>,
}

impl Breaker {
    pub(super) fn new(policy: BreakerPolicy, seed: u64, now: Instant) -> Self {
        let machine = CircuitBreaker::new(policy, seed, now);
        let open = RwLock::new(Arc::new(machine.open_info()));
        let breaker = Self { word: AtomicU64::new(0), machine: Mutex::new(machine), open };
        breaker.with(|_| ());
        breaker
    }

    /// Works on the machine and then publishes what the next call will find.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut CircuitBreaker) -> R) -> R {
        let mut machine = self.machine.lock();
        let result = work(&mut machine);
        self.publish(&machine);
        result
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
    pub(super) fn acquire(&self, now: Instant) -> (Result<Pass<'_>, Arc<OpenInfo>>, Option<Transition>) {
        let mut machine = self.machine.lock();
        let before = machine.state();
        let acquired = machine.try_acquire(now);
        let transition = machine.take_transition();
        if machine.state() != before || transition.is_some() {
            self.publish(&machine);
        }
        match acquired {
            Ok(permit) => (Ok(Pass { breaker: self, permit: Some(permit) }), transition),
            Err(_) => (Err(Arc::new(machine.open_info())), transition),
        }
    }
}

impl Pass<'_> {
    /// Notes how the attempt ended.
    pub(super) fn record(
        mut self,
        outcome: Outcome,
        elapsed: Duration,
        now: Instant,
        hint: Option<Duration>,
        error: Option<&str>,
    ) -> Option<Transition> {
        let permit = self.permit.take()?;
        let mut machine = self.breaker.machine.lock();
        let transition = machine.record(permit, outcome, elapsed, now, hint, error);
        if transition.is_some() {
            self.breaker.publish(&machine);
        }
        transition
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.breaker.with(|machine| machine.release(permit, clock::now()));
        }
    }
}
