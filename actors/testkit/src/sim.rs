//! Virtual time: one thread, a paused clock, a `LocalSet`; an hour passes in a blink.

use std::{future::Future, time::Duration};

use backstop_core::clock::{self, Instant};
use backstop_supervisor::{Placement, Supervisor, SupervisorOptions, SupervisorRef};
use tokio::task::LocalSet;

/// Runs `test` on virtual time.
///
/// Time moves only while every task waits, and then straight to the next timer. What is left of the tasks
/// is dropped at the end.
pub fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O can be built");
    LocalSet::new().block_on(&runtime, test)
}

/// Settings of a supervisor that lives on the current thread with all of its lanes.
#[must_use]
pub fn single() -> SupervisorOptions {
    SupervisorOptions { placement: Placement::Single, home_threads: 1, ..SupervisorOptions::default() }
}

/// Starts a supervisor on the current thread.
#[must_use]
pub fn supervisor() -> SupervisorRef {
    Supervisor::start(single()).expect("nothing can fail on one thread")
}

/// Lets every other task of the thread run until all of them wait; virtual time stands still.
pub async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// Lets `time` pass.
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
    settle().await;
}

/// Milliseconds from `start` until now; what traces and messages show.
#[must_use]
pub fn millis_since(start: Instant) -> u64 {
    u64::try_from(clock::now().saturating_duration_since(start).as_millis()).unwrap_or(u64::MAX)
}

/// Seconds, for short tests.
#[must_use]
pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Milliseconds, for short tests.
#[must_use]
pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
