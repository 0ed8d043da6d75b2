//! Statements of many and shared reads while the server is killed or stands still.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use backstop_core::{
    call::Deadline,
    clock,
    error::Executed,
    message::Class,
    policy::{Policy, circuit_breaker::BreakerPolicy},
};
use backstop_postgres::{
    PostgresOptions,
    sql::{
        Query, QueryAs,
        crud::{InsertOne, SelectOne},
    },
};
use backstop_testkit::{
    ledger::{Fate, Ledger},
    server::{Postgres, PostgresSetup},
    sim,
};
use futures_util::future::join_all;

use crate::support::{Db, LONG, lane, until};

#[test]
fn pg1_a_kill_under_inserts_and_look_ups_of_many_loses_no_acknowledged_row_and_mixes_none() {
    lane(async {
        let server = Arc::new(Postgres::start(PostgresSetup::default()).unwrap());
        server
            .sql(
                "CREATE TABLE t (n bigint, name text);
                  CREATE TABLE k (id bigint PRIMARY KEY, name text);
                  INSERT INTO k SELECT n, 'name ' || n FROM generate_series(1, 500) n;",
            )
            .unwrap();
        let supervisor = sim::supervisor();
        let options = PostgresOptions::url(server.url()).pool_size(6).max_overflow(0);
        // the breaker's open time grows with every kill, and this test is not about it
        let open = Duration::from_secs(1);
        let breaker = BreakerPolicy { open_for: open, open_max: open, ..BreakerPolicy::default() };
        let policy = Policy { breaker, ..Policy::default() };
        let backend = supervisor.add("pg", options, policy).await.unwrap();
        let (ledger, next) = (Rc::new(RefCell::new(Ledger::default())), Rc::new(Cell::new(0_u64)));
        let (is_over, found, lost) =
            (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let writers = (0..24).map(|_| {
            let (backend, ledger, next, is_over) =
                (backend.clone(), Rc::clone(&ledger), Rc::clone(&next), Rc::clone(&is_over));
            tokio::task::spawn_local(async move {
                while !is_over.get() {
                    let n = next.replace(next.get() + 1);
                    ledger.borrow_mut().sent(n, Class::Unsafe);
                    let row = (("n", i64::try_from(n).unwrap()), ("name", format!("row {n}")));
                    let insert = InsertOne::new("t", row).without_id();
                    let result = backend.ask(insert).within(LONG / 10).await;
                    ledger.borrow_mut().told(n, Fate::of(&result));
                    if result.is_err() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            })
        });
        let readers = (0..24_i64).map(|at| {
            let (backend, is_over) = (backend.clone(), Rc::clone(&is_over));
            let (found, lost) = (Rc::clone(&found), Rc::clone(&lost));
            tokio::task::spawn_local(async move {
                for round in 0_i64.. {
                    if is_over.get() {
                        break;
                    }
                    let key = (at * 31 + round * 7) % 520 + 1;
                    match backend.ask(SelectOne::new("k", ("id", key))).within(LONG / 10).await {
                        Ok(rows) => {
                            let row =
                                rows.get(0).map(|row| (row[0].as_int(), row[1].as_text().map(str::to_owned)));
                            let right = (key <= 500).then(|| (Some(key), Some(format!("name {key}"))));
                            assert_eq!(row, right, "key {key}");
                            found.set(found.get() + 1);
                        }
                        Err(error) => {
                            assert_eq!(error.executed(), Executed::No, "{error}");
                            lost.set(lost.get() + 1);
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    }
                }
            })
        });
        let callers: Vec<_> = writers.chain(readers).collect();
        let acknowledged = || ledger.borrow().count(Fate::Acknowledged);
        let unknown = || ledger.borrow().count(Fate::Ended(Executed::Unknown));
        for round in 0..6 {
            // twice at least, and until one of the inserts was under way
            if round >= 2 && unknown() > 0 {
                break;
            }
            let (rows, reads) = (acknowledged(), found.get());
            until("load", async || acknowledged() > rows + 300 && found.get() > reads + 300).await;
            let failed = lost.get();
            // from another thread, so that statements are under way when it happens
            let killed = Arc::clone(&server);
            tokio::task::spawn_blocking(move || killed.kill().unwrap()).await.unwrap();
            until("an outage", async || lost.get() > failed + 20).await;
            server.restart().unwrap();
        }
        let (rows, reads) = (acknowledged(), found.get());
        until("recovery", async || acknowledged() > rows + 300 && found.get() > reads + 300).await;
        is_over.set(true);
        for caller in callers {
            caller.await.unwrap();
        }
        let pool = backend.snapshot();
        supervisor.shutdown(Deadline::after(LONG)).await;
        let mut counts = HashMap::<u64, u32>::new();
        for row in server.sql("SELECT n FROM t WHERE name = 'row ' || n;").unwrap().lines() {
            *counts.entry(row.parse().unwrap()).or_default() += 1;
        }
        let breaches = ledger.borrow().breaches(|n| counts.get(&n).copied().unwrap_or(0));
        assert_eq!(breaches, Vec::<String>::new());
        assert_eq!(server.sql("SELECT count(*) FROM t;").unwrap(), counts.values().sum::<u32>().to_string());
        assert!(
            ledger.borrow().count(Fate::Ended(Executed::Unknown)) > 0,
            "no insert was under way at a kill"
        );
        assert_eq!(pool.guard.incarnations, 1);
    });
}

#[test]
fn pg3_shared_reads_on_a_server_that_stands_still_end_in_time_with_executed_no_and_the_next_ones_work() {
    lane(async {
        let server = Postgres::start(PostgresSetup::default()).unwrap();
        let db = Db::on(&server, |options| options.pool_size(4).max_overflow(0)).await;
        const WHO: &str = "SELECT $1::int8, pg_backend_pid()";
        let before = db.shared.snapshot().shared_total;
        until("shared reads", async || {
            join_all((0..8_i64).map(|n| db.ask(Query::new(WHO).bind(n)))).await.into_iter().for_each(
                |read| {
                    read.unwrap();
                },
            );
            db.shared.snapshot().shared_total > before + 20
        })
        .await;
        for round in 0..3_i64 {
            let within = Duration::from_millis(300);
            server.pause().unwrap();
            let (began, snapshot) = (clock::now(), db.shared.snapshot());
            let (shared, doubted) = (snapshot.shared_total, snapshot.closed_total.in_doubt);
            let reads = join_all((0..64_i64).map(|n| db.ask_in(within, Query::new(WHO).bind(n)))).await;
            assert!(began.elapsed() < within + Duration::from_millis(300), "{:?}", began.elapsed());
            for read in reads {
                let end = read.unwrap_err();
                assert_eq!(end.executed(), Executed::No, "{end:?}");
            }
            assert!(db.shared.snapshot().shared_total > shared + 20, "the reads were not shared");
            // what is in the middle of an answer is given up, and never lent again
            until("closed connections", async || db.shared.snapshot().closed_total.in_doubt > doubted).await;
            server.resume().unwrap();
            // the late answers go nowhere
            until("service", async || db.ask_in(LONG / 10, Query::new(WHO).bind(0)).await.is_ok()).await;
            for n in 0..100_i64 {
                let n = round * 1_000 + n;
                let own = db.ask(QueryAs::<(i64, i32)>::new(WHO).bind(n)).await.unwrap();
                assert_eq!(own[0].0, n);
            }
            until("shared reads again", async || {
                let shared = db.shared.snapshot().shared_total;
                join_all((0..8_i64).map(|n| db.ask(Query::new(WHO).bind(n)))).await.into_iter().for_each(
                    |read| {
                        read.unwrap();
                    },
                );
                db.shared.snapshot().shared_total > shared + 4
            })
            .await;
        }
        until("a settled pool", async || db.shared.snapshot().active == 0).await;
    });
}
