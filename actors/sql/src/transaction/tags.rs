//! Tags of cached answers that a closure's transaction makes stale.

use std::sync::{Arc, Mutex, PoisonError};

/// What a closure has named so far; its message holds the same list, and is asked when the call has ended.
///
/// What an attempt named that was run again stays: a tag too many costs a miss, one too few a stale answer.
#[derive(Debug, Default)]
pub(crate) struct Tags(Mutex<Vec<Arc<str>>>);

impl Tags {
    /// Adds a tag, once.
    pub(crate) fn add(&self, tag: Arc<str>) {
        self.with(|tags| {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.with(|tags| tags.len())
    }

    /// Forgets what was added beyond the first `len`.
    pub(crate) fn truncate(&self, len: usize) {
        self.with(|tags| tags.truncate(len));
    }

    /// Hands each tag to `tell`.
    pub(crate) fn each(&self, tell: &mut dyn FnMut(&str)) {
        // copied, because what `tell` does is not known here
        let tags = self.with(|tags| tags.clone());
        tags.iter().for_each(|tag| tell(tag));
    }

    fn with<R>(&self, work: impl FnOnce(&mut Vec<Arc<str>>) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
