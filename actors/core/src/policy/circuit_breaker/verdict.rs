//! The three rules that open a breaker.

use super::BreakerPolicy;
use crate::policy::{duration, window::Counts};

/// Returns the cause if a rule opens the breaker; allocates only then.
pub(super) fn trip(policy: &BreakerPolicy, counts: Counts, consecutive: u32) -> Option<String> {
    if policy.consecutive_failures > 0 && consecutive >= policy.consecutive_failures {
        return Some(format!("{consecutive} consecutive failures"));
    }
    // calls that are still missing count as successes, which is what makes an early trip certain
    let enough = u64::from(policy.minimum_calls);
    let calls = if policy.early_trip { counts.calls.max(enough) } else { counts.calls };
    if calls < enough {
        return None;
    }
    if reaches(counts.bad(), calls, policy.failure_percent) {
        return Some(format!(
            "failure share {} % of {} calls",
            percent(counts.bad(), counts.calls),
            counts.calls
        ));
    }
    if reaches(counts.slow, calls, policy.slow_percent) {
        let slow = duration::format(policy.slow_after);
        let share = percent(counts.slow, counts.calls);
        return Some(format!("slow share {share} % of {} calls over {slow}", counts.calls));
    }
    None
}

/// Says whether a step of the ramp went badly: the same shares, with no minimum volume.
pub(super) fn is_bad_step(policy: &BreakerPolicy, counts: Counts) -> bool {
    reaches(counts.bad(), counts.calls, policy.probe_percent())
        || reaches(counts.slow, counts.calls, policy.slow_percent)
}

/// Says whether `part` is at least `percent` of `whole`; never with 0 percent, which is "off", or without calls.
pub(super) fn reaches(part: u64, whole: u64, percent: u8) -> bool {
    percent > 0 && whole > 0 && part * 100 >= whole * u64::from(percent)
}

fn percent(part: u64, whole: u64) -> u64 {
    (part * 100).checked_div(whole).unwrap_or(0)
}

impl BreakerPolicy {
    /// The share of failures that fails a handful of probes; they need a verdict even with the rule off.
    pub(super) fn probe_percent(&self) -> u8 {
        if self.failure_percent == 0 { 50 } else { self.failure_percent }
    }
}
