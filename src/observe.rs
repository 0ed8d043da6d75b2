//! How long a function of the application took and how it ended.

use std::{future::Future, time::Duration};

use backstop_core::clock::{self, Instant};

/// Runs `work` and writes how long it took and how it ended, as an event of `tracing`.
///
/// The event has the target `backstop::operation`, the level DEBUG, and the fields `table`, `operation`,
/// `outcome` (`ok`, `error` or `abandoned`) and `elapsed_us`. It counts nothing: the calls of a backend are in
/// its statistics without it. The attribute `database_operation` is the same around the body of a function.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let answer = backstop::observe("users", "select", async { Ok::<_, std::io::Error>(7) }).await;
/// assert_eq!(answer.unwrap(), 7);
/// # }
/// ```
///
/// # Errors
/// Those of `work`.
///
/// # Cancel safety
/// That of `work`; the outcome is then `abandoned`.
pub async fn observe<T, E>(
    table: &'static str,
    operation: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let mut timed = Timed { table, operation, started: clock::now(), outcome: "abandoned" };
    let result = work.await;
    timed.outcome = if result.is_ok() { "ok" } else { "error" };
    result
}

/// Writes the event when it is dropped, so that a future that is given up is seen too.
struct Timed {
    table: &'static str,
    operation: &'static str,
    started: Instant,
    outcome: &'static str,
}

impl Drop for Timed {
    fn drop(&mut self) {
        let elapsed: Duration = clock::now().saturating_duration_since(self.started);
        let (table, operation, outcome) = (self.table, self.operation, self.outcome);
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(target: "backstop::operation", table, operation, outcome, elapsed_us);
    }
}
