//! Whether and how long the answer of a read is kept.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use backstop_core::message::{CallKey, Sharing};

use super::{CACHE_TTL, draft::Draft};
use crate::Dialect;

/// A cache key with its time to live and tags.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    key: Option<Arc<str>>,
    ttl: Option<Duration>,
    tags: Vec<Arc<str>>,
}

impl Kept {
    pub(super) fn set_key(&mut self, key: Arc<str>) {
        self.key = Some(key);
    }

    pub(super) fn set_ttl(&mut self, ttl: Duration) {
        self.ttl = Some(ttl);
    }

    pub(super) fn add_tag(&mut self, tag: Arc<str>) {
        self.tags.push(tag);
    }

    /// Equal messages share an answer: those with the same key, statement and values. The caller's key alone
    /// would hand the answer of one statement to another one that was given the same key by mistake.
    pub(super) fn sharing<R>(&self, draft: &Draft<'_>) -> Option<Sharing<R>>
    where
        R: Clone + Send + Sync + 'static,
    {
        let own = self.key.as_ref()?;
        let mut key = format!("{}:{own}", own.len());
        draft.write_shape(&mut key);
        for value in draft.values(Dialect::Sqlite) {
            // writing to a string cannot fail
            let _ = write!(key, " {value:?}");
        }
        let of_table = [Some(draft.table.tag()), draft.table.full_tag()];
        let tags = self.tags.iter().cloned().chain([Arc::clone(own)]).chain(of_table.into_iter().flatten());
        Some(Sharing::cache(CallKey::new(key), self.ttl.unwrap_or(CACHE_TTL), tags))
    }
}

/// The setters of messages whose answers can be kept.
macro_rules! kept_setters {
    () => {
        /// Keeps the answer in the process for five minutes ([`CACHE_TTL`](super::CACHE_TTL)) unless a time is
        /// set, and lets equal reads that are under way share one answer.
        ///
        /// Only messages with the same statement and the same values share an answer, whatever their key. It
        /// carries three kinds of tags: the key itself, `table:<name>`, and those that are given. The writes
        /// of this module drop it by the second one, once their commit is known or in doubt. Statements by
        /// text, and writes of other processes, do not.
        ///
        /// The name in that tag has no schema: `orders` and `shop.orders` can be the same table, so a write to
        /// either drops what was read from both, and from an `orders` of any other schema. What was read from
        /// `shop.orders` carries `table:shop.orders` too, for those who drop it by hand.
        #[must_use]
        pub fn cache_key(mut self, key: impl Into<std::sync::Arc<str>>) -> Self {
            self.kept.set_key(key.into());
            self
        }

        /// Sets how long the answer is kept; without a cache key it has no effect.
        #[must_use]
        pub fn ttl(mut self, ttl: std::time::Duration) -> Self {
            self.kept.set_ttl(ttl);
            self
        }

        /// Adds a tag by which the answer can be dropped; without a cache key it has no effect.
        #[must_use]
        pub fn tag(mut self, tag: impl Into<std::sync::Arc<str>>) -> Self {
            self.kept.add_tag(tag.into());
            self
        }
    };
}
pub(super) use kept_setters;
