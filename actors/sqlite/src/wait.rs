//! Waiting for a future on a thread that may block, never past an instant.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use backstop_core::clock::{self, Instant};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks until `future` is ready; `None` when `until` has come first.
pub(crate) fn until<F: Future>(future: F, until: Instant) -> Option<F::Output> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        let left = until.saturating_duration_since(clock::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_future_is_waited_for_and_given_up_at_the_instant() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let sends = thread::spawn(move || sender.send(7));
        assert_eq!(until(receiver, clock::now() + Duration::from_secs(20)), Some(Ok(7)));
        sends.join().unwrap().unwrap();
        let now = clock::now();
        assert_eq!(until(std::future::pending::<()>(), now + Duration::from_millis(5)), None);
        assert!(clock::now() >= now + Duration::from_millis(5));
    }
}
