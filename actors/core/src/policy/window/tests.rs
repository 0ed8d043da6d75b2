use std::{collections::VecDeque, time::Duration};

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn start() -> Instant {
    Instant::now()
}

fn by_time(length_ms: u64, buckets: u32) -> WindowPolicy {
    WindowPolicy::Time { length: Duration::from_millis(length_ms), buckets }
}

#[test]
fn ring_forgets_the_oldest_after_any_number_of_successes() {
    let now = start();
    for successes in [0, 1, 7, 8, 9, 10_100] {
        let mut window = Window::new(WindowPolicy::Count { calls: 8 }, now);
        (0..successes).for_each(|_| window.record(Outcome::Success, now));
        (0..4).for_each(|_| window.record(Outcome::Failure, now));
        let counts = window.counts(now);
        assert_eq!((counts.calls, counts.failures), ((successes + 4).min(8), 4));
    }
}

#[test]
fn a_burst_counts_as_much_as_the_same_calls_over_a_second() {
    let now = start();
    let mut burst = Window::new(WindowPolicy::default(), now);
    let mut spread = Window::new(WindowPolicy::default(), now);
    for i in 0..100_u32 {
        let outcome = if i % 3 == 0 { Outcome::Failure } else { Outcome::Success };
        burst.record(outcome, now + Duration::from_micros(10) * i);
        spread.record(outcome, now + 10 * MS * i);
    }
    assert_eq!(burst.counts(now + MS), spread.counts(now + 1000 * MS));
}

#[test]
fn time_window_forgets_bucket_by_bucket() {
    let now = start();
    let mut window = Window::new(by_time(100, 10), now);
    window.record(Outcome::Failure, now + 5 * MS);
    window.record(Outcome::Success, now + 15 * MS);
    assert_eq!(window.counts(now + 99 * MS).calls, 2);
    assert_eq!(window.counts(now + 100 * MS).calls, 1);
    assert_eq!(window.counts(now + 110 * MS), Counts::default());
}

#[test]
fn a_long_pause_empties_the_time_window_at_once() {
    let now = start();
    let mut window = Window::new(by_time(100, 10), now);
    window.record(Outcome::Failure, now);
    assert_eq!(window.counts(now + Duration::from_secs(1_000_000_000)), Counts::default());
}

#[test]
fn an_instant_out_of_order_counts_in_the_present_bucket() {
    let now = start();
    let mut window = Window::new(by_time(100, 10), now);
    window.record(Outcome::Success, now + 50 * MS);
    window.record(Outcome::Failure, now + 10 * MS);
    assert_eq!(window.counts(now + 120 * MS).calls, 2);
}

#[test]
fn not_counted_leaves_no_trace() {
    let now = start();
    for policy in [WindowPolicy::Count { calls: 2 }, by_time(100, 10), by_time(100, 1)] {
        let mut window = Window::new(policy, now);
        window.record(Outcome::Failure, now);
        (0..5).for_each(|_| window.record(Outcome::NotCounted, now));
        assert_eq!(window.counts(now), Counts { calls: 1, failures: 1, ..Counts::default() });
    }
}

#[test]
fn smaller_ring_keeps_the_latest_outcomes() {
    let now = start();
    let mut window = Window::new(WindowPolicy::Count { calls: 4 }, now);
    for outcome in [Outcome::Failure, Outcome::Success, Outcome::Slow, Outcome::Overload, Outcome::Success] {
        window.record(outcome, now);
    }
    window.resize(WindowPolicy::Count { calls: 2 }, now);
    assert_eq!(window.counts(now), Counts { calls: 2, overload: 1, ..Counts::default() });
}

#[test]
fn change_of_form_keeps_the_sums() {
    let now = start();
    let mut window = Window::new(by_time(1000, 10), now);
    for (i, outcome) in [Outcome::Failure, Outcome::Success, Outcome::Slow].into_iter().enumerate() {
        window.record(outcome, now + 100 * MS * u32::try_from(i).unwrap());
    }
    let later = now + 250 * MS;
    let counts = window.counts(later);
    for policy in [by_time(2000, 5), WindowPolicy::Count { calls: 10 }, by_time(1000, 10)] {
        window.resize(policy, later);
        assert_eq!((window.policy(), window.counts(later)), (policy, counts));
    }
}

#[test]
fn sizes_out_of_range_are_refused_with_their_name() {
    for (policy, setting) in [
        (WindowPolicy::Count { calls: 0 }, "calls"),
        (WindowPolicy::Count { calls: MAX_CALLS + 1 }, "calls"),
        (by_time(1000, 0), "buckets"),
        (by_time(9, 10), "length"),
    ] {
        assert_eq!(policy.validate().unwrap_err().setting(), setting);
        assert!(policy.bounded().validate().is_ok());
    }
    assert!(WindowPolicy::default().validate().is_ok());
}

#[test]
fn settings_read_as_people_write_them() {
    let read = |json: &str| serde_json::from_str::<WindowPolicy>(json);
    assert_eq!(read(r#"{"by": "time", "length": "1s"}"#).unwrap(), by_time(1000, 10));
    assert_eq!(read(r#"{"by": "count", "calls": 50}"#).unwrap(), WindowPolicy::Count { calls: 50 });
    assert!(
        read(r#"{"by": "count", "calls": 50, "buckets": 3}"#).unwrap_err().to_string().contains("buckets")
    );
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Success),
        Just(Outcome::Failure),
        Just(Outcome::Slow),
        Just(Outcome::Overload),
        Just(Outcome::NotCounted),
    ]
}

fn count<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Counts {
    let mut counts = Counts::default();
    outcomes.into_iter().for_each(|outcome| counts.record(*outcome));
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn ring_equals_the_tail_of_the_full_history(
        size in 1_u32..12,
        outcomes in prop::collection::vec(outcome(), 0..80),
    ) {
        let now = start();
        let mut window = Window::new(WindowPolicy::Count { calls: size }, now);
        let mut tail = VecDeque::new();
        for outcome in outcomes {
            window.record(outcome, now);
            if outcome != Outcome::NotCounted {
                tail.push_back(outcome);
                while tail.len() > size as usize {
                    tail.pop_front();
                }
            }
            prop_assert_eq!(window.counts(now), count(&tail));
            let copy = Window::from_slices(window.policy(), &window.slices(now), now).counts(now);
            prop_assert_eq!(copy, count(&tail));
        }
    }

    #[test]
    fn buckets_equal_the_full_history(
        buckets in 1_u32..6,
        steps in prop::collection::vec((outcome(), 0_u64..25), 0..80),
    ) {
        let (origin, width) = (start(), 10);
        let mut window = Window::new(by_time(width * u64::from(buckets), buckets), origin);
        let (mut history, mut at) = (Vec::new(), 0_u64);
        for (outcome, wait) in steps {
            at += wait;
            let now = origin + MS * u32::try_from(at).unwrap();
            window.record(outcome, now);
            history.push((at / width, outcome));
            let live = history.iter().filter(|(bucket, _)| at / width - bucket < u64::from(buckets));
            let expected = count(live.map(|(_, outcome)| outcome));
            prop_assert_eq!(window.counts(now), expected);
            let moved = Window::from_slices(window.policy(), &window.slices(now), now).counts(now);
            prop_assert!(moved.calls <= expected.calls);
        }
    }
}
