//! A thousand cancels a second, and none hits another call's statement.

use std::{cell::Cell, rc::Rc, time::Duration};

use backstop_core::{clock, error::Executed};
use backstop_postgres::sql::{Execute, Query, QueryAs};

use crate::support::{Db, End, ask, lane, until};

/// A read that its server stopped says so after its deadline alone; a stop before it was meant for another.
#[track_caller]
fn assert_fits(end: &End) {
    assert_ne!(end.executed(), Executed::Yes, "{end:?}");
    if let End::Failed(failure) = end {
        assert_eq!(failure.executed(), Executed::No, "{failure}");
        assert!(
            failure.code() != Some("57014") || failure.message().contains("the deadline passed"),
            "{failure}"
        );
    }
}

#[test]
fn pg7_a_thousand_cancels_a_second_stop_nobody_elses_statement_on_pipes_either() {
    lane(async {
        let db = Rc::new(Db::with(|options| options.pool_size(10).max_overflow(0)).await);
        db.run("CREATE TABLE t (n bigint)").await;
        let is_over = Rc::new(Cell::new(false));
        // those who are never given up: their own connections, shared ones, and writes
        let long = (0..2).map(|_| {
            let (db, is_over) = (Rc::clone(&db), Rc::clone(&is_over));
            tokio::task::spawn_local(async move {
                while !is_over.get() {
                    db.ask(Query::new("SELECT pg_sleep(0.03)")).await.unwrap();
                }
            })
        });
        let short = (0..8_i64).map(|n| {
            let (db, is_over) = (Rc::clone(&db), Rc::clone(&is_over));
            tokio::task::spawn_local(async move {
                while !is_over.get() {
                    let rows = db.ask(QueryAs::<i64>::new("SELECT $1::int8").bind(n)).await.unwrap();
                    assert_eq!(rows, [n]);
                }
            })
        });
        let written = Rc::new(Cell::new(0_i64));
        let writes = (0..2_i64).map(|n| {
            let (db, is_over, written) = (Rc::clone(&db), Rc::clone(&is_over), Rc::clone(&written));
            tokio::task::spawn_local(async move {
                while !is_over.get() {
                    db.ask(Execute::new("INSERT INTO t VALUES ($1)").bind(n)).await.unwrap();
                    written.set(written.get() + 1);
                }
            })
        });
        let steady: Vec<_> = long.chain(short).chain(writes).collect();
        let (mut given_up, mut most) = (0, 0);
        let began = clock::now();
        while began.elapsed() < Duration::from_secs(3) {
            // on shared connections where the lane takes them for short, on their own where not
            let storm: Vec<_> = (0..48_i64)
                .map(|at| {
                    let db = Rc::clone(&db);
                    tokio::task::spawn_local(async move {
                        let within = Duration::from_micros(500 + at.unsigned_abs() * 100);
                        match at % 3 {
                            0 => ask(&*db.lane, &Query::new("SELECT pg_sleep(0.2)"), within).await.map(drop),
                            1 => {
                                let text = "SELECT $1::int8, pg_sleep(($1 % 7) * 0.003)";
                                ask(&*db.lane, &Query::new(text).bind(at), within).await.map(drop)
                            }
                            _ => ask(&*db.lane, &Query::new("SELECT $1::int8").bind(at), within)
                                .await
                                .map(drop),
                        }
                    })
                })
                .collect();
            // half of the callers leave without waiting for their deadline
            for (at, call) in storm.into_iter().enumerate() {
                if at % 2 == 0 {
                    tokio::task::yield_now().await;
                    call.abort();
                }
                match call.await {
                    Ok(Ok(())) => {}
                    Ok(Err(end)) => {
                        assert_fits(&end);
                        given_up += 1;
                    }
                    Err(_) => given_up += 1,
                }
            }
            if given_up % 5 == 0 {
                most = most.max(db.sessions("backend_type = 'client backend'"));
            }
        }
        let took = began.elapsed();
        is_over.set(true);
        for task in steady {
            task.await.unwrap();
        }
        until("a settled pool", async || db.shared.snapshot().active == 0).await;
        let snapshot = db.shared.snapshot();
        assert_eq!(db.int("SELECT count(*) FROM t").await, written.get());
        println!("{given_up} given up in {took:?}, {} cancels, {most} sessions", snapshot.cancels_total);
        assert!(given_up > 500 && snapshot.cancels_total > 50, "{given_up} {snapshot:?}");
        assert!(most <= 11, "{most} sessions");
    });
}
