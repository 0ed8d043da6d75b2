//! The breaker's word in front of its machine.

use std::time::Duration;

use backstop_core::policy::circuit_breaker::BreakerState;
use loom::thread;

use crate::stage::{LONG, call, explore, guard, refused, watched};

/// When all is quiet, the word says what the machine is.
pub(crate) fn the_word_agrees_with_the_machine() {
    explore(|| {
        let guard = guard(4);
        let trips = thread::spawn({
            let guard = guard.clone();
            move || guard.trip("test", Some(LONG))
        });
        let resets = thread::spawn({
            let guard = guard.clone();
            move || guard.reset()
        });
        let _ = call(&guard, true);
        trips.join().unwrap();
        resets.join().unwrap();
        let word = guard.breaker_state();
        assert_eq!(word, guard.snapshot().breaker.state);
        assert_eq!(refused(&guard), word == BreakerState::Open);
    });
}

#[test]
fn the_word_at_rest_says_what_the_machine_is() {
    the_word_agrees_with_the_machine();
}

#[test]
fn each_failure_opens_the_breaker_or_is_late() {
    explore(|| {
        let guard = guard(4);
        let fails = |guard: std::sync::Arc<_>| move || u64::from(call(&guard, true).unwrap_err().attempts());
        let others = [thread::spawn(fails(guard.clone())), thread::spawn(fails(guard.clone()))];
        let sent: u64 = others.map(|other| other.join().unwrap()).iter().sum();
        let breaker = guard.snapshot().breaker;
        assert_eq!((breaker.opened_total, breaker.late_total), (1, sent - 1));
        assert!(refused(&guard));
    });
}

#[test]
fn an_opening_that_has_returned_refuses_every_call_whatever_the_word_said_before() {
    explore(|| {
        let guard = watched();
        let earlier = thread::spawn({
            let guard = guard.clone();
            // Over at once: the word says that calls must look at the clock.
            move || guard.trip("earlier", Some(Duration::ZERO))
        });
        let ticks = thread::spawn({
            let guard = guard.clone();
            move || guard.tick().is_some()
        });
        guard.trip("now", Some(LONG));
        assert!(refused(&guard), "the time that is over is not this one");
        earlier.join().unwrap();
        ticks.join().unwrap();
        assert!(refused(&guard));
    });
}

#[test]
fn a_reset_that_has_returned_lets_every_call_pass_whatever_came_before() {
    explore(|| {
        let guard = watched();
        let fails = thread::spawn({
            let guard = guard.clone();
            move || call(&guard, true).is_err_and(|error| error.attempts() == 1)
        });
        guard.trip("test", Some(LONG));
        guard.reset();
        let passed = call(&guard, false);
        let failed = fails.join().unwrap();
        // Only a failure that was admitted after the reset may stand against it.
        let reopened = guard.breaker_state() == BreakerState::Open;
        assert!(passed.is_ok() || (failed && reopened), "{passed:?}");
    });
}
