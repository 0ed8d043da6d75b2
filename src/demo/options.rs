//! What can be chosen about a run; checked before anything starts.

use std::time::Duration;

use backstop_core::policy::duration;

use super::{Bug, Role};

/// The shortest run in which every fault has its turn.
pub const SHORTEST: Duration = Duration::from_secs(5);

/// The longest run; the ledgers of all its messages are kept in memory.
pub const LONGEST: Duration = Duration::from_secs(3_600);

/// How a run goes.
///
/// ```
/// use backstop::demo::{Options, parse_duration};
///
/// let options = Options { duration: parse_duration("10s")?, seed: 7, ..Options::default() };
/// assert!(options.faults);
/// # Ok::<_, String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long messages are sent; 30 s. A slow machine may need longer for the last recovery.
    pub duration: Duration,
    /// The seed of all chance in the workload, the schedule and the policies; 1.
    pub seed: u64,
    /// Whether the faults of the schedule happen; `true`.
    pub faults: bool,
    /// A known bug to plant, which a check must catch; none.
    pub bug: Option<Bug>,
    /// Whether a private PostgreSQL takes part; if it is installed.
    pub postgres: Presence,
    /// Whether a private MariaDB takes part; if it is installed.
    pub mysql: Presence,
}

/// Whether a server takes part in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// If its programs are on this machine; otherwise the report says that it was left out.
    #[default]
    IfInstalled,
    /// In any case; without it the run does not start.
    Required,
    /// In no case.
    Never,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(30),
            seed: 1,
            faults: true,
            bug: None,
            postgres: Presence::default(),
            mysql: Presence::default(),
        }
    }
}

impl Options {
    /// Time that a call has.
    ///
    /// With faults it is short, so that hanging calls end within the fault; without, nothing should need it.
    #[must_use]
    pub fn call_timeout(&self) -> Duration {
        if !self.faults {
            return Duration::from_secs(5);
        }
        (self.duration / 20).clamp(Duration::from_millis(250), Duration::from_millis(1_500))
    }

    /// Says whether a backend takes part; those that are no servers always do.
    #[must_use]
    pub fn presence(&self, role: Role) -> Presence {
        match role {
            Role::Payments => self.postgres,
            Role::Savings => self.mysql,
            Role::Orders | Role::Pricing | Role::Worker => Presence::Required,
        }
    }

    /// The unit in which back-off, open times and restart delays are scaled.
    #[must_use]
    pub fn beat(&self) -> Duration {
        (self.duration / 60).clamp(Duration::from_millis(80), Duration::from_millis(500))
    }
}

/// Reads the length of a run, such as `30s` or `2m`.
///
/// # Errors
/// A sentence that says what is wrong and what would be right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let length = duration::parse(text)?;
    if length < SHORTEST {
        return Err("too short for every fault and its recovery; use 5s or more".into());
    }
    if length > LONGEST {
        return Err("too long, the ledgers are kept in memory; use 1h or less".into());
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lengths_that_can_work_are_taken() {
        for (text, length) in [("5s", 5), ("30s", 30), ("1.5m", 90), ("1h", 3_600)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(length)), "{text}");
        }
        for (text, hint) in [
            ("0s", "5s or more"),
            ("4999ms", "5s or more"),
            ("61m", "1h or less"),
            ("99999999d", "longer than 10 years"),
            ("-5s", "negative"),
            ("30", "no unit"),
            ("soon", "no number"),
            ("", "no number"),
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn times_scale_with_the_run_and_stay_in_bounds() {
        let of = |seconds| Options { duration: Duration::from_secs(seconds), ..Options::default() };
        assert_eq!(of(5).call_timeout(), Duration::from_millis(250));
        assert_eq!(of(30).call_timeout(), Duration::from_millis(1_500));
        assert_eq!(of(3_600).beat(), Duration::from_millis(500));
        assert!(Options { faults: false, ..of(5) }.call_timeout() >= Duration::from_secs(5));
    }
}
