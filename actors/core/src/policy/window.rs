//! The exact sliding window: what the last calls, or the calls of the last seconds, came to.
//!
//! Memory is fixed when the window is made and a sum is ready without looking at single calls. There is no
//! weighting, so a burst in one millisecond counts as much as the same calls over a second.

mod ring;
mod time;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::{ring::Ring, time::Buckets};
use crate::{clock::Instant, error::ConfigError, outcome::Outcome, policy::duration};

/// The most outcomes that a window by count can hold.
pub const MAX_CALLS: u32 = 65_536;

/// The most buckets that a window by time can have.
pub const MAX_BUCKETS: u32 = 120;

/// Which calls a window holds; the calls of the last 30 s in 10 buckets by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum WindowPolicy {
    /// The last `calls` outcomes, however old.
    Count {
        /// How many outcomes; 1 to [`MAX_CALLS`].
        calls: u32,
    },
    /// The outcomes of the last `length`, forgotten one bucket at a time: an outcome counts for at least
    /// `length` less one bucket and for at most `length`.
    Time {
        /// How far back the window reaches.
        #[serde(with = "duration")]
        length: Duration,
        /// Into how many equal parts it is cut; 1 to [`MAX_BUCKETS`], 10 by default.
        #[serde(default = "ten")]
        buckets: u32,
    },
}

/// What the calls of a window came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All calls that count.
    pub calls: u64,
    /// Those that failed; without those that met overload.
    pub failures: u64,
    /// Those that succeeded, but slowly.
    pub slow: u64,
    /// Those that the backend turned away because it had too much to do.
    pub overload: u64,
}

/// A sliding window over outcomes.
///
/// ```
/// use backstop_core::{clock, outcome::Outcome, policy::window::{Window, WindowPolicy}};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// # let _guard = runtime.enter();
/// let now = clock::now();
/// let mut window = Window::new(WindowPolicy::Count { calls: 2 }, now);
/// for outcome in [Outcome::Failure, Outcome::Success, Outcome::Failure] {
///     window.record(outcome, now);
/// }
/// assert_eq!((window.counts(now).calls, window.counts(now).failures), (2, 1));
/// ```
#[derive(Clone, Debug)]
pub struct Window {
    policy: WindowPolicy,
    form: Form,
}

/// A part of a window's content, oldest first, by which it moves to another window or process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSlice {
    /// How long ago the part began, in milliseconds; 0 in windows by count, which do not ask.
    pub age_ms: u64,
    /// What its calls came to; calls of one kind only in windows by count, so that their order survives.
    pub counts: Counts,
}

#[derive(Clone, Debug)]
enum Form {
    Count(Ring),
    Time(Buckets),
}

impl Window {
    /// Makes an empty window; sizes out of range are brought into it.
    #[must_use]
    pub fn new(policy: WindowPolicy, now: Instant) -> Self {
        let policy = policy.bounded();
        let form = match policy {
            WindowPolicy::Count { calls } => Form::Count(Ring::new(calls as usize)),
            WindowPolicy::Time { length, buckets } => Form::Time(Buckets::new(length, buckets, now)),
        };
        Self { policy, form }
    }

    /// Returns the settings that are in force.
    #[must_use]
    pub fn policy(&self) -> WindowPolicy {
        self.policy
    }

    /// Adds an outcome; [`Outcome::NotCounted`] leaves no trace.
    ///
    /// An instant before an earlier one counts as that earlier one: threads may report out of order.
    #[inline]
    pub fn record(&mut self, outcome: Outcome, now: Instant) {
        match &mut self.form {
            Form::Count(ring) => ring.record(outcome),
            Form::Time(buckets) => buckets.record(outcome, now),
        }
    }

    /// Sums up the window as of `now`; forgets what is too old.
    #[inline]
    pub fn counts(&mut self, now: Instant) -> Counts {
        match &mut self.form {
            Form::Count(ring) => ring.counts(),
            Form::Time(buckets) => buckets.counts(now),
        }
    }

    /// Forgets every outcome.
    pub fn clear(&mut self) {
        match &mut self.form {
            Form::Count(ring) => ring.clear(),
            Form::Time(buckets) => buckets.clear(),
        }
    }

    /// Takes the content apart, oldest first, for [`Self::from_slices`]; allocates.
    #[must_use]
    pub fn slices(&mut self, now: Instant) -> Vec<WindowSlice> {
        match &mut self.form {
            Form::Count(ring) => ring.slices(),
            Form::Time(buckets) => buckets.slices(now),
        }
    }

    /// Fills a new window from slices, oldest first; what finds no place in it is left out.
    ///
    /// Between windows by count the result is exact. A slice of a window by time counts from its beginning,
    /// so that nothing is kept for longer than the length of the new window.
    #[must_use]
    pub fn from_slices(policy: WindowPolicy, slices: &[WindowSlice], now: Instant) -> Self {
        let mut window = Self::new(policy, now);
        match &mut window.form {
            Form::Count(ring) => slices.iter().for_each(|slice| ring.add(slice.counts)),
            Form::Time(buckets) => slices.iter().for_each(|slice| buckets.add(*slice)),
        }
        window
    }

    /// Changes the form or the size and keeps the content as far as it fits.
    pub fn resize(&mut self, policy: WindowPolicy, now: Instant) {
        let policy = policy.bounded();
        if policy != self.policy {
            *self = Self::from_slices(policy, &self.slices(now), now);
        }
    }
}

impl WindowPolicy {
    /// Checks the sizes.
    ///
    /// # Errors
    /// Names the setting (`calls`, `length` or `buckets`) and the range it must lie in.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match *self {
            Self::Count { calls } if calls == 0 || calls > MAX_CALLS => {
                Err(ConfigError::new("calls", format!("must be between 1 and {MAX_CALLS}, not {calls}")))
            }
            Self::Time { buckets, .. } if buckets == 0 || buckets > MAX_BUCKETS => Err(ConfigError::new(
                "buckets",
                format!("must be between 1 and {MAX_BUCKETS}, not {buckets}"),
            )),
            Self::Time { length, buckets } if length < shortest(buckets) || length > duration::MAX => {
                let (length, shortest) = (duration::format(length), duration::format(shortest(buckets)));
                let message = format!("must be at least {shortest} (1ms for each bucket), not {length}");
                Err(ConfigError::new("length", message))
            }
            _ => Ok(()),
        }
    }

    /// Brings sizes that [`Self::validate`] refuses into their range.
    #[must_use]
    pub fn bounded(self) -> Self {
        match self {
            Self::Count { calls } => Self::Count { calls: calls.clamp(1, MAX_CALLS) },
            Self::Time { length, buckets } => {
                let buckets = buckets.clamp(1, MAX_BUCKETS);
                Self::Time { length: length.clamp(shortest(buckets), duration::MAX), buckets }
            }
        }
    }
}

impl Default for WindowPolicy {
    fn default() -> Self {
        Self::Time { length: Duration::from_secs(30), buckets: ten() }
    }
}

impl Counts {
    /// Counts the calls that speak against the backend: failures and overload.
    #[must_use]
    pub fn bad(self) -> u64 {
        self.failures + self.overload
    }

    /// Failures and overload as a share of all calls, 0 to 1; 0 without calls.
    #[must_use]
    pub fn failure_share(self) -> f64 {
        share(self.bad(), self.calls)
    }

    /// Slow successes as a share of all calls, 0 to 1; 0 without calls.
    #[must_use]
    pub fn slow_share(self) -> f64 {
        share(self.slow, self.calls)
    }

    /// Adds one outcome; [`Outcome::NotCounted`] leaves no trace.
    #[inline]
    pub fn record(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::NotCounted => return,
            Outcome::Success => {}
            Outcome::Failure => self.failures += 1,
            Outcome::Slow => self.slow += 1,
            Outcome::Overload => self.overload += 1,
        }
        self.calls += 1;
    }

    fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            failures: self.failures + other.failures,
            slow: self.slow + other.slow,
            overload: self.overload + other.overload,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(other.calls),
            failures: self.failures.saturating_sub(other.failures),
            slow: self.slow.saturating_sub(other.slow),
            overload: self.overload.saturating_sub(other.overload),
        }
    }
}

#[allow(clippy::cast_precision_loss)] // a share is for people; counts beyond 2^52 do not occur
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn ten() -> u32 {
    10
}

/// A bucket shorter than a millisecond would turn faster than calls arrive.
fn shortest(buckets: u32) -> Duration {
    Duration::from_millis(u64::from(buckets))
}

#[cfg(test)]
mod tests;
