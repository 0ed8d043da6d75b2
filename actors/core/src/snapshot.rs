//! Read-only views of state; tests, REST, dashboard and metrics read the same ones.

use serde::Serialize;

/// The connections of one instance, or of all instances of a backend when summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PoolSnapshot {
    /// Connections that serve a call.
    pub active: usize,
    /// Connections that wait for one.
    pub idle: usize,
    /// Calls that wait for a connection.
    pub waiting: usize,
    /// The most connections there may be; 0 where the backend has no such bound.
    pub max: usize,
    /// Connections opened so far.
    pub created_total: u64,
    /// Connections closed so far.
    pub closed_total: u64,
    /// Calls that waited too long for a connection.
    pub timeouts_total: u64,
}

impl PoolSnapshot {
    /// Active connections as a share of the bound, in percent; 0 without a bound.
    #[must_use]
    pub fn utilization_percent(&self) -> u32 {
        let percent = (self.active * 100).checked_div(self.max).unwrap_or(0);
        u32::try_from(percent).unwrap_or(u32::MAX)
    }

    /// Adds the view of another instance; the bound is shared, so the larger one stays.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            active: self.active + other.active,
            idle: self.idle + other.idle,
            waiting: self.waiting + other.waiting,
            max: self.max.max(other.max),
            created_total: self.created_total + other.created_total,
            closed_total: self.closed_total + other.closed_total,
            timeouts_total: self.timeouts_total + other.timeouts_total,
        }
    }
}
