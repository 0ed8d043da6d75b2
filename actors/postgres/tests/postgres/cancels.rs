//! Callers that go away at any moment, one by one and in storms.

use std::time::Duration;

use backstop_core::error::Executed;
use backstop_postgres::sql::{Execute, Query, QueryAs, TransactAsync, TxError};

use crate::support::{Db, LONG, ask, lane, until};

/// A session as it was opened: no transaction, our settings, no locks, no temporary tables, no channels.
const CLEAN: &str = "SELECT concat_ws(',', (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND \
    locktype = 'advisory'), current_setting('search_path'), current_setting('lock_timeout'), (SELECT count(*) FROM \
    pg_listening_channels()), (SELECT count(*) FROM pg_class WHERE relpersistence = 't'))";

#[test]
fn a_caller_that_goes_away_at_any_await_leaves_a_clean_session_and_no_lock() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        db.run("CREATE TABLE t (n int)").await;
        db.run("INSERT INTO t VALUES (0)").await;
        let clean = db.ask(QueryAs::<String>::new(CLEAN)).await.unwrap();
        let (mut done, mut polls) = (0_i64, 0);
        // the call is polled so often and then dropped: before it connects, in BEGIN, in each statement, in COMMIT
        loop {
            polls += 1;
            // a session that was changed is reset, another one is only rolled back
            let change = "SELECT set_config('lock_timeout', '1s', false), pg_advisory_lock(7)";
            let first = if polls % 2 == 0 { change } else { "SELECT 1" };
            let call = TransactAsync::new(async move |tx| {
                tx.query(first, ()).await?;
                tx.execute("UPDATE t SET n = n + 1", ()).await?;
                tx.query("SELECT n FROM t", ()).await?;
                Ok::<_, TxError>(())
            });
            let ended = {
                let mut work = std::pin::pin!(ask(&*db.lane, &call, LONG));
                let mut left = polls;
                std::future::poll_fn(|context| {
                    left -= 1;
                    match std::future::Future::poll(work.as_mut(), context) {
                        std::task::Poll::Ready(ended) => std::task::Poll::Ready(Some(ended)),
                        std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
                        std::task::Poll::Pending => std::task::Poll::Pending,
                    }
                })
                .await
            };
            let ended = ended.map(Result::unwrap);
            done += i64::from(ended.is_some());
            until("a settled pool", async || db.shared.snapshot().active == 0).await;
            assert_eq!(db.ask(QueryAs::<String>::new(CLEAN)).await.unwrap(), clean, "after {polls} polls");
            tokio::time::timeout(Duration::from_secs(1), db.run("UPDATE t SET n = n")).await.unwrap();
            if ended.is_some() {
                break;
            }
        }
        assert!(polls > 5, "{polls}");
        // a commit that was under way when its caller left may have happened
        let n = db.int("SELECT n FROM t").await;
        assert!(n >= done && n <= done + 1, "{n} of {done}");
        assert_eq!(db.sessions("state <> 'idle' AND state <> 'active'"), 0);
    });
}

#[test]
fn a_storm_of_cancels_never_stops_another_calls_statement() {
    lane(async {
        let db = Db::with(|options| options.pool_size(6).max_overflow(0)).await;
        let steady: Vec<_> = (0..3)
            .map(|_| {
                let lane = std::rc::Rc::clone(&db.lane);
                tokio::task::spawn_local(async move {
                    for _ in 0..40 {
                        ask(&*lane, &Query::new("SELECT pg_sleep(0.02)"), LONG).await.unwrap();
                    }
                })
            })
            .collect();
        let mut most = 0;
        while steady.iter().any(|task| !task.is_finished()) {
            let storm: Vec<_> = (0..16)
                .map(|at| db.start(Duration::from_millis(2 + at % 5), Query::new("SELECT pg_sleep(0.2)")))
                .collect();
            for call in storm {
                let end = call.await.unwrap().unwrap_err();
                assert_ne!(end.executed(), Executed::Yes, "{end:?}");
            }
            most = most.max(db.sessions("backend_type = 'client backend'"));
        }
        for task in steady {
            task.await.unwrap();
        }
        let snapshot = db.shared.snapshot();
        assert!(snapshot.cancels_total > 20, "{snapshot:?}");
        assert!(most <= 7, "{most} sessions");
    });
}

#[test]
fn a_cancelled_write_is_not_executed_unless_it_says_unknown() {
    lane(async {
        let db = Db::with(|options| options.pool_size(4).max_overflow(0)).await;
        db.run("CREATE TABLE t (n bigint)").await;
        let mut fates = Vec::new();
        for round in 0..10_i64 {
            let calls: Vec<_> = (0..8_i64)
                .map(|at| {
                    let write =
                        Execute::new("INSERT INTO t SELECT $1 FROM pg_sleep(0.012)").bind(round * 8 + at);
                    db.start(Duration::from_millis(10 + at.unsigned_abs() * 2), write)
                })
                .collect();
            for (at, call) in (0..).zip(calls) {
                let fate = call.await.unwrap().map_or_else(|end| end.executed(), |_| Executed::Yes);
                fates.push((round * 8 + at, fate));
            }
        }
        until("a settled pool", async || db.shared.snapshot().active == 0).await;
        let rows = db.ask(QueryAs::<i64>::new("SELECT n FROM t")).await.unwrap();
        for (n, fate) in &fates {
            let count = rows.iter().filter(|row| *row == n).count();
            let is_right = match fate {
                Executed::Yes => count == 1,
                Executed::No => count == 0,
                Executed::Unknown => count <= 1,
            };
            assert!(is_right, "{n}: {fate:?}, {count} times");
        }
        let proven = fates.iter().filter(|(_, fate)| *fate == Executed::No).count();
        assert!(proven > 0, "{fates:?}");
    });
}
