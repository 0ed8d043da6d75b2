//! One cap for the lanes of many threads.

use std::{
    sync::{Arc, mpsc},
    thread,
};

use backstop_core::{call::Deadline, clock, policy::Policy};
use backstop_postgres::{
    PostgresOptions,
    sql::{Execute, Query, QueryAs, crud::InsertOne},
};
use backstop_supervisor::{Supervisor, SupervisorOptions, attach_thread};
use backstop_testkit::{ledger::Fate, server::Postgres};
use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::support::{LONG, lane, until};

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
                    lane(async {
                        attach_thread();
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

/// The number of a write, and where its fate is told if its caller lives to hear it.
type Told = (i64, mpsc::Receiver<Fate>);
type Backend = backstop_supervisor::BackendRef<backstop_postgres::Postgres>;

/// A thread with a lane of its own and calls under way; it ends when it is told to, in the middle of them.
fn doomed(backend: &Backend, round: i64) -> (oneshot::Sender<()>, thread::JoinHandle<Vec<Told>>) {
    let (end, ended) = oneshot::channel();
    let backend = backend.clone();
    let thread = thread::spawn(move || {
        let mut told = Vec::new();
        lane(async {
            attach_thread();
            for n in round * 6..(round + 1) * 6 {
                let (tell, is_told) = mpsc::channel();
                told.push((n, is_told));
                let backend = backend.clone();
                tokio::task::spawn_local(async move {
                    // some sleep at the server, some share connections, some wait for one
                    let fate = if n % 3 == 0 {
                        let write = Execute::new("INSERT INTO t SELECT $1 FROM pg_sleep(5)").bind(n);
                        Fate::of(&backend.ask(write).within(LONG).await)
                    } else if n % 3 == 1 {
                        let read = Query::new("SELECT pg_sleep(5)");
                        Fate::of(&backend.ask(read).within(LONG).await)
                    } else {
                        let insert = InsertOne::new("t", [("n", n)]).without_id();
                        Fate::of(&backend.ask(insert).within(LONG).await)
                    };
                    let _ = tell.send(fate);
                });
            }
            ended.await.unwrap();
        });
        told
    });
    (end, thread)
}

#[test]
fn a_thread_that_ends_amid_its_calls_gives_its_connections_back_and_its_neighbour_goes_on() {
    let database = Postgres::shared().unwrap().fresh_database().unwrap();
    database.sql("CREATE TABLE t (n bigint);").unwrap();
    let count = |what: &str| -> usize {
        let (name, from) = (database.name(), "pg_stat_activity WHERE application_name =");
        database.sql(&format!("SELECT count(*) FROM {from} '{name}' AND {what};")).unwrap().parse().unwrap()
    };
    lane(async {
        let supervisor = Supervisor::start(SupervisorOptions::default()).unwrap();
        let options = PostgresOptions::url(database.url()).application_name(database.name());
        let options = options.pool_size(8).max_overflow(0);
        let backend = supervisor.add("pg", options, Policy::default()).await.unwrap();
        // the neighbour: this thread
        attach_thread();
        let neighbour = async |rounds: i64| {
            for n in 0..rounds {
                let own = backend.ask(QueryAs::<i64>::new("SELECT $1::int8").bind(n)).within(LONG).await;
                assert_eq!(own.unwrap(), [n]);
            }
        };
        neighbour(10).await;
        for round in 0..4 {
            let (end, thread) = doomed(&backend, round);
            until("statements under way", async || count("wait_event = 'PgSleep'") >= 2).await;
            neighbour(20).await;
            end.send(()).unwrap();
            neighbour(20).await;
            let told = thread.join().unwrap();
            for (n, fate) in told {
                let there = database.sql(&format!("SELECT count(*) FROM t WHERE n = {n};")).unwrap();
                let is_acknowledged = fate.try_recv() == Ok(Fate::Acknowledged);
                let is_right = if is_acknowledged { there == "1" } else { there == "0" || there == "1" };
                assert!(is_right || n % 3 == 1, "{n}: {there} times");
            }
            // its statements are stopped, or at least nobody waits for them, and its places are free
            let places =
                join_all((0..8).map(|_| backend.ask(Query::new("SELECT pg_sleep(0.05)")).within(LONG))).await;
            places.into_iter().for_each(|read| drop(read.unwrap()));
        }
        until("an idle backend", async || backend.pool().await.active == 0).await;
        supervisor.shutdown(Deadline::after(LONG)).await;
    });
}
