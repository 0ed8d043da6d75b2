//! PostgreSQL and MariaDB of the demo's own: found on this machine, started for the run, killed and paused by it.
//!
//! A server that is not installed is left out with a line that says how to get it, unless it was asked for. None
//! outlives the program: see `backstop-servers`.

mod engine;
mod tables;

use std::sync::Arc;

use serde::Serialize;

pub(super) use self::{
    engine::Engine,
    tables::{ACCOUNTS, Money, Tables},
};
use super::{Bug, Options, Role, StartError, options::Presence};

/// A backend that takes no part in a run.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOut {
    /// Which one.
    pub backend: Role,
    /// Its kind.
    pub kind: &'static str,
    /// Why, and what would change that.
    pub reason: String,
}

/// The servers of a run; they end when this and everyone who still uses them is gone.
#[derive(Debug, Default)]
pub(super) struct Servers {
    running: Vec<(Role, Arc<Engine>)>,
    /// The ones that could not be had.
    pub left_out: Vec<LeftOut>,
}

impl Servers {
    /// Starts those that the options allow, at the same time, and makes their tables.
    ///
    /// # Errors
    /// [`StartError::Server`] when one that was asked for is not to be had.
    pub(super) async fn start(options: &Options) -> Result<Self, StartError> {
        Self::start_by(options, open).await
    }

    async fn start_by(
        options: &Options,
        open: fn(Role) -> Result<Engine, String>,
    ) -> Result<Self, StartError> {
        let wanted = Role::SERVERS.into_iter().filter(|role| options.presence(*role) != Presence::Never);
        let starting: Vec<_> =
            wanted.map(|role| (role, tokio::task::spawn_blocking(move || open(role)))).collect();
        let mut servers = Self::default();
        for (role, start) in starting {
            match start.await? {
                Ok(engine) => servers.running.push((role, Arc::new(engine))),
                Err(reason) if options.presence(role) == Presence::Required => {
                    return Err(StartError::Server { server: role.server(), reason });
                }
                Err(reason) => servers.left_out.push(LeftOut { backend: role, kind: role.kind(), reason }),
            }
        }
        match options.bug {
            Some(bug) if bug.needs_server() && servers.running.is_empty() => {
                let reasons: Vec<_> = servers.left_out.into_iter().map(|left| left.reason).collect();
                Err(StartError::Server { server: "a server for the planted bug", reason: reasons.join("; ") })
            }
            _ => Ok(servers),
        }
    }

    /// Returns one that runs.
    pub(super) fn get(&self, role: Role) -> Option<&Arc<Engine>> {
        self.running.iter().find(|(running, _)| *running == role).map(|(_, engine)| engine)
    }

    /// Walks over those that run.
    pub(super) fn running(&self) -> impl Iterator<Item = (Role, &Arc<Engine>)> {
        self.running.iter().map(|(role, engine)| (*role, engine))
    }
}

impl Bug {
    /// Says whether it can be planted only where a server takes part.
    #[must_use]
    pub fn needs_server(self) -> bool {
        self == Self::MintMoney
    }
}

fn open(role: Role) -> Result<Engine, String> {
    let engine = Engine::start(role)?;
    Tables::of(role).create(&engine)?;
    Ok(engine)
}

/// Does something that blocks with a server, on a thread where that is allowed.
pub(super) async fn with<T: Send + 'static>(
    engine: &Arc<Engine>,
    act: impl FnOnce(&Engine) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let engine = Arc::clone(engine);
    let done = tokio::task::spawn_blocking(move || act(&engine)).await;
    done.map_err(|error| format!("the thread that tends a server failed: {error}"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(role: Role) -> Result<Engine, String> {
        Err(format!("no {} on this machine", role.server()))
    }

    #[tokio::test]
    async fn servers_that_are_not_installed_are_left_out_with_the_reason() {
        let servers = Servers::start_by(&Options::default(), missing).await.unwrap();
        assert_eq!(servers.running().count(), 0);
        let left: Vec<_> = servers.left_out.iter().map(|left| (left.backend, left.reason.as_str())).collect();
        let reasons = ["no PostgreSQL on this machine", "no MariaDB on this machine"];
        assert_eq!(left, [(Role::Payments, reasons[0]), (Role::Savings, reasons[1])]);
    }

    #[tokio::test]
    async fn a_server_that_was_asked_for_must_be_there() {
        let options = Options { mysql: Presence::Required, ..Options::default() };
        let error = Servers::start_by(&options, missing).await.unwrap_err().to_string();
        assert!(error.starts_with("MariaDB is asked for") && error.contains("no MariaDB on"), "{error}");
    }

    #[tokio::test]
    async fn a_bug_that_needs_a_server_does_not_run_without() {
        let options = Options { bug: Some(Bug::MintMoney), ..Options::default() };
        let error = Servers::start_by(&options, missing).await.unwrap_err().to_string();
        assert!(error.contains("no PostgreSQL") && error.contains("no MariaDB"), "{error}");
    }

    #[tokio::test]
    async fn servers_that_are_not_wanted_are_not_looked_for() {
        let none = Presence::Never;
        let options = Options { postgres: none, mysql: none, ..Options::default() };
        let servers = Servers::start_by(&options, |_| panic!("looked for")).await.unwrap();
        assert_eq!((servers.running().count(), servers.left_out.len()), (0, 0));
    }
}
