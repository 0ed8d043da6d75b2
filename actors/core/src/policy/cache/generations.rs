//! What was valid when a source was asked, in memory that does not grow with the number of tags.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

/// Dropped keys that are remembered; a fill that outlasts more of them is not kept.
const DROPPED_KEYS: usize = 1024;

/// What was valid at one moment; made by [`Cache::begin`](super::Cache::begin).
#[derive(Clone, Debug)]
pub struct Generations {
    all: u64,
    tags: Box<[(u32, u64)]>,
    dropped_keys: u64,
}

impl Generations {
    pub(super) fn dropped_keys(&self) -> u64 {
        self.dropped_keys
    }
}

/// A generation per slot of tags.
///
/// Tags that meet in one slot are invalidated together, which costs a miss and never a stale answer. The
/// hash is keyed, so nobody can choose tags that meet.
pub(super) struct Tags {
    all: AtomicU64,
    slots: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Tags {
    pub(super) fn new(slots: usize) -> Self {
        let slots = std::iter::repeat_with(AtomicU64::default).take(slots.clamp(1, 1 << 20)).collect();
        Self { all: AtomicU64::new(0), slots, hasher: RandomState::new() }
    }

    pub(super) fn observe(&self, tags: &[Arc<str>], dropped_keys: u64) -> Generations {
        let observe = |tag: &Arc<str>| {
            let slot = self.slot(tag);
            (slot, self.slots[slot as usize].load(SeqCst))
        };
        Generations { all: self.all.load(SeqCst), tags: tags.iter().map(observe).collect(), dropped_keys }
    }

    pub(super) fn are_still(&self, observed: &Generations) -> bool {
        let is_still = |(slot, generation): &(u32, u64)| {
            self.slots.get(*slot as usize).is_some_and(|current| current.load(SeqCst) == *generation)
        };
        self.all.load(SeqCst) == observed.all && observed.tags.iter().all(is_still)
    }

    pub(super) fn invalidate(&self, tag: &str) {
        self.slots[self.slot(tag) as usize].fetch_add(1, SeqCst);
    }

    pub(super) fn invalidate_all(&self) {
        self.all.fetch_add(1, SeqCst);
    }

    fn slot(&self, tag: &str) -> u32 {
        // there are at most 2^20 slots, so the remainder fits
        (self.hasher.hash_one(tag) % self.slots.len() as u64) as u32
    }
}

/// The hashes of the keys dropped last, numbered.
#[derive(Default)]
pub(super) struct DroppedKeys {
    number: u64,
    latest: VecDeque<u64>,
}

impl DroppedKeys {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn push(&mut self, hash: u64) {
        self.number += 1;
        self.latest.push_back(hash);
        if self.latest.len() > DROPPED_KEYS {
            self.latest.pop_front();
        }
    }

    /// Says whether the key was dropped after `number`; yes where that is no longer known.
    pub(super) fn holds_since(&self, number: u64, hash: u64) -> bool {
        let since = usize::try_from(self.number.saturating_sub(number)).unwrap_or(usize::MAX);
        since > self.latest.len() || self.latest.iter().rev().take(since).any(|dropped| *dropped == hash)
    }
}
