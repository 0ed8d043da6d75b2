//! Models with the interface of the real things.

use std::{
    future::Future,
    pin::Pin,
    sync::PoisonError,
    task::{Context, Poll, Waker},
};

use loom::sync::{
    MutexGuard, RwLockReadGuard, RwLockWriteGuard,
    atomic::{Ordering, fence},
};

/// Loom takes a `SeqCst` access for an `AcqRel` one, which is too weak for a store here and a load there; its
/// `SeqCst` fence is exact. So each such access stands between two of them.
fn ordered<R>(order: Ordering, access: impl FnOnce() -> R) -> R {
    if order != Ordering::SeqCst {
        return access();
    }
    fence(order);
    let result = access();
    fence(order);
    result
}

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[derive(Debug)]
        pub(crate) struct $name(loom::sync::atomic::$name);

        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                ordered(order, || self.0.load(weakest(order, Ordering::Acquire)))
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                ordered(order, || self.0.store(value, weakest(order, Ordering::Release)));
            }
        }
    };
}

/// What an access between two fences still needs itself.
fn weakest(order: Ordering, half: Ordering) -> Ordering {
    if order == Ordering::SeqCst { half } else { order }
}

atomic!(AtomicBool, bool);
atomic!(AtomicU8, u8);
atomic!(AtomicU64, u64);
atomic!(AtomicUsize, usize);

impl AtomicU64 {
    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        ordered(order, || self.0.fetch_add(value, weakest(order, Ordering::AcqRel)))
    }

    pub(crate) fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
        ordered(order, || self.0.fetch_sub(value, weakest(order, Ordering::AcqRel)))
    }
}

#[derive(Debug)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct RwLock<T>(loom::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of tokio's `Notify` that is used: a waiter hears of each `notify_waiters` since it was made.
#[derive(Debug)]
pub(crate) struct Notify(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    calls: u64,
    wakers: Vec<Waker>,
}

impl Notify {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Waiting::default()))
    }

    pub(crate) fn notify_waiters(&self) {
        let mut waiting = self.0.lock();
        waiting.calls += 1;
        let wakers = std::mem::take(&mut waiting.wakers);
        drop(waiting);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        Notified { notify: self, calls: self.0.lock().calls }
    }
}

pub(crate) struct Notified<'a> {
    notify: &'a Notify,
    calls: u64,
}

impl Notified<'_> {
    /// Nothing to do: it is registered from the start.
    pub(crate) fn enable(self: Pin<&mut Self>) {}
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.notify.0.lock();
        if waiting.calls != self.calls {
            return Poll::Ready(());
        }
        waiting.wakers.push(cx.waker().clone());
        Poll::Pending
    }
}
