use super::*;

fn plain_ramp() -> BreakerPolicy {
    BreakerPolicy { ramp_min_calls: 0, ..BreakerPolicy::default() }
}

/// Counts what passes among 1000 calls that end well.
fn passing(rig: &mut Rig) -> usize {
    let permits: Vec<_> = (0..1000).filter_map(|_| rig.breaker.try_acquire(rig.now).ok()).collect();
    let count = permits.len();
    permits.into_iter().for_each(|permit| drop(rig.give(permit, Outcome::Success)));
    count
}

#[test]
fn ramp_lets_a_growing_part_of_the_calls_pass() {
    let mut rig = Rig::new(plain_ramp());
    rig.close();
    for expected in [100, 250, 500, 1000] {
        assert_eq!(passing(&mut rig), expected);
        rig.wait(ms(1000));
    }
    assert_eq!(rig.snapshot().ramp_percent, 100);
}

#[test]
fn the_first_call_after_closing_passes() {
    let mut rig = Rig::new(plain_ramp());
    rig.close();
    rig.call(Outcome::Success);
    assert_eq!(rig.refusal().reason, RefusalReason::Ramping);
}

#[test]
fn a_trickle_meets_no_refusal() {
    let mut rig = Rig::default();
    rig.close();
    for _ in 0..60 {
        rig.call(Outcome::Success);
        rig.wait(ms(60));
    }
    assert_eq!((rig.snapshot().ramp_percent, rig.snapshot().refused_total), (100, 0));
}

#[test]
fn a_failure_falls_back_one_step_and_does_not_open() {
    let mut rig = Rig::default();
    rig.close();
    for _ in 0..2 {
        rig.call(Outcome::Success);
        rig.wait(ms(1000));
    }
    rig.breaker.tick(rig.now);
    assert_eq!(rig.snapshot().ramp_percent, 50);
    for expected in [25, 10, 10] {
        rig.call(Outcome::Failure);
        assert_eq!((rig.state(), rig.snapshot().ramp_percent), (BreakerState::Closed, expected));
    }
    rig.calls(2, Outcome::Failure);
    assert_eq!(rig.state(), BreakerState::Open, "the rules hold during the ramp");
}

#[test]
fn failures_of_one_step_fall_back_only_once() {
    let mut rig = Rig::default();
    rig.close();
    for _ in 0..2 {
        rig.call(Outcome::Success);
        rig.wait(ms(1000));
    }
    let permits: Vec<_> = (0..3).map(|_| rig.take()).collect();
    permits.into_iter().for_each(|permit| drop(rig.give(permit, Outcome::Failure)));
    assert_eq!(rig.snapshot().ramp_percent, 25);
}

#[test]
fn a_few_failures_among_many_calls_do_not_stop_the_ramp() {
    let mut rig = Rig::default();
    rig.close();
    for _ in 0..80 {
        rig.calls(2, Outcome::Success);
        drop(rig.breaker.try_acquire(rig.now).map(|permit| rig.give(permit, Outcome::Failure)));
        rig.wait(ms(200));
    }
    assert_eq!(rig.snapshot().ramp_percent, 100);
}

#[test]
fn calls_without_results_hold_the_ramp() {
    let mut rig = Rig::default();
    rig.close();
    let hung = rig.take();
    rig.wait(ms(60_000));
    assert!(rig.breaker.next_tick_at().is_none());
    assert_eq!(rig.snapshot().ramp_percent, 10);
    rig.breaker.release(hung, rig.now);
    rig.breaker.tick(rig.now);
    assert_eq!(rig.snapshot().ramp_percent, 25);
}

#[test]
fn an_empty_ramp_closes_at_full_traffic() {
    let mut rig = Rig::new(BreakerPolicy { ramp: Vec::new(), ..plain_ramp() });
    rig.close();
    assert_eq!(passing(&mut rig), 1000);
}

#[test]
fn open_time_grows_to_a_cap_that_jitter_does_not_exceed() {
    for seed in 0..50 {
        let mut rig = Rig::default();
        rig.breaker = CircuitBreaker::new(BreakerPolicy::default(), seed, rig.now);
        rig.open();
        for ceiling in [5000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000] {
            assert!((ms(2500)..=ms(ceiling)).contains(&rig.open_for()), "{:?}", rig.open_for());
            rig.now = rig.breaker.next_probe_at().unwrap();
            let probe = rig.breaker.try_probe(rig.now).unwrap();
            rig.breaker.probe_failed(probe, rig.now, "down", None);
        }
    }
}

#[test]
fn growth_goes_back_step_by_step_while_closed() {
    let mut rig = Rig::default();
    for attempt in 1..=3 {
        rig.close();
        assert_eq!(rig.snapshot().attempt, attempt);
    }
    for attempt in [2, 1, 0, 0] {
        rig.wait(ms(30_000));
        assert_eq!(rig.snapshot().attempt, attempt);
    }
}

#[test]
fn growth_does_not_go_back_while_open() {
    let mut rig = Rig::default();
    rig.close();
    rig.open();
    rig.wait(ms(3_600_000));
    assert_eq!(rig.snapshot().attempt, 2);
}

#[test]
fn the_hint_of_the_backend_sets_the_open_time_within_its_bound() {
    for (hint, expected) in [(ms(300), ms(300)), (ms(90_000), ms(90_000)), (Duration::MAX, ms(300_000))] {
        let mut rig = Rig::default();
        rig.calls(4, Outcome::Failure);
        let permit = rig.take();
        rig.breaker.record(permit, Outcome::Failure, Duration::ZERO, rig.now, Some(hint), None);
        assert_eq!(rig.open_for(), expected);
    }
}
