//! Many calls, one piece of work: each call waits for its own part of the answer.

use std::{
    cell::{OnceCell, RefCell},
    collections::VecDeque,
    fmt,
    rc::Rc,
};

use futures_util::future::{FutureExt, LocalBoxFuture, Shared, WeakShared};
use tokio::{sync::oneshot, task::yield_now};

/// Merges the items of calls that wait at the same moment into one piece of work, on one thread.
///
/// Self-clocked: an item that finds a free slot goes at once and alone; while all slots are busy items gather. The
/// work goes on as long as any of its calls is polled, so a call that leaves takes nothing from the others; when all
/// have left it is dropped, and the next items go.
///
/// Those who were answered together often ask again together. So after work for several calls the next one lets all
/// tasks that are ready run first, once; no timer is involved.
///
/// ```
/// use backstop_core::batch::Merger;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let doubled = Merger::new(1, 100, |items: Vec<u32>| async move { items.into_iter().map(|n| n * 2).collect() });
/// assert_eq!(doubled.ask(21).await, Some(42));
/// # });
/// ```
pub struct Merger<T: 'static, R: 'static> {
    inner: Rc<Inner<T, R>>,
}

struct Inner<T, R> {
    slots: usize,
    cap: usize,
    state: RefCell<State<T, R>>,
    work: Box<dyn Fn(Vec<T>) -> LocalBoxFuture<'static, Vec<R>>>,
}

struct State<T, R> {
    busy: usize,
    waiting: VecDeque<Waiting<T, R>>,
    /// How many calls the work had that ended last.
    last: usize,
}

/// A call that waits for its work to begin.
struct Waiting<T, R> {
    item: T,
    begin: oneshot::Sender<(Run<R>, usize)>,
}

type Results<R> = Rc<RefCell<Vec<Option<R>>>>;
/// The work of one batch; every call of it polls a clone.
type Run<R> = Shared<LocalBoxFuture<'static, Results<R>>>;
/// The work itself has no share in itself.
type Own<R> = Rc<OnceCell<WeakShared<LocalBoxFuture<'static, Results<R>>>>>;

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
    /// When the work panics, every call of its batch does.
    ///
    /// # Cancel safety
    /// A call that is dropped before its work began takes its item with it; later its result is thrown away.
    pub async fn ask(&self, item: T) -> Option<R> {
        let (begin, begun) = oneshot::channel();
        self.inner.state.borrow_mut().waiting.push_back(Waiting { item, begin });
        Inner::next(&self.inner);
        let (run, at) = begun.await.ok()?;
        let results = run.await;
        results.borrow_mut().get_mut(at)?.take()
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
        Some(Place { _slot: Slot { inner: Rc::clone(&self.inner), calls: 1 } })
    }

    /// Counts the items that wait for a slot.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.inner.state.borrow().waiting.len()
    }
}

impl<T: 'static, R: 'static> Inner<T, R> {
    /// Begins a batch with the call that waits longest, if there is a slot; the others join it as it begins.
    fn next(this: &Rc<Self>) {
        let (first, lets_others_run) = {
            let mut state = this.state.borrow_mut();
            if state.busy >= this.slots {
                return;
            }
            let Some(first) = state.first() else { return };
            state.busy += 1;
            (first, state.last > 1)
        };
        let (own, mut slot) = (Own::<R>::default(), Slot { inner: Rc::clone(this), calls: 1 });
        let itself = Rc::clone(&own);
        let run = async move {
            let mut items = vec![first.item];
            if lets_others_run {
                yield_now().await;
            }
            slot.inner.join(&mut items, &itself);
            slot.calls = items.len();
            let results = (slot.inner.work)(items).await;
            Rc::new(RefCell::new(results.into_iter().map(Some).collect()))
        };
        let run = run.boxed_local().shared();
        if let Some(weak) = run.downgrade() {
            // it is set once
            let _ = own.set(weak);
        }
        // a call that has left meanwhile drops the work, and with it the slot
        let _ = first.begin.send((run, 0));
    }

    /// Adds the calls that wait to a batch that begins.
    fn join(&self, items: &mut Vec<T>, own: &Own<R>) {
        let Some(run) = own.get().and_then(WeakShared::upgrade) else { return };
        while items.len() < self.cap {
            let Some(call) = self.state.borrow_mut().first() else { return };
            if call.begin.send((run.clone(), items.len())).is_ok() {
                items.push(call.item);
            }
        }
    }
}

impl<T, R> State<T, R> {
    /// Takes the first call that still waits.
    fn first(&mut self) -> Option<Waiting<T, R>> {
        loop {
            let call = self.waiting.pop_front()?;
            if !call.begin.is_closed() {
                return Some(call);
            }
        }
    }
}

/// A slot in use by one caller; see [`Merger::enter`].
pub struct Place<T: 'static, R: 'static> {
    _slot: Slot<T, R>,
}

impl<T, R> fmt::Debug for Place<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

/// One batch under way; its end, whatever it is, starts the next one.
struct Slot<T: 'static, R: 'static> {
    inner: Rc<Inner<T, R>>,
    calls: usize,
}

impl<T: 'static, R: 'static> Drop for Slot<T, R> {
    fn drop(&mut self) {
        {
            let mut state = self.inner.state.borrow_mut();
            state.busy = state.busy.saturating_sub(1);
            state.last = self.calls;
        }
        Inner::next(&self.inner);
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
    use std::{cell::Cell, pin::pin};

    use futures_util::future::{join_all, poll_immediate};
    use tokio::sync::Notify;

    use super::*;

    /// Polls once.
    async fn is_pending(call: impl Future + Unpin) -> bool {
        poll_immediate(call).await.is_none()
    }

    /// Work that waits for a gate, notes the size of each batch and returns its items.
    struct Bench {
        merger: Merger<u32, u32>,
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
        Bench { merger, gate, sizes, dropped }
    }

    #[tokio::test]
    async fn the_first_goes_alone_and_those_who_wait_meanwhile_go_together() {
        let bench = bench(1, 3);
        let mut calls: Vec<_> = (0..6).map(|item| Box::pin(bench.merger.ask(item))).collect();
        for call in &mut calls {
            assert!(is_pending(&mut *call).await);
        }
        assert_eq!((bench.sizes.borrow().clone(), bench.merger.waiting()), (vec![1], 5));
        let open = async {
            for _ in 0..20 {
                bench.gate.notify_one();
                tokio::task::yield_now().await;
            }
        };
        let (answers, ()) = tokio::join!(join_all(calls), open);
        assert_eq!(answers, (0..6).map(Some).collect::<Vec<_>>());
        assert_eq!(*bench.sizes.borrow(), [1, 3, 2]);
    }

    #[tokio::test]
    async fn a_call_that_leaves_takes_nothing_from_the_others() {
        let bench = bench(1, 8);
        let mut first = Box::pin(bench.merger.ask(1));
        assert!(is_pending(&mut first).await);
        let mut both = [2, 3].map(|item| Box::pin(bench.merger.ask(item)));
        for call in &mut both {
            assert!(is_pending(&mut *call).await);
        }
        bench.gate.notify_one();
        assert_eq!(first.await, Some(1));
        let [mut leaver, mut stayer] = both;
        assert!(is_pending(&mut leaver).await && is_pending(&mut stayer).await);
        assert_eq!(*bench.sizes.borrow(), [1, 2]);
        drop(leaver);
        bench.gate.notify_one();
        assert_eq!(stayer.await, Some(3));
    }

    #[tokio::test]
    async fn work_that_all_have_left_is_dropped_and_the_next_begins() {
        let bench = bench(1, 8);
        let mut first = Box::pin(bench.merger.ask(1));
        assert!(is_pending(&mut first).await);
        let mut next = pin!(bench.merger.ask(2));
        let mut gone = Box::pin(bench.merger.ask(3));
        assert!(is_pending(next.as_mut()).await && is_pending(&mut gone).await);
        drop(gone);
        drop(first);
        assert_eq!(bench.dropped.get(), 1);
        assert!(is_pending(next.as_mut()).await);
        assert_eq!(*bench.sizes.borrow(), [1, 1], "who left before the work began is no part of it");
        bench.gate.notify_one();
        assert_eq!(next.await, Some(2));
    }

    #[tokio::test]
    async fn those_who_were_answered_together_and_ask_again_go_together() {
        let bench = bench(1, 8);
        let merger = Rc::new(bench.merger);
        let again = |item| {
            let merger = Rc::clone(&merger);
            async move {
                for _ in 0..3 {
                    assert_eq!(merger.ask(item).await, Some(item));
                }
            }
        };
        let local = tokio::task::LocalSet::new();
        for item in 0..4 {
            local.spawn_local(again(item));
        }
        let open = async {
            while merger.waiting() < 3 {
                tokio::task::yield_now().await;
            }
            for _ in 0..200 {
                bench.gate.notify_one();
                tokio::task::yield_now().await;
            }
        };
        local.run_until(open).await;
        local.await;
        // the first one found a free slot; from then on nobody goes while others are about to ask
        let sizes = bench.sizes.borrow();
        assert_eq!((sizes[0], sizes.iter().sum::<usize>()), (1, 12), "{sizes:?}");
        assert!(sizes[1..].iter().all(|size| *size >= 3), "{sizes:?}");
    }

    #[tokio::test]
    async fn work_that_returns_too_little_answers_with_none() {
        let merger = Merger::new(1, 8, |_: Vec<u8>| async { Vec::<u8>::new() });
        assert_eq!(merger.ask(1).await, None);
    }
}
