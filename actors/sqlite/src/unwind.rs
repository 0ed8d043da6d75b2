//! Panics of code that runs on our threads.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Runs `body`; `None` when it panicked.
///
/// What it panicked with is a value of the user's and may panic again as it is dropped, which would end the
/// thread; so that is caught too, and what comes out of it is leaked.
pub(crate) fn caught<T>(body: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => Some(value),
        Err(payload) => {
            bury(payload);
            None
        }
    }
}

/// Drops what something panicked with.
pub(crate) fn bury(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
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
