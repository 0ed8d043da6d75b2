//! What can go wrong with a server of a test.

use std::{io, path::PathBuf, time::Duration};

use thiserror::Error;

/// Why a server did not do what a test asked of it.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A program of the server is not on this machine.
    #[error(
        "no `{program}` on this machine (looked in {looked:?}); install it with `cargo xtask setup`, or by hand:\n  {install}"
    )]
    Missing {
        /// Its name.
        program: &'static str,
        /// Where it was looked for.
        looked: Vec<PathBuf>,
        /// The line for the shell that installs it.
        install: &'static str,
    },
    /// The server did not start, or was not ready in time.
    #[error("`{command}` {reason}; its log ends with\n{log}")]
    Start {
        /// The command, as one would type it.
        command: String,
        /// How it failed.
        reason: String,
        /// The last lines of the server's log.
        log: String,
    },
    /// A program that helps (an installer, a client) failed.
    #[error("`{command}` {reason}: {output}")]
    Program {
        /// The command, as one would type it, without secrets.
        command: String,
        /// How it failed.
        reason: String,
        /// What it printed.
        output: String,
    },
    /// The processes did not do in time what a signal asked of them.
    #[error("{name} did not {verb} within {} s; its log ends with\n{log}", after.as_secs())]
    Stubborn {
        /// The server.
        name: &'static str,
        /// What it was to do.
        verb: &'static str,
        /// How long we waited.
        after: Duration,
        /// The last lines of the server's log.
        log: String,
    },
    /// The server is not ours: its address comes from an environment variable.
    #[error("cannot {verb} the server that {variable} points at: only a private one; unset the variable")]
    Foreign {
        /// What a test asked for.
        verb: &'static str,
        /// The variable.
        variable: &'static str,
    },
    /// The environment variable holds no address of such a server.
    #[error("{variable} is no usable address: {reason}")]
    Address {
        /// The variable.
        variable: &'static str,
        /// What is wrong; never the address, which may hold a password.
        reason: String,
    },
    /// Files, ports or processes of this machine failed us.
    #[error("cannot {doing}: {reason}")]
    Machine {
        /// What was tried.
        doing: String,
        /// What the system said.
        reason: String,
    },
}

impl ServerError {
    /// Turns an error of the system into one that says what was tried.
    pub(crate) fn machine(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Machine { doing: doing.into(), reason: error.to_string() }
    }
}
