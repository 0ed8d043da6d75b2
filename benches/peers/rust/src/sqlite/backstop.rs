//! Backstop through its supervisor, callers on the lanes' threads as in actix-web.

use std::sync::{Arc, Mutex};

use backstop_core::{
    backend::{Backend, Connect},
    error::ConfigError,
    policy::Policy,
};
use backstop_sql::{Execute, Query, Value};
use backstop_sqlite::{Sqlite, SqliteOptions, SqliteShared, Synchronous};
use backstop_supervisor::{BackendRef, Supervisor, SupervisorOptions, SupervisorRef};

use super::database::{Database, Durability, INSERT, SELECT, STATEMENTS};
use crate::{
    contender::Contender,
    spread::{Workers, stealing},
};

/// The recipe of the database that also keeps its counters at hand.
#[derive(Clone)]
struct Counted {
    options: SqliteOptions,
    shared: Arc<Mutex<Option<Arc<SqliteShared>>>>,
}

impl Connect for Counted {
    type Shared = SqliteShared;
    type Backend = Sqlite;

    fn share(&self) -> Result<SqliteShared, ConfigError> {
        self.options.share()
    }

    async fn connect(&self, shared: &Arc<SqliteShared>) -> Result<Sqlite, ConfigError> {
        *self.shared.lock().unwrap() = Some(Arc::clone(shared));
        self.options.connect(shared).await
    }
}

impl Counted {
    /// Commits and the operations in them so far.
    fn commits(&self) -> (f64, f64) {
        let shared = self.shared.lock().unwrap();
        shared.as_ref().map_or((0.0, 0.0), |shared| {
            let seen = shared.snapshot();
            (seen.commits_total as f64, seen.operations_total as f64)
        })
    }
}

fn hosted(database: &Database) -> (SupervisorRef, BackendRef<Sqlite>, Counted) {
    let synchronous = match database.durability() {
        Durability::Normal => Synchronous::Normal,
        Durability::Full => Synchronous::Full,
    };
    let options = SqliteOptions::file(database.path()).synchronous(synchronous).statement_cache(STATEMENTS);
    let counted = Counted { options, shared: Arc::default() };
    let (supervisor, backend) = stealing().block_on(async {
        let supervisor = Supervisor::start(SupervisorOptions::default()).unwrap();
        let backend = supervisor.add("sqlite", counted.clone(), Policy::default()).await.unwrap();
        (supervisor, backend)
    });
    assert_eq!(Sqlite::KIND, "sqlite");
    (supervisor, backend, counted)
}

/// Inserts, each answered after its commit.
pub fn inserts(name: &'static str, database: Database, threads: usize) -> Contender {
    let (supervisor, backend, counted) = hosted(&database);
    let workers = Workers::start(threads);
    Contender::new(name, move |callers, watch| {
        let _keep = (&supervisor, &database);
        let (commits, operations) = counted.commits();
        let backend = backend.clone();
        let mut sample = workers.turn(callers, watch, move |mut caller| {
            let backend = backend.clone();
            async move {
                while let Some(turn) = caller.next() {
                    let insert = Execute::new(INSERT).bind("an item").bind(turn as i64);
                    assert_eq!(backend.ask(insert).await.unwrap().affected, 1);
                }
                caller
            }
        });
        let after = counted.commits();
        sample.extra = Some((after.1 - operations) / (after.0 - commits));
        sample
    })
}

/// Point reads.
pub fn reads(name: &'static str, database: Database, threads: usize) -> Contender {
    let (supervisor, backend, _) = hosted(&database);
    let workers = Workers::start(threads);
    Contender::new(name, move |callers, watch| {
        let _keep = (&supervisor, &database);
        let backend = backend.clone();
        workers.turn(callers, watch, move |mut caller| {
            let backend = backend.clone();
            async move {
                while let Some(turn) = caller.next() {
                    let key = Database::key(turn);
                    let rows = backend.ask(Query::new(SELECT).bind(key)).await.unwrap();
                    let amount = rows.get(0).and_then(|row| row.get("amount").cloned());
                    assert_eq!(amount, Some(Value::Int(key)));
                }
                caller
            }
        })
    })
}
