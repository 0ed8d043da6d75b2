//! When an operator should look at a backend, though it still works.
//!
//! [`Alerts`] is a pure machine over what a backend shows of itself. Each rule speaks once when it begins to hold
//! and once when it has ended; between the two marks it keeps still, so a value that swings around one of them
//! makes no storm.
//!
//! ```
//! use backstop_core::policy::alert::{Alert, AlertPolicy, Alerts, Seen};
//!
//! let (mut alerts, policy) = (Alerts::default(), AlertPolicy::default());
//! let busy = |pool_percent| Seen { pool_percent: Some(pool_percent), ..Seen::default() };
//! assert!(matches!(&alerts.judge(&policy, busy(85))[..], [Alert::Raised(_)]));
//! assert!(alerts.judge(&policy, busy(75)).is_empty());
//! assert!(matches!(&alerts.judge(&policy, busy(60))[..], [Alert::Ended(_)]));
//! ```

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::duration;
use crate::error::ConfigError;

/// What is worth an alert; a rule with 0 is off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertPolicy {
    /// Time between two looks; default 5 s. `None` is never.
    #[serde(with = "duration::option")]
    pub interval: Option<Duration>,
    /// Connections in use, in percent of the pool's bound; above 80 by default.
    pub pool_percent: u8,
    /// Failures and overload, in percent of the calls in the breaker's window; above 10 by default.
    pub failure_percent: u8,
    /// Slow successes, in percent of the calls in the breaker's window; above 20 by default.
    pub slow_percent: u8,
    /// Calls that must be in the window before their shares say anything; default 20.
    pub minimum_calls: u64,
}

impl Default for AlertPolicy {
    fn default() -> Self {
        Self {
            interval: Some(Duration::from_secs(5)),
            pool_percent: 80,
            failure_percent: 10,
            slow_percent: 20,
            minimum_calls: 20,
        }
    }
}

impl AlertPolicy {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names an `interval` under 100 ms or over ten years, and a share over 100 %.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let shortest = Duration::from_millis(100);
        if self.interval.is_some_and(|interval| !(shortest..=duration::MAX).contains(&interval)) {
            return Err(ConfigError::new("interval", "must be from 100 ms to ten years"));
        }
        let shares = [
            ("pool_percent", self.pool_percent),
            ("failure_percent", self.failure_percent),
            ("slow_percent", self.slow_percent),
        ];
        match shares.into_iter().find(|(_, percent)| *percent > 100) {
            Some((setting, _)) => Err(ConfigError::new(setting, "must be at most 100")),
            None => Ok(()),
        }
    }
}

/// What one look has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// Connections in use, in percent of the bound; `None` where there is no bound.
    pub pool_percent: Option<u32>,
    /// Calls in the breaker's window.
    pub calls: u64,
    /// Failures and overload among them, 0 to 1.
    pub failure_share: f64,
    /// Slow successes among them, 0 to 1.
    pub slow_share: f64,
}

/// What became of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alert {
    /// It holds now, and did not before.
    Raised(Arc<str>),
    /// It held before, and does not any more.
    Ended(Arc<str>),
}

/// The rules of one backend, and which of them hold.
#[derive(Debug, Default)]
pub struct Alerts {
    pool: bool,
    failures: bool,
    slow: bool,
}

/// A rule ends below this part of its mark.
const ENDS_AT: f64 = 0.8;

impl Alerts {
    /// Judges what was seen; returns what has changed.
    ///
    /// A value that says nothing (no bound, too few calls) leaves its rule as it is.
    pub fn judge(&mut self, policy: &AlertPolicy, seen: Seen) -> Vec<Alert> {
        let enough = seen.calls >= policy.minimum_calls.max(1);
        let share = |share: f64| enough.then_some(share * 100.0);
        let pool = seen.pool_percent.map(f64::from);
        [
            edge(&mut self.pool, "pool utilisation", policy.pool_percent, pool),
            edge(&mut self.failures, "failure share", policy.failure_percent, share(seen.failure_share)),
            edge(&mut self.slow, "slow share", policy.slow_percent, share(seen.slow_share)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn edge(holds: &mut bool, what: &str, mark: u8, percent: Option<f64>) -> Option<Alert> {
    let (percent, above) = (percent?, f64::from(mark));
    let holds_now = mark > 0 && percent > if *holds { above * ENDS_AT } else { above };
    if holds_now == std::mem::replace(holds, holds_now) {
        return None;
    }
    let text = |word| format!("{what} is {percent:.0} %, {word} {mark} %").into();
    Some(if holds_now { Alert::Raised(text("over")) } else { Alert::Ended(text("the alert was over")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(values: &[u32]) -> Vec<usize> {
        let (mut alerts, policy) = (Alerts::default(), AlertPolicy::default());
        let look = |percent: &u32| {
            let seen = Seen { pool_percent: Some(*percent), ..Seen::default() };
            alerts.judge(&policy, seen).len()
        };
        values.iter().map(look).collect()
    }

    #[test]
    fn an_alert_is_raised_above_its_mark_and_not_at_it() {
        assert_eq!(looks(&[79, 80, 81]), [0, 0, 1]);
    }

    #[test]
    fn a_value_that_swings_around_the_mark_makes_one_alert() {
        assert_eq!(looks(&[90, 70, 90, 65, 100, 81, 79, 81]), [1, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_alert_that_has_ended_may_be_raised_again() {
        assert_eq!(looks(&[90, 64, 64, 90]), [1, 1, 0, 1]);
    }

    #[test]
    fn few_calls_neither_raise_an_alert_nor_end_one() {
        let (mut alerts, policy) = (Alerts::default(), AlertPolicy::default());
        let seen = |calls, failure_share| Seen { calls, failure_share, ..Seen::default() };
        assert_eq!(alerts.judge(&policy, seen(19, 1.0)), []);
        let raised = Alert::Raised("failure share is 50 %, over 10 %".into());
        assert_eq!(alerts.judge(&policy, seen(20, 0.5)), [raised]);
        assert_eq!(alerts.judge(&policy, seen(3, 0.0)), []);
        let ended = Alert::Ended("failure share is 0 %, the alert was over 10 %".into());
        assert_eq!(alerts.judge(&policy, seen(40, 0.0)), [ended]);
    }

    #[test]
    fn each_rule_speaks_for_itself_and_a_rule_that_is_off_is_silent() {
        let all = Seen { pool_percent: Some(99), calls: 100, failure_share: 0.9, slow_share: 0.1 };
        assert_eq!(Alerts::default().judge(&AlertPolicy::default(), all).len(), 2);
        let off = AlertPolicy { pool_percent: 0, failure_percent: 0, ..AlertPolicy::default() };
        assert_eq!(Alerts::default().judge(&off, all), []);
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let wrong = AlertPolicy { slow_percent: 101, ..AlertPolicy::default() };
        assert_eq!(wrong.validate().unwrap_err().setting(), "slow_percent");
        let wrong = AlertPolicy { interval: Some(Duration::ZERO), ..AlertPolicy::default() };
        assert_eq!(wrong.validate().unwrap_err().setting(), "interval");
    }
}
