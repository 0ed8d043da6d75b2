//! What the server itself bounds in our sessions, for when we are gone: a call's own deadline ends it before.

use std::{fmt::Write as _, time::Duration};

use crate::options::MySqlOptions;

/// Instants are at `+00:00`, bad values are errors, and quotes mean what the tokenizer takes them for. The server's
/// own modes stay otherwise.
const OURS: &str = "SET SESSION time_zone = '+00:00', autocommit = 1, sql_mode = CONCAT(REPLACE(REPLACE(\
                    @@sql_mode, 'ANSI_QUOTES', ''), 'NO_BACKSLASH_ESCAPES', ''), ',STRICT_TRANS_TABLES')";

/// The longest time in whole seconds that every variable of the server takes: a year.
const SECONDS_MAX: u64 = 31_536_000;

/// How much longer than the life of a connection the server keeps one of which it hears nothing.
const GRACE: Duration = Duration::from_secs(60);

/// The texts that set up a session.
///
/// A ceiling never raises what the server has of its own. What one of the two servers lacks stands in a comment that
/// only the other one reads, so that one command serves both.
pub(crate) struct Ceilings {
    setup: String,
    lift: Option<(String, String)>,
}

impl Ceilings {
    pub(crate) fn new(options: &MySqlOptions) -> Self {
        let mut setup = OURS.to_owned();
        let mut add = |setting: String| {
            // writing to a string cannot fail
            let _ = write!(setup, ", {setting}");
        };
        add(least("wait_timeout", seconds(options.max_lifetime + GRACE)));
        if !options.lock_timeout.is_zero() {
            let most = seconds(options.lock_timeout);
            add(least("innodb_lock_wait_timeout", most));
            add(least("lock_wait_timeout", most));
        }
        if !options.idle_in_transaction_timeout.is_zero() {
            let most = seconds(options.idle_in_transaction_timeout).to_string();
            setup.push_str(&on_mariadb(&format!(", {}", bounded("idle_transaction_timeout", &most))));
        }
        let statement = options.statement_timeout;
        let mut lift = None;
        if !statement.is_zero() {
            let on_both = |ours: &str, theirs: &str| format!("{}{}", on_mariadb(ours), on_mysql(theirs));
            let time = bounded("max_statement_time", &format!("{:.6}", statement.as_secs_f64()));
            let execution = bounded("max_execution_time", &statement.as_millis().max(1).to_string());
            setup.push_str(&on_both(&format!(", {time}"), &format!(", {execution}")));
            lift = Some((
                format!(
                    "SET SESSION {}",
                    on_both("max_statement_time = DEFAULT", "max_execution_time = DEFAULT")
                ),
                format!("SET SESSION {}", on_both(&time, &execution)),
            ));
        }
        Self { setup, lift }
    }

    /// The command that makes a new session, or one that was reset, one of ours.
    pub(crate) fn setup(&self) -> &str {
        &self.setup
    }

    /// The commands that take the ceiling of statements away, and that bring it back; none where there is none.
    pub(crate) fn lift(&self) -> Option<(&str, &str)> {
        self.lift.as_ref().map(|(lift, restore)| (lift.as_str(), restore.as_str()))
    }
}

/// Rounds up to whole seconds, and to at least one: the servers take 0 for none or for their least.
pub(crate) fn seconds(time: Duration) -> u64 {
    time.as_millis().div_ceil(1_000).max(1).try_into().unwrap_or(u64::MAX).min(SECONDS_MAX)
}

fn least(variable: &str, most: u64) -> String {
    format!("{variable} = LEAST(@@{variable}, {most})")
}

/// The same for a variable whose 0 means no bound.
fn bounded(variable: &str, most: &str) -> String {
    format!("{variable} = IF(@@{variable} > 0, LEAST(@@{variable}, {most}), {most})")
}

/// What MariaDB reads from 10.3 on, and MySQL does not.
fn on_mariadb(text: &str) -> String {
    format!("/*M!100301 {text} */")
}

/// What MySQL reads from 5.7.8 on; MariaDB reads no comment of 5.7.
fn on_mysql(text: &str) -> String {
    format!("/*!50708 {text} */")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_to_whole_seconds() {
        for (millis, expected) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (u64::MAX, SECONDS_MAX)] {
            assert_eq!(seconds(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn what_is_off_is_not_set() {
        let off = MySqlOptions::host("h")
            .statement_timeout(Duration::ZERO)
            .idle_in_transaction_timeout(Duration::ZERO)
            .lock_timeout(Duration::ZERO);
        let ceilings = Ceilings::new(&off);
        assert!(ceilings.lift().is_none());
        for variable in ["max_statement_time", "max_execution_time", "idle_transaction", "lock_wait"] {
            assert!(!ceilings.setup().contains(variable), "{}", ceilings.setup());
        }
        let on = Ceilings::new(&MySqlOptions::host("h").statement_timeout(Duration::from_millis(1_500)));
        assert!(
            on.setup().contains("/*!50708 , max_execution_time = IF(@@max_execution_time > 0, "),
            "{}",
            on.setup()
        );
        assert!(on.setup().contains(", 1500), 1500) */") && on.setup().contains(", 1.500000), 1.500000) */"));
    }
}
