//! One suite that every backend runs, hosted as it is hosted in production.
//!
//! A backend's `tests/contract.rs` implements [`ContractSubject`] and calls [`contract_suite!`](crate::contract_suite!), which makes one
//! `#[test]` of each check: connect, answer, deadline, cancel, classify, probe, close, reconnect.
//!
//! ```text
//! struct Sqlite { file: TempDir }
//! impl ContractSubject for Sqlite {
//!     type Connect = SqliteOptions;
//!     const LACKS: &'static [(Ability, &'static str)] = &[];
//!     async fn start() -> Self { … }                                  // a file, a server on loopback
//!     fn connect(&self) -> SqliteOptions { SqliteOptions::file(…) }
//!     fn read(&self, backend: &Ref<Self>, within: Duration) -> Call {
//!         let ask = backend.ask(Query::new("select 7")).within(within);
//!         Box::pin(async move { assert_eq!(ask.await?.…, 7); Ok(()) })
//!     }
//!     …
//! }
//! backstop_testkit::contract_suite!(Sqlite);
//! ```

mod checks;
mod stage;

use std::{future::Future, pin::Pin, time::Duration};

use backstop_core::{
    backend::{Connect, Serve},
    error::CallError,
    message::Message,
};
use backstop_supervisor::BackendRef;

pub use self::checks::*;

/// A call on its way; it checks its reply by itself, so that every backend has the same type.
pub type Call = Pin<Box<dyn Future<Output = Result<(), CallError>>>>;

/// The reference to a subject's backend.
pub type Ref<S> = BackendRef<<<S as ContractSubject>::Connect as Connect>::Backend>;

/// Asks, and takes any reply.
pub fn call<B, M>(backend: &BackendRef<B>, message: M, within: Duration) -> Call
where
    B: Serve<M>,
    M: Message,
{
    let ask = backend.ask(message).within(within);
    Box::pin(async move { ask.await.map(drop) })
}

/// What a subject may lack, so that a check or a part of one has nothing to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// [`ContractSubject::wrong`]: settings that cannot work.
    WrongSetting,
    /// [`ContractSubject::slow`]: a read that takes its time.
    SlowRead,
    /// [`ContractSubject::write`]: writes that are counted past the backend.
    Write,
    /// [`ContractSubject::caller_panic`]: code of the caller that runs inside the backend.
    CallerCode,
    /// [`ContractSubject::make_unreachable`]: a server that can be taken away.
    Outage,
}

/// A backend with its surroundings: the server or the file that it talks to.
///
/// What a backend cannot do is `None` or `false`, and stands in [`LACKS`](Self::LACKS) with the reason. A check that
/// needs it says so on the standard error output of the test; one that finds it missing without a declaration,
/// or there in spite of one, fails.
pub trait ContractSubject: Sized + 'static {
    /// The recipe.
    type Connect: Connect;

    /// What the subject lacks, and why; empty for one that is checked in full.
    const LACKS: &'static [(Ability, &'static str)];

    /// Whether the surroundings live on virtual time; real ones do not (default).
    const VIRTUAL: bool = false;

    /// Starts the surroundings.
    fn start() -> impl Future<Output = Self>;

    /// The recipe of a backend that works.
    fn connect(&self) -> Self::Connect;

    /// A recipe whose settings cannot work.
    fn wrong(&self) -> Option<Self::Connect> {
        None
    }

    /// Reads something and checks the answer.
    fn read(&self, backend: &Ref<Self>, within: Duration) -> Call;

    /// Reads something that takes `takes`.
    fn slow(&self, backend: &Ref<Self>, takes: Duration, within: Duration) -> Option<Call>;

    /// Asks for something that the backend refuses for good, such as a syntax error or a 404.
    fn bad(&self, backend: &Ref<Self>, within: Duration) -> Call;

    /// Writes once under `key`, with the class `Unsafe`.
    fn write(&self, backend: &Ref<Self>, key: u64, within: Duration) -> Option<Call> {
        let _ = (backend, key, within);
        None
    }

    /// Counts the writes under `key`, past the backend.
    fn writes(&self, key: u64) -> impl Future<Output = u32> {
        let _ = key;
        std::future::ready(0)
    }

    /// Runs a closure of the caller that panics.
    fn caller_panic(&self, backend: &Ref<Self>, within: Duration) -> Option<Call> {
        let _ = (backend, within);
        None
    }

    /// Takes the server away; `false` where that cannot be.
    fn make_unreachable(&self) -> impl Future<Output = bool> {
        std::future::ready(false)
    }

    /// Brings the server back.
    fn make_reachable(&self) -> impl Future<Output = ()> {
        std::future::ready(())
    }
}

/// Makes one `#[test]` of each check of the contract, for one [`ContractSubject`].
#[macro_export]
macro_rules! contract_suite {
    ($subject:ty) => {
        $crate::contract_suite! { @each $subject:
            a_wrong_setting_is_named_before_anything_runs
            connecting_needs_no_server
            a_read_is_answered
            many_reads_at_once_are_answered
            a_write_happens_exactly_once
            a_call_ends_at_its_deadline
            a_call_without_time_sends_nothing
            a_dropped_call_gives_its_place_back
            the_pool_comes_back_to_idle
            a_bad_request_is_no_failure_of_the_backend
            an_unreachable_backend_is_unavailable_and_nothing_was_executed
            a_probe_tells_up_from_down
            an_outage_opens_the_breaker_and_costs_no_restart
            a_backend_that_comes_back_serves_again_without_a_restart
            a_panic_of_the_caller_costs_no_instance
            a_restart_by_order_loses_no_call
            a_shutdown_is_clean_and_in_time
            a_shutdown_gives_up_a_slow_call_in_time
        }
    };
    (@each $subject:ty: $($check:ident)*) => {
        $(
            #[test]
            fn $check() {
                $crate::contract::$check::<$subject>();
            }
        )*
    };
}
