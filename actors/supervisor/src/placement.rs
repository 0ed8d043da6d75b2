//! Where the lanes of a backend run.

use serde::{Deserialize, Serialize};

/// Where the lanes of a backend run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// On the thread of each caller that can host one (default); a call then never crosses threads.
    ///
    /// Callers on other threads use lanes on threads of ours.
    #[default]
    Local,
    /// On a thread of its own, for backends whose code may block.
    Dedicated,
    /// All on the thread that adds the backend, with its control actor: for tests on virtual time.
    Single,
}
