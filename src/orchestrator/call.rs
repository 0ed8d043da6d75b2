//! One call by name, with a panic of the backend's wire form contained.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use backstop_core::{
    call::Deadline,
    clock,
    error::{CallError, Executed, Failure, FailureKind, Phase, RejectionReason},
    guard::panic_text,
};
use backstop_supervisor::DynBackend;
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::Value;

use super::Directory;

/// Asks by name; `timeout` as in [`Ask::within`](backstop_supervisor::Ask::within).
pub(super) async fn by_name(
    directory: &Directory,
    backend: &str,
    operation: &str,
    arguments: Value,
    timeout: Option<Duration>,
) -> Result<Value, CallError> {
    let backend = directory.named(backend)?;
    contained(&*backend, |backend| backend.execute(operation, arguments, timeout)).await
}

/// Asks by name, with the time the call would have by itself but at most until `deadline`.
pub(super) async fn by_deadline(
    directory: &Directory,
    backend: &str,
    operation: &str,
    arguments: Value,
    timeout: Option<Duration>,
    deadline: Deadline,
) -> Result<Value, CallError> {
    let backend = directory.named(backend)?;
    let remaining = deadline.remaining(clock::now());
    if remaining.is_zero() {
        return Err(backend.guard().reject(RejectionReason::Expired).into());
    }
    let own = timeout.unwrap_or_else(|| backend.guard().policy().timeout);
    contained(&*backend, |backend| backend.execute(operation, arguments, Some(own.min(remaining)))).await
}

/// Runs a call so that a panic on the caller's thread ends this call alone.
pub(super) async fn contained(
    backend: &dyn DynBackend,
    start: impl FnOnce(&dyn DynBackend) -> BoxFuture<'static, Result<Value, CallError>>,
) -> Result<Value, CallError> {
    let panicked = |panic: Box<dyn Any + Send>, executed| {
        let failure = Failure::new(FailureKind::Panicked, panic_text(&*panic)).executed_is(executed);
        let failure = if executed == Executed::No { failure.in_phase(Phase::Admission) } else { failure };
        CallError::from(backend.guard().stamped(failure))
    };
    // The message is decoded here, before anything is sent.
    let running =
        catch_unwind(AssertUnwindSafe(|| start(backend))).map_err(|panic| panicked(panic, Executed::No))?;
    let ended = AssertUnwindSafe(running).catch_unwind().await;
    ended.unwrap_or_else(|panic| Err(panicked(panic, Executed::Unknown)))
}
