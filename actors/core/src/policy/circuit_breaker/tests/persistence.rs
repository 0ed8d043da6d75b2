use super::*;
use crate::policy::window::WindowPolicy;

/// Carries the breaker through text into another process.
fn reborn(rig: &mut Rig, away: Duration) -> Rig {
    let text = serde_json::to_string(&rig.breaker.save(rig.now)).unwrap();
    let saved = serde_json::from_str(&text).unwrap();
    let now = rig.now + ms(1_000_000);
    let policy = rig.breaker.policy().clone();
    Rig { breaker: CircuitBreaker::restore(policy, 9, saved, away, now), now }
}

#[test]
fn an_open_breaker_stays_open_for_what_is_left() {
    let mut rig = Rig::default();
    rig.breaker.trip("restart limit", Some(ms(10_000)), rig.now);
    let mut next = reborn(&mut rig, ms(4000));
    assert_eq!((next.state(), next.open_for(), next.snapshot().attempt), (BreakerState::Open, ms(6000), 1));
    assert_eq!(&*next.breaker.open_info().cause, "restart limit");
    assert!(next.snapshot().generation > rig.snapshot().generation);
    assert!(reborn(&mut rig, ms(60_000)).breaker.probe_due(next.now));
}

#[test]
fn half_open_comes_back_with_a_probe_due() {
    let mut rig = Rig::default();
    rig.open();
    rig.half_open();
    let _probe = rig.take();
    let mut next = reborn(&mut rig, Duration::ZERO);
    assert_eq!(next.state(), BreakerState::Open);
    next.half_open();
}

#[test]
fn the_window_of_a_closed_breaker_goes_on() {
    for window in [WindowPolicy::default(), WindowPolicy::Count { calls: 20 }] {
        let mut rig = Rig::new(BreakerPolicy { window, consecutive_failures: 0, ..BreakerPolicy::default() });
        rig.calls(10, Outcome::Success);
        rig.calls(9, Outcome::Failure);
        let mut next = reborn(&mut rig, ms(1000));
        assert_eq!(next.snapshot().calls, 19);
        next.call(Outcome::Failure);
        assert_eq!(next.state(), BreakerState::Open);
    }
}

#[test]
fn a_window_by_time_has_aged_meanwhile() {
    let mut rig = Rig::default();
    rig.calls(4, Outcome::Failure);
    assert_eq!(reborn(&mut rig, ms(30_000)).snapshot().calls, 0);
}

#[test]
fn overrides_and_ramp_survive() {
    let mut rig = Rig::default();
    rig.close();
    rig.wait(ms(1000));
    rig.breaker.tick(rig.now);
    assert_eq!(reborn(&mut rig, Duration::ZERO).snapshot().ramp_percent, 25);
    let order = Override::new(OverrideMode::ForcedOpen, "ops", "maintenance");
    rig.breaker.force(order.until(rig.now + ms(5000)), rig.now);
    let mut next = reborn(&mut rig, ms(1000));
    let forced = next.snapshot().forced.unwrap();
    assert_eq!((forced.mode, &*forced.by, forced.ends_in_ms), (OverrideMode::ForcedOpen, "ops", Some(4000)));
    assert_eq!(next.refusal().reason, RefusalReason::ForcedOpen);
    next.wait(ms(4000));
    next.half_open();
}

#[test]
fn settings_that_cannot_work_are_named() {
    let good = BreakerPolicy::default;
    for (policy, setting) in [
        (BreakerPolicy { failure_percent: 101, ..good() }, "failure_percent"),
        (BreakerPolicy { minimum_calls: 0, ..good() }, "minimum_calls"),
        (BreakerPolicy { window: WindowPolicy::Count { calls: 10 }, ..good() }, "minimum_calls"),
        (BreakerPolicy { window: WindowPolicy::Count { calls: 0 }, ..good() }, "window.calls"),
        (BreakerPolicy { open_for: ms(70_000), ..good() }, "open_for"),
        (BreakerPolicy { probe_lease: Duration::ZERO, ..good() }, "probe_lease"),
        (BreakerPolicy { probes: 0, ..good() }, "probes"),
        (BreakerPolicy { ramp: vec![50, 25], ..good() }, "ramp"),
        (BreakerPolicy { ramp: vec![0, 25], ..good() }, "ramp"),
    ] {
        assert_eq!(policy.validate().unwrap_err().setting(), setting);
        assert!(policy.bounded().validate().is_ok());
    }
    assert!(good().validate().is_ok());
}

#[test]
fn settings_are_read_strictly_and_written_as_read() {
    let text = r#"{"window": {"by": "count", "calls": 40}, "slow_after": "250ms", "ramp": [20]}"#;
    let policy: BreakerPolicy = serde_json::from_str(text).unwrap();
    assert_eq!((policy.slow_after, policy.probes), (ms(250), 3));
    let copy: BreakerPolicy = serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
    assert_eq!(copy, policy);
    let error = serde_json::from_str::<BreakerPolicy>(r#"{"slow_afer": "1s"}"#).unwrap_err();
    assert!(error.to_string().contains("slow_afer"));
}

#[test]
fn states_have_names_and_numbers() {
    for state in [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen] {
        assert_eq!(BreakerState::from_u8(state.as_u8()), state);
        assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{state}\""));
    }
}

#[test]
fn the_snapshot_is_plain_json() {
    let mut rig = Rig::default();
    rig.open();
    let json = serde_json::to_value(rig.snapshot()).unwrap();
    assert_eq!(
        (&json["state"], &json["calls"], &json["failure_share"]),
        (&"open".into(), &5.into(), &1.0.into())
    );
    assert!(json["override"].is_null() && json["open_for_ms"].as_u64().unwrap() >= 2500);
}
