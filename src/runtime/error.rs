//! What can go wrong with a runtime as a whole.

use std::fmt;

use backstop_core::error::{CallError, ConfigError};
use backstop_supervisor::{OrderError, StartError};

use crate::orchestrator::LookupError;

/// How far the start of a backend had come when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartStep {
    /// Its name was checked.
    Name,
    /// Its kind was looked up.
    Kind,
    /// Its settings and its policy were checked, and what its instances share was built.
    Settings,
    /// Its actors were started.
    Actors,
}

impl fmt::Display for StartStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Kind => "kind",
            Self::Settings => "settings",
            Self::Actors => "actors",
        })
    }
}

/// Why a runtime, or one of its backends, could not be started or changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// A backend could not be started; those before it have been stopped again.
    #[error("backend `{backend}` could not be started (step: {step}): {source}")]
    Start {
        /// The backend.
        backend: String,
        /// How far it had come.
        step: StartStep,
        /// What is wrong.
        source: StartError,
    },
    /// No kind of backend has this name.
    #[error("no kind of backend is named `{kind}`; {}", hint(near, known))]
    UnknownKind {
        /// The kind that was asked for.
        kind: String,
        /// Kinds that differ little.
        near: Vec<&'static str>,
        /// All kinds of this build.
        known: Vec<&'static str>,
    },
    /// The settings of a backend could not be read.
    #[error("kind `{kind}`: {error}")]
    Settings {
        /// The kind.
        kind: &'static str,
        /// What is wrong.
        error: ConfigError,
    },
    /// [`Builder::place`](super::Builder::place) names a backend that was not added.
    #[error("a placement is set for `{0}`, but no backend of this name was added")]
    PlacedNobody(String),
    /// The supervisor could not be started.
    #[error("the supervisor could not be started: {0}")]
    Supervisor(StartError),
    /// The name leads to no backend of this kind.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// An order was not carried out.
    #[error(transparent)]
    Order(OrderError),
}

fn hint(near: &[&str], known: &[&str]) -> String {
    match near.first() {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("this build has: {}", known.join(", ")),
    }
}

impl RuntimeError {
    pub(super) fn start(backend: &str, source: StartError) -> Self {
        let step = match &source {
            StartError::BadName(_) | StartError::NameTaken(_) => StartStep::Name,
            StartError::Config { .. } => StartStep::Settings,
            _ => StartStep::Actors,
        };
        Self::Start { backend: backend.into(), step, source }
    }

    /// Says how far the start had come, where it was one.
    #[must_use]
    pub fn step(&self) -> Option<StartStep> {
        match self {
            Self::Start { step, .. } => Some(*step),
            Self::UnknownKind { .. } => Some(StartStep::Kind),
            Self::Settings { .. } => Some(StartStep::Settings),
            _ => None,
        }
    }
}

/// Why the lanes of a thread could not be started.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The thread runs no `LocalSet`.
    #[error(
        "this thread runs no `LocalSet`; call `attach_worker` where an actix-web worker builds its `App`"
    )]
    NoLocalSet,
    /// A backend takes no calls any more.
    #[error(transparent)]
    Stopped(CallError),
}
