//! Runs one schedule on virtual time and returns what was seen.

use std::{cell::RefCell, collections::HashMap, rc::Rc, time::Duration};

use backstop_core::{
    call::Deadline,
    clock::{self, Instant},
    error::CallError,
    message::Class,
    policy::{Policy, circuit_breaker::Override},
};
use backstop_supervisor::{BackendRef, Order, SupervisorRef};
use backstop_testkit::{
    fake::{Do, Done, Fake, FakeOptions, Get, Mode, World},
    ledger::{Fate, Ledger},
    sim::{self, ms, secs},
};
use futures_util::future::{Either, join_all};

use crate::{
    check,
    coverage::Coverage,
    plan::{Act, Plan, Sent, What},
    trace::Trace,
};

/// What was seen of a schedule.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) breaches: Vec<String>,
    pub(crate) trace: u64,
    pub(crate) coverage: Coverage,
}

/// A call that must have ended 50 ms after its deadline.
const GRACE: Duration = Duration::from_millis(50);

/// The stage of one schedule; everything is on one thread.
pub(crate) struct Stage {
    pub(crate) supervisor: SupervisorRef,
    pub(crate) fake: BackendRef<Fake>,
    pub(crate) world: World,
    pub(crate) start: Instant,
    pub(crate) notes: RefCell<Notes>,
}

/// What the callers noted.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) ledger: Ledger,
    pub(crate) breaches: Vec<String>,
    pub(crate) trace: Trace,
    pub(crate) coverage: Coverage,
    /// When each message was asked, and the key of those that may share.
    pub(crate) asked: HashMap<u64, (Instant, Option<u64>)>,
    pub(crate) open_calls: usize,
    pub(crate) intake_bound: usize,
    /// `None` once there is none.
    pub(crate) places_bound: Option<usize>,
    /// When all instances of before were ordered to go, and how many there were.
    pub(crate) renewed: Vec<(Instant, u64)>,
    pub(crate) overridden: bool,
}

/// Runs the schedule of `seed`.
pub(crate) fn schedule(seed: u64) -> Seen {
    sim::run(async move {
        let plan = Plan::new(seed);
        let stage = Rc::new(Stage::new(&plan).await);
        let mut calls = Vec::new();
        for (nonce, (at, act)) in (0..).zip(&plan.acts) {
            tokio::time::sleep_until(stage.start + *at).await;
            match act {
                Act::Ask(sent) => {
                    stage.notes.borrow_mut().open_calls += 1;
                    calls.push(tokio::task::spawn_local(call(Rc::clone(&stage), nonce, sent.clone())));
                }
                act => perform(&stage, act).await,
            }
            check::step(&stage);
        }
        if plan.ends_abruptly {
            stage.drain(plan.drain).await;
        } else {
            stage.recover(&plan.policy).await;
            stage.drain(secs(2)).await;
        }
        let _ = tokio::time::timeout(secs(10), join_all(calls)).await;
        sim::settle().await;
        stage.seen()
    })
}

impl Stage {
    async fn new(plan: &Plan) -> Self {
        let (supervisor, world) = (sim::supervisor(), World::new());
        world.plan_connects(plan.connects.iter().copied());
        world.set_close(plan.close);
        let fake = supervisor
            .add("fake", FakeOptions::new(&world).lanes_max(plan.lanes_max), plan.policy.clone())
            .await
            .unwrap();
        let notes = Notes {
            intake_bound: plan.policy.intake,
            places_bound: plan.policy.concurrency,
            ..Notes::default()
        };
        for lane in 0..plan.lanes {
            fake.on_logical_lane(lane).start_lane().unwrap();
        }
        Self { supervisor, fake, world, start: clock::now(), notes: RefCell::new(notes) }
    }

    /// Ends the backend and checks that nobody is left waiting.
    async fn drain(&self, within: Duration) {
        let under_way = self.notes.borrow().open_calls;
        let deadline = Deadline::after(within);
        let report = self.supervisor.shutdown(deadline).await;
        if clock::now() > deadline.instant() + GRACE {
            self.breach(format!("a drain of {within:?} took {:?}", report.backends[0].took));
        }
        self.notes.borrow_mut().coverage.count("drain with calls under way", u64::from(under_way > 0));
        self.notes
            .borrow_mut()
            .coverage
            .count("calls given up by a drain", report.backends[0].abandoned as u64);
        sim::settle().await;
        let (left, waiting) = (self.fake.guard().in_flight(), self.notes.borrow().open_calls);
        if left > 0 || waiting > 0 {
            self.breach(format!("{left} calls under way and {waiting} callers waiting after the end"));
        }
        let refused = self.fake.ask(Do::echo(u64::MAX)).await;
        if refused.is_ok() {
            self.breach("a call was served after the end".into());
        }
    }

    /// Faults stop; then everything must work again, with every place and every flight.
    async fn recover(&self, policy: &Policy) {
        self.world.set_mode(Mode::Up);
        for order in [Order::Force(None), Order::Resume, Order::Reconfigure(Box::new(policy.clone()))] {
            self.order(order).await;
        }
        self.notes.borrow_mut().intake_bound = usize::MAX;
        tokio::time::sleep(secs(8)).await;
        self.order(Order::Reset).await;
        sim::settle().await;
        let in_flight = self.fake.guard().in_flight();
        if in_flight > 0 {
            self.breach(format!("{in_flight} calls under way though all have ended"));
        }
        let places = policy.concurrency.unwrap_or(4).min(policy.intake);
        // A routine probe may have taken a send of the rate.
        let sends = policy.rate.as_ref().map_or(places, |rate| rate.max_rate as usize - 1);
        let places = places.min(sends);
        self.world.take_active_max();
        let calls = (0..places as u64).map(|n| self.fake.ask(Do::slow(1 << 40 | n, ms(20))).within(secs(1)));
        let ok = join_all(calls).await.iter().filter(|result| result.is_ok()).count();
        let most = self.world.take_active_max();
        if ok < places || most < places {
            self.breach(format!("of {places} places {most} were used and {ok} answered after recovery"));
        }
        tokio::time::sleep(secs(1)).await;
        for key in 0..4 {
            let read = self.fake.ask(Get::slow(key, 1 << 41 | key, ms(1))).within(secs(1)).await;
            if let Err(error) = read {
                self.breach(format!("a read got no answer after recovery: {error}"));
            }
        }
    }

    pub(crate) fn breach(&self, breach: String) {
        let at = sim::millis_since(self.start);
        self.notes.borrow_mut().breaches.push(format!("at {at} ms: {breach}"));
    }

    async fn order(&self, order: Order) {
        let mut given = std::pin::pin!(self.fake.order(order));
        if tokio::time::timeout(secs(1), given.as_mut()).await.is_err() {
            self.breach("an order was not carried out within a second".into());
        }
    }

    fn seen(&self) -> Seen {
        check::end(self);
        let mut notes = self.notes.borrow_mut();
        for event in self.fake.events().since(0).events {
            notes.trace.event(sim_millis(self.start, event.at), &event.kind);
            notes.coverage.event(&event.kind);
        }
        notes.coverage.counters(&self.fake.snapshot());
        Seen {
            breaches: std::mem::take(&mut notes.breaches),
            trace: notes.trace.finish(),
            coverage: std::mem::take(&mut notes.coverage),
        }
    }
}

fn sim_millis(start: Instant, at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(start).as_micros()).unwrap_or(u64::MAX)
}

/// One caller: asks, perhaps leaves early, and notes what it was told.
async fn call(stage: Rc<Stage>, nonce: u64, sent: Sent) {
    let (start, fake) = (clock::now(), stage.fake.on_logical_lane(sent.lane));
    let (key, class) = match &sent.what {
        What::Do { class, .. } => (None, *class),
        What::Get { key, .. } => (Some(*key), Class::Read),
    };
    stage.notes.borrow_mut().asked.insert(nonce, (start, key));
    if key.is_none() {
        stage.notes.borrow_mut().ledger.sent(nonce, class);
    }
    let asked = match sent.what {
        What::Do { class, steps } => {
            Either::Left(fake.ask(Do::steps(nonce, steps).of(class)).within(sent.timeout))
        }
        What::Get { key, ttl, step } => {
            Either::Right(fake.ask(Get { key, nonce, ttl, step }).within(sent.timeout))
        }
    };
    let result = match sent.leaves_after {
        None => Some(asked.await),
        Some(after) => tokio::time::timeout(after, asked).await.ok(),
    };
    stage.notes.borrow_mut().open_calls -= 1;
    note(&stage, nonce, key, start + sent.timeout, result);
    check::step(&stage);
}

fn note(
    stage: &Stage,
    nonce: u64,
    key: Option<u64>,
    deadline: Instant,
    result: Option<Result<Done, CallError>>,
) {
    let late = clock::now().saturating_duration_since(deadline);
    if late > GRACE && result.is_some() {
        stage.breach(format!("message {nonce} ended {late:?} after its deadline"));
    }
    if let Some(Ok(done)) = &result
        && !answers(stage, nonce, key, done)
    {
        stage.breach(format!("message {nonce} got the answer of {}", done.nonce));
    }
    let mut notes = stage.notes.borrow_mut();
    let fate = result.as_ref().map_or(Fate::WentAway, Fate::of);
    let code = match &result {
        None => "went away",
        Some(Ok(_)) => "ok",
        Some(Err(error)) => error.code(),
    };
    if key.is_none() {
        notes.ledger.told(nonce, fate);
    }
    notes.trace.fate(sim_millis(stage.start, clock::now()), nonce, fate, code);
    notes.coverage.count(code, 1);
}

/// Whether the answer belongs to the message, or to one that may share with it.
fn answers(stage: &Stage, nonce: u64, key: Option<u64>, done: &Done) -> bool {
    let notes = stage.notes.borrow();
    done.nonce == nonce || key.is_some() && notes.asked.get(&done.nonce).is_some_and(|asked| asked.1 == key)
}

async fn perform(stage: &Rc<Stage>, act: &Act) {
    match act {
        Act::Ask(_) => {}
        Act::Mode(mode) => stage.world.set_mode(mode.clone()),
        Act::Restart => {
            let built = stage.world.instances();
            stage.order(Order::Restart { reason: "planned".into() }).await;
            renewed(stage, built);
        }
        Act::Replace => {
            let recipe = FakeOptions::new(&stage.world).label(1);
            let built = stage.world.instances();
            stage.supervisor.replace(&stage.fake, recipe).await.unwrap();
            renewed(stage, built);
        }
        Act::Trip(time) => stage.order(Order::Trip { reason: "planned".into(), open_for: Some(*time) }).await,
        Act::Reset => stage.order(Order::Reset).await,
        Act::Force(mode, time) => {
            stage.notes.borrow_mut().overridden = true;
            let order = Override::new(*mode, "simulation", "planned").until(clock::now() + *time);
            stage.order(Order::Force(Some(order))).await;
        }
        Act::Lift => stage.order(Order::Force(None)).await,
        Act::Pause(time) => {
            stage.order(Order::Pause).await;
            let (stage, time) = (Rc::clone(stage), *time);
            tokio::task::spawn_local(async move {
                tokio::time::sleep(time).await;
                // Refused once the end has begun, which is as it should be.
                let _ = stage.fake.order(Order::Resume).await;
            });
        }
        Act::Probe => stage.order(Order::Probe).await,
        Act::Reconfigure { intake, concurrency } => {
            let mut policy = Policy::clone(&stage.fake.guard().policy());
            policy.intake = *intake;
            policy.concurrency = Some(*concurrency);
            {
                let mut notes = stage.notes.borrow_mut();
                notes.intake_bound = notes.intake_bound.max(*intake);
                notes.places_bound = notes.places_bound.map(|bound| bound.max(*concurrency));
            }
            stage.order(Order::Reconfigure(Box::new(policy))).await;
        }
        Act::CancelByOperator(index) => {
            let calls = stage.fake.in_flight().await;
            if let Some(call) = calls.get(*index) {
                let cancelled = stage.fake.cancel(call.op).await;
                stage.notes.borrow_mut().coverage.count("cancelled by an operator", u64::from(cancelled));
            }
        }
        Act::ProbePanics => stage.world.plan_probe_panics(1),
        Act::Invalidate => stage.fake.guard().invalidate_tag("fake"),
    }
}

/// The instances that were built before the order serve nothing new after it.
fn renewed(stage: &Stage, built: u64) {
    stage.notes.borrow_mut().renewed.push((clock::now(), built));
}
