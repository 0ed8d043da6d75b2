//! How many sends fit into a window of time: exact, without the burst that a token bucket allows.

mod clients;
#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use self::clients::{ClientLimiter, ClientLimiterSnapshot, ClientRatePolicy};
use super::duration;
use crate::{clock::Instant, error::ConfigError};

/// The largest number of sends in a window; bounds the memory of a limiter to 1.6 MB.
pub const MAX_RATE: u32 = 100_000;

/// How many sends fit into a window of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RatePolicy {
    /// Sends in any window of length `window`; 100.
    pub max_rate: u32,
    /// The length of the window; 1 s.
    #[serde(with = "duration")]
    pub window: Duration,
    /// Added to the window, because a timer wakes late and the network delays one send more than the next,
    /// so that sends that left in time can arrive too close together; 5 ms.
    #[serde(with = "duration")]
    pub margin: Duration,
}

impl Default for RatePolicy {
    fn default() -> Self {
        Self { max_rate: 100, window: Duration::from_secs(1), margin: Duration::from_millis(5) }
    }
}

impl RatePolicy {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names `max_rate` outside 1 to [`MAX_RATE`], `window` outside 1 ms to a day, and `margin` over `window`.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=MAX_RATE).contains(&self.max_rate) {
            let message = format!(
                "must be from 1 to {MAX_RATE}, is {}; for a higher rate take a shorter window",
                self.max_rate
            );
            return Err(ConfigError::new("max_rate", message));
        }
        duration::check("window", self.window, Duration::from_millis(1), Duration::from_secs(86_400))?;
        duration::check("margin", self.margin, Duration::ZERO, self.window)
    }

    /// The time between a send and the one that takes its place.
    fn spacing(&self) -> Duration {
        self.window + self.margin
    }
}

/// There is no place before the time asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rate limit leaves no place in time")]
pub struct RateLimited {
    /// When there will be a place.
    pub retry_at: Instant,
}

/// Reserves the instants of sends: never more than `max_rate` of them in any window of length `window`.
///
/// A window holds its start and not its end. Reservations may lie in the future and are handed out first
/// come, first served. For that, `now` must be the present: a call that waits for another limiter first
/// reserves here only afterwards, or everybody else would wait behind it.
///
/// ```
/// use backstop_core::{clock, policy::rate_limiter::{RateLimiter, RatePolicy}};
/// use std::time::Duration;
///
/// let policy = RatePolicy { max_rate: 1, margin: Duration::ZERO, ..RatePolicy::default() };
/// let (mut limiter, now) = (RateLimiter::new(policy), clock::now());
/// let latest = now + Duration::from_secs(1);
/// assert_eq!(limiter.reserve(now, latest), Ok(now));
/// assert_eq!(limiter.reserve(now, latest), Ok(latest));
/// assert!(limiter.reserve(now, latest).is_err());
/// ```
#[derive(Debug)]
pub struct RateLimiter {
    policy: RatePolicy,
    /// The latest reservations, at most `max_rate`, in order.
    sends: VecDeque<Instant>,
    /// Reservations given back in time, at most `max_rate`; the earliest first.
    returned: BinaryHeap<Reverse<Instant>>,
    reserved_total: u64,
    refused_total: u64,
}

/// A view of a [`RateLimiter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RateLimiterSnapshot {
    /// Sends in any window.
    pub max_rate: u32,
    /// The length of the window, in milliseconds.
    pub window_ms: u64,
    /// Reserved sends of the window that ends now, and those to come; stops at `max_rate`.
    pub in_window: usize,
    /// How long a send reserved now would wait, in milliseconds.
    pub wait_ms: u64,
    /// Reservations since the start.
    pub reserved_total: u64,
    /// Refusals since the start.
    pub refused_total: u64,
}

impl RateLimiter {
    /// Starts with no sends; memory grows with those that are reserved.
    #[must_use]
    pub fn new(policy: RatePolicy) -> Self {
        Self {
            policy,
            sends: VecDeque::new(),
            returned: BinaryHeap::new(),
            reserved_total: 0,
            refused_total: 0,
        }
    }

    /// Reserves the next send, and says when it may go; not before `now`.
    ///
    /// # Errors
    /// [`RateLimited`] when it would go after `latest`; nothing is reserved then.
    pub fn reserve(&mut self, now: Instant, latest: Instant) -> Result<Instant, RateLimited> {
        while self.returned.peek().is_some_and(|Reverse(at)| *at < now) {
            self.returned.pop();
        }
        let go = self.next(now);
        if go > latest {
            self.refused_total += 1;
            return Err(RateLimited { retry_at: go });
        }
        self.reserved_total += 1;
        if self.returned.pop().is_none() {
            self.sends.push_back(go);
            self.trim();
        }
        Ok(go)
    }

    /// Gives back a reservation that will not be used; the next call gets it if it lies in the future.
    ///
    /// One that has passed stays taken, because a later send in its place could break the limit.
    pub fn give_back(&mut self, reserved: Instant, now: Instant) {
        if reserved > now && self.returned.len() < self.policy.max_rate as usize {
            self.returned.push(Reverse(reserved));
        }
    }

    /// Changes the settings; the limit stays exact, unless rate and window both grow: then it is exact again
    /// after one window.
    pub fn set_policy(&mut self, policy: RatePolicy) {
        // what was given back was spaced by the former settings
        self.returned.clear();
        self.policy = policy;
        self.trim();
    }

    /// Returns the settings.
    #[must_use]
    pub fn policy(&self) -> &RatePolicy {
        &self.policy
    }

    /// When the window after the last reservation has passed, so that nothing is left to remember.
    #[must_use]
    pub fn idle_at(&self) -> Option<Instant> {
        self.sends.back().map(|last| *last + self.policy.spacing())
    }

    /// Shows the limiter at `now`.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> RateLimiterSnapshot {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let spacing = self.policy.spacing();
        RateLimiterSnapshot {
            max_rate: self.policy.max_rate,
            window_ms: millis(self.policy.window),
            in_window: self.sends.iter().rev().take_while(|at| **at + spacing > now).count(),
            wait_ms: millis(self.next(now).saturating_duration_since(now)),
            reserved_total: self.reserved_total,
            refused_total: self.refused_total,
        }
    }

    /// The earliest instant of the next send: a place given back, or one behind all others.
    fn next(&self, now: Instant) -> Instant {
        if let Some(Reverse(returned)) = self.returned.peek().filter(|returned| returned.0 >= now) {
            return *returned;
        }
        let behind_last = self.sends.back().map_or(now, |last| now.max(*last));
        match self.sends.front() {
            Some(oldest) if self.sends.len() >= self.policy.max_rate as usize => {
                behind_last.max(*oldest + self.policy.spacing())
            }
            _ => behind_last,
        }
    }

    fn trim(&mut self) {
        while self.sends.len() > self.policy.max_rate as usize {
            self.sends.pop_front();
        }
    }
}
