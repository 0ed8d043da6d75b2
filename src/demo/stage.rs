//! What a run works with: the runtime and its backends, the books, the faults so far.

mod policies;

use std::{
    cell::{Cell, Ref, RefCell},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use backstop_core::{
    backend::Backend,
    call::Deadline,
    clock::{self, Instant},
    error::CallError,
    policy::circuit_breaker::BreakerState,
};
use backstop_http::{Http, HttpOptions};
use backstop_mysql::{MySql, MySqlOptions};
use backstop_postgres::{Postgres, PostgresOptions};
use backstop_sql::Execute;
use backstop_sqlite::{Sqlite, SqliteOptions, Synchronous};
use backstop_supervisor::{BackendRef, BackendSnapshot};
use serde_json::Value;
use tokio::sync::watch;

use super::{
    Options, Role, StartError,
    books::Books,
    checks::RuntimeCounts,
    chronicle::{Chronicle, millis},
    director::Episode,
    pulse::Pulse,
    schedule::FaultKind,
    servers::Servers,
    upstream::Upstream,
    worker::{Desk, Worker, WorkerOptions},
};
use crate::{
    orchestrator::{Batch, End, LookupError},
    runtime::{Builder, Runtime},
};

/// The ledger of the database; a second entry with the same number is refused by the engine.
const SCHEMA: &str = "CREATE TABLE orders (op_id INTEGER NOT NULL UNIQUE, note TEXT NOT NULL)";

/// Inserts an order that must not be there yet.
pub(super) const INSERT: &str = "INSERT INTO orders (op_id, note) VALUES (?, ?)";

/// Inserts an order unless it is there.
pub(super) const INSERT_KEYED: &str =
    "INSERT INTO orders (op_id, note) VALUES (?, ?) ON CONFLICT (op_id) DO NOTHING";

/// Events that the runtime keeps; far more than happen between two looks.
const EVENTS: usize = 16_384;

/// Everything that callers, director and view share; it stays on one thread.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) options: Options,
    pub(super) runtime: Runtime,
    pub(super) orders: BackendRef<Sqlite>,
    pub(super) pricing: BackendRef<Http>,
    pub(super) worker: BackendRef<Worker>,
    pub(super) payments: Option<BackendRef<Postgres>>,
    pub(super) savings: Option<BackendRef<MySql>>,
    pub(super) servers: Servers,
    pub(super) desk: Arc<Desk>,
    pub(super) file: PathBuf,
    pub(super) started: Instant,
    pub(super) books: Books,
    pub(super) pulse: Pulse,
    pub(super) chronicle: Chronicle,
    /// Counts the messages that a planted bug may spoil.
    pub(super) spoilt: Cell<u64>,
    upstream: Upstream,
    /// Deletes the file at the end.
    _directory: tempfile::TempDir,
    before: [RuntimeCounts; Role::ALL.len()],
    episodes: RefCell<Vec<Episode>>,
    over: watch::Sender<bool>,
}

impl Stage {
    /// Starts the servers and the supervised backends.
    pub(super) async fn open(
        options: &Options,
        servers: Servers,
        chronicle: Chronicle,
    ) -> Result<Self, StartError> {
        let directory = tempfile::tempdir().map_err(StartError::Directory)?;
        let file = directory.path().join("demo.db");
        let upstream = Upstream::start().await.map_err(StartError::Upstream)?;
        let desk = Arc::<Desk>::default();
        let database = SqliteOptions::file(&file)
            // the demo outlives no loss of power, and some disks sync slowly
            .synchronous(Synchronous::Normal)
            .busy_timeout(options.call_timeout());
        let mut api = HttpOptions::new(&format!("http://{}/", upstream.address()))
            .map_err(|error| StartError::Settings(error.to_string()))?;
        api.probe_path = "health".into();
        let builder = Runtime::builder()
            .events(EVENTS)
            .backend(Role::Orders.name(), database, policies::of(Role::Orders, options))
            .backend(Role::Pricing.name(), api, policies::of(Role::Pricing, options))
            .typed_backend(
                Role::Worker.name(),
                WorkerOptions { desk: Arc::clone(&desk) },
                policies::of(Role::Worker, options),
            );
        let runtime = with_servers(builder, &servers, options).start().await?;
        let orders = runtime.backend::<Sqlite>(Role::Orders.name())?;
        orders.ask(Execute::new(SCHEMA)).within(Duration::from_secs(10)).await.map_err(StartError::Schema)?;
        let stage = Self {
            options: options.clone(),
            pricing: runtime.backend(Role::Pricing.name())?,
            worker: runtime.backend(Role::Worker.name())?,
            payments: taking_part(&servers, Role::Payments, |name| runtime.backend(name))?,
            savings: taking_part(&servers, Role::Savings, |name| runtime.backend(name))?,
            servers,
            orders,
            desk,
            file,
            started: clock::now(),
            books: Books::new(options.bug),
            pulse: Pulse::default(),
            chronicle,
            spoilt: Cell::new(0),
            upstream,
            _directory: directory,
            before: Default::default(),
            episodes: RefCell::default(),
            over: watch::Sender::new(false),
            runtime,
        };
        Ok(Self { before: stage.counts(), ..stage })
    }

    /// Time that a call has.
    pub(super) fn timeout(&self) -> Duration {
        self.options.call_timeout()
    }

    /// What a slow answer takes: within the deadline, and beyond what the breaker takes for slow.
    pub(super) fn slow_answer(&self) -> Duration {
        self.timeout() * 8 / 10
    }

    /// The longest time that a recovery may take.
    pub(super) fn recovery_max(&self) -> Duration {
        (self.options.duration / 2).clamp(Duration::from_secs(4), Duration::from_secs(10))
    }

    /// Calls that the worker takes in.
    pub(super) fn worker_intake(&self) -> usize {
        policies::WORKER_INTAKE
    }

    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    pub(super) fn breaker_state(&self, role: Role) -> BreakerState {
        match role {
            Role::Orders => self.orders.breaker_state(),
            Role::Pricing => self.pricing.breaker_state(),
            Role::Worker => self.worker.breaker_state(),
            Role::Payments => state_of(self.payments.as_ref()),
            Role::Savings => state_of(self.savings.as_ref()),
        }
    }

    /// Returns the view of a backend, if it takes part.
    pub(super) fn snapshot(&self, role: Role) -> Option<BackendSnapshot> {
        match role {
            Role::Orders => Some(self.orders.snapshot()),
            Role::Pricing => Some(self.pricing.snapshot()),
            Role::Worker => Some(self.worker.snapshot()),
            Role::Payments => self.payments.as_ref().map(BackendRef::snapshot),
            Role::Savings => self.savings.as_ref().map(BackendRef::snapshot),
        }
    }

    /// Walks over the backends that take part.
    pub(super) fn cast(&self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(|role| !role.is_server() || self.servers.get(*role).is_some())
    }

    /// Asks by name.
    pub(super) async fn execute(
        &self,
        role: Role,
        operation: &str,
        arguments: Value,
    ) -> Result<Value, CallError> {
        use crate::orchestrator::Member;
        self.runtime.orchestrator().execute(role.name(), operation, arguments).limited(self.timeout()).await
    }

    /// Runs a batch; a batch that is wrong as a whole would be a bug of the demo.
    pub(super) async fn batch(&self, batch: Batch) -> Vec<End> {
        let report = self.runtime.orchestrator().batch(batch).await;
        report.map(|report| report.results.into_iter().map(|item| item.end).collect()).unwrap_or_default()
    }

    /// Waits until `at`, or until the run is over.
    pub(super) async fn sleep_until(&self, at: Instant) {
        let mut over = self.over.subscribe();
        // both ends mean the same; the sender lives as long as the stage
        let _ = tokio::time::timeout_at(at, over.wait_for(|over| *over)).await;
    }

    /// Tells everyone that no new message is wanted.
    pub(super) fn end(&self) {
        self.over.send_replace(true);
    }

    pub(super) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        clock::now().saturating_duration_since(self.started)
    }

    /// Notes that a fault begins; returns its position.
    pub(super) fn episode_begins(&self, role: Role, kind: FaultKind) -> usize {
        let at = self.elapsed();
        self.chronicle.say(at, format!("{:<8} fault begins: {}", role.name(), kind.summary()));
        let mut episodes = self.episodes.borrow_mut();
        episodes.push(Episode::begun(role, kind, millis(at)));
        episodes.len() - 1
    }

    /// Notes that a fault has ended.
    pub(super) fn episode_ends(&self, position: usize, at: Instant, error: Option<String>) {
        let at = at.saturating_duration_since(self.started);
        self.edit_episode(position, |episode| {
            episode.ended_ms = Some(millis(at));
            episode.error = error;
            let (backend, kind) = (episode.backend.name(), episode.kind.name());
            self.chronicle.say(at, format!("{backend:<8} fault ends: {kind}"));
        });
    }

    pub(super) fn edit_episode(&self, position: usize, edit: impl FnOnce(&mut Episode)) {
        self.episodes.borrow_mut().get_mut(position).map(edit);
    }

    pub(super) fn episodes(&self) -> Ref<'_, Vec<Episode>> {
        self.episodes.borrow()
    }

    /// What the runtime has counted since the start.
    pub(super) fn counts(&self) -> [RuntimeCounts; Role::ALL.len()] {
        Role::ALL.map(|role| {
            let counts = self.snapshot(role).map(|snapshot| RuntimeCounts::of(&snapshot));
            counts.unwrap_or_default().since(self.before[role.index()])
        })
    }

    /// Waits until no call is under way, but not for long.
    pub(super) async fn settle(&self) {
        let give_up = Deadline::after(Duration::from_secs(3));
        let busy = || self.counts().iter().any(|counts| counts.in_flight > 0);
        while busy() && !give_up.is_past(clock::now()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Adds the servers that run.
fn with_servers(mut builder: Builder, servers: &Servers, options: &Options) -> Builder {
    for (role, engine) in servers.running() {
        let (name, policy) = (role.name(), policies::of(role, options));
        builder = match role {
            Role::Savings => builder.backend(name, MySqlOptions::url(engine.url()), policy),
            _ => builder.backend(name, PostgresOptions::url(engine.url()), policy),
        };
    }
    builder
}

fn taking_part<B>(
    servers: &Servers,
    role: Role,
    find: impl FnOnce(&str) -> Result<B, LookupError>,
) -> Result<Option<B>, LookupError> {
    servers.get(role).map(|_| find(role.name())).transpose()
}

/// The breaker of a backend that takes no part is never open.
fn state_of<B: Backend>(backend: Option<&BackendRef<B>>) -> BreakerState {
    backend.map_or(BreakerState::Closed, BackendRef::breaker_state)
}
