//! What a call is in a flight: its leader, a follower, or neither.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use tokio::sync::oneshot;

use super::{FlightKey, Inner};
use crate::{
    error::CallError,
    message::SharedReply,
    planted::{self, Bug},
};

/// What a call is among its equals.
#[derive(Debug)]
#[must_use]
pub enum Role {
    /// The first: asks the backend and hands the answer to the others.
    Leader(Leader),
    /// Waits for the leader's answer.
    Follower(Follower),
    /// One too many to follow: asks the backend for itself and tells nobody.
    Alone,
}

/// How a follower's wait ended.
#[derive(Debug)]
#[must_use]
pub enum Followed {
    /// The leader's answer or its error.
    Answer(Result<SharedReply, CallError>),
    /// The leader is gone without an answer; this call asks the backend now, for the others too.
    Lead(Leader),
}

/// The duty to answer for a flight; dropped without an answer it passes to a follower.
///
/// An error that is this caller's own, such as its passed deadline, should be dropped and not completed
/// with: the others have their own deadlines.
#[must_use]
pub struct Leader {
    /// Nothing once the flight is answered or handed over.
    flight: Option<(Arc<Inner>, FlightKey)>,
}

/// A wait for the leader's answer.
///
/// # Cancel safety
/// May be dropped at any point; one that was just made the leader passes that on.
#[must_use = "a follower waits only while it is polled"]
pub struct Follower {
    inner: Arc<Inner>,
    key: FlightKey,
    number: u64,
    receiver: oneshot::Receiver<Followed>,
}

impl Leader {
    pub(super) fn of(inner: Arc<Inner>, key: FlightKey) -> Self {
        Self { flight: Some((inner, key)) }
    }

    /// Ends the flight and hands `result` to all that follow it.
    pub fn complete(mut self, result: Result<SharedReply, CallError>) {
        let Some((inner, key)) = self.flight.take() else { return };
        for (_, follower) in inner.land(&key) {
            // one that has gone away needs no answer
            let _ = follower.send(Followed::Answer(result.clone()));
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let Some((inner, key)) = self.flight.take() else { return };
        if planted::is(Bug::FollowersForgotten) {
            return;
        }
        while let Some(follower) = inner.next_leader(&key) {
            let leader = Self::of(Arc::clone(&inner), key.clone());
            let Err(Followed::Lead(mut refused)) = follower.send(Followed::Lead(leader)) else {
                inner.counts.promoted.fetch_add(1, Relaxed);
                return;
            };
            // it went away at this moment; disarmed, or its drop would run this loop once more, nested
            refused.flight = None;
        }
    }
}

impl Follower {
    pub(super) fn of(
        inner: Arc<Inner>,
        key: FlightKey,
        number: u64,
        receiver: oneshot::Receiver<Followed>,
    ) -> Self {
        Self { inner, key, number, receiver }
    }
}

impl Future for Follower {
    type Output = Followed;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Followed> {
        let followed = ready!(Pin::new(&mut self.receiver).poll(context));
        // A sender ends without a word only if the leader was leaked; then this call answers for itself.
        Poll::Ready(followed.unwrap_or(Followed::Lead(Leader { flight: None })))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // Gives the place back. What was sent meanwhile is dropped with the receiver, a leader hands over.
        drop(self.inner.leave(&self.key, self.number));
    }
}

impl fmt::Debug for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader").finish_non_exhaustive()
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("number", &self.number).finish_non_exhaustive()
    }
}
