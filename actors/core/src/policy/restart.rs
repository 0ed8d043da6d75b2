//! When a crashed instance is rebuilt: a growing delay, and a true sliding limit on crashes.

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::{
    backoff::{BackoffPolicy, Jitter},
    duration,
};
use crate::{clock::Instant, error::ConfigError};

/// When a crashed instance is rebuilt, and when that is given up.
///
/// A crash is a panic of the backend's code. An outage is none: it charges the breaker, never this limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestartPolicy {
    /// The shortest delay before a restart; 200 ms.
    #[serde(with = "duration")]
    pub min_delay: Duration,
    /// The longest delay before a restart; 30 s.
    #[serde(with = "duration")]
    pub max_delay: Duration,
    /// A spell without a crash, counted from the restart, after which the delay is short again; 30 s.
    #[serde(with = "duration")]
    pub healthy_after: Duration,
    /// Crashes within any window of length `within` that are answered with a restart; 5. None with 0.
    pub max_restarts: u32,
    /// The length of that window; 60 s.
    #[serde(with = "duration")]
    pub within: Duration,
    /// What follows one crash more; trip.
    pub on_exceeded: OnExceeded,
}

/// What follows when there were too many crashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExceeded {
    /// The breaker opens, and the backend is tried again after its growing open time.
    #[default]
    Trip,
    /// The supervisor above decides.
    Escalate,
}

impl OnExceeded {
    /// The name of it in settings and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trip => "trip",
            Self::Escalate => "escalate",
        }
    }
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            min_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(30),
            healthy_after: Duration::from_secs(30),
            max_restarts: 5,
            within: Duration::from_secs(60),
            on_exceeded: OnExceeded::Trip,
        }
    }
}

impl RestartPolicy {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names `min_delay` outside 1 ms to 1 h, `max_delay` under `min_delay` or over a day, `healthy_after`
    /// outside 1 ms to a day, `max_restarts` over 10 000, and `within` outside 1 s to a day.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let (ms, day) = (Duration::from_millis(1), Duration::from_secs(86_400));
        duration::check("min_delay", self.min_delay, ms, Duration::from_secs(3600))?;
        duration::check("max_delay", self.max_delay, self.min_delay, day)?;
        duration::check("healthy_after", self.healthy_after, ms, day)?;
        if self.max_restarts > 10_000 {
            let message = format!("must be from 0 to 10000, is {}", self.max_restarts);
            return Err(ConfigError::new("max_restarts", message));
        }
        duration::check("within", self.within, Duration::from_secs(1), day)
    }

    /// The delays: never under `min_delay`, which full jitter could not promise.
    fn backoff(&self) -> BackoffPolicy {
        BackoffPolicy { base: self.min_delay, max_delay: self.max_delay, jitter: Jitter::Equal }
    }
}

/// What follows a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum RestartDecision {
    /// Rebuild the instance after this delay.
    After(Duration),
    /// There were too many crashes; do what [`RestartPolicy::on_exceeded`] says.
    Exceeded,
}

/// Counts the crashes of one backend, over all of its lanes.
///
/// A crash exceeds the limit exactly when it is more than `max_restarts` crashes in the window of length
/// `within` that ends with it; a crash that is exactly `within` old has left the window. So with 5 in 60 s
/// a crash every 12 s never exceeds it, and the sixth within less than 60 s always does. Crashes that
/// exceeded it count as well. Memory is one instant per restart allowed.
#[derive(Debug)]
pub struct RestartWindow {
    policy: RestartPolicy,
    /// The latest crashes, at most as many as restarts are allowed.
    crashes: VecDeque<Instant>,
    /// Crashes since the last healthy spell.
    streak: u32,
    /// When the instance was rebuilt last, or will be.
    rebuilt_at: Option<Instant>,
    last_delay: Option<Duration>,
    crashed_total: u64,
    exceeded_total: u64,
}

/// A view of a [`RestartWindow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RestartSnapshot {
    /// Crashes within the window that still count; stops at the limit.
    pub recent: usize,
    /// Crashes within the window that are answered with a restart.
    pub limit: u32,
    /// Crashes since the last healthy spell.
    pub streak: u32,
    /// The delay of the last restart, in milliseconds.
    pub last_delay_ms: Option<u64>,
    /// Crashes since the start.
    pub crashed_total: u64,
    /// Crashes that exceeded the limit, since the start.
    pub exceeded_total: u64,
}

impl RestartWindow {
    /// Starts with no crashes.
    #[must_use]
    pub fn new(policy: RestartPolicy) -> Self {
        Self {
            policy,
            crashes: VecDeque::new(),
            streak: 0,
            rebuilt_at: None,
            last_delay: None,
            crashed_total: 0,
            exceeded_total: 0,
        }
    }

    /// Charges one crash, and says when the instance may be rebuilt.
    pub fn crashed(&mut self, now: Instant, rng: &mut Rng) -> RestartDecision {
        self.healthy(now);
        let exceeded = self.restarts_in_window(now) >= self.policy.max_restarts as usize;
        self.crashes.push_back(now);
        self.trim();
        let growth = self.streak;
        self.streak = self.streak.saturating_add(1);
        self.crashed_total += 1;
        if exceeded {
            self.exceeded_total += 1;
            self.rebuilt_at = Some(now);
            return RestartDecision::Exceeded;
        }
        let delay = self.policy.backoff().delay(growth, rng);
        self.rebuilt_at = Some(now + delay);
        self.last_delay = Some(delay);
        RestartDecision::After(delay)
    }

    /// Notes that the backend works; ends the growth of the delay once it has worked for `healthy_after`.
    ///
    /// [`Self::crashed`] does the same by itself, so that calling it only keeps the snapshot current.
    pub fn healthy(&mut self, now: Instant) {
        let spell = self.rebuilt_at.map(|rebuilt| now.saturating_duration_since(rebuilt));
        if spell.is_some_and(|spell| spell >= self.policy.healthy_after) {
            self.streak = 0;
            self.rebuilt_at = None;
        }
    }

    /// Counts the crashes within the window that ends now; stops at the limit.
    #[must_use]
    pub fn restarts_in_window(&self, now: Instant) -> usize {
        let within = self.policy.within;
        self.crashes.iter().rev().take_while(|at| now.saturating_duration_since(**at) < within).count()
    }

    /// Returns the settings.
    #[must_use]
    pub fn policy(&self) -> &RestartPolicy {
        &self.policy
    }

    /// Changes the settings; the crashes that are remembered count on.
    pub fn set_policy(&mut self, policy: RestartPolicy) {
        self.policy = policy;
        self.trim();
    }

    /// Forgets all crashes, as an operator may order.
    pub fn reset(&mut self) {
        self.crashes.clear();
        self.streak = 0;
        self.rebuilt_at = None;
    }

    /// Shows the counts at `now`.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> RestartSnapshot {
        let millis = |delay: Duration| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        RestartSnapshot {
            recent: self.restarts_in_window(now),
            limit: self.policy.max_restarts,
            streak: self.streak,
            last_delay_ms: self.last_delay.map(millis),
            crashed_total: self.crashed_total,
            exceeded_total: self.exceeded_total,
        }
    }

    fn trim(&mut self) {
        while self.crashes.len() > self.policy.max_restarts as usize {
            self.crashes.pop_front();
        }
    }
}
