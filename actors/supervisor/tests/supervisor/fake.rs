//! A backend that does what the message says.

use std::{sync::Arc, time::Duration};

use backstop_core::{
    backend::{Backend, Connect, Serve},
    call::{CallContext, Deadline},
    error::{ConfigError, Failure},
    message::{Class, Message},
};
use tokio::task::LocalSet;

#[derive(Clone)]
pub(crate) struct FakeOptions;

pub(crate) struct Fake;

impl Connect for FakeOptions {
    type Shared = ();
    type Backend = Fake;

    fn share(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    async fn connect(&self, _: &Arc<()>) -> Result<Fake, ConfigError> {
        Ok(Fake)
    }
}

impl Backend for Fake {
    const KIND: &'static str = "fake";

    async fn probe(&self, _: &CallContext) -> Result<(), Failure> {
        Ok(())
    }

    async fn close(&self, _: Deadline) {}
}

#[derive(Clone)]
pub(crate) enum Do {
    Echo(u64),
    Wait(Duration, u64),
    Panic,
    PanicLater(Duration),
    Fail,
}

impl Message for Do {
    type Reply = u64;
    const NAME: &'static str = "do";

    fn class(&self) -> Class {
        Class::Unsafe
    }
}

impl Serve<Do> for Fake {
    async fn serve(&self, message: &Do, call: &CallContext) -> Result<u64, Failure> {
        call.sending();
        match message {
            Do::Echo(value) => Ok(*value),
            Do::Wait(time, value) => {
                tokio::time::sleep(*time).await;
                Ok(*value)
            }
            Do::Panic => panic!("planned"),
            Do::PanicLater(time) => {
                tokio::time::sleep(*time).await;
                panic!("planned, later")
            }
            Do::Fail => Err(Failure::unavailable("planned")),
        }
    }
}

/// Runs a test on virtual time, with everything on one thread.
pub(crate) fn simulated<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}
