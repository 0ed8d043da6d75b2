//! The counted bound: who is let in, and when it is empty.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Wake, Waker},
};

use backstop_core::guard::{Admission, Guard};
use loom::{
    future::block_on,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
};

use crate::stage::{explore, guard};

/// What a drain and callers on other threads must never do to each other.
pub(crate) fn nobody_is_inside_when_a_drain_has_seen_it_empty() {
    explore(|| {
        let (guard, ended) = (guard(4), Arc::new(AtomicBool::new(false)));
        let caller = |guard: Arc<Guard>, ended: Arc<AtomicBool>| {
            thread::spawn(move || {
                if let Ok(ticket) = guard.admit() {
                    assert!(!ended.load(SeqCst), "it was let in, and the drain has seen nobody inside");
                    ticket.settle();
                }
            })
        };
        let callers = [caller(guard.clone(), ended.clone()), caller(guard.clone(), ended.clone())];
        guard.set_admission(Admission::Draining);
        block_on(guard.idle());
        ended.store(true, SeqCst);
        for caller in callers {
            caller.join().unwrap();
        }
        assert_eq!(guard.in_flight(), 0);
    });
}

/// The bound holds; every call is counted in and out once.
pub(crate) fn the_bound_holds_and_every_place_comes_back() {
    explore(|| {
        let (guard, inside) = (guard(1), Arc::new(AtomicUsize::new(0)));
        let caller = |guard: Arc<Guard>, inside: Arc<AtomicUsize>| {
            move || {
                let Ok(ticket) = guard.admit() else { return 0 };
                assert_eq!(inside.fetch_add(1, SeqCst), 0, "two inside, one place");
                inside.fetch_sub(1, SeqCst);
                drop(ticket);
                1
            }
        };
        let other = thread::spawn(caller(guard.clone(), inside.clone()));
        let served = caller(guard.clone(), inside)() + other.join().unwrap();
        let snapshot = guard.snapshot();
        assert_eq!((snapshot.in_flight, snapshot.asked_total), (0, 2));
        assert_eq!((snapshot.abandoned_total, snapshot.refused_total), (served, 2 - served));
    });
}

/// However the last call ends, let in or refused, whoever waits hears of it.
pub(crate) fn a_drain_is_always_woken() {
    explore(|| {
        let guard = guard(4);
        let ticket = guard.admit().unwrap();
        let leaves = thread::spawn(move || ticket.settle());
        let comes = thread::spawn({
            let guard = guard.clone();
            move || drop(guard.admit())
        });
        guard.set_admission(Admission::Draining);
        let told = Arc::new(Told::default());
        let waker = Waker::from(Arc::clone(&told));
        let mut idle = pin!(guard.idle());
        let waits = idle.as_mut().poll(&mut Context::from_waker(&waker)).is_pending();
        leaves.join().unwrap();
        comes.join().unwrap();
        assert_eq!(told.0.load(SeqCst), waits, "who waits is told, and nobody else");
        assert!(!waits || idle.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    });
}

/// Whether somebody was woken; looked at when the others have ended, so that it needs no model.
#[derive(Default)]
struct Told(std::sync::atomic::AtomicBool);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn a_drain_that_has_seen_it_empty_lets_nobody_in() {
    nobody_is_inside_when_a_drain_has_seen_it_empty();
}

#[test]
fn the_bound_is_never_passed_and_the_count_returns_to_zero() {
    the_bound_holds_and_every_place_comes_back();
}

#[test]
fn a_drain_hears_of_the_last_call_however_it_ends() {
    a_drain_is_always_woken();
}
