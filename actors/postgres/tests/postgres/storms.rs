//! A thousand short deadlines a second, and no cancel hits another call's statement.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use backstop_core::{clock, error::Executed};
use backstop_postgres::sql::{Execute, Query, QueryAs};
use backstop_testkit::server::Postgres;
use tokio::task::{JoinHandle, spawn_local};

use crate::support::{Db, End, ask, lane, until};

const CAP: usize = 10;
/// Calls of the storm, and how many begin at a time: 1,000 a second, however long each takes.
const CALLS: i64 = 4_000;
const AT_A_TIME: i64 = 10;
const EVERY: Duration = Duration::from_millis(10);

/// A read that its server stopped says so after its deadline alone; a stop before it was meant for another.
#[track_caller]
fn assert_fits(end: &End) {
    assert_ne!(end.executed(), Executed::Yes, "{end:?}");
    if let End::Failed(failure) = end {
        assert!(
            failure.code() != Some("57014") || failure.message().contains("the deadline passed"),
            "{failure}"
        );
    }
}

/// What a caller was told; `Unknown` where it left.
type Told = Result<(), Executed>;

/// One call of the storm: long on a connection of its own, on a shared one, short, or a write.
fn given_up(db: &Rc<Db<'static>>, at: i64) -> JoinHandle<Told> {
    let db = Rc::clone(db);
    spawn_local(async move {
        let within = Duration::from_micros(500 + at.unsigned_abs() % 48 * 100);
        let ended = match at % 4 {
            0 => ask(&*db.lane, &Query::new("SELECT pg_sleep(0.2)"), within).await.map(drop),
            1 => {
                let text = "SELECT $1::int8, pg_sleep(($1 % 7) * 0.003)";
                ask(&*db.lane, &Query::new(text).bind(at), within).await.map(drop)
            }
            2 => ask(&*db.lane, &Query::new("SELECT $1::int8").bind(at), within).await.map(drop),
            _ => {
                let text = "INSERT INTO w SELECT $1 FROM pg_sleep(0.004)";
                ask(&*db.lane, &Execute::new(text).bind(at), within).await.map(drop)
            }
        };
        if let Err(end) = &ended {
            assert_fits(end);
            assert!(
                at % 4 == 3 || end.executed() == Executed::No || matches!(end, End::Dropped { .. }),
                "{end:?}"
            );
        }
        ended.map_err(|end| end.executed())
    })
}

/// Callers that are never given up: long queries, short reads that share connections, writes.
fn steady(db: &Rc<Db<'static>>, is_over: &Rc<Cell<bool>>, written: &Rc<Cell<i64>>) -> Vec<JoinHandle<()>> {
    (0..12_i64)
        .map(|n| {
            let (db, is_over, written) = (Rc::clone(db), Rc::clone(is_over), Rc::clone(written));
            spawn_local(async move {
                while !is_over.get() {
                    match n {
                        0 | 1 => drop(db.ask(Query::new("SELECT pg_sleep(0.03)")).await.unwrap()),
                        2 | 3 => {
                            db.ask(Execute::new("INSERT INTO t VALUES ($1)").bind(n)).await.unwrap();
                            written.set(written.get() + 1);
                        }
                        _ => {
                            let read = QueryAs::<i64>::new("SELECT $1::int8").bind(n);
                            assert_eq!(db.ask(read).await.unwrap(), [n]);
                        }
                    }
                }
            })
        })
        .collect()
}

/// Counts the sessions of `name` at the server again and again, past the lane's thread; returns the most.
fn count_sessions(name: &str, is_over: &Arc<AtomicBool>) -> thread::JoinHandle<usize> {
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}';");
    let is_over = Arc::clone(is_over);
    thread::spawn(move || {
        let mut most = 0;
        while !is_over.load(Relaxed) {
            most = most.max(Postgres::shared().unwrap().sql(&sql).unwrap().parse().unwrap());
        }
        most
    })
}

#[test]
fn pg7_a_thousand_short_deadlines_a_second_stop_nobody_elses_statement_on_pipes_either() {
    lane(async {
        let db = Rc::new(Db::with(|options| options.pool_size(CAP).max_overflow(0)).await);
        db.run("CREATE TABLE t (n bigint)").await;
        db.run("CREATE TABLE w (n bigint)").await;
        let (is_over, written) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
        let steady = steady(&db, &is_over, &written);
        let counted = Arc::new(AtomicBool::new(false));
        let sessions = count_sessions(db.database.name(), &counted);
        // what is late is made up for at once, so it stays a thousand a second
        let mut tick = tokio::time::interval(EVERY);
        let began = clock::now();
        let mut storm = Vec::new();
        for at in 0..CALLS {
            if at % AT_A_TIME == 0 {
                tick.tick().await;
            }
            let call = given_up(&db, at);
            // every third caller leaves without waiting for its deadline
            if at % 3 == 0 {
                tokio::task::yield_now().await;
                call.abort();
            }
            storm.push(call);
        }
        let took = began.elapsed();
        let mut told = Vec::new();
        for call in storm {
            told.push(match call.await {
                Ok(told) => told,
                Err(left) if left.is_cancelled() => Err(Executed::Unknown),
                Err(broken) => panic!("{broken}"),
            });
        }
        is_over.set(true);
        for task in steady {
            task.await.unwrap();
        }
        until("a settled pool", async || db.shared.snapshot().active == 0).await;
        counted.store(true, Relaxed);
        let most = sessions.join().unwrap();
        let snapshot = db.shared.snapshot();
        let failed = told.iter().filter(|told| told.is_err()).count();
        println!(
            "{CALLS} calls begun in {took:?}, {failed} given up, {} cancels, {most} sessions",
            snapshot.cancels_total
        );
        assert!(failed > 2_000 && snapshot.cancels_total > 200, "{failed} {snapshot:?}");
        // a machine that is three times too slow sends no storm
        assert!(took < Duration::from_secs(12), "{took:?}");
        assert!((1..=CAP + 1).contains(&most), "{most} sessions");
        assert_eq!(db.int("SELECT count(*) FROM t").await, written.get());
        assert_true(&told, &db.ask(QueryAs::<i64>::new("SELECT n FROM w")).await.unwrap());
        // all of the capacity is back, and no cancel is left that would find its way later
        let all: Vec<_> =
            (0..CAP).map(|_| db.start(crate::support::LONG, Query::new("SELECT pg_sleep(0.5)"))).collect();
        until("every connection at work", async || {
            db.sessions("state = 'active' AND query LIKE 'SELECT pg_sleep(0.5)%'") == CAP
        })
        .await;
        for call in all {
            call.await.unwrap().unwrap();
        }
    });
}

/// Compares what the callers of writes were told with the rows that are there.
fn assert_true(told: &[Told], rows: &[i64]) {
    for (at, told) in (0..).zip(told).filter(|(at, _)| at % 4 == 3) {
        let count = rows.iter().filter(|row| **row == at).count();
        let is_true = match told {
            Ok(()) => count == 1,
            Err(Executed::No) => count == 0,
            Err(_) => count <= 1,
        };
        assert!(is_true, "{at}: {told:?}, {count} times");
    }
}
