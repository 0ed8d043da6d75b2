//! The slow calls of late, bounded.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use serde::Serialize;

use crate::call::{CallContext, OpId};

/// A call that took longer than the slow threshold.
#[derive(Clone, Debug, Serialize)]
pub struct SlowCall {
    /// The call.
    pub op: OpId,
    /// The kind of message.
    pub message: &'static str,
    /// How long it took, in milliseconds.
    pub elapsed_ms: f64,
    /// How often it was sent.
    pub attempts: u32,
    /// Whether it ended with a reply.
    pub ok: bool,
    /// On whose behalf, where that was said.
    pub client: Option<Arc<str>>,
    /// When it ended, on the wall clock.
    #[serde(skip)]
    pub ended: SystemTime,
}

impl SlowCall {
    pub(super) fn new(message: &'static str, call: &CallContext, elapsed: Duration, ok: bool) -> Self {
        Self {
            op: call.id(),
            message,
            elapsed_ms: elapsed.as_secs_f64() * 1e3,
            attempts: call.attempt(),
            ok,
            client: call.client().map(Arc::from),
            ended: SystemTime::now(),
        }
    }
}

pub(super) struct SlowCalls {
    calls: Mutex<VecDeque<SlowCall>>,
    capacity: usize,
}

impl SlowCalls {
    pub(super) fn new(capacity: usize) -> Self {
        Self { calls: Mutex::default(), capacity }
    }

    pub(super) fn push(&self, call: SlowCall) {
        let mut calls = self.calls.lock();
        calls.push_front(call);
        calls.truncate(self.capacity);
    }

    pub(super) fn list(&self, limit: usize) -> Vec<SlowCall> {
        self.calls.lock().iter().take(limit).cloned().collect()
    }
}
