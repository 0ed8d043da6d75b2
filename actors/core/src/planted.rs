//! Known bugs that tests plant, to prove that the checks see them.
//!
//! With the feature `planted` off, as in every build but those of tests, [`is`] is `false` at compile time and
//! nothing of this is left. With it on, a bug is planted on one thread, for as long as a [`Planted`] lives, and
//! no bug is planted unless a test asks for it. `docs/planted_bugs.md` lists who catches which.

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bug {
    /// A call that was given up keeps its place in the intake.
    IntakeNotCountedBack,
    /// A result that was admitted under an earlier state counts in the present one.
    LateResultCounts,
    /// A half-open breaker admits more than its probes.
    ProbesUnbounded,
    /// A call that was given up keeps its place with the backend.
    PlaceLeaks,
    /// An unsafe message is sent again though its fate is unknown.
    UnsafeRetried,
    /// A call that waits for a place does not look at its deadline.
    QueueDeadlineIgnored,
    /// A passed deadline always says that nothing was executed.
    TimeoutSaysNo,
    /// The followers of a leader that went away are never woken.
    FollowersForgotten,
    /// The breaker takes failures for successes.
    BreakerBlind,
    /// A success is counted twice.
    CountedTwice,
    /// Two callers get each other's answer.
    AnswersSwapped,
    /// A backend that cannot be reached is taken for one that panicked.
    OutageIsCrash,
    /// A panicked instance goes on serving and charges nothing.
    PanicIgnored,
    /// Calls that are given up by a drain get no answer.
    DrainSilent,
    /// A replaced instance goes on serving new calls.
    StaleInstance,
    /// The door is looked at before the call is counted.
    DoorBeforeCount,
    /// A call that is refused while it was counted does not wake whoever waits for the end.
    EmptiedUntold,
    /// The breaker's word is published after the lock on the machine is gone.
    WordAfterLock,
    /// A shared connection is given back while an answer is still under way on it.
    PipeGivenBackEarly,
    /// Messages that shared a statement get each other's reply.
    RepliesRotated,
    /// Each message on a table binds its values in reverse, and so hits another row.
    ValuesReversed,
}

/// Says whether `bug` is planted on this thread.
#[cfg(not(feature = "planted"))]
#[inline(always)]
#[must_use]
pub const fn is(_: Bug) -> bool {
    false
}

#[cfg(feature = "planted")]
pub use self::enabled::{Planted, is, plant};

#[cfg(feature = "planted")]
mod enabled {
    use std::{cell::Cell, marker::PhantomData, rc::Rc};

    use super::Bug;

    thread_local! {
        static BUG: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Says whether `bug` is planted on this thread.
    #[must_use]
    pub fn is(bug: Bug) -> bool {
        // A thread that ends has no bug any more.
        BUG.try_with(|planted| planted.get() == Some(bug)).unwrap_or(false)
    }

    /// A bug on this thread; dropped, it is gone.
    #[derive(Debug)]
    #[must_use = "the bug is gone when this is dropped"]
    pub struct Planted(PhantomData<Rc<()>>);

    /// Plants `bug` on this thread.
    pub fn plant(bug: Bug) -> Planted {
        BUG.set(Some(bug));
        Planted(PhantomData)
    }

    impl Drop for Planted {
        fn drop(&mut self) {
            let _ = BUG.try_with(|planted| planted.set(None));
        }
    }
}
