//! The dedicated probe, as the control actor makes it.

use super::Guard;
use crate::{clock, error::CallError, event::EventKind, policy::circuit_breaker::Permit};

/// The right to one dedicated probe; dropped unused, it leaves no trace.
#[derive(Debug)]
pub struct ProbePass<'a> {
    pub(super) guard: &'a Guard,
    pub(super) permit: Option<Permit>,
}

impl ProbePass<'_> {
    /// Notes how the probe ended.
    pub fn finish(mut self, result: &Result<(), CallError>) {
        let Some(permit) = self.permit.take() else { return };
        let (guard, now) = (self.guard, clock::now());
        if let Err(error) = result {
            guard.events.push(&guard.name, EventKind::ProbeFailed { error: error.to_string().into() });
        }
        let hint = result.as_ref().err().and_then(|error| error.retry_after(now));
        guard.on_breaker(|machine| match result {
            Ok(()) => machine.probe_succeeded(permit, now),
            Err(error) => machine.probe_failed(permit, now, &error.to_string(), hint),
        });
    }
}

impl Drop for ProbePass<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.guard.on_breaker(|machine| machine.release(permit, clock::now()));
        }
    }
}
