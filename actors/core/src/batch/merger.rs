//! Many calls, one piece of work: each call waits for its own part of the answer.

use std::{
    any::Any, cell::RefCell, collections::VecDeque, fmt, panic::AssertUnwindSafe, panic::resume_unwind,
    rc::Rc,
};

use futures_util::future::{FutureExt, LocalBoxFuture};
use tokio::{sync::oneshot, task::yield_now};

use crate::{guard::panic_text, local};

/// Merges the items of calls that wait at the same moment into one piece of work, on one thread.
///
/// Self-clocked: while all slots are busy items gather, and what has gathered goes together. The work is a task of the
/// thread's `LocalSet`, so a call that leaves takes nothing from the others; when all have left it is dropped, and the
/// next items go.
///
/// Those who were answered together often ask again together. So after work for several calls the next one lets tasks
/// that are ready run first, until as many wait as were answered, and a few times at most; no timer is involved.
///
/// ```
/// use backstop_core::batch::Merger;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # tokio::task::LocalSet::new().block_on(&runtime, async {
/// let doubled = Merger::new(1, 100, |items: Vec<u32>| async move { items.into_iter().map(|n| n * 2).collect() });
/// assert_eq!(doubled.ask(21).await, Some(42));
/// # });
/// ```
pub struct Merger<T: 'static, R: 'static> {
    inner: Rc<Inner<T, R>>,
}

/// How often the others may run before the next batch begins. The thread's `LocalSet` runs 61 tasks at a time.
const YIELDS: usize = 6;

struct Inner<T, R> {
    slots: usize,
    cap: usize,
    state: RefCell<State<T, R>>,
    work: Box<dyn Fn(Vec<T>) -> LocalBoxFuture<'static, Vec<R>>>,
}

struct State<T, R> {
    busy: usize,
    waiting: VecDeque<(T, Reply<R>)>,
    /// How many calls the work had that ended last.
    last: usize,
}

/// Takes the result of an item, or the panic of the work.
type Reply<R> = oneshot::Sender<Result<R, Box<dyn Any + Send>>>;

impl<T: 'static, R: 'static> Merger<T, R> {
    /// Runs `work` on at most `slots` batches at once (at least 1), each of at most `cap` items (at least 1). It
    /// returns one result per item, in their order.
    #[must_use]
    pub fn new<F, W>(slots: usize, cap: usize, work: F) -> Self
    where
        F: Fn(Vec<T>) -> W + 'static,
        W: Future<Output = Vec<R>> + 'static,
    {
        let work = Box::new(move |items| work(items).boxed_local());
        let state = RefCell::new(State { busy: 0, waiting: VecDeque::new(), last: 0 });
        Self { inner: Rc::new(Inner { slots: slots.max(1), cap: cap.max(1), state, work }) }
    }

    /// Hands an item over and waits for its result; `None` when the work returned too few.
    ///
    /// # Panics
    /// When the work panics, every call of its batch does. Where no task can be started, see [`local::spawn`].
    ///
    /// # Cancel safety
    /// A call that is dropped before its work began takes its item with it; later its result is thrown away.
    pub async fn ask(&self, item: T) -> Option<R> {
        let (reply, result) = oneshot::channel();
        self.inner.state.borrow_mut().waiting.push_back((item, reply));
        Inner::next(&self.inner);
        result.await.ok()?.map_or_else(|panic| resume_unwind(panic), Some)
    }

    /// Takes a free slot for an item that its caller works on by itself; `None` where it should be handed over, because
    /// others wait or were answered together just now.
    ///
    /// Items gather until the place is dropped.
    #[must_use]
    pub fn enter(&self) -> Option<Place<T, R>> {
        let mut state = self.inner.state.borrow_mut();
        if state.busy >= self.inner.slots || state.last > 1 || !state.waiting.is_empty() {
            return None;
        }
        state.busy += 1;
        Some(Place(Slot { inner: Rc::clone(&self.inner), has_begun: true }))
    }

    /// Counts the items that wait for a slot.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.inner.state.borrow().waiting.len()
    }
}

impl<T: 'static, R: 'static> Inner<T, R> {
    /// Starts a task for those who wait, where there is a slot.
    fn next(this: &Rc<Self>) {
        let mut state = this.state.borrow_mut();
        if state.busy >= this.slots || state.waiting.is_empty() {
            return;
        }
        state.busy += 1;
        drop(state);
        local::spawn(serve(Slot { inner: Rc::clone(this), has_begun: false }));
    }

    /// Says whether fewer wait than were answered together just now.
    fn expects_more(&self) -> bool {
        let state = self.state.borrow();
        state.last > 1 && state.waiting.len() < state.last
    }

    /// Takes what waits, but for those whose caller has left.
    fn batch(&self) -> (Vec<T>, Vec<Reply<R>>) {
        let waiting = &mut self.state.borrow_mut().waiting;
        let there = std::iter::from_fn(|| waiting.pop_front()).filter(|(_, reply)| !reply.is_closed());
        there.take(self.cap).unzip()
    }
}

/// Works for those who wait until nobody does.
async fn serve<T: 'static, R: 'static>(mut slot: Slot<T, R>) {
    slot.has_begun = true;
    let inner = &slot.inner;
    loop {
        for _ in 0..YIELDS {
            if !inner.expects_more() {
                break;
            }
            yield_now().await;
        }
        let (items, mut replies) = inner.batch();
        if items.is_empty() {
            return;
        }
        let work = AssertUnwindSafe((inner.work)(items)).catch_unwind();
        let ended = tokio::select! {
            biased;
            ended = work => ended,
            () = all_left(&mut replies) => Ok(Vec::new()),
        };
        inner.state.borrow_mut().last = replies.len();
        answer(ended, replies);
    }
}

async fn all_left<R>(replies: &mut [Reply<R>]) {
    for reply in replies {
        reply.closed().await;
    }
}

/// Hands the results out; a caller that has left meanwhile needs none.
fn answer<R>(ended: Result<Vec<R>, Box<dyn Any + Send>>, replies: Vec<Reply<R>>) {
    match ended {
        Ok(results) => {
            for (reply, result) in replies.into_iter().zip(results) {
                drop(reply.send(Ok(result)));
            }
        }
        Err(panic) => {
            let text = panic_text(&*panic);
            for reply in replies {
                drop(reply.send(Err(Box::new(text.clone()))));
            }
        }
    }
}

/// One batch after the other under way; its end, whatever it is, lets the next one begin.
struct Slot<T: 'static, R: 'static> {
    inner: Rc<Inner<T, R>>,
    /// A task that never began was dropped by a `LocalSet` that has ended, and so would the next one be.
    has_begun: bool,
}

impl<T, R> Drop for Slot<T, R> {
    fn drop(&mut self) {
        let mut state = self.inner.state.borrow_mut();
        state.busy = state.busy.saturating_sub(1);
        drop(state);
        if self.has_begun {
            Inner::next(&self.inner);
        }
    }
}

/// A slot in use by one caller; see [`Merger::enter`].
pub struct Place<T: 'static, R: 'static>(#[expect(dead_code, reason = "it is held")] Slot<T, R>);

impl<T, R> fmt::Debug for Place<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

impl<T, R> fmt::Debug for Merger<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.state.borrow();
        f.debug_struct("Merger")
            .field("busy", &state.busy)
            .field("waiting", &state.waiting.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use tokio::{
        sync::Notify,
        task::{JoinHandle, LocalSet, spawn_local},
    };

    use super::*;

    /// Work that waits for a gate, notes the size of each batch and returns its items.
    struct Bench {
        merger: Rc<Merger<u32, u32>>,
        gate: Rc<Notify>,
        sizes: Rc<RefCell<Vec<usize>>>,
        dropped: Rc<Cell<usize>>,
    }

    fn bench(slots: usize, cap: usize) -> Bench {
        struct Count(Rc<Cell<usize>>);
        impl Drop for Count {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let (gate, sizes, dropped) =
            (Rc::new(Notify::new()), Rc::<RefCell<Vec<_>>>::default(), Rc::default());
        let own = (Rc::clone(&gate), Rc::clone(&sizes), Rc::clone(&dropped));
        let merger = Merger::new(slots, cap, move |items: Vec<u32>| {
            let (gate, sizes, count) = (Rc::clone(&own.0), Rc::clone(&own.1), Count(Rc::clone(&own.2)));
            async move {
                sizes.borrow_mut().push(items.len());
                gate.notified().await;
                drop(count);
                items
            }
        });
        Bench { merger: Rc::new(merger), gate, sizes, dropped }
    }

    impl Bench {
        fn call(&self, item: u32) -> JoinHandle<Option<u32>> {
            let merger = Rc::clone(&self.merger);
            spawn_local(async move { merger.ask(item).await })
        }
    }

    /// Runs a test inside a `LocalSet`, on time that stands still.
    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        LocalSet::new().block_on(&runtime.unwrap(), test);
    }

    /// Lets the tasks run until none is ready.
    async fn settle() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    #[test]
    fn those_who_wait_at_the_same_moment_go_together_and_the_others_after_them() {
        run(async {
            let bench = bench(1, 3);
            let calls: Vec<_> = (0..4).map(|item| bench.call(item)).collect();
            settle().await;
            assert_eq!((bench.sizes.borrow().clone(), bench.merger.waiting()), (vec![3], 1));
            let late = bench.call(4);
            for _ in 0..2 {
                bench.gate.notify_one();
                settle().await;
            }
            for (item, call) in (0..).zip(calls.into_iter().chain([late])) {
                assert_eq!(call.await.unwrap(), Some(item));
            }
            assert_eq!(*bench.sizes.borrow(), [3, 2]);
        });
    }

    #[test]
    fn a_call_that_leaves_takes_nothing_from_the_others() {
        run(async {
            let bench = bench(1, 8);
            let [leaver, stayer] = [2, 3].map(|item| bench.call(item));
            settle().await;
            leaver.abort();
            settle().await;
            assert_eq!(bench.dropped.get(), 0);
            bench.gate.notify_one();
            assert_eq!(stayer.await.unwrap(), Some(3));
            assert_eq!(*bench.sizes.borrow(), [2]);
        });
    }

    #[test]
    fn work_that_all_have_left_is_dropped_and_the_next_begins() {
        run(async {
            let bench = bench(1, 8);
            let first = bench.call(1);
            settle().await;
            let (next, gone) = (bench.call(2), bench.call(3));
            settle().await;
            gone.abort();
            first.abort();
            settle().await;
            assert_eq!(bench.dropped.get(), 1);
            assert_eq!(*bench.sizes.borrow(), [1, 1], "who left before the work began is no part of it");
            bench.gate.notify_one();
            assert_eq!(next.await.unwrap(), Some(2));
        });
    }

    #[test]
    fn a_place_makes_the_others_wait_and_is_given_where_nobody_would_gain() {
        run(async {
            let bench = bench(1, 8);
            let place = bench.merger.enter().unwrap();
            assert!(bench.merger.enter().is_none());
            let calls = [1, 2].map(|item| bench.call(item));
            settle().await;
            assert!(bench.sizes.borrow().is_empty() && bench.merger.waiting() == 2);
            drop(place);
            settle().await;
            assert_eq!(*bench.sizes.borrow(), [2]);
            bench.gate.notify_one();
            for call in calls {
                assert!(call.await.unwrap().is_some());
            }
            settle().await;
            assert!(bench.merger.enter().is_none(), "two were answered together and may come back");
            let alone = bench.call(3);
            bench.gate.notify_one();
            assert_eq!(alone.await.unwrap(), Some(3));
            settle().await;
            assert!(bench.merger.enter().is_some());
        });
    }

    #[test]
    fn a_panic_of_the_work_is_that_of_its_calls_and_the_next_ones_go_on() {
        run(async {
            let merger = Rc::new(Merger::new(1, 8, |items: Vec<u8>| async move {
                assert!(items != [13], "an unlucky number");
                items
            }));
            let call = |item| {
                let merger = Rc::clone(&merger);
                spawn_local(async move { merger.ask(item).await })
            };
            let panic = call(13).await.unwrap_err().into_panic();
            assert_eq!(panic_text(&*panic), "an unlucky number");
            assert_eq!(call(7).await.unwrap(), Some(7));
        });
    }

    #[test]
    fn those_who_were_answered_together_and_ask_again_go_together() {
        run(async {
            let bench = bench(1, 8);
            let place = bench.merger.enter();
            let again = |item| {
                let merger = Rc::clone(&bench.merger);
                async move {
                    for _ in 0..3 {
                        assert_eq!(merger.ask(item).await, Some(item));
                    }
                }
            };
            let callers: Vec<_> = (0..4).map(|item| spawn_local(again(item))).collect();
            settle().await;
            drop(place);
            for _ in 0..3 {
                settle().await;
                bench.gate.notify_one();
            }
            for caller in callers {
                caller.await.unwrap();
            }
            assert_eq!(*bench.sizes.borrow(), [4, 4, 4]);
        });
    }

    #[test]
    fn the_end_of_the_local_set_ends_work_and_calls() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let (tasks, runtime) = (LocalSet::new(), runtime.unwrap());
        let (dropped, calls) = tasks.block_on(&runtime, async {
            let bench = bench(1, 2);
            local::attach();
            let calls: Vec<_> = (0..7).map(|item| bench.call(item)).collect();
            settle().await;
            (bench.dropped, calls)
        });
        drop(tasks);
        assert_eq!(dropped.get(), 1);
        for call in calls {
            assert!(runtime.block_on(call).unwrap_err().is_cancelled());
        }
    }

    #[test]
    fn work_that_returns_too_little_answers_with_none() {
        run(async {
            let merger = Merger::new(1, 8, |_: Vec<u8>| async { Vec::<u8>::new() });
            assert_eq!(merger.ask(1).await, None);
        });
    }
}
