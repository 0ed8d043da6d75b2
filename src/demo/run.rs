//! The course of a run: start, messages and faults, stop, ledgers, checks.

use std::{future::Future, pin::pin, rc::Rc, time::Duration};

use backstop_core::{call::Deadline, clock};
use backstop_supervisor::ShutdownReport;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::{
    Bug, Options, Report, Role, StartError, audit,
    checks::{self, Evidence},
    chronicle::Chronicle,
    director,
    options::Presence,
    report::Totals,
    schedule::Schedule,
    servers::Servers,
    stage::Stage,
    view::{Sampler, Scene, View},
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
    let chronicle = Chronicle::default();
    let servers = start_servers(options, &chronicle, view).await?;
    let stage = Rc::new(Stage::open(options, servers, chronicle).await?);
    if options.bug == Some(Bug::DoubleWrite) {
        stage.upstream().plant_double_writes();
    }
    let observers = observe(&stage);
    let interrupted = send_messages(&stage, view, interrupt).await?;
    stage.settle().await;
    let totals = Totals::of(&stage, interrupted);
    let shutdown = stop(&stage).await;
    observers.iter().for_each(JoinHandle::abort);
    let ledgers = audit::read(&stage).await?;
    let checks = checks::run(&Evidence {
        options,
        books: &stage.books,
        pulse: &stage.pulse,
        chronicle: &stage.chronicle,
        episodes: &stage.episodes(),
        ledgers: &ledgers,
        counts: &totals.counts,
        backends: stage.cast().count(),
        shutdown: &shutdown,
    });
    Ok(Report::new(&stage, totals, shutdown, checks))
}

/// Starts the servers, and says which ones are left out and why.
async fn start_servers(
    options: &Options,
    chronicle: &Chronicle,
    view: &mut dyn View,
) -> Result<Servers, StartError> {
    let mut tell = |text: String| {
        chronicle.say(Duration::ZERO, text);
        let events = chronicle.lines_since(0);
        view.show(&Scene { duration: options.duration, seed: options.seed, events, ..Scene::default() });
    };
    for role in Role::SERVERS.into_iter().filter(|role| options.presence(*role) != Presence::Never) {
        tell(format!("{:<8} looking for {}", role.name(), role.server()));
    }
    let servers = Servers::start(options).await?;
    for left in &servers.left_out {
        tell(format!("{:<8} left out: {}", left.backend.name(), left.reason));
    }
    Ok(servers)
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
    let callers: Vec<_> = workload::callers(stage)
        .into_iter()
        .map(|caller| spawn_local(workload::call(Rc::clone(stage), caller)))
        .collect();
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
    stage.cast().map(direct).collect()
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
