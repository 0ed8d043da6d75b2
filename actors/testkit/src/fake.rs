//! A backend that does what each message says, and writes down what it did.
//!
//! [`Do`] is the message with its script, [`FakeOptions`] the recipe, [`World`] the outside: it switches
//! modes and keeps the log that an external ledger reads. For scripted faults and virtual time only.

mod message;
mod world;

use std::{cell::Cell, future::pending, sync::Arc, time::Duration};

use backstop_core::{
    backend::{Backend, Connect, Serve},
    call::{CallContext, Deadline},
    error::{ConfigError, Failure, FailureKind, Phase},
    snapshot::PoolSnapshot,
};

pub use self::{
    message::{Do, Done, Effect, End, Get, Other, Step},
    world::{CloseEnd, ConnectEnd, Fact, Gate, Mode, Shared, World},
};

/// The recipe of a [`Fake`].
#[derive(Clone, Debug)]
pub struct FakeOptions {
    world: World,
    lanes_max: usize,
    label: u64,
    pool_max: usize,
    shared_idle: usize,
}

impl FakeOptions {
    /// Builds fakes that live in `world`.
    #[must_use]
    pub fn new(world: &World) -> Self {
        Self { world: world.clone(), lanes_max: usize::MAX, label: 0, pool_max: 0, shared_idle: 0 }
    }

    /// Sets the most lanes.
    #[must_use]
    pub fn lanes_max(mut self, lanes_max: usize) -> Self {
        self.lanes_max = lanes_max;
        self
    }

    /// Sets how many idle connections the lanes claim to share.
    #[must_use]
    pub fn shared_idle(mut self, connections: usize) -> Self {
        self.shared_idle = connections;
        self
    }

    /// Sets the bound that the pool shows; nothing holds it.
    #[must_use]
    pub fn pool_max(mut self, pool_max: usize) -> Self {
        self.pool_max = pool_max;
        self
    }

    /// Sets a number that instances show in their replies, to tell recipes apart.
    #[must_use]
    pub fn label(mut self, label: u64) -> Self {
        self.label = label;
        self
    }
}

impl Connect for FakeOptions {
    type Shared = Shared;
    type Backend = Fake;

    fn share(&self) -> Result<Shared, ConfigError> {
        if self.label == u64::MAX {
            return Err(ConfigError::new("label", "must be less than the largest number"));
        }
        Ok(Shared::new(&self.world))
    }

    async fn connect(&self, _: &Arc<Shared>) -> Result<Fake, ConfigError> {
        match self.world.next_connect() {
            ConnectEnd::Build => {}
            ConnectEnd::Refuse => return Err(ConfigError::new("fake", "planned refusal")),
            ConnectEnd::Panic => panic!("planned, in connect"),
            ConnectEnd::Hang => pending().await,
        }
        let instance = self.world.note_connected();
        Ok(Fake {
            world: self.world.clone(),
            instance,
            label: self.label,
            pool_max: self.pool_max,
            active: Cell::new(0),
            closed: Cell::new(false),
        })
    }

    fn lanes_max(&self) -> usize {
        self.lanes_max
    }

    fn shared_pool(&self, _: &Shared) -> PoolSnapshot {
        PoolSnapshot { idle: self.shared_idle, ..PoolSnapshot::default() }
    }

    fn alarms(&self, _: &Shared) -> Vec<Arc<str>> {
        self.world.alarms()
    }
}

/// One instance of the fake backend.
#[derive(Debug)]
pub struct Fake {
    world: World,
    instance: u64,
    label: u64,
    pool_max: usize,
    active: Cell<usize>,
    closed: Cell<bool>,
}

impl Backend for Fake {
    const KIND: &'static str = "fake";

    async fn probe(&self, call: &CallContext) -> Result<(), Failure> {
        self.world.note(Fact::Probed { instance: self.instance });
        if self.world.take_probe_panic() {
            panic!("planned, in probe");
        }
        match self.world.mode() {
            Mode::Up => Ok(()),
            Mode::Down => Err(Failure::unavailable("planned outage")),
            Mode::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Mode::Hanging => {
                call.sending();
                pending().await
            }
            Mode::Failing(failure) => Err(failure),
        }
    }

    async fn close(&self, _: Deadline) {
        if self.active.get() > 0 {
            self.world.breach(format!("instance {} was closed while it served", self.instance));
        }
        self.closed.set(true);
        match self.world.planned_close() {
            CloseEnd::Quick => {}
            CloseEnd::After(time) => tokio::time::sleep(time).await,
            CloseEnd::Hang => pending().await,
            CloseEnd::Panic => panic!("planned, in close"),
        }
        self.world.note(Fact::Closed { instance: self.instance });
    }

    fn pool(&self) -> PoolSnapshot {
        PoolSnapshot { active: self.active.get(), max: self.pool_max, ..PoolSnapshot::default() }
    }
}

/// One attempt at work; it notes its end, whatever that is.
struct Active<'a> {
    fake: &'a Fake,
    nonce: u64,
    panics: bool,
    ended: bool,
}

impl<'a> Active<'a> {
    fn new(fake: &'a Fake, nonce: u64, attempt: u32) -> Self {
        if fake.closed.get() {
            fake.world.breach(format!("instance {} served {nonce} after it was closed", fake.instance));
        }
        fake.active.set(fake.active.get() + 1);
        fake.world.enter(Fact::Received { instance: fake.instance, nonce, attempt });
        Self { fake, nonce, panics: false, ended: false }
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.fake.active.set(self.fake.active.get() - 1);
        let (instance, nonce) = (self.fake.instance, self.nonce);
        self.fake.world.leave(Fact::Left { instance, nonce, ended: self.ended });
        if std::mem::take(&mut self.panics) && !std::thread::panicking() {
            panic!("planned, in drop");
        }
    }
}

impl Fake {
    /// Follows one step of a script.
    async fn follow(&self, nonce: u64, step: &Step, call: &CallContext) -> Result<Done, Failure> {
        let mut active = Active::new(self, nonce, call.attempt());
        let mode = self.world.mode();
        call.enter(Phase::Connect);
        if matches!(mode, Mode::Down) {
            active.ended = true;
            return Err(Failure::unavailable("planned outage"));
        }
        active.panics = step.drop_panics;
        rest(step.before).await;
        if step.sends {
            call.sending();
        }
        if step.effect == Effect::Early {
            self.world.note(Fact::Executed { nonce });
        }
        match mode {
            Mode::Slow(time) => rest(time).await,
            Mode::Hanging => pending().await,
            _ => {}
        }
        rest(step.after).await;
        if let Mode::Failing(failure) = mode {
            active.ended = true;
            return Err(failure);
        }
        if step.effect == Effect::Late {
            self.world.note(Fact::Executed { nonce });
        }
        let end = self.end(nonce, &step.end).await;
        active.ended = true;
        end
    }

    async fn end(&self, nonce: u64, end: &End) -> Result<Done, Failure> {
        match end {
            End::Reply => Ok(Done { nonce, instance: self.instance, label: self.label }),
            End::Fail(failure) => Err(failure.clone()),
            End::CallerPanics => Err(Failure::new(FailureKind::CallerPanicked, "planned, in a closure")),
            End::Panic => {
                self.world.note(Fact::Panicked { instance: self.instance });
                panic!("planned");
            }
            End::Hang => pending().await,
            End::Block(gate) => {
                gate.wait();
                Ok(Done { nonce, instance: self.instance, label: self.label })
            }
        }
    }
}

/// A rest of no time is none: it does not even yield.
async fn rest(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

impl Serve<Do> for Fake {
    async fn serve(&self, message: &Do, call: &CallContext) -> Result<Done, Failure> {
        self.follow(message.nonce, message.step(call.attempt()), call).await
    }
}

impl Serve<Get> for Fake {
    async fn serve(&self, message: &Get, call: &CallContext) -> Result<Done, Failure> {
        self.follow(message.nonce, &message.step, call).await
    }
}

impl Serve<Other> for Fake {
    async fn serve(&self, message: &Other, call: &CallContext) -> Result<u64, Failure> {
        self.follow(message.0, &Step::default(), call).await.map(|done| done.nonce)
    }
}
