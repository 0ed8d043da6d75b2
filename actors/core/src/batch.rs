//! The self-clocked batch: idle, send at once; busy, gather; free again, drain all up to a cap.
//!
//! No timer is involved, so one caller pays nothing and many callers batch themselves. The rule has three
//! shapes: [`Batcher`] for a lane's own thread, [`Merger`] for its calls that share one piece of work, and
//! [`BatchQueue`] for a thread that does blocking work.

mod merger;

pub use self::merger::{Merger, Place};

use std::{cell::RefCell, collections::VecDeque, fmt};

use parking_lot::{Condvar, Mutex};

/// Gathers items on one thread while earlier batches are under way.
///
/// ```
/// use backstop_core::batch::Batcher;
///
/// let batcher = Batcher::new(1, 128);
/// assert_eq!(batcher.push('a'), Some(vec!['a'])); // idle: sent at once
/// assert_eq!(batcher.push('b'), None);            // busy: gathers
/// assert_eq!(batcher.push('c'), None);
/// assert_eq!(batcher.finished(), Some(vec!['b', 'c']));
/// assert_eq!(batcher.finished(), None);
/// ```
pub struct Batcher<T> {
    slots: usize,
    cap: usize,
    state: RefCell<Waiting<T>>,
}

struct Waiting<T> {
    busy: usize,
    items: VecDeque<T>,
}

impl<T> Batcher<T> {
    /// Allows `slots` batches under way at once (at least 1), each of at most `cap` items (at least 1).
    #[must_use]
    pub fn new(slots: usize, cap: usize) -> Self {
        let state = RefCell::new(Waiting { busy: 0, items: VecDeque::new() });
        Self { slots: slots.max(1), cap: cap.max(1), state }
    }

    /// Adds an item; returns a batch to send now where a slot is free.
    ///
    /// Whoever gets a batch calls [`Self::finished`] once it has ended, whatever its end.
    #[must_use]
    pub fn push(&self, item: T) -> Option<Vec<T>> {
        let mut state = self.state.borrow_mut();
        state.items.push_back(item);
        self.take(&mut state)
    }

    /// Gives a slot back; returns the next batch to send now, if items wait.
    #[must_use]
    pub fn finished(&self) -> Option<Vec<T>> {
        let mut state = self.state.borrow_mut();
        state.busy = state.busy.saturating_sub(1);
        self.take(&mut state)
    }

    /// Counts the items that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.borrow().items.len()
    }

    fn take(&self, state: &mut Waiting<T>) -> Option<Vec<T>> {
        if state.busy >= self.slots || state.items.is_empty() {
            return None;
        }
        state.busy += 1;
        let count = state.items.len().min(self.cap);
        Some(state.items.drain(..count).collect())
    }
}

impl<T> fmt::Debug for Batcher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher").field("slots", &self.slots).field("cap", &self.cap).finish_non_exhaustive()
    }
}

/// Gathers items of many threads for one that does blocking work, such as SQLite's writer.
pub struct BatchQueue<T> {
    state: Mutex<Shared<T>>,
    filled: Condvar,
}

struct Shared<T> {
    items: VecDeque<T>,
    idle: usize,
    closed: bool,
}

impl<T> Default for BatchQueue<T> {
    fn default() -> Self {
        let state = Shared { items: VecDeque::new(), idle: 0, closed: false };
        Self { state: Mutex::new(state), filled: Condvar::new() }
    }
}

impl<T> BatchQueue<T> {
    /// Adds an item and wakes a consumer only if one sleeps.
    ///
    /// # Errors
    /// Gives the item back when the queue is closed.
    pub fn push(&self, item: T) -> Result<(), T> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(item);
        }
        state.items.push_back(item);
        let wake = state.idle > 0;
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Sleeps until items wait, then moves up to `cap` of them into `batch`; `false` when closed and empty.
    pub fn drain(&self, cap: usize, batch: &mut Vec<T>) -> bool {
        let mut state = self.state.lock();
        while state.items.is_empty() {
            if state.closed {
                return false;
            }
            state.idle += 1;
            self.filled.wait(&mut state);
            state.idle -= 1;
        }
        let count = state.items.len().min(cap.max(1));
        batch.extend(state.items.drain(..count));
        true
    }

    /// Refuses further items; consumers drain what is left and then end.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_all();
    }

    /// Counts the items that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.lock().items.len()
    }
}

impl<T> fmt::Debug for BatchQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchQueue").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_busy_batcher_gathers_and_drains_at_most_its_cap() {
        let batcher = Batcher::new(1, 2);
        assert_eq!(batcher.push(0), Some(vec![0]));
        for item in 1..=3 {
            assert_eq!(batcher.push(item), None);
        }
        assert_eq!(batcher.finished(), Some(vec![1, 2]));
        assert_eq!(batcher.finished(), Some(vec![3]));
        assert_eq!(batcher.finished(), None);
        assert_eq!(batcher.push(4), Some(vec![4]));
    }

    #[test]
    fn every_slot_takes_a_batch_of_its_own() {
        let batcher = Batcher::new(2, 8);
        assert_eq!(batcher.push(1), Some(vec![1]));
        assert_eq!(batcher.push(2), Some(vec![2]));
        assert_eq!(batcher.push(3), None);
        assert_eq!(batcher.waiting(), 1);
    }

    #[test]
    fn a_closed_queue_gives_items_back_and_hands_out_the_rest() {
        let queue = BatchQueue::default();
        assert_eq!(queue.push(1), Ok(()));
        queue.close();
        assert_eq!(queue.push(2), Err(2));
        let mut batch = Vec::new();
        assert!(queue.drain(8, &mut batch));
        assert_eq!(batch, [1]);
        assert!(!queue.drain(8, &mut batch));
    }

    #[test]
    fn nothing_is_lost_between_many_producers_and_one_consumer() {
        let queue = Arc::new(BatchQueue::default());
        let producers: Vec<_> = (0..4)
            .map(|thread| {
                let queue = Arc::clone(&queue);
                std::thread::spawn(move || {
                    for item in 0..1_000 {
                        queue.push(thread * 1_000 + item).unwrap();
                    }
                })
            })
            .collect();
        let consumer = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || {
                let (mut all, mut batch) = (Vec::new(), Vec::new());
                while queue.drain(64, &mut batch) {
                    assert!(batch.len() <= 64);
                    all.append(&mut batch);
                }
                all
            })
        };
        for producer in producers {
            producer.join().unwrap();
        }
        queue.close();
        let mut all = consumer.join().unwrap();
        all.sort_unstable();
        assert_eq!(all, (0..4_000).collect::<Vec<_>>());
    }
}
