//! The course of a run: start, messages and faults, stop, ledgers, checks.

use std::{future::Future, pin::pin, rc::Rc, time::Duration};

use backstop_core::{call::Deadline, clock, error::Executed};
use backstop_supervisor::ShutdownReport;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::{
    Bug, Options, Report, Role, StartError,
    books::Effect,
    checks::{self, Evidence},
    director,
    ledger::{self, Ledgers},
    report::Totals,
    schedule::Schedule,
    stage::Stage,
    view::{Sampler, View},
    worker::Work,
    workload,
};

/// How often the view is shown.
const FRAME: Duration = Duration::from_millis(250);

/// Time that the runtime has to stop.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Runs the demo and checks it; `interrupt` ends it early, in good order.
///
/// It needs a tokio runtime with timers and network.
///
/// # Errors
/// [`StartError`] says what could not be started and what it needs. A broken promise is no error: it stands
/// in the report.
pub async fn run(
    options: &Options,
    view: &mut dyn View,
    interrupt: impl Future<Output = ()>,
) -> Result<Report, StartError> {
    LocalSet::new().run_until(act(options, view, interrupt)).await
}

async fn act(
    options: &Options,
    view: &mut dyn View,
    interrupt: impl Future<Output = ()>,
) -> Result<Report, StartError> {
    let stage = Rc::new(Stage::open(options).await?);
    if options.bug == Some(Bug::DoubleWrite) {
        stage.upstream().plant_double_writes();
    }
    let observers = observe(&stage);
    let interrupted = send_messages(&stage, view, interrupt).await?;
    stage.settle().await;
    let totals = Totals::of(&stage, interrupted);
    let shutdown = stop(&stage).await;
    observers.iter().for_each(JoinHandle::abort);
    let ledgers = read_ledgers(&stage).await?;
    let checks = checks::run(&Evidence {
        options,
        books: &stage.books,
        pulse: &stage.pulse,
        chronicle: &stage.chronicle,
        episodes: &stage.episodes(),
        ledgers: &ledgers,
        counts: &totals.counts,
        shutdown: &shutdown,
    });
    Ok(Report::new(&stage, totals, shutdown, checks))
}

/// Starts to listen to the runtime and to the own pulse.
fn observe(stage: &Rc<Stage>) -> [JoinHandle<()>; 2] {
    let (listening, feeling) = (Rc::clone(stage), Rc::clone(stage));
    [
        spawn_local(async move {
            listening.chronicle.follow(listening.runtime.events(), listening.started).await
        }),
        spawn_local(async move { feeling.pulse.beat().await }),
    ]
}

/// Lets callers and faults do their work; returns when the last message has ended, and whether it was early.
async fn send_messages(
    stage: &Rc<Stage>,
    view: &mut dyn View,
    interrupt: impl Future<Output = ()>,
) -> Result<bool, StartError> {
    let callers: Vec<_> =
        (0..workload::CALLERS).map(|n| spawn_local(workload::call(Rc::clone(stage), n))).collect();
    let directors = if stage.options.faults { direct(stage) } else { Vec::new() };
    let mut interrupt = pin!(interrupt);
    let mut sampler = Sampler::new();
    let interrupted = loop {
        let is_early = tokio::time::timeout(FRAME, &mut interrupt).await.is_ok();
        view.show(&sampler.sample(stage));
        let had_time = stage.elapsed() >= stage.options.duration;
        if is_early || (had_time && directors.iter().all(JoinHandle::is_finished)) {
            break is_early;
        }
    };
    stage.end();
    for task in callers.into_iter().chain(directors) {
        task.await?;
    }
    view.show(&sampler.sample(stage));
    view.finish();
    Ok(interrupted)
}

fn direct(stage: &Rc<Stage>) -> Vec<JoinHandle<()>> {
    let schedule = Rc::new(Schedule::scaled(stage.options.duration, stage.options.seed));
    let direct = |role| spawn_local(director::direct(Rc::clone(stage), Rc::clone(&schedule), role));
    Role::ALL.into_iter().map(direct).collect()
}

async fn stop(stage: &Rc<Stage>) -> ShutdownReport {
    if stage.options.bug == Some(Bug::LeaveCall) {
        let takes = STOP_WITHIN * 4;
        let work = Work { op: stage.books.next_op(), takes };
        let left = stage.worker.ask(work).within(takes);
        spawn_local(async move { drop(left.await) });
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stage.runtime.shutdown(Deadline::at(clock::now() + STOP_WITHIN)).await
}

/// Reads what was executed, from outside; the planted bugs of this kind strike just before.
async fn read_ledgers(stage: &Stage) -> Result<Ledgers, StartError> {
    let log = stage.upstream().stop().await.map_err(StartError::Upstream)?;
    let (file, spoilt) = (stage.file.clone(), order_to_lose(stage));
    let read = tokio::task::spawn_blocking(move || {
        if let Some(op) = spoilt {
            ledger::delete_order(&file, op)?;
        }
        ledger::read_file(&file)
    });
    let (orders, integrity) = read.await??;
    let mut ledgers = Ledgers::new(integrity);
    ledgers.set(Role::Orders, orders);
    ledgers.set(Role::Pricing, log.counts());
    ledgers.set(Role::Worker, stage.desk.counts());
    Ok(ledgers)
}

/// The order that a planted bug deletes.
fn order_to_lose(stage: &Stage) -> Option<u64> {
    let bug = stage.options.bug?;
    let told = stage.books.told();
    let mut acknowledged =
        told.iter().filter(|told| told.role == Role::Orders && told.executed == Executed::Yes);
    acknowledged.find_map(|told| match (bug, told.effect) {
        (Bug::LoseAck, Effect::Write(op)) | (Bug::TearTransaction, Effect::Pair(_, op)) => Some(op),
        _ => None,
    })
}
