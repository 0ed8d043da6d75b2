//! What became of a batch.

use std::time::Duration;

use backstop_core::{
    clock,
    error::{CallError, Executed, Phase},
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use super::Mode;

/// What became of a batch: one report for each operation, in request order.
#[derive(Clone, Debug)]
pub struct BatchReport {
    /// How the operations belonged together.
    pub mode: Mode,
    /// One report for each operation, in request order.
    pub results: Vec<ItemReport>,
    /// How long all of them took together.
    pub elapsed: Duration,
}

/// How many operations ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BatchSummary {
    /// All of them.
    pub total: usize,
    /// With a result.
    pub succeeded: usize,
    /// The backend's side failed.
    pub failed: usize,
    /// We refused; nothing was sent.
    pub rejected: usize,
    /// Never begun.
    pub skipped: usize,
}

/// What became of one operation.
#[derive(Clone, Debug)]
pub struct ItemReport {
    /// Its id, or its position where it had none.
    pub id: String,
    /// The backend it was meant for.
    pub backend: String,
    /// The operation that was asked for.
    pub operation: String,
    /// How it ended.
    pub end: End,
    /// From its own start to its end; zero when it was never begun.
    pub elapsed: Duration,
}

/// How one operation ended.
#[derive(Clone, Debug)]
pub enum End {
    /// With a result.
    Ok(Value),
    /// Without one: refused by us, or failed on the backend's side.
    Error(CallError),
    /// Never begun.
    Skipped(Skipped),
}

/// Why an operation was never begun.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skipped {
    /// One that it depends on had no result.
    BlockedBy(String),
    /// The batch stopped after a failure.
    StoppedAfter(String),
}

/// The four ways in which an operation can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// With a result.
    Ok,
    /// The backend's side failed.
    Failed,
    /// We refused; nothing was sent.
    Rejected,
    /// Never begun.
    Skipped,
}

impl BatchReport {
    /// Says whether every operation has a result.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.results.iter().all(|item| item.outcome() == Outcome::Ok)
    }

    /// Counts how the operations ended.
    #[must_use]
    pub fn summary(&self) -> BatchSummary {
        let mut summary = BatchSummary { total: self.results.len(), ..BatchSummary::default() };
        for item in &self.results {
            *match item.outcome() {
                Outcome::Ok => &mut summary.succeeded,
                Outcome::Failed => &mut summary.failed,
                Outcome::Rejected => &mut summary.rejected,
                Outcome::Skipped => &mut summary.skipped,
            } += 1;
        }
        summary
    }

    /// Finds the report of an operation by its id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&ItemReport> {
        self.results.iter().find(|item| item.id == id)
    }
}

impl ItemReport {
    /// Says in which of the four ways it ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match &self.end {
            End::Ok(_) => Outcome::Ok,
            End::Error(CallError::Rejected(_)) => Outcome::Rejected,
            End::Error(_) => Outcome::Failed,
            End::Skipped(_) => Outcome::Skipped,
        }
    }

    /// Says whether its work was done.
    #[must_use]
    pub fn executed(&self) -> Executed {
        match &self.end {
            End::Ok(_) => Executed::Yes,
            End::Error(error) => error.executed(),
            End::Skipped(_) => Executed::No,
        }
    }

    /// Counts how often it was handed to the backend; unknown after a success.
    #[must_use]
    pub fn attempts(&self) -> Option<u32> {
        match &self.end {
            End::Ok(_) => None,
            End::Error(error) => Some(error.attempts()),
            End::Skipped(_) => Some(0),
        }
    }

    /// Returns its result.
    #[must_use]
    pub fn result(&self) -> Option<&Value> {
        if let End::Ok(value) = &self.end { Some(value) } else { None }
    }

    /// Returns its error.
    #[must_use]
    pub fn error(&self) -> Option<&CallError> {
        if let End::Error(error) = &self.end { Some(error) } else { None }
    }
}

/// A [`CallError`] as data.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorView {
    /// Its stable code, such as `circuit_open`.
    pub code: &'static str,
    /// What happened, for people.
    pub message: String,
    /// The backend.
    pub backend: String,
    /// How far the call had come.
    pub phase: Phase,
    /// Whether the work was done.
    pub executed: Executed,
    /// How often it was handed to the backend.
    pub attempts: u32,
    /// When to try again, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl From<&CallError> for ErrorView {
    fn from(error: &CallError) -> Self {
        Self {
            code: error.code(),
            message: error.to_string(),
            backend: error.backend().into(),
            phase: error.phase(),
            executed: error.executed(),
            attempts: error.attempts(),
            retry_after_ms: error.retry_after(clock::now()).map(millis),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Serialize for BatchReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(5))?;
        out.serialize_entry("ok", &self.is_ok())?;
        out.serialize_entry("mode", &self.mode)?;
        out.serialize_entry("summary", &self.summary())?;
        out.serialize_entry("elapsed_ms", &millis(self.elapsed))?;
        out.serialize_entry("results", &self.results)?;
        out.end()
    }
}

impl Serialize for ItemReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        out.serialize_entry("id", &self.id)?;
        out.serialize_entry("backend", &self.backend)?;
        out.serialize_entry("operation", &self.operation)?;
        out.serialize_entry("outcome", &self.outcome())?;
        out.serialize_entry("executed", &self.executed())?;
        if let Some(attempts) = self.attempts() {
            out.serialize_entry("attempts", &attempts)?;
        }
        out.serialize_entry("elapsed_ms", &millis(self.elapsed))?;
        match &self.end {
            End::Ok(value) => out.serialize_entry("result", value)?,
            End::Error(error) => out.serialize_entry("error", &ErrorView::from(error))?,
            End::Skipped(Skipped::BlockedBy(id)) => out.serialize_entry("blocked_by", id)?,
            End::Skipped(Skipped::StoppedAfter(id)) => out.serialize_entry("stopped_after", id)?,
        }
        out.end()
    }
}
