use fastrand::Rng;
use proptest::prelude::*;

use super::*;
use crate::clock;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn crash_every(pause: Duration, times: u32) -> Vec<bool> {
    let (mut window, mut rng) = (RestartWindow::new(RestartPolicy::default()), Rng::with_seed(1));
    let start = clock::now();
    (0..times).map(|n| window.crashed(start + pause * n, &mut rng) == RestartDecision::Exceeded).collect()
}

fn delay(decision: RestartDecision) -> Duration {
    match decision {
        RestartDecision::After(delay) => delay,
        RestartDecision::Exceeded => panic!("exceeded"),
    }
}

#[test]
fn a_crash_every_twelve_seconds_never_exceeds_five_a_minute() {
    assert_eq!(crash_every(ms(12_000), 500), vec![false; 500]);
}

#[test]
fn the_sixth_crash_within_a_minute_always_exceeds() {
    for pause in [0, 1, 1000, 11_900, 11_999] {
        let exceeded = crash_every(ms(pause), 6);
        assert_eq!(exceeded, [false, false, false, false, false, true], "every {pause} ms");
    }
}

#[test]
fn a_crash_that_exceeded_counts_as_well() {
    let (mut window, mut rng, start) =
        (RestartWindow::new(RestartPolicy::default()), Rng::with_seed(1), clock::now());
    for second in 0..600 {
        let decision = window.crashed(start + ms(1000 * second), &mut rng);
        assert_eq!(decision == RestartDecision::Exceeded, second >= 5, "{second}");
    }
    let later = start + ms(599_000 + 60_000);
    assert!(matches!(window.crashed(later, &mut rng), RestartDecision::After(_)));
}

#[test]
fn delays_grow_from_the_shortest_to_the_longest() {
    let policy = RestartPolicy { max_restarts: 100, ..RestartPolicy::default() };
    let (mut window, mut rng, mut now) = (RestartWindow::new(policy), Rng::with_seed(1), clock::now());
    for (low, high) in [(200, 400), (400, 800), (800, 1600), (1600, 3200), (3200, 6400), (6400, 12_800)] {
        let delay = delay(window.crashed(now, &mut rng));
        assert!(delay >= ms(low) && delay <= ms(high), "{delay:?}");
        now += delay;
    }
    for _ in 0..20 {
        let delay = delay(window.crashed(now, &mut rng));
        assert!(delay >= ms(6400) && delay <= ms(30_000), "{delay:?}");
        now += delay;
    }
}

#[test]
fn a_healthy_spell_makes_the_delay_short_again() {
    let policy = RestartPolicy { max_restarts: 100, ..RestartPolicy::default() };
    let (mut window, mut rng, mut now) = (RestartWindow::new(policy), Rng::with_seed(1), clock::now());
    for _ in 0..10 {
        now += delay(window.crashed(now, &mut rng));
    }
    now += ms(30_000);
    assert!(delay(window.crashed(now, &mut rng)) <= ms(400));
}

#[test]
fn waiting_for_the_restart_is_no_healthy_spell() {
    let policy = RestartPolicy { max_restarts: 100, healthy_after: ms(1000), ..RestartPolicy::default() };
    let (mut window, mut rng, mut now) = (RestartWindow::new(policy), Rng::with_seed(1), clock::now());
    for _ in 0..20 {
        now += delay(window.crashed(now, &mut rng)) + ms(999);
    }
    assert_eq!(window.snapshot(now).streak, 20);
    window.healthy(now);
    assert_eq!(window.snapshot(now).streak, 20);
    window.healthy(now + ms(1));
    assert_eq!(window.snapshot(now).streak, 0);
}

#[test]
fn a_healthy_spell_does_not_forget_the_crashes() {
    let policy = RestartPolicy { healthy_after: ms(1), ..RestartPolicy::default() };
    let (mut window, mut rng, start) = (RestartWindow::new(policy), Rng::with_seed(1), clock::now());
    for n in 0..5 {
        assert!(delay(window.crashed(start + ms(n * 5000), &mut rng)) <= ms(400));
    }
    assert_eq!(window.crashed(start + ms(25_000), &mut rng), RestartDecision::Exceeded);
}

#[test]
fn a_limit_of_none_exceeds_at_once() {
    let mut window = RestartWindow::new(RestartPolicy { max_restarts: 0, ..RestartPolicy::default() });
    assert_eq!(window.crashed(clock::now(), &mut Rng::with_seed(1)), RestartDecision::Exceeded);
}

#[test]
fn settings_change_without_forgetting_the_crashes() {
    let (mut window, mut rng, now) =
        (RestartWindow::new(RestartPolicy::default()), Rng::with_seed(1), clock::now());
    for _ in 0..4 {
        delay(window.crashed(now, &mut rng));
    }
    window.set_policy(RestartPolicy { max_restarts: 3, ..RestartPolicy::default() });
    assert_eq!(window.crashed(now, &mut rng), RestartDecision::Exceeded);
    window.reset();
    assert!(delay(window.crashed(now, &mut rng)) <= ms(400));
}

#[test]
fn wrong_settings_are_named() {
    let policy = RestartPolicy::default();
    assert!(policy.validate().is_ok());
    for (wrong, setting) in [
        (RestartPolicy { min_delay: Duration::ZERO, ..policy.clone() }, "min_delay"),
        (RestartPolicy { max_delay: ms(1), ..policy.clone() }, "max_delay"),
        (RestartPolicy { healthy_after: Duration::ZERO, ..policy.clone() }, "healthy_after"),
        (RestartPolicy { max_restarts: 10_001, ..policy.clone() }, "max_restarts"),
        (RestartPolicy { within: Duration::ZERO, ..policy }, "within"),
    ] {
        assert_eq!(wrong.validate().unwrap_err().setting(), setting);
    }
    let read: RestartPolicy = serde_json::from_str(r#"{"within":"2m","on_exceeded":"escalate"}"#).unwrap();
    assert_eq!((read.within, read.on_exceeded), (ms(120_000), OnExceeded::Escalate));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn agrees_with_a_full_history(
        pauses in prop::collection::vec(0..30_000_u64, 1..100),
        max_restarts in 0..8_u32,
        seed: u64,
    ) {
        let policy = RestartPolicy { max_restarts, ..RestartPolicy::default() };
        let (mut window, mut rng, start) = (RestartWindow::new(policy), Rng::with_seed(seed), clock::now());
        let (mut now, mut history) = (0, Vec::new());
        for pause in pauses {
            now += pause;
            history.push(now);
            let recent = history.iter().filter(|at| now - **at < 60_000).count();
            match window.crashed(start + ms(now), &mut rng) {
                RestartDecision::Exceeded => prop_assert!(recent > max_restarts as usize),
                RestartDecision::After(delay) => {
                    prop_assert!(recent <= max_restarts as usize);
                    prop_assert!(delay >= ms(200) && delay <= ms(30_000));
                }
            }
        }
    }
}
