//! The circuit breaker behind a lock, with a word in front of it that the common case reads alone.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::{self, Instant},
    error::{OpenInfo, Rejection, RejectionReason},
    name::Name,
    outcome::Outcome,
    planted::{self, Bug},
    policy::circuit_breaker::{BreakerPolicy, BreakerState, CircuitBreaker, Permit, Transition},
    sync::{
        AtomicBool, AtomicU64, Mutex,
        Ordering::{Acquire, Relaxed, Release},
        RwLock,
    },
};

/// A breaker that many threads use.
///
/// `word` says what the next call finds, so that a closed breaker costs one load and an open one neither the
/// lock on the machine nor a look at the clock: the state in the low bits, the generation above. It lets nothing
/// pass that is not closed: a call that finds it stale goes to the machine, which judges.
pub(super) struct Breaker {
    word: AtomicU64,
    /// Whether somebody touches the machine when its open time is over, so that calls need not look.
    timed: AtomicBool,
    machine: Mutex<CircuitBreaker>,
    /// What the refused are told; written when the breaker opens. As cheap to read as an `ArcSwap`, and the model
    /// check knows it.
    /// Who is refused while it is open.
    name: Name,
    open: RwLock<Refusal>,
}

/// What the refused are told, made once.
struct Refusal {
    info: Arc<OpenInfo>,
    rejection: Rejection,
}

impl Refusal {
    fn new(name: &Name, info: OpenInfo) -> Self {
        let info = Arc::new(info);
        let reason = RejectionReason::CircuitOpen(Arc::clone(&info));
        Self { info, rejection: Rejection::new(name.clone(), reason) }
    }
}

/// Closed, at full ramp, without an override: every call passes with the same permit.
const PLAIN: u64 = 0;
const CLOSED: u64 = 1;
const OPEN: u64 = 2;
const HALF_OPEN: u64 = 3;
const STATE: u64 = 3;
/// Open, but perhaps not any more: a call looks at the clock.
const LOOK: u64 = 4;
const GENERATION: u32 = 3;

/// About so many refusals, and the next call looks at the clock even if nobody has said that the time is over: whoever
/// should say so may be late.
pub(super) const LOOK_EVERY: u64 = 64;

fn word_of(machine: &CircuitBreaker) -> u64 {
    let state = match machine.state() {
        _ if machine.is_plain() => PLAIN,
        BreakerState::Closed => CLOSED,
        BreakerState::Open => OPEN,
        BreakerState::HalfOpen => HALF_OPEN,
    };
    machine.generation() << GENERATION | state
}

impl Breaker {
    pub(super) fn new(name: Name, policy: BreakerPolicy, seed: u64, now: Instant) -> Self {
        let machine = CircuitBreaker::new(policy, seed, now);
        let open = RwLock::new(Refusal::new(&name, machine.open_info()));
        let (word, timed) = (AtomicU64::new(word_of(&machine)), AtomicBool::new(false));
        Self { word, timed, machine: Mutex::new(machine), name, open }
    }

    /// Says whether somebody touches the machine whenever its open time is over; else each refusal looks at the
    /// clock.
    pub(super) fn set_timed(&self, timed: bool) {
        let machine = self.machine.lock();
        self.timed.store(timed, Relaxed);
        self.publish(&machine);
    }

    /// Works on the machine, publishes what the next call will find, and returns what changed.
    pub(super) fn with<R>(
        &self,
        work: impl FnOnce(&mut CircuitBreaker) -> (R, Option<Transition>),
    ) -> (R, Vec<Transition>) {
        let mut machine = self.machine.lock();
        let (result, first) = work(&mut machine);
        if planted::is(Bug::WordAfterLock) {
            let word = word_of(&machine);
            drop(machine);
            self.word.store(word, Release);
            return (result, first.into_iter().collect());
        }
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
        let mut word = word_of(machine);
        if word & STATE == OPEN {
            word |= self.describe(machine);
        }
        if self.word.load(Acquire) != word {
            self.word.store(word, Release);
        }
    }

    /// Publishes what the refused are told, and says whether calls must look at the clock.
    #[cold]
    fn describe(&self, machine: &CircuitBreaker) -> u64 {
        let info = machine.open_info();
        // Read under the lock, so that a step with an older clock cannot take the word back.
        let look = info.retry_at.is_some_and(|at| !self.timed.load(Relaxed) || clock::now() >= at);
        if *self.open.read().info != info {
            *self.open.write() = Refusal::new(&self.name, info);
        }
        if look { LOOK } else { 0 }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.word.load(Acquire) & STATE {
            OPEN => BreakerState::Open,
            HALF_OPEN => BreakerState::HalfOpen,
            _ => BreakerState::Closed,
        }
    }

    /// Refuses at once while it is open; lets through what the machine has to judge.
    ///
    /// `refusals` counts those before; it is asked only while it is open.
    #[inline]
    pub(super) fn peek(&self, refusals: impl FnOnce() -> u64) -> Result<(), Rejection> {
        let word = self.word.load(Acquire);
        if word & STATE != OPEN {
            return Ok(());
        }
        let open = self.open.read();
        let looks = word & LOOK != 0 || refusals().is_multiple_of(LOOK_EVERY);
        if looks && open.info.retry_at.is_some_and(|at| clock::now() >= at) {
            return Ok(());
        }
        Err(open.rejection.clone())
    }

    /// Takes the right to make one attempt.
    #[inline]
    pub(super) fn acquire(&self, now: Instant) -> (Result<Permit, Arc<OpenInfo>>, Vec<Transition>) {
        let word = self.word.load(Acquire);
        if word & STATE == PLAIN {
            // A trip between this load and the call makes the permit a late one, as with any other.
            return (Ok(Permit::plain(word >> GENERATION)), Vec::new());
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
