//! Answers kept in this process: for a time, and until one of their tags is invalidated.

mod generations;
#[cfg(test)]
mod tests;

use std::{
    any::TypeId,
    fmt,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use fastrand::Rng;
use parking_lot::{Mutex, RwLock};
use quick_cache::{DefaultHashBuilder, Lifecycle, UnitWeighter};
use serde::{Deserialize, Serialize};

pub use self::generations::Generations;
use self::generations::{DroppedKeys, Tags};
use super::duration;
use crate::{
    clock::Instant,
    error::ConfigError,
    message::{CacheRule, CallKey, SharedReply},
};

/// Bounds of what equal messages share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CachePolicy {
    /// Answers that are kept; 10 000, rounded up by less than one for each of the cache's shards.
    pub max_entries: usize,
    /// Counters that all tags share; 4096. Two tags that meet in one are invalidated together.
    pub tag_slots: usize,
    /// Calls that wait for one equal call under way; 1024. One more asks the backend for itself.
    pub followers_max: usize,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self { max_entries: 10_000, tag_slots: 4096, followers_max: 1024 }
    }
}

impl CachePolicy {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names `max_entries` outside 1 to 100 000 000, `tag_slots` outside 1 to 1 000 000, and
    /// `followers_max` over 1 000 000.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let within = |setting, value, least, most| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(ConfigError::new(setting, format!("must be from {least} to {most}, is {value}")))
        };
        within("max_entries", self.max_entries, 1, 100_000_000)?;
        within("tag_slots", self.tag_slots, 1, 1_000_000)?;
        within("followers_max", self.followers_max, 0, 1_000_000)
    }
}

/// The answers of one backend that are kept in this process.
///
/// An answer whose source was asked before an invalidation is never returned after it, however late it is
/// put in: [`Cache::begin`] notes the generations of the tags before the source is asked, and every read
/// compares them. When it is full, those go that are asked for least (S3-FIFO).
///
/// ```
/// use backstop_core::{clock, message::{CacheRule, CallKey}, policy::cache::{Cache, CachePolicy}};
/// use std::{any::TypeId, sync::Arc, time::Duration};
///
/// let cache = Cache::new(CachePolicy::default(), 1);
/// let (kind, key, now) = (TypeId::of::<u8>(), CallKey::new("user 7"), clock::now());
/// let rule = CacheRule { ttl: Duration::from_secs(60), tags: vec!["users".into()] };
///
/// let observed = cache.begin(&rule);
/// cache.insert(kind, key.clone(), Arc::new("Ann"), &rule, observed, now);
/// assert!(cache.get(kind, &key, now).is_some());
/// cache.invalidate_tag("users");
/// assert!(cache.get(kind, &key, now).is_none());
/// ```
pub struct Cache {
    entries: Entries,
    tags: Tags,
    dropped_keys: RwLock<DroppedKeys>,
    rng: Mutex<Rng>,
    hasher: DefaultHashBuilder,
    counts: Counts,
}

/// A view of a [`Cache`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CacheSnapshot {
    /// Answers that are kept; those that are stale count until they are asked for or make room.
    pub entries: usize,
    /// Answers that may be kept.
    pub max_entries: u64,
    /// Calls that were answered.
    pub hits: u64,
    /// Calls that were not.
    pub misses: u64,
    /// Misses among them whose answer was there, but too old or invalidated.
    pub stale: u64,
    /// Answers put in.
    pub inserted: u64,
    /// Answers not put in, because an invalidation came while their source was asked.
    pub outdated: u64,
    /// Answers that made room for others.
    pub evicted: u64,
}

type EntryKey = (TypeId, CallKey);
type Entries = quick_cache::sync::Cache<EntryKey, Arc<Stored>, UnitWeighter, DefaultHashBuilder, Evictions>;

struct Stored {
    reply: SharedReply,
    expires: Instant,
    observed: Generations,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    stale: AtomicU64,
    inserted: AtomicU64,
    outdated: AtomicU64,
    evicted: Arc<AtomicU64>,
}

/// Counts what makes room, and keeps it until the cache's lock is free: an answer's `Drop` is user code.
#[derive(Clone)]
struct Evictions(Arc<AtomicU64>);

impl Lifecycle<EntryKey, Arc<Stored>> for Evictions {
    type RequestState = Vec<(EntryKey, Arc<Stored>)>;

    fn on_evict(&self, state: &mut Self::RequestState, key: EntryKey, value: Arc<Stored>) {
        self.0.fetch_add(1, Relaxed);
        state.push((key, value));
    }
}

impl Cache {
    /// Starts empty; `seed` is that of the jitter.
    #[must_use]
    pub fn new(policy: CachePolicy, seed: u64) -> Self {
        let counts = Counts::default();
        let (max_entries, hasher) = (policy.max_entries.max(1), DefaultHashBuilder::default());
        let evictions = Evictions(Arc::clone(&counts.evicted));
        let weight = max_entries as u64;
        Self {
            entries: Entries::with(max_entries, weight, UnitWeighter, hasher.clone(), evictions),
            tags: Tags::new(policy.tag_slots),
            dropped_keys: RwLock::default(),
            rng: Mutex::new(Rng::with_seed(seed)),
            hasher,
            counts,
        }
    }

    /// Finds an answer that is neither too old nor invalidated.
    #[must_use]
    pub fn get(&self, type_id: TypeId, key: &CallKey, now: Instant) -> Option<SharedReply> {
        let key = (type_id, key.clone());
        let Some(stored) = self.entries.get(&key) else {
            self.counts.misses.fetch_add(1, Relaxed);
            return None;
        };
        if now < stored.expires && self.tags.are_still(&stored.observed) {
            self.counts.hits.fetch_add(1, Relaxed);
            return Some(Arc::clone(&stored.reply));
        }
        self.counts.misses.fetch_add(1, Relaxed);
        self.counts.stale.fetch_add(1, Relaxed);
        // a fresh one may have taken its place meanwhile
        drop(self.entries.remove_if(&key, |current| Arc::ptr_eq(current, &stored)));
        None
    }

    /// Notes what is valid now; to be called before the source is asked for an answer to keep.
    #[must_use]
    pub fn begin(&self, rule: &CacheRule) -> Generations {
        // keys first: one that is dropped in between is noticed by its number
        let dropped_keys = self.dropped_keys.read().number();
        self.tags.observe(&rule.tags, dropped_keys)
    }

    /// Keeps an answer whose source was asked after `observed` was noted; says whether it was kept.
    ///
    /// It is not if it was invalidated meanwhile, or if the rule leaves it no time. The time to live is
    /// shortened at random by up to 10 %, so that what was filled together is not asked for together.
    pub fn insert(
        &self,
        type_id: TypeId,
        key: CallKey,
        reply: SharedReply,
        rule: &CacheRule,
        observed: Generations,
        now: Instant,
    ) -> bool {
        let ttl = self.jittered(rule.ttl);
        if ttl.is_zero() {
            return false;
        }
        if !self.tags.are_still(&observed) {
            self.counts.outdated.fetch_add(1, Relaxed);
            return false;
        }
        let key = (type_id, key);
        let hash = self.hasher.hash_one(&key);
        let mut evicted = Vec::new();
        // Held while it is put in: whoever drops the key now waits, and then removes what was put in.
        let dropped_keys = self.dropped_keys.read();
        if dropped_keys.holds_since(observed.dropped_keys(), hash) {
            drop(dropped_keys);
            self.counts.outdated.fetch_add(1, Relaxed);
            return false;
        }
        let stored = Arc::new(Stored { reply, expires: now + ttl, observed });
        self.entries.insert_with_lifecycle(key, stored, &mut evicted);
        drop(dropped_keys);
        self.counts.inserted.fetch_add(1, Relaxed);
        true
    }

    /// Drops all answers with that tag, also those whose source is being asked.
    pub fn invalidate_tag(&self, tag: &str) {
        self.tags.invalidate(tag);
    }

    /// Drops one answer, also if its source is being asked.
    pub fn invalidate(&self, type_id: TypeId, key: &CallKey) {
        let key = (type_id, key.clone());
        self.dropped_keys.write().push(self.hasher.hash_one(&key));
        drop(self.entries.remove(&key));
    }

    /// Drops all answers, also those whose sources are being asked.
    pub fn clear(&self) {
        self.tags.invalidate_all();
        self.entries.clear();
    }

    /// Changes how many answers are kept; those that are asked for least go.
    pub fn set_max_entries(&self, max_entries: usize) {
        self.entries.set_capacity(max_entries.max(1) as u64);
    }

    /// Shows the counts.
    #[must_use]
    pub fn snapshot(&self) -> CacheSnapshot {
        let counts = &self.counts;
        CacheSnapshot {
            entries: self.entries.len(),
            max_entries: self.entries.capacity(),
            hits: counts.hits.load(Relaxed),
            misses: counts.misses.load(Relaxed),
            stale: counts.stale.load(Relaxed),
            inserted: counts.inserted.load(Relaxed),
            outdated: counts.outdated.load(Relaxed),
            evicted: counts.evicted.load(Relaxed),
        }
    }

    fn jittered(&self, ttl: Duration) -> Duration {
        ttl.min(duration::MAX).mul_f64(1.0 - 0.1 * self.rng.lock().f64())
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("snapshot", &self.snapshot()).finish_non_exhaustive()
    }
}
