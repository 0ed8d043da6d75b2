//! Reports of an orderly end.

use std::time::Duration;

use serde::Serialize;

/// How one backend ended.
#[derive(Clone, Debug, Serialize)]
pub struct DrainReport {
    /// Its name.
    pub name: String,
    /// Calls under way when it began that ended by themselves.
    pub finished: usize,
    /// Calls that were given up: refused if nothing was sent, `unknown` otherwise.
    pub abandoned: usize,
    /// Lanes whose thread did not answer.
    pub stuck_lanes: usize,
    /// How long it took.
    #[serde(serialize_with = "as_ms", rename = "took_ms")]
    pub took: Duration,
}

/// How all backends ended, in the order in which they were stopped.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ShutdownReport {
    /// One report a backend; the last one started comes first.
    pub backends: Vec<DrainReport>,
}

impl ShutdownReport {
    /// Says whether every call ended by itself and every lane answered.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.backends.iter().all(|backend| backend.abandoned == 0 && backend.stuck_lanes == 0)
    }
}

fn as_ms<S: serde::Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
}
