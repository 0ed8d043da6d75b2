//! What an operator says goes.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::BreakerState;
use crate::clock::Instant;

/// An order that stands above the machine until it is lifted or ends; no result and no timer undoes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// What to do with calls.
    pub mode: OverrideMode,
    /// Who gave the order.
    pub by: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
    /// When it ends by itself; `None` is never.
    pub until: Option<Instant>,
}

/// What an override does with calls, and what follows when it is lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverrideMode {
    /// Refuses every call and every probe. Lifted, the breaker is open with a probe due at once.
    ForcedOpen,
    /// Lets every call pass and counts results. Lifted, the next bad result is judged with what was counted.
    ForcedClosed,
    /// Lets every call pass while the machine goes on as if it did not; counts what it would have refused.
    /// Lifted, the machine's state holds.
    ObserveOnly,
    /// Lets every call pass and counts nothing. Lifted, the breaker is closed with an empty window.
    Disabled,
}

impl Override {
    /// Gives an order without an end.
    #[must_use]
    pub fn new(mode: OverrideMode, by: impl Into<Arc<str>>, reason: impl Into<Arc<str>>) -> Self {
        Self { mode, by: by.into(), reason: reason.into(), until: None }
    }

    /// Lets the order end at `until`.
    #[must_use]
    pub fn until(self, until: Instant) -> Self {
        Self { until: Some(until), ..self }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

impl OverrideMode {
    /// Returns the name in lower snake case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
            Self::ObserveOnly => "observe_only",
            Self::Disabled => "disabled",
        }
    }

    /// The state that callers meet.
    #[must_use]
    pub fn state(self) -> BreakerState {
        if self == Self::ForcedOpen { BreakerState::Open } else { BreakerState::Closed }
    }
}

impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.mode {
            OverrideMode::ForcedOpen => "forced open",
            OverrideMode::ForcedClosed => "forced closed",
            OverrideMode::ObserveOnly => "set to observe only",
            OverrideMode::Disabled => "disabled",
        };
        write!(f, "{words} by {}: {}", self.by, self.reason)
    }
}
