//! Servers and sessions that are killed, stopped and continued.

use std::{cell::RefCell, rc::Rc, time::Duration};

use backstop_core::{call::Deadline, clock, error::Executed, message::Class, policy::Policy};
use backstop_postgres::{
    PostgresOptions,
    sql::{Execute, Query, QueryAs},
};
use backstop_testkit::{
    ledger::{Fate, Ledger},
    server::{Postgres, PostgresSetup},
    sim,
};

use crate::support::{Db, LONG, ask, lane, until};

fn own() -> Postgres {
    Postgres::start(PostgresSetup::default()).unwrap()
}

#[test]
fn a_server_killed_under_load_loses_no_acknowledged_row_and_doubles_none() {
    lane(async {
        let server = Rc::new(own());
        server.sql("CREATE TABLE t (n bigint);").unwrap();
        let supervisor = sim::supervisor();
        let options = PostgresOptions::url(server.url()).pool_size(6).max_overflow(0);
        let backend = supervisor.add("pg", options, Policy::default()).await.unwrap();
        let (ledger, next) = (Rc::new(RefCell::new(Ledger::default())), Rc::new(RefCell::new(0_u64)));
        let is_over = Rc::new(std::cell::Cell::new(false));
        let writers: Vec<_> = (0..12)
            .map(|at| {
                let (backend, ledger, next, is_over) =
                    (backend.clone(), Rc::clone(&ledger), Rc::clone(&next), Rc::clone(&is_over));
                tokio::task::spawn_local(async move {
                    while !is_over.get() {
                        if at % 3 == 0 {
                            let _ = backend.ask(Query::new("SELECT count(*) FROM t")).within(LONG / 10).await;
                            continue;
                        }
                        let nonce = next.replace_with(|nonce| *nonce + 1);
                        ledger.borrow_mut().sent(nonce, Class::Unsafe);
                        let write =
                            Execute::new("INSERT INTO t VALUES ($1)").bind(i64::try_from(nonce).unwrap());
                        let result = backend.ask(write).within(LONG / 10).await;
                        ledger.borrow_mut().told(nonce, Fate::of(&result));
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                })
            })
            .collect();
        let acknowledged = || ledger.borrow().count(Fate::Acknowledged);
        until("load", async || acknowledged() > 200).await;
        server.kill().unwrap();
        until("an outage", async || ledger.borrow().count(Fate::Ended(Executed::No)) > 0).await;
        server.restart().unwrap();
        let before = acknowledged();
        until("recovery", async || acknowledged() > before + 200).await;
        is_over.set(true);
        for writer in writers {
            writer.await.unwrap();
        }
        let rows = server.sql("SELECT n FROM t;").unwrap();
        let mut counts = std::collections::HashMap::<u64, u32>::new();
        rows.lines().for_each(|n| *counts.entry(n.parse().unwrap()).or_default() += 1);
        let breaches = ledger.borrow().breaches(|nonce| counts.get(&nonce).copied().unwrap_or(0));
        assert_eq!(breaches, Vec::<String>::new());
        assert_eq!(backend.snapshot().guard.incarnations, 1);
        supervisor.shutdown(Deadline::after(LONG)).await;
    });
}

#[test]
fn a_terminated_session_ends_its_own_call_and_no_other() {
    lane(async {
        let db = Db::with(|options| options.pool_size(3).max_overflow(0)).await;
        db.run("CREATE TABLE t (n int)").await;
        let victim = db.start(LONG, Execute::new("INSERT INTO t SELECT 1 FROM pg_sleep(20)"));
        let other = db.start(LONG, Query::new("SELECT pg_sleep(0.5), 'other'"));
        db.until_session("query LIKE 'INSERT INTO t SELECT 1%' AND wait_event = 'PgSleep'").await;
        db.database
            .sql(&format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{}' AND query LIKE 'INSERT INTO t SELECT 1%';",
                db.database.name()
            ))
            .unwrap();
        let end = victim.await.unwrap().unwrap_err();
        assert_ne!(end.executed(), Executed::Yes, "{end:?}");
        other.await.unwrap().unwrap();
        let started = clock::now();
        assert_eq!(db.int("SELECT count(*) FROM t").await, 0);
        assert!(clock::now() - started < Duration::from_secs(1));
        assert_eq!(db.shared.snapshot().closed_total.broken, 1);
    });
}

#[test]
fn idle_sessions_that_died_are_found_before_they_are_lent() {
    lane(async {
        let db = Db::with(|options| options.pool_size(4).max_overflow(0)).await;
        let calls: Vec<_> = (0..4).map(|_| db.start(LONG, Query::new("SELECT pg_sleep(0.05)"))).collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        db.database
            .sql(&format!(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = '{}';",
                db.database.name()
            ))
            .unwrap();
        until("the end of the sessions", async || db.shared.snapshot().connections == 0).await;
        for _ in 0..8 {
            assert_eq!(db.int("SELECT 1").await, 1);
        }
    });
}

#[test]
fn a_stopped_session_ends_its_call_at_the_deadline_and_is_never_lent_again() {
    lane(async {
        let server = own();
        let db = Db::on(&server, |options| options.pool_size(1).max_overflow(0)).await;
        db.run("CREATE TABLE t (n int)").await;
        db.run("INSERT INTO t VALUES (1)").await;
        let pid = u32::try_from(db.int("SELECT pg_backend_pid()").await).unwrap();
        server.pause_one(pid).unwrap();
        let (started, within) = (clock::now(), Duration::from_millis(300));
        let end = db.ask_in(within, Execute::new("INSERT INTO t VALUES (1)")).await.unwrap_err();
        assert_eq!(end.executed(), Executed::Unknown, "{end:?}");
        assert!(clock::now() - started < within + Duration::from_millis(300));
        // another connection takes its place, although there may be only one
        assert_ne!(u32::try_from(db.int("SELECT pg_backend_pid()").await).unwrap(), pid);
        server.resume_one(pid).unwrap();
        until("the end of the stopped session", async || db.sessions(&format!("pid = {pid}")) == 0).await;
        for _ in 0..20 {
            assert_eq!(db.int("SELECT 7").await, 7);
        }
        assert_eq!(db.shared.snapshot().closed_total.in_doubt, 1);
    });
}

#[test]
fn a_server_that_stands_still_ends_every_call_at_its_deadline_and_goes_on_afterwards() {
    lane(async {
        let server = own();
        let db = Db::on(&server, |options| options.pool_size(4).max_overflow(0)).await;
        db.run("CREATE TABLE t (n bigint)").await;
        server.pause().unwrap();
        let (started, within) = (clock::now(), Duration::from_millis(300));
        let calls: Vec<_> =
            (0..8_i64).map(|n| db.start(within, Execute::new("INSERT INTO t VALUES ($1)").bind(n))).collect();
        let mut fates = Vec::new();
        for call in calls {
            fates.push(call.await.unwrap().unwrap_err().executed());
        }
        assert!(clock::now() - started < within + Duration::from_millis(300));
        assert!(!fates.contains(&Executed::Yes));
        server.resume().unwrap();
        until("service", async || {
            ask(&*db.lane, &Query::new("SELECT 1"), Duration::from_secs(2)).await.is_ok()
        })
        .await;
        until("a settled pool", async || db.shared.snapshot().active == 0).await;
        let rows = db.ask(QueryAs::<i64>::new("SELECT n FROM t")).await.unwrap();
        for (n, fate) in (0..).zip(fates) {
            assert!(fate == Executed::Unknown || !rows.contains(&n), "{n}: {fate:?}");
        }
    });
}
