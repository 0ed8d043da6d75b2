//! Transactions: all or nothing, and a commit that is proven.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use backstop_core::error::{Executed, FailureKind};
use backstop_postgres::sql::{Execute, Isolation, Request, TransactAsync, Transaction, TxError, TxOptions};

use crate::support::{Db, LONG, assert_failed, lane, until};

async fn with_table() -> Db<'static> {
    let db = Db::new().await;
    db.run("CREATE TABLE t (n int PRIMARY KEY)").await;
    db
}

#[test]
fn a_list_takes_effect_as_a_whole_or_not_at_all() {
    lane(async {
        let db = with_table().await;
        let insert = |n: i32| Request::with_params("INSERT INTO t VALUES ($1)", (n,));
        let replies = db.ask(Transaction::new().then(insert(1)).then(insert(2))).await.unwrap();
        assert_eq!(replies.iter().map(|reply| reply.affected).collect::<Vec<_>>(), [1, 1]);
        let doomed = Transaction::new().then(insert(3)).then(insert(1)).then(insert(4));
        let failure = assert_failed(db.ask(doomed).await, FailureKind::Conflict, Executed::No);
        assert!(failure.message().starts_with("statement 1: "), "{failure}");
        assert_eq!(failure.code(), Some("23505"));
        assert_eq!(db.int("SELECT count(*) FROM t").await, 2);
        assert_eq!(db.sessions("state <> 'idle'"), 0);
    });
}

#[test]
fn a_savepoint_undoes_its_part_alone_and_hooks_run_after_the_commit_only() {
    lane(async {
        let db = with_table().await;
        let told = Arc::new(AtomicUsize::new(0));
        let hooks = Arc::clone(&told);
        db.ask(TransactAsync::new(async move |tx| {
            tx.execute("INSERT INTO t VALUES (1)", ()).await?;
            let part = tx.savepoint(async |tx| tx.execute("INSERT INTO t VALUES (1)", ()).await).await;
            assert!(part.is_err());
            tx.savepoint(async |tx| tx.execute("INSERT INTO t VALUES (2)", ()).await).await?;
            let hooks = Arc::clone(&hooks);
            tx.after_commit(move || {
                hooks.fetch_add(1, SeqCst);
            });
            Ok(())
        }))
        .await
        .unwrap();
        assert_eq!((db.int("SELECT sum(n) FROM t").await, told.load(SeqCst)), (3, 1));
    });
}

#[test]
fn a_commit_that_the_server_turned_into_a_rollback_is_an_error_and_nothing_was_executed() {
    lane(async {
        let db = with_table().await;
        let told = Arc::new(AtomicUsize::new(0));
        let hooks = Arc::clone(&told);
        let careless = TransactAsync::new(async move |tx| {
            let hooks = Arc::clone(&hooks);
            tx.after_commit(move || {
                hooks.fetch_add(1, SeqCst);
            });
            tx.execute("INSERT INTO t VALUES (1)", ()).await?;
            // the error is passed over, and the server will not commit
            let _ = tx.execute("INSERT INTO t VALUES (1)", ()).await;
            Ok(())
        });
        let failure = assert_failed(db.ask(careless).await, FailureKind::Refused, Executed::No);
        assert_eq!(failure.code(), Some("commit_rolled_back"));
        assert_eq!((db.int("SELECT count(*) FROM t").await, told.load(SeqCst)), (0, 0));
        until("a clean pool", async || db.sessions("state <> 'idle'") == 0).await;
    });
}

#[test]
fn a_commit_that_a_deferred_constraint_refuses_is_a_conflict_and_nothing_was_executed() {
    lane(async {
        let db = with_table().await;
        db.run("CREATE TABLE u (n int REFERENCES t DEFERRABLE INITIALLY DEFERRED)").await;
        let dangling = Transaction::new().then(Request::new("INSERT INTO u VALUES (5)"));
        let failure = assert_failed(db.ask(dangling).await, FailureKind::Conflict, Executed::No);
        assert_eq!(failure.code(), Some("23503"));
        assert_eq!(db.int("SELECT count(*) FROM u").await, 0);
    });
}

#[test]
fn options_reach_the_server_and_end_with_the_transaction() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        let options = TxOptions::new()
            .isolation(Isolation::Serializable)
            .read_only()
            .deferrable()
            .lock_timeout(Duration::from_millis(1234));
        let names =
            ["transaction_isolation", "transaction_read_only", "transaction_deferrable", "lock_timeout"];
        let show = move || {
            TransactAsync::new(async move |tx| {
                let mut shown = Vec::new();
                for name in names {
                    shown.extend(tx.query_as::<String>("SELECT current_setting($1)", (name,)).await?);
                }
                Ok(shown)
            })
        };
        let shown = db.ask(show().with_options(options)).await.unwrap();
        assert_eq!(shown, ["serializable", "on", "on", "1234ms"]);
        assert_eq!(db.ask(show()).await.unwrap(), ["read committed", "off", "off", "0"]);
    });
}

#[test]
fn the_server_ends_a_statement_of_a_transaction_by_the_deadline_even_without_us() {
    lane(async {
        let db = Db::new().await;
        let show = TransactAsync::new(async |tx| tx.query_as::<String>("SHOW statement_timeout", ()).await);
        let shown = db.ask_in(Duration::from_secs(5), show).await.unwrap();
        let left: u64 = shown[0].trim_end_matches("ms").parse().unwrap_or(5_000);
        assert!(shown[0] == "5s" || (4_000..=5_000).contains(&left), "{shown:?}");
    });
}

#[test]
fn raw_transaction_control_never_reaches_the_server() {
    lane(async {
        let db = with_table().await;
        for sql in
            ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "PREPARE TRANSACTION 'a'", "SET ROLE postgres"]
        {
            let failure = assert_failed(db.ask(Execute::new(sql)).await, FailureKind::Refused, Executed::No);
            assert_eq!(failure.code(), Some("refused_statement"), "{sql}");
            let raw = TransactAsync::new(async move |tx| tx.execute(sql, ()).await);
            assert_failed(db.ask(raw).await, FailureKind::Refused, Executed::No);
        }
        assert_eq!(db.sessions("state <> 'idle'"), 0);
    });
}

/// Two closures that take two rows in opposite order, each certain to hold its first one.
async fn deadlock(db: &Db<'static>, deadline: Duration) -> Vec<Result<(), crate::support::End>> {
    let barrier = Arc::new(tokio::sync::Barrier::new(2));
    let one = |first: i32, second: i32| {
        let barrier = Arc::clone(&barrier);
        db.start(
            deadline,
            TransactAsync::new(async move |tx| {
                tx.execute("UPDATE pair SET v = v + 1 WHERE n = $1", (first,)).await?;
                barrier.wait().await;
                tx.execute("UPDATE pair SET v = v + 1 WHERE n = $1", (second,)).await?;
                Ok::<_, TxError>(())
            }),
        )
    };
    let (a, b) = (one(1, 2), one(2, 1));
    vec![a.await.unwrap(), b.await.unwrap()]
}

#[test]
fn one_of_two_in_a_deadlock_is_told_to_run_again_and_did_nothing() {
    lane(async {
        let db = Db::new().await;
        db.run("CREATE TABLE pair (n int PRIMARY KEY, v int)").await;
        db.run("INSERT INTO pair VALUES (1, 0), (2, 0)").await;
        let results = deadlock(&db, LONG).await;
        let (mut done, mut failed) = (0, Vec::new());
        for result in results {
            match result {
                Ok(()) => done += 1,
                Err(end) => failed.push(end.failure()),
            }
        }
        assert_eq!((done, failed.len()), (1, 1));
        assert_eq!((failed[0].code(), failed[0].executed()), (Some("40P01"), Executed::No));
        assert!(failed[0].is_transient());
        assert_eq!(db.int("SELECT sum(v) FROM pair").await, 2);
    });
}

#[test]
fn a_serialisation_failure_is_told_to_run_again_even_when_the_closure_passed_it_over() {
    lane(async {
        let db = with_table().await;
        db.run("INSERT INTO t VALUES (1)").await;
        let barrier = Arc::new(tokio::sync::Barrier::new(2));
        let waiting = Arc::clone(&barrier);
        let serial = TxOptions::new().isolation(Isolation::RepeatableRead);
        let slow = db.start(
            LONG,
            TransactAsync::new(async move |tx| {
                tx.query("SELECT n FROM t", ()).await?;
                waiting.wait().await;
                waiting.wait().await;
                let _ = tx.execute("UPDATE t SET n = 20", ()).await;
                Ok::<_, TxError>(())
            })
            .with_options(serial),
        );
        barrier.wait().await;
        db.run("UPDATE t SET n = 10").await;
        barrier.wait().await;
        let failure = slow.await.unwrap().unwrap_err().failure();
        assert_eq!((failure.code(), failure.executed()), (Some("40001"), Executed::No), "{failure}");
        assert!(failure.is_transient());
        assert_eq!(db.int("SELECT n FROM t").await, 10);
    });
}

#[test]
fn a_lock_that_is_not_had_in_time_is_an_abort_and_the_session_is_used_again() {
    lane(async {
        let db = with_table().await;
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
        let impatient = Transaction::new()
            .then(Request::new("UPDATE t SET n = 3"))
            .with_options(TxOptions::new().lock_timeout(Duration::from_millis(50)));
        let failure = assert_failed(db.ask(impatient).await, FailureKind::Aborted, Executed::No);
        assert_eq!(failure.code(), Some("55P03"));
        holder.abort();
        until("a clean pool", async || db.shared.snapshot().active == 0).await;
        assert_eq!(db.int("SELECT n FROM t").await, 1);
    });
}

#[test]
fn the_ceiling_of_the_session_stops_a_statement_below_the_deadline() {
    lane(async {
        let db = Db::with(|options| options.statement_timeout(Duration::from_millis(100)).pool_size(1)).await;
        let failure = db.ask(Execute::new("SELECT pg_sleep(20)")).await.unwrap_err().failure();
        assert_eq!((failure.code(), failure.executed()), (Some("57014"), Executed::No), "{failure}");
        assert_eq!(db.int("SELECT 1").await, 1);
        assert_eq!(db.shared.snapshot().created_total, 1);
    });
}

#[test]
fn both_sides_of_a_deadlock_are_done_once_when_the_guard_runs_the_loser_again() {
    lane(async {
        let database = backstop_testkit::server::Postgres::shared().unwrap().fresh_database().unwrap();
        database
            .sql("CREATE TABLE pair (n int PRIMARY KEY, v int); INSERT INTO pair VALUES (1, 0), (2, 0);")
            .unwrap();
        let supervisor = backstop_testkit::sim::supervisor();
        let options = backstop_postgres::PostgresOptions::url(database.url());
        let policy = backstop_core::policy::Policy::default();
        let backend = supervisor.add("pg", options, policy).await.unwrap();
        let (barrier, runs) = (Arc::new(tokio::sync::Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
        let one = |first: i32, second: i32| {
            let (barrier, runs) = (Arc::clone(&barrier), Arc::clone(&runs));
            let call = TransactAsync::new(async move |tx| {
                tx.execute("UPDATE pair SET v = v + 1 WHERE n = $1", (first,)).await?;
                if runs.fetch_add(1, SeqCst) < 2 {
                    barrier.wait().await;
                }
                tx.execute("UPDATE pair SET v = v + 1 WHERE n = $1", (second,)).await?;
                Ok::<_, TxError>(())
            });
            backend.ask(call).within(LONG)
        };
        let (a, b) = tokio::join!(one(1, 2), one(2, 1));
        a.unwrap();
        b.unwrap();
        assert_eq!(runs.load(SeqCst), 3);
        assert_eq!(database.sql("SELECT sum(v) FROM pair;").unwrap(), "4");
        supervisor.shutdown(backstop_core::call::Deadline::after(LONG)).await;
    });
}
