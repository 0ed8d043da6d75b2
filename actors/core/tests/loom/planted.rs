//! Who checks the models? Each bug is planted, and the check must see it.

use std::panic::catch_unwind;

use backstop_core::planted::{Bug, plant};

use crate::{
    breaker::the_word_agrees_with_the_machine,
    door::{a_drain_is_always_woken, nobody_is_inside_when_a_drain_has_seen_it_empty},
};

/// All threads of a model run on the thread of its test, so that the bug is there for all of them.
fn sees(bug: Bug, check: fn()) -> bool {
    let _planted = plant(bug);
    catch_unwind(check).is_err()
}

#[test]
fn a_door_that_is_looked_at_before_the_call_is_counted_is_seen() {
    assert!(sees(Bug::DoorBeforeCount, nobody_is_inside_when_a_drain_has_seen_it_empty));
}

#[test]
fn a_refused_call_that_leaves_without_a_word_is_seen() {
    assert!(sees(Bug::EmptiedUntold, a_drain_is_always_woken));
}

#[test]
fn a_word_that_is_published_without_the_lock_is_seen() {
    assert!(sees(Bug::WordAfterLock, the_word_agrees_with_the_machine));
}
