//! The machine against a naive model that keeps the full history and shares no code with it, under random
//! interleavings of calls, results, drops, probes, orders and time.

mod model;

use proptest::prelude::*;

use self::model::{Model, Ticket};
use super::*;
use crate::policy::window::WindowPolicy;

/// One step of a random history; indices choose among the permits that are out.
#[derive(Clone, Debug)]
enum Step {
    Acquire,
    Finish { which: usize, outcome: Outcome, hint: Option<u64> },
    Release { which: usize },
    Wait { ms: u64 },
    Probe,
    Force { mode: OverrideMode, for_ms: Option<u64> },
    Clear,
    Trip { for_ms: u64 },
    Reset,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Success),
        4 => Just(Outcome::Failure),
        2 => Just(Outcome::Slow),
        1 => Just(Outcome::Overload),
        1 => Just(Outcome::NotCounted),
    ]
}

fn mode() -> impl Strategy<Value = OverrideMode> {
    prop_oneof![
        Just(OverrideMode::ForcedOpen),
        Just(OverrideMode::ForcedClosed),
        Just(OverrideMode::ObserveOnly),
        Just(OverrideMode::Disabled),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let hint = prop_oneof![5 => Just(None), 1 => (1_u64..200).prop_map(Some)];
    prop_oneof![
        80 => Just(Step::Acquire),
        70 => (0_usize..8, outcome(), hint).prop_map(|(which, outcome, hint)| Step::Finish { which, outcome, hint }),
        6 => (0_usize..8).prop_map(|which| Step::Release { which }),
        40 => (0_u64..60).prop_map(|ms| Step::Wait { ms }),
        20 => Just(Step::Probe),
        2 => (mode(), prop::option::of(1_u64..100)).prop_map(|(mode, for_ms)| Step::Force { mode, for_ms }),
        2 => Just(Step::Clear),
        1 => (1_u64..100).prop_map(|for_ms| Step::Trip { for_ms }),
        1 => Just(Step::Reset),
    ]
}

fn policy() -> impl Strategy<Value = BreakerPolicy> {
    let window = prop_oneof![
        (4_u32..10).prop_map(|calls| WindowPolicy::Count { calls }),
        (1_u32..5).prop_map(|buckets| WindowPolicy::Time { length: ms(40) * buckets, buckets }),
    ];
    let trips = (prop_oneof![Just(0_u8), Just(50), Just(70)], 0_u32..4, prop_oneof![Just(0_u8), Just(60)]);
    let ramp = prop_oneof![Just(vec![]), Just(vec![25, 50]), Just(vec![10, 100])];
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    (window, trips, ramp, flags, 1_u32..4, 0_u32..3).prop_map(|(window, trips, ramp, flags, probes, free)| {
        BreakerPolicy {
            window,
            minimum_calls: 4,
            failure_percent: trips.0,
            consecutive_failures: trips.1,
            slow_after: ms(1000),
            slow_percent: trips.2,
            early_trip: flags.0,
            open_for: ms(20),
            open_max: ms(100),
            open_decay: ms(70),
            hint_max: ms(150),
            probes,
            probe_lease: ms(50),
            probe_first: flags.1,
            probe_grace: ms(15),
            ramp,
            ramp_step: ms(30),
            ramp_min_calls: free,
            shadow: flags.2,
        }
    })
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Both sides, the permits that are out, and the clock.
struct Race {
    breaker: CircuitBreaker,
    model: Model,
    out: Vec<(Permit, Ticket)>,
    now: Instant,
}

impl Race {
    fn new(policy: BreakerPolicy, seed: u64) -> Self {
        policy.validate().unwrap();
        let now = Instant::now();
        let breaker = CircuitBreaker::new(policy.clone(), seed, now);
        Self { breaker, model: Model::new(policy, now), out: Vec::new(), now }
    }

    fn step(&mut self, step: &Step) {
        let now = self.now;
        match step {
            Step::Wait { ms: count } => self.now += ms(*count),
            Step::Acquire => self.acquire(),
            Step::Finish { which, outcome, hint } => {
                if let Some((permit, ticket)) = self.choose(*which) {
                    let hint = hint.map(ms);
                    self.breaker.record(permit, *outcome, Duration::ZERO, now, hint, Some("down"));
                    self.model.finish(ticket, *outcome, hint, now);
                }
            }
            Step::Release { which } => {
                if let Some((permit, ticket)) = self.choose(*which) {
                    self.breaker.release(permit, now);
                    self.model.finish(ticket, Outcome::NotCounted, None, now);
                }
            }
            Step::Probe => {
                let (permit, ticket) = (self.breaker.try_probe(now), self.model.probe(now));
                assert_eq!(permit.is_some(), ticket.is_some(), "probe due");
                self.out.extend(permit.zip(ticket));
            }
            Step::Force { mode, for_ms } => {
                let mut order = Override::new(*mode, "ops", "test");
                order.until = for_ms.map(|count| now + ms(count));
                self.model.force(*mode, order.until, now);
                self.breaker.force(order, now);
            }
            Step::Clear => {
                self.breaker.clear_override(now);
                self.model.clear(now);
            }
            Step::Trip { for_ms } => {
                self.breaker.trip("order", Some(ms(*for_ms)), now);
                self.model.trip(ms(*for_ms), now);
            }
            Step::Reset => {
                self.breaker.reset(now);
                self.model.reset(now);
            }
        }
        self.compare();
    }

    fn acquire(&mut self) {
        match (self.breaker.try_acquire(self.now), self.model.acquire(self.now)) {
            (Ok(permit), Some(ticket)) => {
                assert_eq!(permit.is_probe(), ticket.is_probe());
                self.out.push((permit, ticket));
            }
            (Err(refusal), None) => {
                assert!(refusal.retry_at.is_none_or(|at| at >= self.now), "a refusal points ahead");
            }
            (machine, model) => panic!("machine {machine:?}, model {model:?}"),
        }
    }

    fn choose(&mut self, which: usize) -> Option<(Permit, Ticket)> {
        if self.out.is_empty() { None } else { Some(self.out.swap_remove(which % self.out.len())) }
    }

    fn compare(&mut self) {
        let view = self.breaker.snapshot(self.now);
        self.model.settle(self.now);
        if let Phase::Open(open) = &self.breaker.phase {
            self.model.adopt(open.until, self.now);
        }
        assert_eq!(view, self.model.view(view.clone(), self.now));
        if let Some(at) = self.breaker.next_tick_at() {
            assert!(at > self.now, "a settled breaker has nothing to do now");
        }
        while self.breaker.take_transition().is_some() {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn machine_equals_the_naive_model(
        policy in policy(),
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..250),
    ) {
        let mut race = Race::new(policy, seed);
        for step in &steps {
            race.step(step);
        }
    }

    #[test]
    fn no_late_result_changes_anything(
        policy in policy(),
        steps in prop::collection::vec(step(), 1..150),
        outcome in outcome(),
    ) {
        let mut race = Race::new(policy, 1);
        for step in &steps {
            race.step(step);
            let before = race.breaker.snapshot(race.now);
            let late = race.out.iter().find(|(permit, _)| permit.generation() < before.generation);
            if let Some((permit, _)) = late {
                race.breaker.record(*permit, outcome, ms(5000), race.now, Some(ms(1)), Some("late"));
                let mut after = race.breaker.snapshot(race.now);
                after.late_total = before.late_total;
                prop_assert_eq!(after, before);
                // the model heard nothing of it
                race.breaker.totals.late = race.model.late;
            }
        }
    }

    #[test]
    fn half_open_ends_within_a_lease_and_a_call(
        policy in policy(),
        steps in prop::collection::vec(step(), 1..150),
        ending in outcome(),
    ) {
        let mut race = Race::new(BreakerPolicy { shadow: false, ..policy }, 1);
        for step in &steps {
            race.step(step);
        }
        race.step(&Step::Clear);
        let lease = race.breaker.policy().probe_lease;
        if race.breaker.state() == BreakerState::HalfOpen {
            race.now += lease;
            let call = race.breaker.try_acquire(race.now);
            if race.breaker.state() == BreakerState::HalfOpen {
                let call = call.expect("a half-open breaker whose leases are over admits a call");
                race.breaker.record(call, ending, Duration::ZERO, race.now, None, None);
                prop_assert!(race.breaker.state() != BreakerState::HalfOpen || ending == Outcome::NotCounted);
            }
        }
    }
}
