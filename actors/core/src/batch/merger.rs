//! Many calls, one piece of work: each call waits for its own part of the answer.

use std::{cell::RefCell, fmt, rc::Rc};

use futures_util::future::{FutureExt, LocalBoxFuture, Shared};
use tokio::sync::oneshot;

use super::Batcher;

/// Merges the items of calls that wait at the same moment into one piece of work, on one thread.
///
/// Self-clocked: an item that finds a free slot goes at once and alone; while all slots are busy items gather. The
/// work goes on as long as any of its calls is polled, so a call that leaves takes nothing from the others; when all
/// have left it is dropped, and the next items go.
///
/// ```
/// use backstop_core::batch::Merger;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let doubled = Merger::new(1, 100, |items: Vec<u32>| async move { items.into_iter().map(|n| n * 2).collect() });
/// assert_eq!(doubled.ask(21).await, Some(42));
/// # });
/// ```
pub struct Merger<T, R> {
    inner: Rc<Inner<T, R>>,
}

struct Inner<T, R> {
    batcher: Batcher<Waiting<T, R>>,
    work: Box<dyn Fn(Vec<T>) -> LocalBoxFuture<'static, Vec<R>>>,
}

/// A call that waits for its work to begin.
struct Waiting<T, R> {
    item: T,
    begin: oneshot::Sender<(Run<R>, usize)>,
}

/// The work of one batch; every call of it polls a clone.
type Run<R> = Shared<LocalBoxFuture<'static, Rc<RefCell<Vec<Option<R>>>>>>;

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
        Self { inner: Rc::new(Inner { batcher: Batcher::new(slots, cap), work }) }
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
        if let Some(batch) = self.inner.batcher.push(Waiting { item, begin }) {
            Inner::start(&self.inner, batch);
        }
        let (run, at) = begun.await.ok()?;
        let results = run.await;
        results.borrow_mut().get_mut(at)?.take()
    }

    /// Counts the items that wait for a slot.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.inner.batcher.waiting()
    }
}

impl<T: 'static, R: 'static> Inner<T, R> {
    fn start(this: &Rc<Self>, batch: Vec<Waiting<T, R>>) {
        let slot = Slot(Rc::clone(this));
        let (items, calls): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .filter(|call| !call.begin.is_closed())
            .map(|call| (call.item, call.begin))
            .unzip();
        if items.is_empty() {
            return;
        }
        let work = (this.work)(items);
        let run = async move {
            let _slot = slot;
            Rc::new(RefCell::new(work.await.into_iter().map(Some).collect()))
        };
        let run = run.boxed_local().shared();
        for (at, call) in calls.into_iter().enumerate() {
            // a call that has left meanwhile needs no part in it
            let _ = call.send((run.clone(), at));
        }
    }
}

/// One batch under way; its end, whatever it is, starts the next one.
struct Slot<T: 'static, R: 'static>(Rc<Inner<T, R>>);

impl<T: 'static, R: 'static> Drop for Slot<T, R> {
    fn drop(&mut self) {
        if let Some(batch) = self.0.batcher.finished() {
            Inner::start(&self.0, batch);
        }
    }
}

impl<T, R> fmt::Debug for Merger<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merger").field("batcher", &self.inner.batcher).finish_non_exhaustive()
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
        let [leaver, mut stayer] = both;
        assert!(is_pending(&mut stayer).await);
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
    async fn work_that_returns_too_little_answers_with_none() {
        let merger = Merger::new(1, 8, |_: Vec<u8>| async { Vec::<u8>::new() });
        assert_eq!(merger.ask(1).await, None);
    }
}
