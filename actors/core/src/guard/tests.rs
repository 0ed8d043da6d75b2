//! The door: what an open breaker refuses, and who looks at the clock.
#![allow(clippy::unwrap_used)]

use std::{sync::Arc, time::Duration};

use super::{Guard, breaker::LOOK_EVERY};
use crate::{
    error::RejectionReason,
    event::EventRing,
    name::Name,
    policy::{
        Policy,
        circuit_breaker::{BreakerState, Override, OverrideMode},
    },
};

const SECOND: Duration = Duration::from_secs(1);

fn guard() -> Arc<Guard> {
    Guard::new(Name::from("backend"), Policy::default().seed(1), Arc::new(EventRing::new(64))).unwrap()
}

/// Somebody keeps the time; the test ticks in its place, or is late.
fn watched() -> Arc<Guard> {
    let guard = guard();
    guard.watch(Box::new(|_| {}));
    guard
}

fn passes(guard: &Arc<Guard>) -> bool {
    match guard.admit() {
        Ok(ticket) => {
            ticket.settle();
            true
        }
        Err(rejection) => {
            assert!(matches!(rejection.reason(), RejectionReason::CircuitOpen(_)), "{rejection}");
            false
        }
    }
}

#[tokio::test(start_paused = true)]
async fn alone_a_call_passes_the_moment_the_open_time_is_over() {
    let guard = guard();
    guard.trip("test", Some(SECOND));
    assert!((0..100).all(|_| !passes(&guard)));
    tokio::time::advance(SECOND).await;
    assert!(passes(&guard));
}

#[tokio::test(start_paused = true)]
async fn a_tick_at_the_time_it_was_asked_for_lets_the_next_call_pass() {
    let guard = watched();
    guard.trip("test", Some(SECOND));
    assert!((0..100).all(|_| !passes(&guard)));
    let due = guard.tick().unwrap();
    tokio::time::sleep_until(due).await;
    assert_eq!(guard.tick(), None, "nothing more is due");
    assert!(passes(&guard));
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_never_comes_keeps_no_more_than_a_few_calls_out() {
    let guard = watched();
    guard.trip("test", Some(SECOND));
    assert!(!passes(&guard));
    tokio::time::advance(SECOND).await;
    let refused = (0..1_000).take_while(|_| !passes(&guard)).count();
    assert_eq!(refused as u64, LOOK_EVERY - 1, "the first refusal looked, and so does each sixty-fourth");
}

#[tokio::test(start_paused = true)]
async fn an_open_time_that_was_over_says_nothing_about_the_next_one() {
    let guard = watched();
    guard.trip("test", Some(Duration::ZERO));
    assert!(passes(&guard));
    guard.trip("again", Some(SECOND));
    assert!((0..100).all(|_| !passes(&guard)));
    tokio::time::advance(SECOND).await;
    let _ = guard.tick();
    assert!(passes(&guard));
    guard.force(Some(Override::new(OverrideMode::ForcedOpen, "test", "no end")));
    tokio::time::advance(1_000 * SECOND).await;
    assert_eq!(guard.tick(), None);
    assert!((0..100).all(|_| !passes(&guard)));
}

#[tokio::test(start_paused = true)]
async fn a_forced_opening_with_an_end_is_due_at_its_end() {
    let guard = watched();
    let order = Override::new(OverrideMode::ForcedOpen, "test", "an hour");
    let end = crate::clock::now() + 3_600 * SECOND;
    guard.force(Some(order.until(end)));
    assert_eq!(guard.tick(), Some(end));
    assert!((0..100).all(|_| !passes(&guard)));
    tokio::time::sleep_until(end).await;
    let _ = guard.tick();
    assert!(passes(&guard), "open with its time over: the machine judges");
    assert_eq!(guard.breaker_state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn without_a_watcher_again_each_refusal_looks_at_the_clock() {
    let guard = watched();
    guard.trip("test", Some(SECOND));
    assert!(!passes(&guard));
    guard.unwatch();
    tokio::time::advance(SECOND).await;
    assert!(passes(&guard));
}

#[tokio::test(start_paused = true)]
async fn settings_that_change_while_it_is_open_leave_the_open_time_as_it_was() {
    let guard = watched();
    guard.trip("test", Some(SECOND));
    let mut policy = Policy::default();
    policy.breaker.open_for = 60 * SECOND;
    guard.reconfigure(policy).unwrap();
    assert!((0..100).all(|_| !passes(&guard)));
    let due = guard.tick().unwrap();
    tokio::time::sleep_until(due).await;
    let _ = guard.tick();
    assert!(passes(&guard));
}
