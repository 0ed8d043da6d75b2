//! The network is cut in both directions, or connections end in the middle of whatever they carry.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    time::Duration,
};

use backstop_core::{call::Deadline, clock, error::Executed, message::Class, policy::Policy};
use backstop_postgres::{
    PostgresOptions,
    sql::{Execute, Query, QueryAs, Request, Transaction, crud::InsertOne},
};
use backstop_testkit::{
    ledger::{Fate, Ledger},
    proxy::{Direction, Fault, Proxy},
    server::{Postgres, PostgresSetup},
    sim,
};

use crate::support::{Db, End, LONG, lane, until};

/// How often each number stands in the table.
fn counted(rows: &str) -> HashMap<u64, u32> {
    let mut counts = HashMap::new();
    rows.lines().for_each(|n| *counts.entry(n.parse().unwrap()).or_default() += 1);
    counts
}

/// One row in one of three ways: a statement, a transaction of two statements, a statement of many.
async fn write(backend: &backstop_supervisor::BackendRef<backstop_postgres::Postgres>, n: i64) -> Fate {
    let within = Duration::from_millis(400);
    match n % 3 {
        0 => Fate::of(&backend.ask(Execute::new("INSERT INTO t VALUES ($1)").bind(n)).within(within).await),
        1 => {
            let first = Request::with_params("INSERT INTO t VALUES ($1)", vec![n.into()]);
            let list = Transaction::from_iter([first, Request::new("UPDATE steady SET n = n + 1")]);
            Fate::of(&backend.ask(list).within(within).await)
        }
        _ => Fate::of(&backend.ask(InsertOne::new("t", [("n", n)]).without_id()).within(within).await),
    }
}

#[test]
fn pg4_a_network_cut_both_ways_ends_each_call_in_time_and_service_comes_back() {
    lane(async {
        let server = Postgres::start(PostgresSetup::default()).unwrap();
        server
            .sql("CREATE TABLE t (n bigint); CREATE TABLE steady (n bigint); INSERT INTO steady VALUES (0);")
            .unwrap();
        let address = server.address().unwrap();
        let proxy = Proxy::start(address, 7).await.unwrap();
        let url = server.url().replace(&address.to_string(), &proxy.address().to_string());
        let supervisor = sim::supervisor();
        let options = PostgresOptions::url(url).pool_size(6).max_overflow(0);
        let policy = Policy::default();
        let backend = supervisor.add("pg", options, policy).await.unwrap();
        let (ledger, next) = (Rc::new(RefCell::new(Ledger::default())), Rc::new(Cell::new(0_i64)));
        let (is_over, latest) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(Duration::ZERO)));
        let callers: Vec<_> = (0..12)
            .map(|at| {
                let (backend, ledger, next) = (backend.clone(), Rc::clone(&ledger), Rc::clone(&next));
                let (is_over, latest) = (Rc::clone(&is_over), Rc::clone(&latest));
                tokio::task::spawn_local(async move {
                    while !is_over.get() {
                        let began = clock::now();
                        if at % 3 == 0 {
                            let read = backend.ask(QueryAs::<i64>::new("SELECT 7::int8"));
                            if let Ok(rows) = read.within(Duration::from_millis(400)).await {
                                assert_eq!(rows, [7]);
                            }
                        } else {
                            let n = next.replace(next.get() + 1);
                            ledger.borrow_mut().sent(n.unsigned_abs(), Class::Unsafe);
                            let fate = write(&backend, n).await;
                            ledger.borrow_mut().told(n.unsigned_abs(), fate);
                        }
                        latest.set(latest.get().max(began.elapsed()));
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                })
            })
            .collect();
        let acknowledged = || ledger.borrow().count(Fate::Acknowledged);
        for cut in [None, Some(Direction::ToServer), Some(Direction::ToClient)] {
            let before = acknowledged();
            until("load", async || acknowledged() > before + 100).await;
            let ended = ledger.borrow().len() - acknowledged();
            proxy.set(Fault::Hold(cut));
            until("calls that meet the outage", async || ledger.borrow().len() - acknowledged() > ended + 20)
                .await;
            // what was open comes back half-way, what was held arrives late
            proxy.heal();
            let (healed, before) = (clock::now(), acknowledged());
            until("recovery", async || acknowledged() > before).await;
            // the breaker may stay open a moment longer than the outage
            assert!(healed.elapsed() < Duration::from_secs(8), "{:?}", healed.elapsed());
        }
        is_over.set(true);
        for caller in callers {
            caller.await.unwrap();
        }
        // on a busy machine the one thread of this test is late too
        assert!(latest.get() < Duration::from_millis(900), "{:?}", latest.get());
        supervisor.shutdown(Deadline::after(LONG)).await;
        until("the end of the sockets", async || proxy.open() == 0).await;
        until("the end of the sessions", async || {
            server
                .sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend';")
                .unwrap()
                == "1"
        })
        .await;
        let counts = counted(&server.sql("SELECT n FROM t;").unwrap());
        let breaches = ledger.borrow().breaches(|n| counts.get(&n).copied().unwrap_or(0));
        assert_eq!(breaches, Vec::<String>::new());
        // a transaction took effect as a whole
        let whole = counts.keys().filter(|n| *n % 3 == 1).count();
        assert_eq!(server.sql("SELECT n FROM steady;").unwrap(), whole.to_string());
        assert!(ledger.borrow().count(Fate::Ended(Executed::Unknown)) > 0, "no write was under way");
    });
}

#[test]
fn pg5_a_connection_cut_after_any_13th_byte_ends_each_call_once_with_a_true_fate() {
    lane(async {
        // without a password, because 200 logins of it take longer than all else
        let hba = vec!["host all all 127.0.0.1/32 trust".to_owned()];
        let server =
            Postgres::start(PostgresSetup { hba, fsync: false, ..PostgresSetup::default() }).unwrap();
        let address = server.address().unwrap();
        let proxy = Proxy::start(address, 7).await.unwrap();
        let database = server.fresh_database().unwrap();
        let url = database.url().replace(&address.to_string(), &proxy.address().to_string());
        let db = Db::of(database, PostgresOptions::url(url).pool_size(1).max_overflow(0)).await;
        db.database.sql("CREATE TABLE t (n bigint); CREATE TABLE pairs (n bigint);").unwrap();
        let (mut ledger, mut n) = (Ledger::default(), 0_i64);
        let mut reads = (0, 0);
        for direction in [Direction::ToClient, Direction::ToServer] {
            for after in (0..1_600).step_by(13) {
                proxy.set(Fault::Cut { direction, after, reset: after % 2 == 0 });
                for kind in 0..4 {
                    let within = Duration::from_secs(5);
                    if kind == 0 {
                        let read = QueryAs::<(i64, String)>::new(
                            "SELECT n, repeat('x', 9) FROM generate_series(1, 3) n",
                        );
                        match db.ask_in(within, read).await {
                            Ok(rows) => {
                                let want: Vec<_> = (1..4).map(|n| (n, "x".repeat(9))).collect();
                                assert_eq!(rows, want, "{after} {direction:?}");
                                reads.0 += 1;
                            }
                            Err(end) => {
                                assert_eq!(end.executed(), Executed::No, "{after} {direction:?}: {end:?}");
                                reads.1 += 1;
                            }
                        }
                        continue;
                    }
                    n += 1;
                    ledger.sent(n.unsigned_abs(), Class::Unsafe);
                    let row = |table| {
                        Request::with_params(format!("INSERT INTO {table} VALUES ($1)"), vec![n.into()])
                    };
                    let ended = match kind {
                        1 => db.ask_in(within, Execute::from(row("t"))).await.map(drop),
                        2 => {
                            let list = Transaction::from_iter([row("t"), row("pairs")]);
                            db.ask_in(within, list).await.map(drop)
                        }
                        _ => db.ask_in(within, InsertOne::new("t", [("n", n)]).without_id()).await.map(drop),
                    };
                    let fate =
                        ended.map_or_else(|end: End| Fate::Ended(end.executed()), |()| Fate::Acknowledged);
                    ledger.told(n.unsigned_abs(), fate);
                }
                proxy.heal();
                proxy.cut_all(true);
                until("the end of the connections", async || proxy.open() == 0).await;
            }
        }
        until("the end of the sessions", async || db.sessions("true") == 0).await;
        let counts = counted(&db.database.sql("SELECT n FROM t;").unwrap());
        assert_eq!(ledger.breaches(|n| counts.get(&n).copied().unwrap_or(0)), Vec::<String>::new());
        let pairs = counted(&db.database.sql("SELECT n FROM pairs;").unwrap());
        assert!(pairs.iter().all(|(n, count)| counts.get(n) == Some(count)), "half of a transaction");
        let fates = [Fate::Acknowledged, Fate::Ended(Executed::Unknown), Fate::Ended(Executed::No)];
        let fates = fates.map(|fate| ledger.count(fate));
        assert!(fates.iter().all(|count| *count > 20) && reads.0 > 20 && reads.1 > 20, "{fates:?} {reads:?}");
        // the end of the last connection may be news to the pool
        until("service", async || db.ask(Query::new("SELECT 1")).await.is_ok_and(|rows| rows.len() == 1))
            .await;
    });
}
