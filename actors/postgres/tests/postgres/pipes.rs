//! Short reads that share a connection.

use std::{collections::HashSet, rc::Rc, time::Duration};

use backstop_core::error::{Executed, FailureKind};
use backstop_postgres::sql::{Execute, Query, QueryAs};
use futures_util::future::join_all;

use crate::support::{Db, LONG, lane, until};

/// Lets a lane learn that a statement is short, as it does by itself; on a busy machine that takes a while.
async fn learn(db: &Db<'_>, query: impl Fn() -> Query) {
    let before = db.shared.snapshot().shared_total;
    until("shared reads", async || {
        join_all((0..4).map(|_| db.ask(query()))).await.into_iter().for_each(|read| drop(read.unwrap()));
        db.shared.snapshot().shared_total > before + 8
    })
    .await;
}

const WHO: &str = "SELECT $1::int8, pg_backend_pid()";

#[test]
fn short_reads_share_two_connections_and_each_has_its_own_answer() {
    lane(async {
        let db = Db::with(|options| options.pool_size(10).max_overflow(0)).await;
        learn(&db, || Query::new(WHO).bind(0)).await;
        let mut fewest = usize::MAX;
        for _ in 0..20 {
            let mut sessions = HashSet::new();
            let reads = (0..64_i64).map(|n| db.ask(QueryAs::<(i64, i32)>::new(WHO).bind(n)));
            for (n, read) in join_all(reads).await.into_iter().enumerate() {
                let (answer, session) = read.unwrap()[0];
                assert_eq!(usize::try_from(answer).unwrap(), n);
                sessions.insert(session);
            }
            // a read that a busy machine makes long has a connection to itself for a while
            fewest = fewest.min(sessions.len());
        }
        assert_eq!(fewest, 2);
        let snapshot = db.shared.snapshot();
        assert!(snapshot.shared_total > 1_000, "{snapshot:?}");
        assert_eq!((snapshot.active, snapshot.cancels_total), (0, 0), "{snapshot:?}");
    });
}

#[test]
fn readers_that_leave_take_nothing_from_the_others() {
    lane(async {
        let db = Rc::new(Db::with(|options| options.pool_size(4).max_overflow(0)).await);
        learn(&db, || Query::new(WHO).bind(0)).await;
        let mut left = 0;
        for round in 0..60_i64 {
            let reads: Vec<_> = (0..24_i64)
                .map(|n| {
                    let db = Rc::clone(&db);
                    tokio::task::spawn_local(async move {
                        let answer = db.ask(QueryAs::<(i64, i32)>::new(WHO).bind(n * 1_000 + round)).await;
                        assert_eq!(answer.unwrap()[0].0, n * 1_000 + round);
                    })
                })
                .collect();
            // some leave before they are sent, some after, some after their answer is there
            for _ in 0..round % 5 {
                tokio::task::yield_now().await;
            }
            let (leave, stay): (Vec<_>, Vec<_>) = reads
                .into_iter()
                .enumerate()
                .partition(|(at, _)| (*at + usize::try_from(round).unwrap()) % 3 == 0);
            leave.iter().for_each(|(_, read)| read.abort());
            for (_, read) in leave {
                left += usize::from(read.await.is_err());
            }
            for (_, read) in stay {
                read.await.unwrap();
            }
        }
        assert!(left > 100, "{left} left");
        until("a settled pool", async || db.shared.snapshot().active == 0).await;
        assert_eq!(db.shared.snapshot().closed_total.broken, 0);
    });
}

#[test]
pub(crate) fn a_statement_that_all_its_readers_left_is_stopped_at_the_server() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        let sleep = |seconds: f64| Query::new("SELECT pg_sleep($1)").bind(seconds);
        learn(&db, || sleep(0.0)).await;
        let end = db.ask_in(Duration::from_millis(100), sleep(30.0)).await.unwrap_err();
        assert_eq!(end.executed(), Executed::No, "a read changes nothing: {end:?}");
        until("the end of the sleep", async || db.sessions("state = 'active'") == 0).await;
        assert_eq!(db.int("SELECT 1").await, 1);
        let snapshot = db.shared.snapshot();
        assert_eq!((snapshot.cancels_total, snapshot.connections), (1, 1), "{snapshot:?}");
    });
}

#[test]
fn a_pipe_whose_first_statement_runs_long_takes_no_more() {
    lane(async {
        let db = Db::with(|options| options.pool_size(3).max_overflow(0)).await;
        let sleep = |seconds: f64| Query::new("SELECT pg_sleep($1), 'slow'").bind(seconds);
        learn(&db, || sleep(0.0)).await;
        learn(&db, || Query::new(WHO).bind(0)).await;
        let long = db.start(LONG, sleep(3.0));
        db.until_session("wait_event = 'PgSleep'").await;
        // beyond the 20 ms that a pipe's head may take
        tokio::time::sleep(Duration::from_millis(30)).await;
        for n in 0..50_i64 {
            assert_eq!(db.ask(QueryAs::<(i64, i32)>::new(WHO).bind(n)).await.unwrap()[0].0, n);
        }
        assert!(!long.is_finished(), "the reads waited for the slow one");
        long.abort();
    });
}

#[test]
fn readers_beside_writers_on_one_connection_all_end_and_a_read_never_writes() {
    lane(async {
        let db = Rc::new(Db::with(|options| options.pool_size(1).max_overflow(0)).await);
        db.run("CREATE TABLE t (n int)").await;
        db.run("CREATE FUNCTION sneak() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (0) RETURNING 0'")
            .await;
        learn(&db, || Query::new(WHO).bind(0)).await;
        let readers = (0..32_i64).map(|n| {
            let db = Rc::clone(&db);
            tokio::task::spawn_local(async move {
                for _ in 0..30 {
                    assert_eq!(db.ask(QueryAs::<(i64, i32)>::new(WHO).bind(n)).await.unwrap()[0].0, n);
                }
            })
        });
        let writers = (0..4).map(|_| {
            let db = Rc::clone(&db);
            tokio::task::spawn_local(async move {
                for _ in 0..10 {
                    db.ask(Execute::new("INSERT INTO t VALUES (1)")).await.unwrap();
                    let refused = db.ask(Query::new("SELECT sneak()")).await.unwrap_err().failure();
                    assert_eq!(
                        (refused.kind(), refused.executed()),
                        (FailureKind::Refused, Executed::No),
                        "{refused}"
                    );
                }
            })
        });
        for task in readers.chain(writers).collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert_eq!(db.int("SELECT count(*) * 10 + min(n) FROM t").await, 401);
    });
}

#[test]
fn a_parameter_that_does_not_fit_is_the_error_of_its_own_read() {
    lane(async {
        let db = Db::with(|options| options.pool_size(2).max_overflow(0)).await;
        learn(&db, || Query::new(WHO).bind(0)).await;
        let good = (0..16_i64).map(|n| Query::new(WHO).bind(n));
        let mixed = good.flat_map(|good| [good, Query::new(WHO).bind("no number")]);
        for (at, read) in join_all(mixed.map(|query| db.ask(query))).await.into_iter().enumerate() {
            match read {
                Ok(rows) => assert_eq!(rows.get(0).unwrap()[0].as_int(), i64::try_from(at / 2).ok()),
                Err(end) => {
                    assert_eq!(at % 2, 1);
                    let failure = end.failure();
                    assert_eq!(failure.code(), Some("invalid_value"), "{failure}");
                }
            }
        }
        let snapshot = db.shared.snapshot();
        assert_eq!((snapshot.active, snapshot.cancels_total), (0, 0), "{snapshot:?}");
    });
}

#[test]
fn a_lost_connection_ends_each_of_its_reads_and_the_next_ones_are_served() {
    lane(async {
        let db = Rc::new(Db::with(|options| options.pool_size(3).max_overflow(0)).await);
        learn(&db, || Query::new(WHO).bind(0)).await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ";
        let end = format!("{end}'{}';", db.database.name());
        let (mut served, mut failed) = (0, 0);
        for round in 0..10 {
            let reads = (0..64_i64).map(|n| db.ask_in(LONG, Query::new(WHO).bind(n)));
            let kill = async {
                if round % 2 == 0 {
                    db.database.sql(&end).unwrap();
                }
            };
            let (reads, ()) = tokio::join!(join_all(reads), kill);
            for (n, read) in reads.into_iter().enumerate() {
                match read {
                    Ok(rows) => {
                        served += 1;
                        assert_eq!(rows.get(0).unwrap()[0].as_int(), i64::try_from(n).ok());
                    }
                    Err(lost) => {
                        failed += 1;
                        let failure = lost.failure();
                        assert_eq!(failure.executed(), Executed::No, "{failure}");
                        assert!(failure.is_transient(), "{failure}");
                    }
                }
            }
        }
        assert!(served > 300 && failed > 0, "{served} served, {failed} failed");
    });
}

#[test]
fn pipelined_reads_go_on_while_the_table_changes() {
    lane(async {
        let db = Rc::new(Db::with(|options| options.pool_size(3).max_overflow(0)).await);
        db.run("CREATE TABLE t (n int)").await;
        db.run("INSERT INTO t VALUES (7)").await;
        let all = || Query::new("SELECT * FROM t WHERE n = $1").bind(7);
        learn(&db, all).await;
        for round in 0..12 {
            // past the backend, so that nobody tells it
            let kind = if round % 2 == 0 { "bigint" } else { "int" };
            let change = format!("ALTER TABLE t ALTER n TYPE {kind}, ADD c{round} int;");
            db.database.sql(&change).unwrap();
            for read in join_all((0..32).map(|_| db.ask(all()))).await {
                let rows = read.unwrap();
                assert_eq!((rows.len(), rows.get(0).unwrap()[0].as_int()), (1, Some(7)));
            }
        }
    });
}
