use super::*;
use crate::policy::window::WindowPolicy;

/// Shares alone, in a ring of `calls`.
fn ring(calls: u32) -> BreakerPolicy {
    BreakerPolicy {
        window: WindowPolicy::Count { calls },
        minimum_calls: calls,
        consecutive_failures: 0,
        ..BreakerPolicy::default()
    }
}

#[test]
fn five_failures_in_a_row_open_it_and_the_cause_says_so() {
    let mut rig = Rig::default();
    rig.calls(4, Outcome::Failure);
    assert_eq!(rig.state(), BreakerState::Closed);
    let opened = rig.call(Outcome::Failure).unwrap();
    assert_eq!((opened.from, opened.to), (BreakerState::Closed, BreakerState::Open));
    assert_eq!(&*opened.cause, "5 consecutive failures");
    assert!(opened.open_until.unwrap() > rig.now && !opened.shadow);
    assert_eq!(rig.breaker.open_info().last_error.as_deref(), Some("no route"));
}

#[test]
fn a_success_ends_the_row() {
    let mut rig = Rig::default();
    for _ in 0..3 {
        rig.calls(4, Outcome::Failure);
        rig.calls(9, Outcome::Success);
    }
    assert_eq!(rig.state(), BreakerState::Closed);
}

#[test]
fn ring_opens_on_the_half_exactly_after_any_number_of_successes() {
    for size in [1_u32, 2, 5, 8, 100] {
        for successes in [size as usize, 10_100] {
            let mut rig = Rig::new(ring(size));
            rig.calls(successes, Outcome::Success);
            rig.calls(size.div_ceil(2) as usize - 1, Outcome::Failure);
            assert_eq!(rig.state(), BreakerState::Closed, "ring of {size}");
            rig.call(Outcome::Failure);
            assert_eq!(rig.state(), BreakerState::Open, "ring of {size}");
        }
    }
}

#[test]
fn a_burst_and_the_same_calls_over_a_second_get_the_same_verdict() {
    for gap in [Duration::from_micros(20), ms(20)] {
        let mut rig = Rig::new(BreakerPolicy { consecutive_failures: 0, ..BreakerPolicy::default() });
        for _ in 0..25 {
            rig.call(Outcome::Success);
            rig.wait(gap);
        }
        for _ in 0..24 {
            assert!(rig.call(Outcome::Failure).is_none());
            rig.wait(gap);
        }
        assert_eq!(&*rig.call(Outcome::Failure).unwrap().cause, "failure share 50 % of 50 calls");
    }
}

#[test]
fn a_share_needs_the_minimum_volume() {
    let mut rig = Rig::new(BreakerPolicy { consecutive_failures: 0, ..BreakerPolicy::default() });
    rig.calls(19, Outcome::Failure);
    assert_eq!(rig.state(), BreakerState::Closed);
    rig.call(Outcome::Failure);
    assert_eq!(rig.state(), BreakerState::Open);
}

#[test]
fn early_trip_opens_once_the_share_is_lost_anyway() {
    let policy = BreakerPolicy { consecutive_failures: 0, early_trip: true, ..BreakerPolicy::default() };
    let mut rig = Rig::new(policy);
    rig.calls(9, Outcome::Failure);
    assert_eq!(rig.state(), BreakerState::Closed);
    rig.call(Outcome::Failure);
    assert_eq!(rig.state(), BreakerState::Open);
}

#[test]
fn slow_calls_open_it() {
    let mut rig = Rig::default();
    rig.calls(4, Outcome::Success);
    for i in 0..16 {
        assert_eq!(rig.state(), BreakerState::Closed, "after {i}");
        let permit = rig.take();
        rig.breaker.record(permit, Outcome::Success, ms(1001), rig.now, None, None);
    }
    assert_eq!(&*rig.breaker.open_info().cause, "slow share 80 % of 20 calls over 1s");
}

#[test]
fn overload_lowers_the_rate_but_makes_no_row() {
    let mut rig = Rig::default();
    rig.calls(4, Outcome::Failure);
    rig.calls(15, Outcome::Overload);
    assert_eq!((rig.state(), rig.snapshot().consecutive_failures), (BreakerState::Closed, 4));
    rig.call(Outcome::Overload);
    assert_eq!(&*rig.breaker.open_info().cause, "failure share 100 % of 20 calls");
}

#[test]
fn normal_answers_never_open_it() {
    let mut rig = Rig::default();
    for _ in 0..1000 {
        rig.calls(4, Outcome::Success);
        rig.call(Outcome::NotCounted);
    }
    assert_eq!((rig.state(), rig.snapshot().calls), (BreakerState::Closed, 4000));
}

#[test]
fn not_counted_gives_the_permit_back_without_a_trace() {
    let mut rig = Rig::default();
    rig.calls(4, Outcome::Failure);
    let before = rig.snapshot();
    rig.calls(50, Outcome::NotCounted);
    let permit = rig.take();
    rig.breaker.release(permit, rig.now);
    assert_eq!(rig.snapshot(), before);
}

#[test]
fn rules_that_are_off_never_open_it() {
    let policy = BreakerPolicy {
        consecutive_failures: 0,
        failure_percent: 0,
        slow_percent: 0,
        ..BreakerPolicy::default()
    };
    let mut rig = Rig::new(policy);
    rig.calls(500, Outcome::Failure);
    rig.calls(5000, Outcome::Slow);
    assert_eq!(rig.state(), BreakerState::Closed);
}

#[test]
fn a_success_does_not_open_it() {
    let mut rig = Rig::new(BreakerPolicy { consecutive_failures: 0, ..BreakerPolicy::default() });
    rig.calls(15, Outcome::Failure);
    rig.calls(5, Outcome::Success);
    assert_eq!(rig.state(), BreakerState::Closed);
}

#[test]
fn refusals_tell_when_to_come_back() {
    let mut rig = Rig::default();
    rig.open();
    let info = rig.breaker.open_info();
    let refusal = rig.refusal();
    assert_eq!((refusal.reason, refusal.retry_at), (RefusalReason::Open, info.retry_at));
    assert_eq!(rig.snapshot().refused_total, 1);
}
