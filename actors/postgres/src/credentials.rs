//! Passwords: where they come from, and that nobody prints them.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::RwLock;
use serde::Deserialize;

/// A text that cannot be printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(Arc<str>);

impl Secret {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for Secret {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where the password of new connections comes from; clones are handles to the same one.
///
/// Connections that are open go on with the password they were opened with.
///
/// ```
/// use backstop_postgres::{Credentials, PostgresOptions};
///
/// let credentials = Credentials::new("first");
/// let options = PostgresOptions::url("postgres://app@localhost/app").credentials(credentials.clone());
/// credentials.rotate("second"); // from the next connection on
/// # drop(options);
/// ```
#[derive(Clone)]
pub struct Credentials(Arc<Inner>);

struct Inner {
    source: Source,
    rotations: AtomicU64,
}

enum Source {
    Held(RwLock<Secret>),
    Asked(Box<dyn Fn() -> Result<Secret, String> + Send + Sync>),
}

impl Credentials {
    /// Holds a password, which [`rotate`](Self::rotate) replaces.
    pub fn new(password: impl Into<Secret>) -> Self {
        Self::of(Source::Held(RwLock::new(password.into())))
    }

    /// Asks `provider` before each connection is opened, on the lane's thread: it must not block.
    ///
    /// Its error is shown to callers, so it must hold no secret.
    pub fn from_fn(provider: impl Fn() -> Result<Secret, String> + Send + Sync + 'static) -> Self {
        Self::of(Source::Asked(Box::new(provider)))
    }

    fn of(source: Source) -> Self {
        Self(Arc::new(Inner { source, rotations: AtomicU64::new(0) }))
    }

    /// Replaces the password from the next connection on; a provider is asked again at once after a refusal.
    pub fn rotate(&self, password: impl Into<Secret>) {
        if let Source::Held(held) = &self.0.source {
            *held.write() = password.into();
        }
        self.0.rotations.fetch_add(1, Relaxed);
    }

    pub(crate) fn get(&self) -> Result<Secret, String> {
        match &self.0.source {
            Source::Held(held) => Ok(held.read().clone()),
            Source::Asked(provider) => provider(),
        }
    }

    /// Counts rotations, so that a refused password is not tried again and a new one is.
    pub(crate) fn rotations(&self) -> u64 {
        self.0.rotations.load(Relaxed)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_printed_holds_a_secret() {
        let printed = format!("{:?} {:?}", Secret::from("canary"), Credentials::new("canary"));
        assert!(!printed.contains("canary"), "{printed}");
    }

    #[test]
    fn a_rotation_reaches_every_handle() {
        let credentials = Credentials::new("first");
        credentials.clone().rotate("second");
        assert_eq!(credentials.get().unwrap().expose(), "second");
        assert_eq!(credentials.rotations(), 1);
    }
}
