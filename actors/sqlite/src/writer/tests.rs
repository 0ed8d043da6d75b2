//! The writer panics in the middle of its work, or the database is full: each caller hears what is known, and
//! the next call works.

use std::{sync::Arc, time::Duration};

use backstop_core::{
    backend::{Connect as _, Serve},
    call::{CallContext, Deadline, OpId},
    error::{Executed, Failure, FailureKind},
    event::EventRing,
    guard::Guard,
    message::{Class, Message},
    policy::Policy,
};
use backstop_sql::{
    AsyncTx, Execute, QueryAs, Request, Transact, TransactAsync, Transaction, Tx, crud::SelectOne,
};
use futures_util::future::join_all;
use tempfile::TempDir;

use crate::{Sqlite, SqliteOptions, SqliteShared};

const FIRST: &str = "INSERT INTO t(v) VALUES (1)";
const SECOND: &str = "INSERT INTO t(v) VALUES (2)";
const THIRD: &str = "INSERT INTO t(v) VALUES (3)";

async fn ask<M: Message>(backend: &Sqlite, message: M) -> Result<M::Reply, Failure>
where
    Sqlite: Serve<M>,
{
    let call = CallContext::new(OpId::next(), Deadline::after(Duration::from_secs(20)));
    backend.serve(&message, &call).await
}

/// A read that comes while the writer closes what it panicked on is refused, and may be repeated.
async fn values(backend: &Sqlite) -> Vec<i64> {
    for _ in 0..1_000 {
        match ask(backend, QueryAs::new("SELECT v FROM t ORDER BY v")).await {
            Ok(values) => return values,
            Err(failure) => {
                // closed, or locked by the connection that is just being closed
                let is_known = matches!(failure.kind(), FailureKind::Unavailable | FailureKind::Aborted);
                assert!(is_known && failure.is_transient(), "{failure}");
                assert_eq!(failure.executed(), Executed::No, "{failure}");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
    panic!("the database stays closed")
}

fn fate(result: Result<impl Sized, Failure>) -> (FailureKind, Executed) {
    let Err(failure) = result else { panic!("it should have failed") };
    (failure.kind(), failure.executed())
}

/// Runs a test on a database with a table and one commit.
fn with_table<F: Future<Output = ()>>(test: impl FnOnce(Arc<SqliteShared>, Sqlite) -> F) {
    with_pages(None, test);
}

fn with_pages<F: Future<Output = ()>>(
    pages_max: Option<u32>,
    test: impl FnOnce(Arc<SqliteShared>, Sqlite) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = TempDir::new().unwrap();
    runtime.block_on(async {
        let mut options = SqliteOptions::file(dir.path().join("test.db"));
        options.planted.pages_max = pages_max;
        let shared = Arc::new(options.share().unwrap());
        let backend = options.connect(&shared).await.unwrap();
        ask(&backend, Execute::new("CREATE TABLE t(v)")).await.unwrap();
        ask(&backend, Execute::new("INSERT INTO t(v) VALUES (0)")).await.unwrap();
        test(shared, backend).await;
    });
}

/// Keeps the writer busy until both writes wait behind it, so that they form one group.
async fn as_group(
    shared: &SqliteShared,
    backend: &Sqlite,
    writes: [&'static str; 2],
) -> Vec<Result<(), Failure>> {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (enter, entered) = tokio::sync::oneshot::channel::<()>();
    let held = parking_lot::Mutex::new(Some((enter, released)));
    let hold = Transact::new(move |_: &mut Tx<'_>| {
        if let Some((enter, released)) = held.lock().take() {
            let _ = enter.send(());
            let _ = released.recv();
        }
        Ok(())
    });
    let hold = async { ask(backend, hold).await };
    let group = async {
        // a writer that wakes late would take them together with what holds it, and nobody would wait
        entered.await.unwrap();
        join_all(writes.map(|sql| async move { ask(backend, Execute::new(sql)).await.map(drop) })).await
    };
    let released = async {
        while shared.snapshot().writes_waiting < 2 {
            tokio::task::yield_now().await;
        }
        drop(release);
    };
    let (held, group, ()) = tokio::join!(hold, group, released);
    held.unwrap();
    group
}

#[test]
fn a_panic_before_the_commit_of_a_group_was_executed_for_nobody() {
    with_table(async |shared, backend| {
        shared.core.options.planted.arm(&[SECOND]);
        for result in as_group(&shared, &backend, [FIRST, SECOND]).await {
            assert_eq!(fate(result), (FailureKind::Panicked, Executed::No));
        }
        assert_eq!(values(&backend).await, [0]);
        ask(&backend, Execute::new(THIRD)).await.unwrap();
        assert_eq!(values(&backend).await, [0, 3]);
    });
}

#[test]
fn a_panic_after_the_commit_of_a_group_leaves_it_unknown() {
    with_table(async |shared, backend| {
        // the closure that holds the writer commits too, before the first member
        shared.core.options.planted.arm(&[FIRST, "COMMIT"]);
        for result in as_group(&shared, &backend, [FIRST, SECOND]).await {
            assert_eq!(fate(result), (FailureKind::Panicked, Executed::Unknown));
        }
        // nobody was told `no`, and here it was done
        assert_eq!(values(&backend).await, [0, 1, 2]);
        ask(&backend, Execute::new(THIRD)).await.unwrap();
    });
}

#[test]
fn a_panic_in_a_statement_that_commits_by_itself_is_unknown() {
    with_table(async |shared, backend| {
        shared.core.options.planted.arm(&[FIRST]);
        let result = ask(&backend, Execute::new(FIRST)).await;
        assert_eq!(fate(result), (FailureKind::Panicked, Executed::Unknown));
        ask(&backend, Execute::new(THIRD)).await.unwrap();
        assert_eq!(values(&backend).await, [0, 3]);
    });
}

#[test]
fn a_panic_inside_a_list_leaves_nothing_of_it() {
    with_table(async |shared, backend| {
        shared.core.options.planted.arm(&[SECOND]);
        let list = Transaction::new().then(Request::new(FIRST)).then(Request::new(SECOND));
        let (list, next) = tokio::join!(ask(&backend, list), ask(&backend, Execute::new(THIRD)));
        // alone or with its neighbour, the transaction was open: nothing lasts of it
        assert_eq!(fate(list).1, Executed::No);
        let expected = if next.is_ok() { vec![0, 3] } else { vec![0] };
        assert!(next.map_or_else(|failure| failure.executed() == Executed::No, |_| true));
        assert_eq!(values(&backend).await, expected);
    });
}

#[test]
fn a_panic_under_an_awaiting_closure_is_told_as_one_and_unknown_only_at_the_commit() {
    with_table(async |shared, backend| {
        let closure = || {
            TransactAsync::new(async |tx: &mut AsyncTx<'_>| {
                tx.execute(FIRST, ()).await?;
                tx.execute(SECOND, ()).await.map(drop)
            })
        };
        shared.core.options.planted.arm(&[SECOND]);
        assert_eq!(fate(ask(&backend, closure()).await), (FailureKind::Panicked, Executed::No));
        assert_eq!(values(&backend).await, [0]);
        shared.core.options.planted.arm(&[SECOND, "COMMIT"]);
        assert_eq!(fate(ask(&backend, closure()).await), (FailureKind::Panicked, Executed::Unknown));
        // nobody was told `no`, and here it was done
        assert_eq!(values(&backend).await, [0, 1, 2]);
        ask(&backend, Execute::new(THIRD)).await.unwrap();
    });
}

#[test]
fn a_commit_whose_fate_is_unknown_drops_the_answers_that_it_may_have_made_stale() {
    with_table(async |shared, backend| {
        let guard = Guard::new("t".into(), Policy::default(), Arc::new(EventRing::new(8))).unwrap();
        let call = || CallContext::new(OpId::next(), Deadline::after(Duration::from_secs(20)));
        let found = async || {
            let read = SelectOne::new("t", ("v", 1)).columns(["v"]).cache_key("one").typed::<i64>();
            guard.run(&backend, &read, &call(), Class::Read).await.unwrap()
        };
        let awaits = TransactAsync::new(async |tx: &mut AsyncTx<'_>| {
            tx.invalidate("one");
            tx.execute(FIRST, ()).await.map(drop)
        });
        let body =
            Transact::new(|tx: &mut Tx<'_>| tx.run(&Request::new(FIRST).invalidating("one")).map(drop));
        let list = Transaction::new().then(Request::new(FIRST)).invalidating("one");
        for form in 0..3 {
            assert_eq!(found().await, None);
            shared.core.options.planted.arm(&["COMMIT"]);
            let ended = match form {
                0 => guard.run(&backend, &awaits, &call(), Class::Transaction).await,
                1 => guard.run(&backend, &body, &call(), Class::Transaction).await,
                _ => guard.run(&backend, &list, &call(), Class::Transaction).await.map(drop),
            };
            assert_eq!(ended.unwrap_err().executed(), Executed::Unknown, "form {form}");
            // here it was done
            assert_eq!(values(&backend).await, [0, 1]);
            assert_eq!(found().await, Some(1), "form {form}");
            ask(&backend, Execute::new("DELETE FROM t WHERE v = 1")).await.unwrap();
            guard.invalidate_tag("one");
        }
    });
}

const LARGE: &str = "INSERT INTO t(v) VALUES (zeroblob(200000))";

fn full<T>(result: Result<T, Failure>) -> Failure {
    let Err(failure) = result else { panic!("there was no room for it") };
    let found = (failure.kind(), failure.executed(), failure.code(), failure.is_transient());
    assert_eq!(found, (FailureKind::Server, Executed::No, Some("13"), false), "{failure}");
    failure
}

#[test]
fn who_needs_more_room_than_there_is_fails_alone_and_small_neighbours_commit() {
    with_pages(Some(20), async |shared, backend| {
        let [large, small] = as_group(&shared, &backend, [LARGE, FIRST]).await.try_into().unwrap();
        full(large);
        small.unwrap();
        let list = Transaction::new().then(Request::new(SECOND)).then(Request::new(LARGE));
        let failure = full(ask(&backend, list).await);
        assert!(failure.message().starts_with("statement 1: "), "{failure}");
        let body = Transact::new(|tx: &mut Tx<'_>| {
            tx.execute(SECOND, ())?;
            tx.execute(LARGE, ()).map(drop)
        });
        full(ask(&backend, body).await);
        full(ask(&backend, Execute::new(LARGE)).await);
        assert_eq!(values(&backend).await, [0, 1]);
    });
}

#[test]
fn a_full_database_keeps_what_was_acknowledged_and_writes_again_when_there_is_room() {
    with_pages(Some(20), async |_, backend| {
        let page = || ask(&backend, Execute::new("INSERT INTO t(v) VALUES (zeroblob(3000))"));
        let results = join_all((0..40).map(|_| page())).await;
        let acknowledged = results.iter().filter(|result| result.is_ok()).count();
        assert!((5..20).contains(&acknowledged), "{acknowledged}");
        for result in results.into_iter().filter(Result::is_err) {
            full(result);
        }
        let large = "SELECT count(*) FROM t WHERE length(v) = 3000";
        let count = || ask(&backend, QueryAs::<usize>::new(large));
        assert_eq!(count().await.unwrap(), [acknowledged]);
        ask(&backend, Execute::new("DELETE FROM t WHERE length(v) = 3000")).await.unwrap();
        page().await.unwrap();
        assert_eq!(count().await.unwrap(), [1]);
        let check = ask(&backend, QueryAs::<String>::new("PRAGMA integrity_check")).await;
        assert_eq!(check.unwrap(), ["ok"]);
    });
}
