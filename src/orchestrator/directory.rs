//! Which backends there are: one shared snapshot, read without a lock.

use std::{any::Any, collections::HashMap, fmt, sync::Arc};

use arc_swap::ArcSwap;
use backstop_core::{
    backend::Backend,
    error::{CallError, Rejection, RejectionReason},
    guard::Guard,
    name::Name,
    operation::Wire,
};
use backstop_supervisor::{BackendRef, BackendSnapshot, DynBackend};

use super::near::near;

/// Names that an error lists where none is near.
const LISTED: usize = 8;

/// The backends by name; a change makes a new snapshot, so readers never wait.
///
/// Some are known by their type alone, those with a [`Wire`] form also by the names of their operations.
#[derive(Default)]
pub struct Directory {
    snapshot: ArcSwap<Snapshot>,
}

#[derive(Clone, Default)]
struct Snapshot {
    by_name: HashMap<Arc<str>, Arc<Entry>>,
    /// In the order in which they were added.
    ordered: Vec<Arc<Entry>>,
}

/// One backend.
pub(crate) struct Entry {
    name: Arc<str>,
    typed: Box<dyn Typed>,
    wire: Option<Arc<dyn DynBackend>>,
}

/// What is asked of a backend whatever its type.
trait Typed: Send + Sync {
    fn kind(&self) -> &'static str;
    fn snapshot(&self) -> BackendSnapshot;
    fn guard(&self) -> &Arc<Guard>;
    fn start_lane(&self) -> Result<(), CallError>;
    #[cfg(feature = "sql")]
    fn seen(&self) -> Option<Arc<backstop_sql::seen::Seen>>;
    fn as_any(&self) -> &dyn Any;
}

impl<B: Backend> Typed for BackendRef<B> {
    fn kind(&self) -> &'static str {
        B::KIND
    }

    fn snapshot(&self) -> BackendSnapshot {
        BackendRef::snapshot(self)
    }

    fn guard(&self) -> &Arc<Guard> {
        BackendRef::guard(self)
    }

    fn start_lane(&self) -> Result<(), CallError> {
        BackendRef::start_lane(self)
    }

    #[cfg(feature = "sql")]
    fn seen(&self) -> Option<Arc<backstop_sql::seen::Seen>> {
        self.insight()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Entry {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.typed.kind()
    }

    pub(crate) fn snapshot(&self) -> BackendSnapshot {
        self.typed.snapshot()
    }

    pub(crate) fn guard(&self) -> &Arc<Guard> {
        self.typed.guard()
    }

    /// What a SQL backend sees of its own work.
    #[cfg(feature = "sql")]
    pub(crate) fn seen(&self) -> Option<Arc<backstop_sql::seen::Seen>> {
        self.typed.seen()
    }

    pub(crate) fn start_lane(&self) -> Result<(), CallError> {
        self.typed.start_lane()
    }
}

/// Why a name leads to no backend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// No backend has this name.
    #[error("no backend is named `{name}`{}", hint(near, known))]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// Names that differ little, nearest first.
        near: Vec<String>,
        /// Some of the names that there are.
        known: Vec<String>,
    },
    /// The backend is of another kind.
    #[error("backend `{name}` is of kind `{kind}`, not `{wanted}`")]
    WrongKind {
        /// The backend.
        name: String,
        /// Its kind.
        kind: &'static str,
        /// The kind that was asked for.
        wanted: &'static str,
    },
    /// The backend has no operations by name; ask it by type.
    #[error("backend `{name}` of kind `{kind}` has no operations by name; ask it with typed messages")]
    TypedOnly {
        /// The backend.
        name: String,
        /// Its kind.
        kind: &'static str,
    },
}

fn hint(near: &[String], known: &[String]) -> String {
    let list = |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match (near, known) {
        ([], []) => "; there are no backends".into(),
        ([], known) => format!("; there are {}", list(known)),
        (near, _) => format!("; did you mean {}?", list(near)),
    }
}

impl From<LookupError> for Rejection {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Unknown { name, near, .. } => {
                let near = near.into_iter().map(Name::from).collect();
                Self::new(name.into(), RejectionReason::UnknownBackend { near })
            }
            LookupError::WrongKind { ref name, .. } | LookupError::TypedOnly { ref name, .. } => {
                Self::invalid(name.as_str(), error.to_string())
            }
        }
    }
}

impl From<LookupError> for CallError {
    fn from(error: LookupError) -> Self {
        Self::Rejected(error.into())
    }
}

impl Directory {
    /// Adds a backend that is known by type and by the names of its operations; replaces one of its name.
    pub fn insert<B: Wire>(&self, backend: BackendRef<B>) {
        let wire: Arc<dyn DynBackend> = Arc::new(backend.clone());
        self.put(backend.name().into(), Box::new(backend), Some(wire));
    }

    /// Adds a backend that is known by type alone; replaces one of its name.
    pub fn insert_typed<B: Backend>(&self, backend: BackendRef<B>) {
        self.put(backend.name().into(), Box::new(backend), None);
    }

    fn put(&self, name: Arc<str>, typed: Box<dyn Typed>, wire: Option<Arc<dyn DynBackend>>) {
        let entry = Arc::new(Entry { name, typed, wire });
        self.snapshot.rcu(|snapshot| {
            let mut next = Snapshot::clone(snapshot);
            next.ordered.retain(|present| present.name != entry.name);
            next.ordered.push(Arc::clone(&entry));
            next.by_name.insert(Arc::clone(&entry.name), Arc::clone(&entry));
            next
        });
    }

    /// Forgets a backend; says whether there was one of this name.
    pub fn remove(&self, name: &str) -> bool {
        let before = self.snapshot.rcu(|snapshot| {
            let mut next = Snapshot::clone(snapshot);
            next.by_name.remove(name);
            next.ordered.retain(|present| &*present.name != name);
            next
        });
        before.by_name.contains_key(name)
    }

    /// Finds a backend by name and type.
    ///
    /// # Errors
    /// [`LookupError::Unknown`] or [`LookupError::WrongKind`].
    pub fn typed<B: Backend>(&self, name: &str) -> Result<BackendRef<B>, LookupError> {
        let entry = self.entry(name)?;
        let typed = entry.typed.as_any().downcast_ref::<BackendRef<B>>();
        typed.cloned().ok_or_else(|| LookupError::WrongKind {
            name: name.into(),
            kind: entry.kind(),
            wanted: B::KIND,
        })
    }

    /// Finds a backend that can be asked by the names of its operations.
    ///
    /// # Errors
    /// [`LookupError::Unknown`] or [`LookupError::TypedOnly`].
    pub fn named(&self, name: &str) -> Result<Arc<dyn DynBackend>, LookupError> {
        let entry = self.entry(name)?;
        let typed_only = || LookupError::TypedOnly { name: name.into(), kind: entry.kind() };
        entry.wire.clone().ok_or_else(typed_only)
    }

    /// Lists the names, in the order in which the backends were added.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.snapshot.load().ordered.iter().map(|entry| entry.name().to_owned()).collect()
    }

    /// Shows all backends, in the order in which they were added.
    #[must_use]
    pub fn snapshot(&self) -> Vec<BackendSnapshot> {
        self.snapshot.load().ordered.iter().map(|entry| entry.snapshot()).collect()
    }

    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        self.snapshot.load().ordered.clone()
    }

    fn entry(&self, name: &str) -> Result<Arc<Entry>, LookupError> {
        let snapshot = self.snapshot.load();
        snapshot.by_name.get(name).cloned().ok_or_else(|| self.unknown(name))
    }

    /// The error for a name that is not there, with those that are near.
    pub(crate) fn unknown(&self, name: &str) -> LookupError {
        let snapshot = self.snapshot.load();
        let names = || snapshot.ordered.iter().map(|entry| entry.name());
        LookupError::Unknown {
            name: shortened(name),
            near: near(name, names()).into_iter().map(Into::into).collect(),
            known: names().take(LISTED).map(Into::into).collect(),
        }
    }
}

/// A name that came from outside is repeated up to the length that a name may have.
fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
