//! A backend that does next to nothing, so that what is measured is the way to it and back.

use std::{future::Future, sync::Arc};

use backstop_core::{
    backend::{Backend, Connect, Serve},
    call::{CallContext, Deadline},
    error::{ConfigError, Failure},
    message::{Class, Message},
};

/// The recipe of [`Echo`].
#[derive(Clone, Debug)]
pub(crate) struct EchoOptions;

/// Adds one to what it is sent.
#[derive(Debug)]
pub(crate) struct Echo;

/// Is answered at the first poll.
#[derive(Debug)]
pub(crate) struct Ready(pub(crate) u64);

/// Is answered at the second poll, so that the lane needs a task and a timer.
#[derive(Debug)]
pub(crate) struct YieldOnce(pub(crate) u64);

/// Is never answered; dropping the call is its only end.
#[derive(Debug)]
pub(crate) struct Hold;

impl Connect for EchoOptions {
    type Shared = ();
    type Backend = Echo;

    fn share(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    async fn connect(&self, _: &Arc<()>) -> Result<Echo, ConfigError> {
        Ok(Echo)
    }
}

impl Backend for Echo {
    const KIND: &'static str = "echo";

    async fn probe(&self, _: &CallContext) -> Result<(), Failure> {
        Ok(())
    }

    async fn close(&self, _: Deadline) {}
}

impl Message for Ready {
    type Reply = u64;
    const NAME: &'static str = "ready";

    fn class(&self) -> Class {
        Class::Read
    }
}

impl Message for YieldOnce {
    type Reply = u64;
    const NAME: &'static str = "yield_once";

    fn class(&self) -> Class {
        Class::Read
    }
}

impl Message for Hold {
    type Reply = u64;
    const NAME: &'static str = "hold";

    fn class(&self) -> Class {
        Class::Read
    }
}

impl Serve<Ready> for Echo {
    async fn serve(&self, message: &Ready, call: &CallContext) -> Result<u64, Failure> {
        call.sending();
        Ok(message.0 + 1)
    }
}

impl Serve<YieldOnce> for Echo {
    async fn serve(&self, message: &YieldOnce, call: &CallContext) -> Result<u64, Failure> {
        call.sending();
        tokio::task::yield_now().await;
        Ok(message.0 + 1)
    }
}

impl Serve<Hold> for Echo {
    fn serve(&self, _: &Hold, call: &CallContext) -> impl Future<Output = Result<u64, Failure>> {
        call.sending();
        std::future::pending()
    }
}
