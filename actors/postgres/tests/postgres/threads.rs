//! One cap for the lanes of many threads.

use std::{
    sync::{Arc, mpsc},
    thread,
};

use backstop_core::{call::Deadline, clock, policy::Policy};
use backstop_postgres::{PostgresOptions, sql::Query};
use backstop_supervisor::{Supervisor, SupervisorOptions, attach_thread};
use backstop_testkit::server::Postgres;

use crate::support::{LONG, lane};

/// How many threads ask, with a lane of their own where there may be one.
const THREADS: usize = 8;

#[test]
fn eight_threads_share_four_connections_and_every_call_is_served() {
    let database = Postgres::shared().unwrap().fresh_database().unwrap();
    let sessions = || -> usize {
        let sql =
            format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{}';", database.name());
        database.sql(&sql).unwrap().parse().unwrap()
    };
    lane(async {
        let supervisor = Supervisor::start(SupervisorOptions::default()).unwrap();
        let options = PostgresOptions::url(database.url()).application_name(database.name());
        let options = options.pool_size(4).max_overflow(0);
        let backend = supervisor.add("pg", options, Policy::default()).await.unwrap();
        let (done, is_done) = mpsc::channel();
        let all = Arc::new(tokio::sync::Barrier::new(THREADS));
        let given_up = clock::now() + LONG;
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (backend, done, all) = (backend.clone(), done.clone(), Arc::clone(&all));
                thread::spawn(move || {
                    attach_thread();
                    lane(async {
                        for _ in 0..40 {
                            backend.ask(Query::new("SELECT pg_sleep(0.002)")).within(LONG).await.unwrap();
                        }
                        done.send(()).unwrap();
                        // a lane ends with its thread, and some are served by a neighbour's
                        all.wait().await;
                    });
                })
            })
            .collect();
        let mut most = 0;
        let mut ended = 0;
        while ended < THREADS {
            assert!(clock::now() < given_up, "{ended} threads were served");
            most = most.max(sessions());
            ended += is_done.try_iter().count();
            tokio::task::yield_now().await;
        }
        for thread in threads {
            thread.join().unwrap();
        }
        // the server takes a moment to see that a socket was closed
        assert!((1..=5).contains(&most), "{most}");
        backend.ask(Query::new("SELECT 1")).within(LONG).await.unwrap();
        supervisor.shutdown(Deadline::after(LONG)).await;
    });
}
