//! The policies of one backend, each a pure machine whose `now` is an argument.
//!
//! A policy does no I/O, starts no task and reads no clock; the [`guard`](crate::guard) acts on what it
//! returns.

pub mod alert;
pub mod backoff;
pub mod budget;
pub mod bulkhead;
pub mod cache;
pub mod circuit_breaker;
pub mod coalesce;
pub mod duration;
pub mod queue;
pub mod rate_limiter;
pub mod restart;
pub mod retry;
pub mod window;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::{
    alert::AlertPolicy,
    cache::CachePolicy,
    circuit_breaker::BreakerPolicy,
    queue::QueuePolicy,
    rate_limiter::{ClientRatePolicy, RatePolicy},
    restart::RestartPolicy,
    retry::RetryPolicy,
};
use crate::error::ConfigError;

/// All settings of one backend that are not its connection.
///
/// ```
/// use std::time::Duration;
/// use backstop_core::policy::Policy;
///
/// let policy = Policy::default().timeout(Duration::from_secs(2)).concurrency(64);
/// assert!(policy.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Time a call has unless it says otherwise; default 5 s.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// The most time a call may ask for; default 60 s.
    #[serde(with = "duration")]
    pub timeout_max: Duration,
    /// Time one attempt has; `None` (default) leaves it the whole call.
    #[serde(with = "duration::option")]
    pub attempt_timeout: Option<Duration>,
    /// Calls that may be admitted at once, over all lanes; default 4,096.
    pub intake: usize,
    /// Calls that may be with the backend at once, over all lanes; `None` (default) for no bound but intake.
    pub concurrency: Option<usize>,
    /// Where calls wait for one of the `concurrency` places.
    pub queue: QueuePolicy,
    /// When the backend is taken for broken.
    pub breaker: BreakerPolicy,
    /// What is tried again, how often and when.
    pub retry: RetryPolicy,
    /// Sends in any window of some length; `None` (default) for no limit.
    pub rate: Option<RatePolicy>,
    /// Calls of one client in any window of some length; `None` (default) for no limit.
    pub client_rate: Option<ClientRatePolicy>,
    /// Bounds of the in-process cache.
    pub cache: CachePolicy,
    /// How a panicked instance is replaced.
    pub restart: RestartPolicy,
    /// Health probes.
    pub probe: ProbePolicy,
    /// What is worth an alert.
    pub alert: AlertPolicy,
    /// A lane that has work and makes no progress for this long is rebuilt; default 30 s.
    #[serde(with = "duration")]
    pub stuck_after: Duration,
    /// Slow calls that are remembered; default 64.
    pub slow_calls: usize,
    /// The seed of all jitter; `None` (default) takes a random one.
    pub seed: Option<u64>,
}

/// When a backend is asked for a sign of life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbePolicy {
    /// Whether an open breaker is healed by probes, without user traffic; default true.
    pub enabled: bool,
    /// Time between probes of a backend that is closed; `None` (default) for none.
    #[serde(with = "duration::option")]
    pub interval: Option<Duration>,
    /// Time one probe has; default 1 s.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

impl Default for ProbePolicy {
    fn default() -> Self {
        Self { enabled: true, interval: None, timeout: Duration::from_secs(1) }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            timeout_max: Duration::from_secs(60),
            attempt_timeout: None,
            intake: 4_096,
            concurrency: None,
            queue: QueuePolicy::default(),
            breaker: BreakerPolicy::default(),
            retry: RetryPolicy::default(),
            rate: None,
            client_rate: None,
            cache: CachePolicy::default(),
            restart: RestartPolicy::default(),
            probe: ProbePolicy::default(),
            alert: AlertPolicy::default(),
            stuck_after: Duration::from_secs(30),
            slow_calls: 64,
            seed: None,
        }
    }
}

impl Policy {
    /// Sets the time a call has unless it says otherwise.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how many calls may be admitted at once.
    #[must_use]
    pub fn intake(mut self, intake: usize) -> Self {
        self.intake = intake;
        self
    }

    /// Sets how many calls may be with the backend at once.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = Some(concurrency);
        self
    }

    /// Sets when the backend is taken for broken.
    #[must_use]
    pub fn breaker(mut self, breaker: BreakerPolicy) -> Self {
        self.breaker = breaker;
        self
    }

    /// Sets what is tried again.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Sets how a panicked instance is replaced.
    #[must_use]
    pub fn restart(mut self, restart: RestartPolicy) -> Self {
        self.restart = restart;
        self
    }

    /// Sets the seed of all jitter, for runs that replay.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// Names the first setting that cannot work and says what it must be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        positive("timeout", self.timeout)?;
        positive("timeout_max", self.timeout_max)?;
        positive("stuck_after", self.stuck_after)?;
        positive("probe.timeout", self.probe.timeout)?;
        self.attempt_timeout.map_or(Ok(()), |timeout| positive("attempt_timeout", timeout))?;
        self.probe.interval.map_or(Ok(()), |interval| positive("probe.interval", interval))?;
        if self.timeout > self.timeout_max {
            return Err(ConfigError::new("timeout", "must not exceed `timeout_max`"));
        }
        if self.intake == 0 || self.intake > 1_000_000 {
            return Err(ConfigError::new("intake", "must be 1 to 1,000,000"));
        }
        if self.concurrency == Some(0) {
            return Err(ConfigError::new("concurrency", "must be at least 1; leave it out for no bound"));
        }
        self.queue.validate().map_err(|error| error.within("queue"))?;
        self.breaker.validate().map_err(|error| error.within("breaker"))?;
        self.retry.validate().map_err(|error| error.within("retry"))?;
        self.rate.as_ref().map_or(Ok(()), |rate| rate.validate().map_err(|error| error.within("rate")))?;
        self.client_rate
            .as_ref()
            .map_or(Ok(()), |rate| rate.validate().map_err(|error| error.within("client_rate")))?;
        self.cache.validate().map_err(|error| error.within("cache"))?;
        self.alert.validate().map_err(|error| error.within("alert"))?;
        self.restart.validate().map_err(|error| error.within("restart"))
    }
}

fn positive(setting: &str, value: Duration) -> Result<(), ConfigError> {
    if value.is_zero() || value > duration::MAX {
        return Err(ConfigError::new(setting, "must be longer than zero and at most ten years"));
    }
    Ok(())
}
