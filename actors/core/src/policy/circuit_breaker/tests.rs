mod orders;
mod persistence;
mod probes;
mod recovery;
mod trips;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A breaker with a clock that the test moves.
struct Rig {
    breaker: CircuitBreaker,
    now: Instant,
}

impl Rig {
    fn new(policy: BreakerPolicy) -> Self {
        policy.validate().unwrap();
        let now = Instant::now();
        Self { breaker: CircuitBreaker::new(policy, 7, now), now }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    fn take(&mut self) -> Permit {
        self.breaker.try_acquire(self.now).expect("the breaker refused")
    }

    fn refusal(&mut self) -> Refusal {
        self.breaker.try_acquire(self.now).expect_err("the breaker let the call pass")
    }

    fn give(&mut self, permit: Permit, outcome: Outcome) -> Option<Transition> {
        self.breaker.record(permit, outcome, Duration::ZERO, self.now, None, Some("no route"))
    }

    fn call(&mut self, outcome: Outcome) -> Option<Transition> {
        let permit = self.take();
        self.give(permit, outcome)
    }

    fn calls(&mut self, count: usize, outcome: Outcome) {
        (0..count).for_each(|_| drop(self.call(outcome)));
    }

    /// Opens by failures in a row.
    fn open(&mut self) {
        while self.state() != BreakerState::Open {
            self.call(Outcome::Failure);
        }
    }

    /// Waits until the dedicated probe is due and lets it pass.
    fn half_open(&mut self) {
        self.now = self.breaker.next_probe_at().unwrap();
        let probe = self.breaker.try_probe(self.now).unwrap();
        self.breaker.probe_succeeded(probe, self.now);
        assert_eq!(self.state(), BreakerState::HalfOpen);
    }

    fn close(&mut self) {
        self.open();
        self.half_open();
        self.calls(3, Outcome::Success);
        assert_eq!(self.state(), BreakerState::Closed);
    }

    fn state(&self) -> BreakerState {
        self.breaker.state()
    }

    fn snapshot(&mut self) -> BreakerSnapshot {
        self.breaker.snapshot(self.now)
    }

    fn open_for(&self) -> Duration {
        self.breaker.open_info().retry_at.unwrap() - self.now
    }
}

impl Default for Rig {
    fn default() -> Self {
        Self::new(BreakerPolicy::default())
    }
}
