//! What can be asked of a backend: messages, their class, and what may be shared between equal ones.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

/// A typed request to a backend.
///
/// A message is borrowed by [`Serve::serve`](crate::backend::Serve::serve), so a retry can send it again.
///
/// ```
/// use backstop_core::message::{Class, Message};
///
/// struct Get(String);
/// impl Message for Get {
///     type Reply = Option<String>;
///     const NAME: &'static str = "get";
///     fn class(&self) -> Class { Class::Read }
/// }
/// assert_eq!(Get("k".into()).name(), "get");
/// ```
pub trait Message: Send + 'static {
    /// What a success returns.
    type Reply: Send + 'static;

    /// The name of this kind of message in statistics, events and REST; lower snake case.
    const NAME: &'static str;

    /// Says what may happen to the message after a failure; `Unsafe` unless overridden.
    fn class(&self) -> Class {
        Class::Unsafe
    }

    /// The name of this very message; differs from [`Self::NAME`] only for type-erased ones.
    fn name(&self) -> &'static str {
        Self::NAME
    }

    /// Says whether equal messages may share one answer; `None` (never) unless overridden.
    fn sharing(&self) -> Option<Sharing<Self::Reply>> {
        None
    }

    /// Names the tags of cached answers that this message makes stale; none unless overridden.
    ///
    /// The guard drops them before the caller hears of the end, unless it is certain that nothing was executed.
    fn invalidates(&self, tag: &mut dyn FnMut(&str)) {
        let _ = tag;
    }
}

/// What may be retried, hedged or coalesced; the only input of that decision beside the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Changes nothing: may be repeated, hedged and coalesced.
    Read,
    /// Has the same effect when repeated, such as PUT or DELETE by key.
    Idempotent,
    /// Carries a key by which the backend recognises a repetition.
    Keyed,
    /// May have a second effect when repeated; never repeated while its fate is unknown.
    Unsafe,
    /// Several statements that commit together; repeated only as a whole and only before the commit.
    Transaction,
}

impl Class {
    /// Says whether a message whose execution is unknown may be sent again.
    #[must_use]
    pub fn survives_unknown(self) -> bool {
        matches!(self, Self::Read | Self::Idempotent | Self::Keyed)
    }
}

/// Identifies equal messages of one kind.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CallKey(Arc<[u8]>);

impl CallKey {
    /// Makes a key from bytes that are equal exactly when the answers may be shared.
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(Arc::from(bytes.as_ref()))
    }

    /// Returns the bytes of the key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallKey({} bytes)", self.0.len())
    }
}

/// How equal messages share one answer.
pub struct Sharing<R> {
    /// Which messages are equal, among those of one kind.
    pub key: CallKey,
    /// Whether a message waits for an equal one that is under way; reads only.
    pub coalesce: bool,
    /// Whether and how long the answer is kept.
    pub cache: Option<CacheRule>,
    pub(crate) ops: ShareOps<R>,
}

/// How long an answer is kept in the in-process cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRule {
    /// Time to live, before a jitter of up to −10 %.
    pub ttl: Duration,
    /// Tags by which the answer can be invalidated.
    pub tags: Vec<Arc<str>>,
}

/// A type-erased answer that several callers share.
pub type SharedReply = Arc<dyn std::any::Any + Send + Sync>;

/// The functions that turn an answer into a shared one and back; made where `R: Clone` is known.
pub(crate) struct ShareOps<R> {
    pub(crate) into_shared: fn(R) -> SharedReply,
    pub(crate) from_shared: fn(&SharedReply) -> Option<R>,
}

impl<R> Clone for ShareOps<R> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<R> Copy for ShareOps<R> {}

impl<R: Clone + Send + Sync + 'static> Sharing<R> {
    /// Lets equal messages that are under way at the same time share one answer.
    #[must_use]
    pub fn coalesce(key: CallKey) -> Self {
        Self {
            key,
            coalesce: true,
            cache: None,
            ops: ShareOps {
                into_shared: |reply| Arc::new(reply),
                from_shared: |shared| shared.downcast_ref::<R>().cloned(),
            },
        }
    }

    /// Also keeps the answer for `ttl`, to be dropped earlier when one of `tags` is invalidated.
    #[must_use]
    pub fn cache(key: CallKey, ttl: Duration, tags: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Self {
        let tags = tags.into_iter().map(Into::into).collect();
        Self { cache: Some(CacheRule { ttl, tags }), ..Self::coalesce(key) }
    }
}

impl<R> fmt::Debug for Sharing<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sharing")
            .field("key", &self.key)
            .field("coalesce", &self.coalesce)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}
