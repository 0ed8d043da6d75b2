//! Whether statements are prepared under names. A pooler that gives each transaction another session of the server
//! loses such names, and what a session was set to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use backstop_core::{
    clock::{self, Instant},
    error::Failure,
};
use parking_lot::Mutex;
use serde::Deserialize;

/// Whether statements are prepared under names that a session of the server keeps; as data in lower case.
///
/// A pooler between us and the server (`pgbouncer`, `odyssey`, `pgcat`) that gives each transaction another session
/// loses such names, and gives what a session was set to (a read-only default, limits) to whoever has it next. Behind
/// one, say [`Never`](Self::Never); `statement_cache_capacity=0` of sqlx and `default_query_exec_mode` of pgx mean the
/// same.
///
/// | | `Always` | `Never` |
/// |---|---|---|
/// | a statement | has a name on each connection | is described once, then sent with its text and types |
/// | a read | in a session that refuses to write | in a transaction that does |
/// | `statement_timeout`, `idle_in_transaction_timeout` | startup options | `SET LOCAL` in each transaction |
/// | short reads share connections, equal messages a statement | yes | no |
/// | `Listen`; advisory locks of sessions, `set_config`, temporary tables outside of transactions | yes | refused: `needs_session` |
///
/// With `Never`, a change of the schema, CALL and the like that return no rows run without a transaction and without those limits. A
/// reply with types of the user's own (enums, domains) needs look-ups that the driver makes by names, once a
/// connection: cast such columns to text where they fail.
///
/// ```
/// use backstop_postgres::{PostgresOptions, PreparedStatements};
///
/// let options = PostgresOptions::url("postgres://app@localhost:6432/app")
///     .prepared_statements(PreparedStatements::Never);
/// # drop(options);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PreparedStatements {
    /// As `Always`, until the backend turns out to be behind a pooler: startup options are refused, or prepared
    /// statements are lost again and again. From then on as `Never`, with one warning. Until then reads may leave
    /// sessions of the pooler read-only for its other clients.
    #[default]
    Auto,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// So many names that were lost or taken, each within [`MEMORY`] of the one before, are no chance.
const STRIKES: u32 = 2;
/// How long one of them counts.
const MEMORY: Duration = Duration::from_secs(10);

pub(crate) struct Naming {
    choice: PreparedStatements,
    is_off: AtomicBool,
    strikes: Mutex<Option<(u32, Instant)>>,
    /// What operators have not been told yet.
    warning: Mutex<Option<Arc<str>>>,
}

impl Naming {
    pub(crate) fn new(choice: PreparedStatements) -> Self {
        let is_off = AtomicBool::new(choice == PreparedStatements::Never);
        Self { choice, is_off, strikes: Mutex::new(None), warning: Mutex::new(None) }
    }

    /// Says whether sessions are ours from one statement to the next, so that they keep names and settings.
    pub(crate) fn is_on(&self) -> bool {
        !self.is_off.load(Relaxed)
    }

    /// Takes a refusal of our startup options for the sign of a pooler; says whether to try again without them.
    pub(crate) fn refused_options(&self, failure: &Failure) -> bool {
        let is_pooler = failure.code() == Some("08P01") && failure.message().contains("startup parameter");
        is_pooler && self.is_on() && self.switch_off("it takes no startup options")
    }

    /// Counts a statement of ours whose name the server did not know, or knew already, on a healthy connection.
    pub(crate) fn note(&self, failure: &Failure) {
        let is_name =
            matches!(failure.code(), Some("26000" | "42P05")) && names_one_of_ours(failure.message());
        if !is_name || self.choice != PreparedStatements::Auto || !self.is_on() {
            return;
        }
        let now = clock::now();
        let mut strikes = self.strikes.lock();
        let before = strikes.filter(|(_, last)| now.saturating_duration_since(*last) < MEMORY);
        let count = before.map_or(1, |(count, _)| count + 1);
        *strikes = Some((count, now));
        drop(strikes);
        if count >= STRIKES {
            self.switch_off("it loses prepared statements");
        }
    }

    /// Takes the warning of the switch, once.
    pub(crate) fn take_warning(&self) -> Option<Arc<str>> {
        self.warning.lock().take()
    }

    fn switch_off(&self, why: &str) -> bool {
        if self.choice != PreparedStatements::Auto {
            return false;
        }
        if !self.is_off.swap(true, Relaxed) {
            let text = format!(
                "a pooler stands before the server ({why}): statements are no longer prepared; say so with \
                 `prepared_statements = \"never\"`"
            );
            tracing::warn!(target: "backstop::postgres", "{text}");
            *self.warning.lock() = Some(text.into());
        }
        true
    }
}

/// Says whether a message holds a name like `s12`, which the driver gives. The words around it are translated, and a
/// name that a user's own EXECUTE gets wrong says nothing of poolers.
fn names_one_of_ours(message: &str) -> bool {
    let is_ours = |word: &str| {
        word.strip_prefix('s')
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    message.split(|character: char| !character.is_alphanumeric() && character != '_').any(is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(code: &str, name: &str) -> Failure {
        Failure::refused(format!("prepared statement \"{name}\" does not exist")).with_code(code.to_owned())
    }

    #[test]
    fn a_second_name_that_is_lost_switches_once_and_warns_once() {
        let naming = Naming::new(PreparedStatements::Auto);
        naming.note(&lost("26000", "s4"));
        assert!(naming.is_on() && naming.take_warning().is_none());
        naming.note(&lost("42P05", "s5"));
        assert!(!naming.is_on() && naming.take_warning().is_some());
        naming.note(&lost("42P05", "s6"));
        assert!(naming.take_warning().is_none());
    }

    #[test]
    fn names_of_users_and_other_errors_do_not_count() {
        let naming = Naming::new(PreparedStatements::Auto);
        for _ in 0..5 {
            naming.note(&lost("26000", "plan_of_s4"));
            naming.note(&lost("42P01", "s4"));
        }
        assert!(naming.is_on());
    }

    #[test]
    fn what_was_chosen_is_not_switched() {
        let always = Naming::new(PreparedStatements::Always);
        let refused = Failure::refused("unsupported startup parameter: options").with_code("08P01");
        (0..5).for_each(|_| always.note(&lost("26000", "s4")));
        assert!(always.is_on() && !always.refused_options(&refused));
        assert!(!Naming::new(PreparedStatements::Never).is_on());
        assert!(Naming::new(PreparedStatements::Auto).refused_options(&refused));
    }
}
