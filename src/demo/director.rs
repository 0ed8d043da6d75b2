//! Carries the schedule out: begins and ends each fault, then waits until its backend has recovered.

use std::{rc::Rc, time::Duration};

use backstop_core::{
    clock::{self, Instant},
    policy::circuit_breaker::{BreakerState, Override, OverrideMode},
};
use backstop_supervisor::Order;
use serde::Serialize;

use super::{
    Bug, Role,
    chronicle::millis,
    lock::FileLock,
    schedule::{Fault, FaultKind, Schedule},
    servers::{self, Engine},
    stage::Stage,
    upstream::Mode,
    workload,
};

/// How often it is looked whether a backend has recovered.
const LOOK: Duration = Duration::from_millis(5);

/// Calls that panic in one fault of that kind.
const PANICS: u32 = 3;

/// The burst, in multiples of the worker's intake.
const BURST: usize = 6;

/// What each call of the burst takes.
const BURST_TAKES: Duration = Duration::from_millis(10);

/// A fault as it went.
#[derive(Clone, Debug, Serialize)]
pub struct Episode {
    /// What went wrong.
    pub kind: FaultKind,
    /// Whom it hit.
    pub backend: Role,
    /// When it began, in milliseconds from the start of the run.
    pub began_ms: u64,
    /// When it ended; `None` if the run ended first.
    pub ended_ms: Option<u64>,
    /// Messages to its backend that were refused or failed before it had recovered.
    pub messages_hit: u64,
    /// Time from its end until a message that was asked after it succeeded and the breaker was closed.
    pub recovered_after_ms: Option<u64>,
    /// Why it could not be carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip)]
    complete: bool,
}

impl Episode {
    /// Says whether the run lasted until its backend had had time to recover.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}

/// Carries out the faults of one backend, one after the other.
pub(super) async fn direct(stage: Rc<Stage>, schedule: Rc<Schedule>, role: Role) {
    for fault in schedule.track(role) {
        stage.sleep_until(stage.started + fault.starts).await;
        if stage.is_over() {
            return;
        }
        let hit_before = stage.books.trouble(role);
        let at = stage.episode_begins(role, fault.kind);
        let carried_out = carry_out(&stage, fault).await;
        let ended = clock::now();
        stage.episode_ends(at, ended, carried_out.err());
        plant_after(&stage, fault.kind).await;
        let recovered = recovery(&stage, fault, ended).await;
        stage.edit_episode(at, |episode| {
            episode.complete = recovered.is_some() || !stage.is_over();
            episode.recovered_after_ms = recovered.map(millis);
            episode.messages_hit = stage.books.trouble(role) - hit_before;
        });
    }
}

/// Begins a fault, lets it last, and ends it.
async fn carry_out(stage: &Rc<Stage>, fault: Fault) -> Result<(), String> {
    let lasts_until = clock::now() + fault.lasts;
    let during = |mode| async move {
        stage.upstream().set_mode(mode);
        stage.sleep_until(lasts_until).await;
        stage.upstream().set_mode(Mode::Well);
    };
    match fault.kind {
        FaultKind::Slow => during(Mode::Slow(stage.slow_answer())).await,
        FaultKind::Fails => during(Mode::Failing).await,
        FaultKind::Hangs => during(Mode::Hanging).await,
        FaultKind::Dies => {
            stage.upstream().die().await;
            stage.sleep_until(lasts_until).await;
            stage.upstream().revive().await.map_err(|error| format!("cannot listen again: {error}"))?;
        }
        FaultKind::Panics => panics(stage, lasts_until).await,
        FaultKind::Burst => burst(stage).await,
        FaultKind::Locked => {
            let lock = FileLock::take(&stage.file).await?;
            stage.sleep_until(lasts_until).await;
            lock.release().await?;
        }
        FaultKind::Killed => strike(stage, fault.role, lasts_until, Engine::kill, Engine::restart).await?,
        FaultKind::Paused => strike(stage, fault.role, lasts_until, Engine::pause, Engine::resume).await?,
    }
    Ok(())
}

/// Does something to a server and takes it back when its time is over.
async fn strike(
    stage: &Stage,
    role: Role,
    lasts_until: Instant,
    begin: fn(&Engine) -> Result<(), String>,
    end: fn(&Engine) -> Result<(), String>,
) -> Result<(), String> {
    let engine = stage.servers.get(role).ok_or("there is no such server")?;
    let begun = servers::with(engine, begin).await;
    stage.sleep_until(lasts_until).await;
    // also after half a beginning: what follows needs the server
    let ended = servers::with(engine, end).await;
    begun.and(ended)
}

/// Makes calls panic, and sees to it that there are some.
async fn panics(stage: &Rc<Stage>, lasts_until: Instant) {
    stage.desk.light_fuse(PANICS);
    let give_up = lasts_until + stage.recovery_max();
    while stage.desk.is_lit() && clock::now() < give_up && !stage.is_over() {
        tokio::time::sleep(LOOK).await;
    }
    stage.desk.light_fuse(0);
}

/// Asks far more at once than the worker takes in.
async fn burst(stage: &Rc<Stage>) {
    let calls = (0..stage.worker_intake() * BURST).map(|_| {
        let stage = Rc::clone(stage);
        tokio::task::spawn_local(async move { workload::work(&stage, None, BURST_TAKES).await })
    });
    for call in calls.collect::<Vec<_>>() {
        // it has no panic of its own, and its fate is in the books
        let _ = call.await;
    }
}

/// Waits until a message that was asked after the fault succeeds and the breaker is closed.
async fn recovery(stage: &Stage, fault: Fault, since: Instant) -> Option<Duration> {
    let give_up = since + stage.recovery_max();
    // reads pass under another connection's write lock, so only a write shows that it is gone
    let writes = fault.kind == FaultKind::Locked;
    loop {
        let now = clock::now();
        let closed = stage.breaker_state(fault.role) == BreakerState::Closed;
        if closed && stage.books.succeeded_since(fault.role, writes, since) {
            return Some(now.saturating_duration_since(since));
        }
        if now >= give_up || stage.is_over() {
            return None;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn plant_after(stage: &Stage, kind: FaultKind) {
    if stage.options.bug == Some(Bug::StayOpen) && kind == FaultKind::Dies {
        let order = Override::new(OverrideMode::ForcedOpen, "demo", "a planted bug");
        // an error would show as a bug that was not caught
        let _ = stage.pricing.order(Order::Force(Some(order))).await;
    }
}

impl Episode {
    pub(super) fn begun(backend: Role, kind: FaultKind, began_ms: u64) -> Self {
        Self {
            kind,
            backend,
            began_ms,
            ended_ms: None,
            messages_hit: 0,
            recovered_after_ms: None,
            error: None,
            complete: false,
        }
    }
}
