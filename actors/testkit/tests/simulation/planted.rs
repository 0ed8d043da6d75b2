//! Known bugs are planted one by one; the checks of the simulation must see each of them.

use backstop_testkit::planted::{self, Bug};

use crate::{coverage::Coverage, run::schedule};

/// Schedules that are tried until a planted bug shows.
const TRIES: u64 = 150;

/// Plants `bug` and runs schedules until a breach contains `words`.
fn is_seen(bug: Bug, words: &str) {
    let planted = planted::plant(bug);
    let seen = (0..TRIES).find(|seed| schedule(*seed).breaches.iter().any(|breach| breach.contains(words)));
    drop(planted);
    assert!(seen.is_some(), "{TRIES} schedules did not show {bug:?}");
}

#[test]
fn intake_that_is_not_counted_back_is_seen() {
    is_seen(Bug::IntakeNotCountedBack, "under way");
}

#[test]
fn late_result_that_counts_is_seen() {
    is_seen(Bug::LateResultCounts, "since it closed");
}

#[test]
fn more_probes_than_allowed_are_seen() {
    is_seen(Bug::ProbesUnbounded, "are allowed");
}

#[test]
fn place_that_leaks_is_seen() {
    is_seen(Bug::PlaceLeaks, "after recovery");
}

#[test]
fn unsafe_message_sent_twice_is_seen() {
    is_seen(Bug::UnsafeRetried, "executed 2 times");
}

#[test]
fn deadline_ignored_in_the_queue_is_seen() {
    is_seen(Bug::QueueDeadlineIgnored, "after its deadline");
}

#[test]
fn executed_no_after_sending_is_seen() {
    is_seen(Bug::TimeoutSaysNo, "told Ended(No), executed 1");
}

#[test]
fn followers_that_are_never_woken_are_seen() {
    is_seen(Bug::FollowersForgotten, "a read got no answer after recovery");
}

#[test]
fn breaker_that_ignores_failures_is_seen() {
    let planted = planted::plant(Bug::BreakerBlind);
    let mut coverage = Coverage::default();
    for seed in 0..50 {
        coverage.merge(&schedule(seed).coverage);
    }
    drop(planted);
    assert!(coverage.missing().contains(&"opened by consecutive failures"), "{coverage:?}");
}

#[test]
fn success_counted_twice_is_seen() {
    is_seen(Bug::CountedTwice, "asked, but");
}

#[test]
fn answers_of_other_calls_are_seen() {
    is_seen(Bug::AnswersSwapped, "got the answer of");
}

#[test]
fn outage_taken_for_a_crash_is_seen() {
    is_seen(Bug::OutageIsCrash, "charged without a panic");
}

#[test]
fn panicked_instance_that_goes_on_is_seen() {
    is_seen(Bug::PanicIgnored, "after it was replaced");
}

#[test]
fn drain_that_drops_calls_in_silence_is_seen() {
    is_seen(Bug::DrainSilent, "callers waiting after the end");
}

#[test]
fn replaced_instance_that_goes_on_is_seen() {
    is_seen(Bug::StaleInstance, "after it was replaced");
}
