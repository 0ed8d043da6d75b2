use super::*;

fn half_open() -> Rig {
    let mut rig = Rig::default();
    rig.open();
    rig.half_open();
    rig
}

#[test]
fn late_success_does_not_close_a_half_open_breaker() {
    let mut rig = Rig::default();
    let early: Vec<_> = (0..10).map(|_| rig.take()).collect();
    rig.open();
    rig.half_open();
    for permit in early {
        assert!(rig.give(permit, Outcome::Success).is_none());
    }
    let view = rig.snapshot();
    assert_eq!((view.state, view.late_total, view.calls), (BreakerState::HalfOpen, 10, 5));
}

#[test]
fn late_failure_does_not_reopen_it() {
    let mut rig = half_open();
    let probes: Vec<_> = (0..3).map(|_| rig.take()).collect();
    for permit in &probes[..2] {
        rig.give(*permit, Outcome::Failure);
    }
    rig.half_open();
    rig.give(probes[2], Outcome::Failure);
    assert_eq!(rig.state(), BreakerState::HalfOpen);
    rig.calls(3, Outcome::Success);
    assert_eq!((rig.state(), rig.snapshot().late_total), (BreakerState::Closed, 1));
}

#[test]
fn half_open_admits_exactly_its_probes_among_many_callers() {
    let mut rig = half_open();
    let now = rig.now;
    let admitted = (0..1000).filter(|_| rig.breaker.try_acquire(now).is_ok()).count();
    assert_eq!(admitted, 3);
    assert_eq!(rig.refusal().reason, RefusalReason::ProbesTaken);
    assert_eq!(rig.refusal().retry_at, Some(now + ms(5000)));
}

#[test]
fn a_dropped_probe_gives_its_place_back() {
    let mut rig = half_open();
    for _ in 0..100 {
        let probes: Vec<_> = (0..3).map(|_| rig.take()).collect();
        rig.refusal();
        probes.into_iter().for_each(|probe| drop(rig.breaker.release(probe, rig.now)));
    }
    rig.calls(3, Outcome::Success);
    assert_eq!(rig.state(), BreakerState::Closed);
}

#[test]
fn a_probe_reported_twice_counts_once() {
    let mut rig = half_open();
    let probe = rig.take();
    for _ in 0..5 {
        rig.give(probe, Outcome::Success);
    }
    assert_eq!((rig.state(), rig.snapshot().late_total), (BreakerState::HalfOpen, 4));
}

#[test]
fn hung_probes_end_half_open_with_their_lease() {
    let mut rig = half_open();
    let hung: Vec<_> = (0..3).map(|_| rig.take()).collect();
    rig.wait(ms(4999));
    assert_eq!(rig.refusal().reason, RefusalReason::ProbesTaken);
    rig.wait(MS);
    assert_eq!(rig.refusal().reason, RefusalReason::Open);
    assert_eq!(&*rig.breaker.take_transition().unwrap().cause, "3 of 3 probes failed");
    rig.give(hung[0], Outcome::Success);
    assert_eq!((rig.state(), rig.snapshot().late_total), (BreakerState::Open, 1));
}

#[test]
fn a_tick_ends_hung_probes_without_a_call() {
    let mut rig = half_open();
    let _hung = [rig.take(), rig.take()];
    rig.now = rig.breaker.next_tick_at().unwrap();
    assert_eq!(rig.breaker.tick(rig.now).unwrap().to, BreakerState::Open);
}

#[test]
fn little_traffic_does_not_stay_half_open() {
    let mut rig = half_open();
    rig.call(Outcome::Success);
    rig.wait(ms(5000));
    assert_eq!(rig.breaker.tick(rig.now).unwrap().to, BreakerState::Closed);
}

#[test]
fn dropped_probes_for_a_whole_lease_leave_the_verdict_to_the_next_result() {
    for (outcome, state) in [(Outcome::Success, BreakerState::Closed), (Outcome::Failure, BreakerState::Open)]
    {
        let mut rig = half_open();
        rig.calls(20, Outcome::NotCounted);
        rig.wait(ms(5000));
        rig.call(outcome);
        assert_eq!(rig.state(), state);
    }
}

#[test]
fn probes_are_judged_by_rate() {
    let mut rig = half_open();
    rig.call(Outcome::Failure);
    rig.calls(2, Outcome::Success);
    assert_eq!(rig.state(), BreakerState::Closed);
    let mut rig = half_open();
    rig.call(Outcome::Success);
    rig.calls(2, Outcome::Failure);
    assert_eq!(rig.state(), BreakerState::Open);
}

#[test]
fn slow_and_overloaded_probes_fail() {
    for outcome in [Outcome::Slow, Outcome::Overload] {
        let mut rig = half_open();
        rig.calls(2, outcome);
        assert_eq!(rig.state(), BreakerState::Open);
    }
}

#[test]
fn dedicated_probe_leads_to_half_open_and_never_straight_to_closed() {
    let mut rig = Rig::default();
    rig.open();
    assert!(rig.breaker.try_probe(rig.now).is_none());
    rig.now = rig.breaker.next_probe_at().unwrap();
    assert_eq!(rig.refusal().reason, RefusalReason::Open);
    let probe = rig.breaker.try_probe(rig.now).unwrap();
    assert!(rig.breaker.try_probe(rig.now).is_none(), "one at a time");
    let change = rig.breaker.probe_succeeded(probe, rig.now).unwrap();
    assert_eq!((change.from, change.to), (BreakerState::Open, BreakerState::HalfOpen));
    assert!(rig.breaker.probe_succeeded(probe, rig.now).is_none());
    assert_eq!(rig.state(), BreakerState::HalfOpen);
}

#[test]
fn dedicated_probes_heal_a_backend_without_users() {
    let mut rig = half_open();
    for _ in 0..3 {
        assert_eq!(rig.state(), BreakerState::HalfOpen);
        assert!(!rig.breaker.probe_due(rig.now), "users go first");
        rig.now = rig.breaker.next_probe_at().unwrap();
        let probe = rig.breaker.try_probe(rig.now).unwrap();
        rig.breaker.probe_succeeded(probe, rig.now);
    }
    assert_eq!(rig.state(), BreakerState::Closed);
}

#[test]
fn a_failed_dedicated_probe_opens_for_longer_or_for_the_hint() {
    let mut rig = Rig::default();
    rig.open();
    rig.now = rig.breaker.next_probe_at().unwrap();
    let probe = rig.breaker.try_probe(rig.now).unwrap();
    rig.breaker.probe_failed(probe, rig.now, "refused", None);
    assert_eq!((rig.snapshot().attempt, rig.snapshot().opened_total), (2, 1));
    rig.now = rig.breaker.next_probe_at().unwrap();
    let probe = rig.breaker.try_probe(rig.now).unwrap();
    rig.breaker.probe_failed(probe, rig.now, "busy", Some(ms(77_000)));
    assert_eq!(rig.open_for(), ms(77_000));
    assert_eq!(rig.breaker.open_info().last_error.as_deref(), Some("busy"));
}

#[test]
fn a_dedicated_probe_of_an_earlier_opening_changes_nothing() {
    let mut rig = Rig::default();
    rig.open();
    rig.now = rig.breaker.next_probe_at().unwrap();
    let stale = rig.breaker.try_probe(rig.now).unwrap();
    rig.wait(ms(1000));
    let user = rig.take();
    assert!(user.is_probe());
    rig.give(user, Outcome::Failure);
    rig.call(Outcome::Failure);
    assert_eq!(rig.state(), BreakerState::Open);
    rig.breaker.probe_succeeded(stale, rig.now);
    assert_eq!(rig.state(), BreakerState::Open);
}

#[test]
fn a_dead_prober_cannot_keep_it_open() {
    let mut rig = Rig::default();
    rig.open();
    rig.now = rig.breaker.next_probe_at().unwrap();
    let _hung = rig.breaker.try_probe(rig.now);
    rig.wait(ms(999));
    assert_eq!(rig.refusal().retry_at, Some(rig.now + MS));
    rig.wait(MS);
    rig.calls(3, Outcome::Success);
    assert_eq!(rig.state(), BreakerState::Closed);
}

#[test]
fn without_probe_first_the_next_call_is_a_probe() {
    let mut rig = Rig::new(BreakerPolicy { probe_first: false, ..BreakerPolicy::default() });
    rig.open();
    rig.now = rig.breaker.open_info().retry_at.unwrap();
    assert!(rig.take().is_probe());
    assert_eq!(rig.breaker.take_transition().unwrap().to, BreakerState::HalfOpen);
}
