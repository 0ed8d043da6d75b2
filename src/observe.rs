//! How long a function of the application took and how it ended.

use std::future::Future;

use backstop_core::clock::{self, Instant};

use crate::durations::{Ended, durations};

/// Runs `work`, records how long it took, and writes how it ended as an event of `tracing`.
///
/// The time is recorded in [`durations`] under `subject.operation`. The event has the target
/// `backstop::operation`, the level DEBUG, and the fields `subject`, `operation`, `outcome` (`ok`, `error` or
/// `abandoned`) and `elapsed_us`. The calls of a backend are in its statistics without it. The attributes
/// `database_operation` and `api_operation` are the same around the body of a function.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let answer = backstop::observe("users", "select", async { Ok::<_, std::io::Error>(7) }).await;
/// assert_eq!(answer.unwrap(), 7);
/// assert_eq!(backstop::durations().snapshot()["users.select"].latency.count(), 1);
/// # }
/// ```
///
/// # Errors
/// Those of `work`.
///
/// # Cancel safety
/// That of `work`; the outcome is then `abandoned`.
pub async fn observe<T, E>(
    subject: &'static str,
    operation: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let mut observed = Observed { subject, operation, started: clock::now(), ended: Ended::Abandoned };
    let result = work.await;
    observed.ended = if result.is_ok() { Ended::Ok } else { Ended::Failed };
    result
}

/// A task of its own, which goes on when this is dropped; awaiting it gives its result, or says that it panicked.
pub type Background<T> = tokio::task::JoinHandle<T>;

/// Starts `work` as a task of its own, and observes it under `background` and `name`.
///
/// The task goes on when the returned handle is dropped, and it ends with its runtime of tokio: nothing waits for
/// it when backends are shut down. The attribute `background_task` is the same for the body of a function.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mail = backstop::background("mail", async { Ok::<_, std::io::Error>("sent") });
/// assert_eq!(mail.await.unwrap().unwrap(), "sent");
/// # }
/// ```
///
/// # Panics
/// Outside of a runtime of tokio, which has nowhere to run it.
pub fn background<T, E>(
    name: &'static str,
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Background<Result<T, E>>
where
    T: Send + 'static,
    E: Send + 'static,
{
    tokio::spawn(observe("background", name, work))
}

/// Records the end when it is dropped, so that a future that is given up is seen too.
struct Observed {
    subject: &'static str,
    operation: &'static str,
    started: Instant,
    ended: Ended,
}

impl Drop for Observed {
    fn drop(&mut self) {
        let elapsed = clock::now().saturating_duration_since(self.started);
        let (subject, operation) = (self.subject, self.operation);
        durations().note(&format!("{subject}.{operation}"), elapsed, self.ended);
        let outcome = match self.ended {
            Ended::Ok => "ok",
            Ended::Failed => "error",
            Ended::Abandoned => "abandoned",
        };
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(target: "backstop::operation", subject, operation, outcome, elapsed_us);
    }
}
