//! What a call leaves behind: nothing.

use std::time::Duration;

use backstop_core::{
    backend::Backend,
    call::Deadline,
    clock,
    error::{Executed, FailureKind},
};
use backstop_postgres::sql::{Execute, Query, TransactAsync, TxError};

use crate::support::{Db, LONG, ask, assert_failed, lane, until};

const SHORT: Duration = Duration::from_millis(150);

#[test]
fn a_write_by_query_is_refused_by_the_session_and_nothing_is_written() {
    lane(async {
        let db = Db::new().await;
        db.run("CREATE TABLE t (n int)").await;
        db.run(
            "CREATE FUNCTION hidden() RETURNS int LANGUAGE sql VOLATILE AS 'INSERT INTO t VALUES (1) RETURNING n'",
        )
        .await;
        for sql in ["INSERT INTO t VALUES (1) RETURNING n", "SELECT hidden()", "CREATE TABLE u (n int)"] {
            let failure = assert_failed(db.ask(Query::new(sql)).await, FailureKind::Refused, Executed::No);
            assert!(!failure.is_transient(), "{failure}");
        }
        assert_eq!(db.int("SELECT count(*) FROM t").await, 0);
        // the same connection writes again when it is asked to
        db.run("INSERT INTO t SELECT hidden()").await;
        assert_eq!(db.int("SELECT count(*) FROM t").await, 2);
        assert_eq!(db.lane.pool().created_total, 1);
    });
}

#[test]
fn a_reader_that_turns_its_session_writable_turns_nobody_elses() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        db.run("CREATE TABLE t (n int)").await;
        let escape = "SELECT set_config('default_transaction_read_only', 'off', false)";
        db.ask(Query::new(escape)).await.unwrap();
        let result = db.ask(Query::new("INSERT INTO t VALUES (1) RETURNING n")).await;
        assert_failed(result, FailureKind::Refused, Executed::No);
    });
}

#[test]
fn a_statement_that_is_stopped_at_its_deadline_was_not_executed_and_its_connection_is_used_again() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        db.run("CREATE TABLE t (n int)").await;
        let slow = Execute::new("INSERT INTO t SELECT 1 FROM pg_sleep(20)");
        let started = clock::now();
        let failure = assert_failed(db.ask_in(SHORT, slow).await, FailureKind::Timeout, Executed::No);
        assert!(clock::now() - started < SHORT + Duration::from_millis(500), "{failure}");
        assert_eq!(db.int("SELECT count(*) FROM t").await, 0);
        assert_eq!(db.lane.pool().created_total, 1);
        assert_eq!(db.shared.snapshot().cleaned_total, 1);
    });
}

#[test]
fn a_caller_that_goes_away_stops_its_statement_and_frees_its_locks() {
    lane(async {
        let db = Db::new().await;
        db.run("CREATE TABLE t (n int)").await;
        db.run("INSERT INTO t VALUES (1)").await;
        let holder = db.start(
            LONG,
            TransactAsync::new(async |tx| {
                tx.execute("UPDATE t SET n = 2", ()).await?;
                tx.query("SELECT pg_sleep(20)", ()).await?;
                Ok::<_, TxError>(())
            }),
        );
        db.until_session("wait_event = 'PgSleep'").await;
        holder.abort();
        let started = clock::now();
        db.run("UPDATE t SET n = n + 10").await;
        assert!(clock::now() - started < Duration::from_secs(1));
        assert_eq!(db.int("SELECT n FROM t").await, 11);
        until("a clean pool", async || db.lane.pool().active == 0).await;
        assert_eq!(db.sessions("state <> 'idle'"), 0);
    });
}

#[test]
fn a_session_that_a_call_changed_is_reset_before_it_is_lent_again() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        db.run("CREATE TABLE t (n int)").await;
        for sql in [
            "SELECT set_config('search_path', 'nowhere', false)",
            "SELECT pg_advisory_lock(7)",
            "CREATE TEMP TABLE t (other text)",
        ] {
            db.ask(Execute::new(sql)).await.unwrap();
            assert_eq!(db.int("SELECT count(*) FROM t WHERE n IS NULL").await, 0, "{sql}");
        }
        assert_eq!(
            db.database.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory';").unwrap(),
            "0"
        );
        assert_eq!(db.lane.pool().created_total, 1);
    });
}

#[test]
fn a_full_pool_says_who_holds_it() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        let holder = db.start(LONG, Query::new("SELECT pg_sleep(20)"));
        db.until_session("wait_event = 'PgSleep'").await;
        let failure = assert_failed(
            db.ask_in(SHORT, Query::new("SELECT 1")).await,
            FailureKind::Exhausted,
            Executed::No,
        );
        assert!(failure.message().contains("all 1 are in use; the oldest serves `query` for"), "{failure}");
        assert_eq!(db.shared.snapshot().timeouts_total, 1);
        holder.abort();
        assert_eq!(db.int("SELECT 1").await, 1);
    });
}

#[test]
fn a_lane_that_waits_gets_an_idle_connection_of_another_one_in_time() {
    lane(async {
        let db = Db::with(|options| options.pool_size(2).max_overflow(0)).await;
        let calls: Vec<_> = (0..2).map(|_| db.start(LONG, Query::new("SELECT pg_sleep(0.05)"))).collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!(db.lane.pool().idle, 2);
        let other = db.another_lane().await;
        let started = clock::now();
        ask(&*other, &Query::new("SELECT 1"), LONG).await.unwrap();
        assert!(clock::now() - started < Duration::from_millis(350), "{:?}", clock::now() - started);
        assert_eq!((db.lane.pool().idle, other.pool().idle), (1, 1));
    });
}

#[test]
fn a_lane_is_not_starved_by_another_one_under_load() {
    lane(async {
        let db = Db::with(|options| options.pool_size(2).max_overflow(0)).await;
        let busy: Vec<_> = (0..8)
            .map(|_| {
                let lane = std::rc::Rc::clone(&db.lane);
                tokio::task::spawn_local(async move {
                    loop {
                        ask(&*lane, &Query::new("SELECT pg_sleep(0.01)"), LONG).await.unwrap();
                    }
                })
            })
            .collect();
        until("load", async || db.lane.pool().waiting > 0).await;
        let other = db.another_lane().await;
        let started = clock::now();
        ask(&*other, &Query::new("SELECT 1"), LONG).await.unwrap();
        assert!(clock::now() - started < Duration::from_secs(1));
        assert!(db.shared.snapshot().connections <= 2);
        busy.iter().for_each(tokio::task::JoinHandle::abort);
    });
}

#[test]
fn a_closed_lane_leaves_no_session() {
    lane(async {
        let db = Db::new().await;
        db.run("CREATE TABLE t (n int)").await;
        assert_eq!(db.sessions("true"), 1);
        db.lane.close(Deadline::after(LONG)).await;
        until("the end of the session", async || db.sessions("true") == 0).await;
        assert_eq!(db.shared.snapshot().connections, 0);
    });
}
