//! Panics of code that runs on our threads.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`; `None` when it panicked.
///
/// What it panicked with is a value of the user's and may panic again as it is dropped, which would end the
/// thread; so that is caught too, and what comes out of it is leaked.
pub(crate) fn caught<T>(body: impl FnOnce() -> T) -> Option<T> {
    let payload = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => return Some(value),
        Err(payload) => payload,
    };
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::panic_any(Bomb);
        }
    }

    #[test]
    fn a_payload_that_panics_as_it_is_dropped_goes_no_further() {
        assert_eq!(caught(|| 1), Some(1));
        assert!(caught(|| -> () { std::panic::panic_any(Bomb) }).is_none());
    }
}
