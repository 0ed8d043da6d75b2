//! A backend that does what each message says and lets a test watch it; by type and by name.

use std::{sync::Arc, time::Duration};

use backstop::{
    core::{
        backend::{Backend, Connect, Serve},
        call::CallContext,
        error::{ConfigError, Failure, FailureKind},
        operation::{Operation, OperationInfo, Wire, WireError},
    },
    prelude::*,
};
use serde_json::{Value, json};
use tokio::sync::watch;

/// What has happened, and what a test has released.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) begun: Vec<String>,
    pub(crate) done: Vec<String>,
    pub(crate) cancelled: Vec<String>,
    pub(crate) released: Vec<String>,
    pub(crate) active: usize,
    pub(crate) active_max: usize,
    pub(crate) connected: usize,
    pub(crate) probed: usize,
    pub(crate) closed: usize,
}

/// The outside of the fakes that were built with it.
#[derive(Clone, Debug)]
pub(crate) struct World(Arc<watch::Sender<Seen>>);

impl World {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Seen::default())))
    }

    pub(crate) fn seen(&self) -> Seen {
        self.0.borrow().clone()
    }

    pub(crate) fn release(&self, label: &str) {
        self.0.send_modify(|seen| seen.released.push(label.into()));
    }

    /// Waits for what a test expects; a test that waits in vain fails.
    pub(crate) async fn until(&self, what: impl FnMut(&Seen) -> bool) -> Seen {
        let mut changes = self.0.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(10), changes.wait_for(what)).await;
        match waited {
            Ok(seen) => seen.unwrap().clone(),
            Err(_) => panic!("waited in vain: {:?}", self.seen()),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct FakeOptions {
    pub(crate) world: World,
    /// Shown by replies, to tell recipes apart; 0 cannot work.
    pub(crate) recipe: u64,
}

impl FakeOptions {
    pub(crate) fn new(world: &World) -> Self {
        Self { world: world.clone(), recipe: 1 }
    }

    pub(crate) fn recipe(world: &World, recipe: u64) -> Self {
        Self { world: world.clone(), recipe }
    }
}

pub(crate) struct Fake(FakeOptions);

impl Connect for FakeOptions {
    type Shared = ();
    type Backend = Fake;

    fn share(&self) -> Result<(), ConfigError> {
        if self.recipe > 0 {
            return Ok(());
        }
        // A backend that was started before has an instance by then; it lives on another thread.
        while self.world.seen().connected == 0 {
            std::thread::yield_now();
        }
        Err(ConfigError::new("recipe", "must not be 0"))
    }

    async fn connect(&self, _: &Arc<()>) -> Result<Fake, ConfigError> {
        self.world.0.send_modify(|seen| seen.connected += 1);
        Ok(Fake(self.clone()))
    }
}

impl Backend for Fake {
    const KIND: &'static str = "fake";

    async fn probe(&self, _: &CallContext) -> Result<(), Failure> {
        self.0.world.0.send_modify(|seen| seen.probed += 1);
        Ok(())
    }

    async fn close(&self, _: Deadline) {
        self.0.world.0.send_modify(|seen| seen.closed += 1);
    }
}

/// A message that says what happens to it.
#[derive(Clone, Debug)]
pub(crate) struct Do {
    pub(crate) label: String,
    pub(crate) act: Act,
    pub(crate) class: Class,
}

#[derive(Clone, Debug)]
pub(crate) enum Act {
    Reply(Value),
    /// Ends when the test releases its label.
    Hold,
    Fail(Executed),
    Panic,
    /// Tells which recipe serves.
    Recipe,
    /// Tells on which thread it runs.
    Thread,
}

impl Do {
    pub(crate) fn new(label: &str, act: Act) -> Self {
        Self { label: label.into(), act, class: Class::Unsafe }
    }

    pub(crate) fn reply(value: impl Into<Value>) -> Self {
        Self::new("reply", Act::Reply(value.into()))
    }

    pub(crate) fn hold(label: &str) -> Self {
        Self::new(label, Act::Hold)
    }

    pub(crate) fn fail(executed: Executed) -> Self {
        Self::new("fail", Act::Fail(executed))
    }

    pub(crate) fn of(mut self, class: Class) -> Self {
        self.class = class;
        self
    }
}

impl Message for Do {
    type Reply = Value;
    const NAME: &'static str = "do";

    fn class(&self) -> Class {
        assert!(self.label != "panic in class", "planned, on the caller's thread");
        self.class
    }
}

/// Notes the end of one call, also when it is dropped.
struct Guard<'a> {
    world: &'a World,
    label: &'a str,
    done: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.world.0.send_modify(|seen| {
            seen.active -= 1;
            let list = if self.done { &mut seen.done } else { &mut seen.cancelled };
            list.push(self.label.into());
        });
    }
}

impl Serve<Do> for Fake {
    async fn serve(&self, message: &Do, call: &CallContext) -> Result<Value, Failure> {
        let world = &self.0.world;
        world.0.send_modify(|seen| {
            seen.begun.push(message.label.clone());
            seen.active += 1;
            seen.active_max = seen.active_max.max(seen.active);
        });
        let mut guard = Guard { world, label: &message.label, done: false };
        call.sending();
        let reply = match &message.act {
            Act::Reply(value) => Ok(value.clone()),
            Act::Hold => {
                let mut changes = world.0.subscribe();
                let _ = changes.wait_for(|seen| seen.released.contains(&message.label)).await;
                Ok(json!(message.label))
            }
            Act::Fail(executed) => Err(Failure::new(FailureKind::Refused, "planned").executed_is(*executed)),
            Act::Panic => panic!("planned"),
            Act::Recipe => Ok(json!(self.0.recipe)),
            Act::Thread => Ok(json!(format!("{:?}", std::thread::current().id()))),
        };
        guard.done = true;
        reply
    }
}

impl Wire for Fake {
    const OPERATIONS: &'static [OperationInfo] = &[
        OperationInfo { name: "reply", summary: "Replies with a value.", arguments: &["value", "label?"] },
        OperationInfo { name: "hold", summary: "Waits to be released.", arguments: &["label"] },
        OperationInfo { name: "fail", summary: "Fails.", arguments: &["executed?", "label?"] },
        OperationInfo { name: "panic", summary: "Panics.", arguments: &[] },
    ];

    fn decode(name: &str, arguments: Value) -> Result<Operation<Self>, WireError> {
        let label = arguments["label"].as_str().unwrap_or(name).to_owned();
        let act = match name {
            "reply" => Act::Reply(arguments["value"].clone()),
            "hold" => Act::Hold,
            "fail" => Act::Fail(match arguments["executed"].as_str() {
                Some("unknown") => Executed::Unknown,
                _ => Executed::No,
            }),
            "panic" => Act::Panic,
            "panic_in_decode" => panic!("planned, in decode"),
            _ => return Err(WireError::unknown_operation(name, Self::OPERATIONS)),
        };
        Ok(Operation::new(Do { label, act, class: Class::Unsafe }))
    }
}

/// A policy under which nothing is tried again and panics are no reason to stop.
pub(crate) fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.retry.max_retries = 0;
    policy.restart.min_delay = Duration::from_millis(1);
    policy.restart.max_restarts = 100;
    policy
}

/// A runtime with one fake of the given name.
pub(crate) async fn one(world: &World, name: &str) -> Runtime {
    Runtime::builder().backend(name, FakeOptions::new(world), policy()).start().await.unwrap()
}

/// Stops a runtime and checks that nothing was left behind.
pub(crate) async fn end(runtime: Runtime) {
    let report = runtime.shutdown(Deadline::after(Duration::from_secs(5))).await;
    assert!(report.is_clean(), "{report:?}");
}
