//! The contract suite, proved on the fake.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use backstop_core::{error::Failure, message::Class};
use backstop_testkit::{
    contract::{Ability, Call, ContractSubject, Ref},
    fake::{Do, End, FakeOptions, Mode, Step, World},
};

struct Subject(World);

impl ContractSubject for Subject {
    type Connect = FakeOptions;
    const LACKS: &'static [(Ability, &'static str)] = &[];
    const VIRTUAL: bool = true;

    async fn start() -> Self {
        Self(World::new())
    }

    fn connect(&self) -> FakeOptions {
        FakeOptions::new(&self.0)
    }

    fn wrong(&self) -> Option<FakeOptions> {
        Some(FakeOptions::new(&self.0).label(u64::MAX))
    }

    fn read(&self, backend: &Ref<Self>, within: Duration) -> Call {
        self.call(backend, Do::echo(7).of(Class::Read), within)
    }

    fn slow(&self, backend: &Ref<Self>, takes: Duration, within: Duration) -> Option<Call> {
        Some(self.call(backend, Do::slow(8, takes).of(Class::Read), within))
    }

    fn bad(&self, backend: &Ref<Self>, within: Duration) -> Call {
        self.call(backend, Do::step_of(9, Step::fails(Failure::refused("no such table"))), within)
    }

    fn write(&self, backend: &Ref<Self>, key: u64, within: Duration) -> Option<Call> {
        Some(self.call(backend, Do::echo(1_000 + key), within))
    }

    async fn writes(&self, key: u64) -> u32 {
        self.0.executions(1_000 + key)
    }

    fn caller_panic(&self, backend: &Ref<Self>, within: Duration) -> Option<Call> {
        Some(self.call(backend, Do::ends(10, End::CallerPanics), within))
    }

    async fn make_unreachable(&self) -> bool {
        self.0.set_mode(Mode::Down);
        true
    }

    async fn make_reachable(&self) {
        self.0.set_mode(Mode::Up);
    }
}

impl Subject {
    fn call(&self, backend: &Ref<Self>, message: Do, within: Duration) -> Call {
        let (nonce, ask) = (message.nonce, backend.ask(message).within(within));
        Box::pin(async move {
            assert_eq!(ask.await?.nonce, nonce);
            Ok(())
        })
    }
}

backstop_testkit::contract_suite!(Subject);
