//! Tasks on the `LocalSet` of the current thread, from wherever on that thread they are wished for.
//!
//! tokio lets only code that the `LocalSet` itself polls add tasks to it, and has no way to ask who polls. A task
//! of `tokio::spawn` on an arbiter is polled beside the `LocalSet`. So each thread keeps a *pad*: a task inside the
//! `LocalSet` that starts what others leave with it.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
};

use tokio::task::spawn_local;

type Task = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    static PAD: RefCell<Weak<Pad>> = const { RefCell::new(Weak::new()) };
    /// A pad whose task has not begun yet.
    static NEW: RefCell<Option<Rc<Pad>>> = const { RefCell::new(None) };
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// What waits for the `LocalSet` of this thread.
#[derive(Default)]
struct Pad {
    left: RefCell<Vec<Task>>,
    waker: RefCell<Option<Waker>>,
}

impl Pad {
    fn leave(&self, task: Task) {
        self.left.borrow_mut().push(task);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Starts what was left; runs inside the `LocalSet`.
    fn start(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        drop(waker);
        for task in mem::take(&mut *self.left.borrow_mut()) {
            spawn_local(task);
        }
    }
}

/// Gives the thread its pad, if it has none; to be called inside its `LocalSet`, for whose life the pad stands.
///
/// # Panics
/// Outside a `LocalSet`, as tokio does.
pub fn attach() {
    attach_by(|begin| {
        begin();
        true
    });
}

/// Gives the thread its pad, if it has none: `run` gets a function that it has somebody call inside the thread's
/// `LocalSet` soon, and says whether it could.
pub fn attach_by(run: impl FnOnce(fn()) -> bool) {
    if is_attached() {
        return;
    }
    let pad = Rc::<Pad>::default();
    PAD.set(Rc::downgrade(&pad));
    NEW.set(Some(pad));
    if !run(begin) {
        NEW.take();
    }
}

/// Says whether this thread has a pad, and so a `LocalSet` that lives.
#[must_use]
pub fn is_attached() -> bool {
    PAD.with_borrow(Weak::strong_count) > 0
}

fn begin() {
    if let Some(pad) = NEW.take() {
        spawn_local(poll_fn(move |cx| {
            pad.start(cx);
            Poll::<()>::Pending
        }));
    }
}

/// Starts `task` on the `LocalSet` of this thread; dropped unstarted where that ends first.
///
/// # Panics
/// Outside a `LocalSet` on a thread without a pad, as tokio does.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    if INSIDE.get() {
        spawn_local(task);
        return;
    }
    match PAD.with_borrow(Weak::upgrade) {
        Some(pad) => pad.leave(Box::pin(task)),
        None => drop(spawn_local(task)),
    }
}

/// Runs `work`, which the `LocalSet` is known to poll: what it spawns needs no pad.
#[inline]
pub fn inside<R>(work: impl FnOnce() -> R) -> R {
    let _within = Within(INSIDE.replace(true));
    work()
}

struct Within(bool);

impl Drop for Within {
    fn drop(&mut self) {
        INSIDE.set(self.0);
    }
}
