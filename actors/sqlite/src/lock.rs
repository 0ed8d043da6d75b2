//! Waiting for a lock of another process, never past an instant.
//!
//! The engine calls a busy handler on the thread that wants the lock. Some lines of rusqlite take a bare
//! function there, so the instant lives in a thread-local; each connection that waits has its own thread.

use std::{cell::Cell, thread, time::Duration};

use backstop_core::clock::{self, Instant};
use rusqlite::Connection;

/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_millis(5);

thread_local! {
    static UNTIL: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Makes a connection of this thread wait as [`wait_until`] says.
pub(crate) fn install(connection: &mut Connection) -> rusqlite::Result<()> {
    let handler: fn(i32) -> bool = wait;
    connection.busy_handler(Some(handler))
}

/// Lets connections of this thread wait for locks until `instant`.
pub(crate) fn wait_until(instant: Instant) {
    UNTIL.set(Some(instant));
}

/// Pauses a little; `false` when the time is over.
fn wait(tries: i32) -> bool {
    let Some(left) = UNTIL.get().map(|until| until.saturating_duration_since(clock::now())) else {
        return false;
    };
    if left.is_zero() {
        return false;
    }
    let pause = Duration::from_micros(200 << tries.clamp(0, 5)).min(PAUSE_MAX).min(left);
    // nobody unparks these threads, so it is a pause; waking early does no harm
    thread::park_timeout(pause);
    true
}
