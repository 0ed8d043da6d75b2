//! The settings of a breaker.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    error::ConfigError,
    policy::{duration, window::WindowPolicy},
};

/// The most probes that half-open may admit.
pub const MAX_PROBES: u32 = 100;

/// When a breaker opens, for how long, and how it closes again.
///
/// ```
/// use backstop_core::policy::circuit_breaker::BreakerPolicy;
///
/// let policy: BreakerPolicy = serde_json::from_str(r#"{"consecutive_failures": 3, "open_for": "500ms"}"#).unwrap();
/// assert!(policy.validate().is_ok());
/// assert_eq!(policy.failure_percent, 50);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerPolicy {
    /// Which calls the shares are taken of; the last 30 s in 10 buckets by default.
    pub window: WindowPolicy,
    /// How many calls the window must hold before a share can open the breaker; 20 by default.
    pub minimum_calls: u32,
    /// The share of failures and overload, in percent, that opens it; 50 by default, 0 turns the rule off.
    ///
    /// It also decides on the probes; while the rule is off, half of them must not fail.
    pub failure_percent: u8,
    /// How many failures in a row open it, whatever the volume; 5 by default, 0 turns the rule off.
    ///
    /// Overload neither adds to the row nor ends it.
    pub consecutive_failures: u32,
    /// How long a success may take before it is slow; 1 s by default.
    #[serde(with = "duration")]
    pub slow_after: Duration,
    /// The share of slow successes, in percent, that opens it; 80 by default, 0 turns the rule off.
    ///
    /// While the rule is off, a slow probe passes.
    pub slow_percent: u8,
    /// Whether to open below the minimum volume as soon as even successes alone could not save the share;
    /// `false` by default.
    pub early_trip: bool,
    /// The ceiling of the first open time; 5 s by default. It doubles with each opening.
    ///
    /// The open time is drawn evenly between half of this value and the present ceiling.
    #[serde(with = "duration")]
    pub open_for: Duration,
    /// The ceiling that no open time of ours exceeds; 60 s by default.
    #[serde(with = "duration")]
    pub open_max: Duration,
    /// How long the breaker must be closed for the growth to go back by one step; 30 s by default.
    #[serde(with = "duration")]
    pub open_decay: Duration,
    /// The longest open time that a hint of the backend can ask for; 5 min by default.
    #[serde(with = "duration")]
    pub hint_max: Duration,
    /// How many probes half-open admits, at a time and for its verdict; 3 by default, at most [`MAX_PROBES`].
    pub probes: u32,
    /// How long a probe may take before its place is taken from it; 5 s by default.
    #[serde(with = "duration")]
    pub probe_lease: Duration,
    /// Whether a dedicated probe goes before the calls of users once the open time is over; `true` by default.
    pub probe_first: bool,
    /// How long calls of users wait for the dedicated probe, so that a dead prober cannot keep the breaker
    /// open; 1 s by default. In half-open, how long the prober waits for calls of users.
    #[serde(with = "duration")]
    pub probe_grace: Duration,
    /// The part of the calls that passes after recovery, in percent, step by step; 10, 25, 50, 100 by default.
    ///
    /// The last step is always followed by all calls; an empty list closes at full traffic.
    pub ramp: Vec<u8>,
    /// How long a step lasts at least; 1 s by default.
    #[serde(with = "duration")]
    pub ramp_step: Duration,
    /// How many calls pass in each step before it refuses any, so that a trickle meets no refusal; 20 by
    /// default.
    pub ramp_min_calls: u32,
    /// Whether the breaker only observes: it refuses nothing and counts what it would have refused; `false`
    /// by default.
    pub shadow: bool,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            window: WindowPolicy::default(),
            minimum_calls: 20,
            failure_percent: 50,
            consecutive_failures: 5,
            slow_after: Duration::from_secs(1),
            slow_percent: 80,
            early_trip: false,
            open_for: Duration::from_secs(5),
            open_max: Duration::from_secs(60),
            open_decay: Duration::from_secs(30),
            hint_max: Duration::from_secs(300),
            probes: 3,
            probe_lease: Duration::from_secs(5),
            probe_first: true,
            probe_grace: Duration::from_secs(1),
            ramp: vec![10, 25, 50, 100],
            ramp_step: Duration::from_secs(1),
            ramp_min_calls: 20,
            shadow: false,
        }
    }
}

impl BreakerPolicy {
    /// Checks every setting and how they fit together.
    ///
    /// # Errors
    /// Names the first setting that cannot work, and what it must be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.window.validate().map_err(|error| error.within("window"))?;
        self.validate_trips()?;
        self.validate_times()?;
        if self.probes == 0 || self.probes > MAX_PROBES {
            return wrong("probes", format!("must be between 1 and {MAX_PROBES}, not {}", self.probes));
        }
        let rises = self.ramp.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        if !rises || self.ramp.iter().any(|percent| !(1..=100).contains(percent)) {
            let message = format!("must rise from step to step, each between 1 and 100, not {:?}", self.ramp);
            return wrong("ramp", message);
        }
        Ok(())
    }

    fn validate_trips(&self) -> Result<(), ConfigError> {
        for (setting, percent) in
            [("failure_percent", self.failure_percent), ("slow_percent", self.slow_percent)]
        {
            if percent > 100 {
                return wrong(setting, format!("must be between 0 (off) and 100, not {percent}"));
            }
        }
        match self.window {
            _ if self.minimum_calls == 0 => wrong("minimum_calls", "must be at least 1".into()),
            WindowPolicy::Count { calls } if self.minimum_calls > calls => {
                let message = format!(
                    "must not exceed the {calls} calls that the window holds, or no share could open the breaker; \
                     it is {}",
                    self.minimum_calls
                );
                wrong("minimum_calls", message)
            }
            _ => Ok(()),
        }
    }

    fn validate_times(&self) -> Result<(), ConfigError> {
        for (setting, value) in [
            ("slow_after", self.slow_after),
            ("open_for", self.open_for),
            ("open_decay", self.open_decay),
            ("probe_lease", self.probe_lease),
            ("ramp_step", self.ramp_step),
        ] {
            duration::check(setting, value, SHORTEST, duration::MAX)?;
        }
        if self.open_for > self.open_max {
            let (first, cap) = (duration::format(self.open_for), duration::format(self.open_max));
            return wrong("open_for", format!("must not exceed `open_max` ({cap}), but is {first}"));
        }
        Ok(())
    }

    /// Brings settings that [`Self::validate`] refuses into their range.
    #[must_use]
    pub(super) fn bounded(mut self) -> Self {
        self.window = self.window.bounded();
        let most = match self.window {
            WindowPolicy::Count { calls } => calls,
            WindowPolicy::Time { .. } => u32::MAX,
        };
        self.minimum_calls = self.minimum_calls.clamp(1, most);
        self.failure_percent = self.failure_percent.min(100);
        self.slow_percent = self.slow_percent.min(100);
        self.probes = self.probes.clamp(1, MAX_PROBES);
        for time in [
            &mut self.slow_after,
            &mut self.open_for,
            &mut self.open_decay,
            &mut self.probe_lease,
            &mut self.ramp_step,
        ] {
            *time = (*time).max(SHORTEST);
        }
        self.open_max = self.open_max.clamp(self.open_for, duration::MAX.max(self.open_for));
        self.ramp.retain(|percent| (1..=100).contains(percent));
        self.ramp.sort_unstable();
        self.ramp.dedup();
        self
    }

    /// The steps that let only a part of the calls pass.
    pub(super) fn ramp_percent(&self, index: usize) -> Option<u8> {
        self.ramp.get(index).copied().filter(|percent| *percent < 100)
    }
}

/// Shorter times would be below what timers can keep.
const SHORTEST: Duration = Duration::from_millis(1);

fn wrong(setting: &str, message: String) -> Result<(), ConfigError> {
    Err(ConfigError::new(setting, message))
}
