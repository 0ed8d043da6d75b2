//! The three states and the change from one to another.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::clock::Instant;

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum BreakerState {
    /// Calls pass.
    #[default]
    Closed = 0,
    /// Calls are refused.
    Open = 1,
    /// A few calls pass as probes.
    HalfOpen = 2,
}

impl BreakerState {
    /// Returns the name in lower snake case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }

    /// Returns the number by which the state is kept in an atomic or a gauge: 0, 1 or 2.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    /// Reads the number of [`Self::as_u8`]; any other number is `Closed`.
    #[must_use]
    pub const fn from_u8(number: u8) -> Self {
        match number {
            1 => Self::Open,
            2 => Self::HalfOpen,
            _ => Self::Closed,
        }
    }
}

impl From<BreakerState> for u8 {
    fn from(state: BreakerState) -> Self {
        state.as_u8()
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A change of a breaker, for events and gauges.
///
/// `from` and `to` are equal when the breaker stays in its state but something else about it changed: it was
/// opened for longer, or an override was set or lifted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: BreakerState,
    /// The state after.
    pub to: BreakerState,
    /// Why, such as `failure share 62 % of 40 calls`.
    pub cause: Arc<str>,
    /// The generation of permits that began with the change.
    pub generation: u64,
    /// When it happened.
    pub at: Instant,
    /// When the next probe is due, if it is open now; `None` while it is forced open without an end.
    pub open_until: Option<Instant>,
    /// Whether the breaker only observes, so that callers notice nothing of the change.
    pub shadow: bool,
}
