use super::*;

fn order(mode: OverrideMode) -> Override {
    Override::new(mode, "ops", "maintenance")
}

#[test]
fn forced_open_refuses_until_it_is_lifted() {
    let mut rig = Rig::default();
    let change = rig.breaker.force(order(OverrideMode::ForcedOpen), rig.now).unwrap();
    assert_eq!((change.from, change.to), (BreakerState::Closed, BreakerState::Open));
    assert_eq!(&*change.cause, "forced open by ops: maintenance");
    rig.wait(ms(3_600_000));
    let refusal = rig.refusal();
    assert_eq!((refusal.reason, refusal.retry_at), (RefusalReason::ForcedOpen, None));
    assert!(rig.breaker.try_probe(rig.now).is_none());
    assert!(rig.breaker.trip("again", None, rig.now).is_none());
    rig.breaker.reset(rig.now);
    assert_eq!(rig.state(), BreakerState::Open);
    rig.breaker.clear_override(rig.now);
    assert!(rig.breaker.probe_due(rig.now), "a probe is due at once");
    rig.half_open();
}

#[test]
fn an_override_ends_at_its_time() {
    let mut rig = Rig::default();
    let until = rig.now + ms(100);
    rig.breaker.force(order(OverrideMode::ForcedOpen).until(until), rig.now);
    assert_eq!((rig.refusal().retry_at, rig.breaker.next_tick_at()), (Some(until), Some(until)));
    rig.wait(ms(100));
    rig.breaker.tick(rig.now);
    assert!(rig.breaker.current_override().is_none() && rig.breaker.probe_due(rig.now));
}

#[test]
fn an_override_that_ended_long_ago_does_not_refuse() {
    let mut rig = Rig::default();
    rig.breaker.force(order(OverrideMode::ForcedOpen).until(rig.now + ms(100)), rig.now);
    rig.wait(ms(60_000));
    assert!(rig.take().is_probe());
    let first = rig.breaker.take_transition().unwrap();
    let second = rig.breaker.take_transition().unwrap();
    assert_eq!((first.from, first.to), (BreakerState::Open, BreakerState::Open));
    assert_eq!((second.from, second.to), (BreakerState::Open, BreakerState::HalfOpen));
    assert!(rig.breaker.take_transition().is_none());
}

#[test]
fn forced_closed_lets_everything_pass_and_no_result_undoes_it() {
    let mut rig = Rig::default();
    rig.open();
    rig.breaker.force(order(OverrideMode::ForcedClosed), rig.now);
    rig.calls(100, Outcome::Failure);
    assert!(rig.breaker.trip("restart limit", None, rig.now).is_none());
    assert_eq!((rig.state(), rig.snapshot().failures), (BreakerState::Closed, 100));
    rig.breaker.clear_override(rig.now);
    assert_eq!(rig.state(), BreakerState::Closed);
    rig.call(Outcome::Failure);
    assert_eq!(rig.state(), BreakerState::Open, "what was counted decides on the next bad result");
}

#[test]
fn disabled_counts_nothing() {
    let mut rig = Rig::default();
    rig.calls(4, Outcome::Failure);
    rig.breaker.force(order(OverrideMode::Disabled), rig.now);
    rig.calls(100, Outcome::Failure);
    rig.breaker.clear_override(rig.now);
    let view = rig.snapshot();
    assert_eq!((view.state, view.calls, view.consecutive_failures), (BreakerState::Closed, 0, 0));
}

#[test]
fn observing_refuses_nothing_and_counts_what_it_would_have_refused() {
    let shadow = BreakerPolicy { shadow: true, ..BreakerPolicy::default() };
    let mut observed = Rig::default();
    observed.breaker.force(order(OverrideMode::ObserveOnly), observed.now);
    observed.breaker.take_transition();
    for mut rig in [Rig::new(shadow), observed] {
        rig.calls(4, Outcome::Failure);
        let change = rig.call(Outcome::Failure).unwrap();
        assert!(change.shadow && change.to == BreakerState::Open);
        rig.calls(10, Outcome::Failure);
        let view = rig.snapshot();
        assert_eq!((view.state, view.machine_state), (BreakerState::Closed, BreakerState::Open));
        assert_eq!((view.shadow_refused_total, view.refused_total, view.observing), (10, 0, true));
        rig.half_open_machine();
    }
}

impl Rig {
    /// Goes the way back that a breaker in earnest would go.
    fn half_open_machine(&mut self) {
        self.now = self.breaker.next_probe_at().unwrap();
        let probe = self.breaker.try_probe(self.now).unwrap();
        self.breaker.probe_succeeded(probe, self.now);
        self.calls(3, Outcome::Success);
        assert_eq!(self.snapshot().machine_state, BreakerState::Closed);
    }
}

#[test]
fn trip_opens_for_the_time_asked_and_never_shortens() {
    let mut rig = Rig::default();
    let change = rig.breaker.trip("restart limit", Some(ms(30_000)), rig.now).unwrap();
    assert_eq!((&*change.cause, change.open_until), ("restart limit", Some(rig.now + ms(30_000))));
    rig.breaker.trip("again", Some(ms(10)), rig.now);
    assert_eq!(rig.open_for(), ms(30_000));
    rig.breaker.trip("again", Some(ms(40_000)), rig.now);
    assert_eq!((rig.open_for(), rig.snapshot().opened_total), (ms(40_000), 1));
}

#[test]
fn trip_without_a_time_takes_the_growing_one() {
    let mut rig = Rig::default();
    rig.breaker.trip("restart limit", None, rig.now);
    assert!((ms(2500)..=ms(5000)).contains(&rig.open_for()));
    assert_eq!(rig.snapshot().attempt, 1);
}

#[test]
fn trip_while_a_probe_is_due_opens_anew() {
    let mut rig = Rig::default();
    rig.open();
    rig.wait(ms(60_000));
    rig.breaker.trip("restart limit", None, rig.now);
    assert!(rig.open_for() >= ms(2500), "{:?}", rig.open_for());
    assert_eq!(rig.snapshot().attempt, 2);
}

#[test]
fn reset_closes_at_full_traffic_and_forgets() {
    let mut rig = Rig::default();
    let late = rig.take();
    rig.open();
    assert_eq!(rig.breaker.reset(rig.now).unwrap().to, BreakerState::Closed);
    rig.give(late, Outcome::Failure);
    let view = rig.snapshot();
    assert_eq!((view.calls, view.attempt, view.ramp_percent, view.last_error), (0, 0, 100, None));
}

#[test]
fn new_settings_keep_window_state_and_attempt_count() {
    let mut rig = Rig::default();
    rig.close();
    rig.calls(4, Outcome::Failure);
    let before = rig.snapshot();
    let policy = BreakerPolicy { consecutive_failures: 10, open_for: ms(1000), ..BreakerPolicy::default() };
    assert!(rig.breaker.reconfigure(policy.clone(), rig.now).is_none());
    assert_eq!(rig.snapshot(), before);
    rig.calls(5, Outcome::Failure);
    assert_eq!(rig.state(), BreakerState::Closed, "the new rule holds");
    rig.call(Outcome::Failure);
    let open_for = rig.open_for();
    rig.breaker.reconfigure(BreakerPolicy { open_for: ms(2000), ..policy }, rig.now);
    assert_eq!((rig.state(), rig.open_for(), rig.snapshot().attempt), (BreakerState::Open, open_for, 2));
}

#[test]
fn fewer_probes_by_new_settings_end_a_round_that_has_enough() {
    let mut rig = Rig::default();
    rig.open();
    rig.half_open();
    rig.call(Outcome::Success);
    let change = rig.breaker.reconfigure(BreakerPolicy { probes: 1, ..BreakerPolicy::default() }, rig.now);
    assert_eq!(change.unwrap().to, BreakerState::Closed);
}

#[test]
fn leaving_shadow_mode_shows_the_machine() {
    let mut rig = Rig::new(BreakerPolicy { shadow: true, ..BreakerPolicy::default() });
    rig.calls(5, Outcome::Failure);
    let change = rig.breaker.reconfigure(BreakerPolicy::default(), rig.now).unwrap();
    assert_eq!((change.from, change.to), (BreakerState::Closed, BreakerState::Open));
    rig.refusal();
}
