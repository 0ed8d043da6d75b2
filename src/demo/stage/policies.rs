//! The policies of the demo's backends: the defaults, with times scaled to the length of the run.

use backstop_core::policy::{
    Policy, ProbePolicy, backoff::BackoffPolicy, circuit_breaker::BreakerPolicy, restart::RestartPolicy,
    retry::RetryPolicy, window::WindowPolicy,
};

use crate::demo::{Options, Role};

/// Calls that the worker takes in at once; a burst is a multiple of it.
pub(super) const WORKER_INTAKE: usize = 64;

/// Calls that the worker works on at once.
const WORKER_CONCURRENCY: usize = 8;

/// Calls that may be with the API at once.
const API_CONCURRENCY: usize = 16;

/// The policy of one backend.
pub(super) fn of(role: Role, options: &Options) -> Policy {
    let policy = Policy {
        timeout: options.call_timeout(),
        breaker: breaker(options),
        retry: retry(options),
        restart: restart(options),
        probe: ProbePolicy { timeout: options.call_timeout(), ..ProbePolicy::default() },
        seed: Some(options.seed.wrapping_add(role.index() as u64)),
        ..Policy::default()
    };
    match role {
        Role::Orders => policy.intake(512),
        Role::Pricing => policy.intake(256).concurrency(API_CONCURRENCY),
        Role::Payments | Role::Savings => policy.intake(256),
        Role::Worker => policy.intake(WORKER_INTAKE).concurrency(WORKER_CONCURRENCY),
    }
}

fn breaker(options: &Options) -> BreakerPolicy {
    let beat = options.beat();
    // short enough that a slow spell fills it
    let length = options.call_timeout() * 8 / 10;
    BreakerPolicy {
        window: WindowPolicy::Time { length, buckets: 10 },
        minimum_calls: 10,
        slow_after: options.call_timeout() / 2,
        open_for: beat,
        open_max: beat * 4,
        open_decay: beat * 4,
        probes: 2,
        probe_lease: options.call_timeout(),
        probe_grace: beat,
        ramp: vec![25, 50, 100],
        ramp_step: beat / 2,
        ..BreakerPolicy::default()
    }
}

fn retry(options: &Options) -> RetryPolicy {
    let backoff =
        BackoffPolicy { base: options.beat() / 4, max_delay: options.beat(), ..BackoffPolicy::default() };
    RetryPolicy { backoff, ..RetryPolicy::default() }
}

fn restart(options: &Options) -> RestartPolicy {
    RestartPolicy {
        min_delay: options.beat() / 4,
        max_delay: options.beat() * 2,
        healthy_after: options.beat() * 4,
        // the schedule makes a dozen calls panic
        max_restarts: 30,
        ..RestartPolicy::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::demo::options::{LONGEST, SHORTEST};

    #[test]
    fn every_policy_is_valid_for_every_length() {
        for duration in [SHORTEST, Duration::from_secs(30), LONGEST] {
            for faults in [true, false] {
                let options = Options { duration, faults, ..Options::default() };
                for role in Role::ALL {
                    of(role, &options).validate().unwrap();
                }
            }
        }
    }
}
