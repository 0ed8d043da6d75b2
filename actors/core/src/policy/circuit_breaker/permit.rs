//! The right to make one call, and its refusal.

use crate::clock::Instant;

/// The right to make one call; given back by `record` or `release` of the breaker that gave it.
///
/// A plain token: dropping it alone gives nothing back, which is the work of the guard that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a permit must be given back by `record` or `release`"]
pub struct Permit {
    pub(super) generation: u64,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A call while closed; `step` is the step of the ramp that let it pass.
    Call { step: u32 },
    /// A probe, by the number of its lease.
    Probe { lease: u32 },
    /// A call that passes because of an override; the machine does not count it.
    Bypass,
}

impl Permit {
    /// The permit of a breaker that [is plain](super::CircuitBreaker::is_plain), made without asking it.
    pub(crate) fn plain(generation: u64) -> Self {
        Self { generation, kind: Kind::Call { step: 0 } }
    }

    /// Returns the generation of the state that gave the permit.
    #[must_use]
    pub fn generation(self) -> u64 {
        self.generation
    }

    /// Says whether the call is a probe, whose result decides on the state.
    #[must_use]
    pub fn is_probe(self) -> bool {
        matches!(self.kind, Kind::Probe { .. })
    }
}

/// Why a call may not be made, and when to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: RefusalReason,
    /// When a call may pass; `None` while the breaker is forced open without an end.
    pub retry_at: Option<Instant>,
}

/// Why a call may not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The breaker is open.
    Open,
    /// The breaker is half-open and all its probes are under way.
    ProbesTaken,
    /// The breaker has closed a moment ago and lets only a part of the calls pass.
    Ramping,
    /// An operator forced the breaker open.
    ForcedOpen,
}

impl RefusalReason {
    /// Returns the name in lower snake case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::ProbesTaken => "probes_taken",
            Self::Ramping => "ramping",
            Self::ForcedOpen => "forced_open",
        }
    }
}
