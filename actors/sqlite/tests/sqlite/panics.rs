//! Values of callers that panic on the writer's thread: their own call alone hears of it.

use std::{panic::panic_any, time::Duration};

use backstop_core::error::{Executed, FailureKind};
use backstop_sqlite::sql::{Execute, Request, Transact, Transaction, Tx, TxError};

use crate::support::{Db, LONG, assert_failed, lane};

/// Panics whenever it is dropped, even by the panic of another.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic_any(Bomb);
    }
}

/// Panics when it is dropped outside any other panic.
struct Touchy;

impl Drop for Touchy {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a reply that nobody waited for");
    }
}

#[test]
fn a_closure_that_panics_with_a_value_that_panics_ends_its_own_call_alone() {
    lane(async {
        let db = Db::with_table().await;
        let hold = db.hold_writer().await;
        let before = db.start(LONG, Execute::new("INSERT INTO t(v) VALUES (1)")).await;
        let bomb = Transact::new(|tx: &mut Tx<'_>| -> Result<(), TxError> {
            tx.execute("INSERT INTO t(v) VALUES (10)", ())?;
            panic_any(Bomb)
        });
        let bomb = db.start(LONG, bomb).await;
        let list = Transaction::new().then(Request::new("INSERT INTO t(v) VALUES (2)"));
        let after = db.start(LONG, list).await;
        drop(hold);
        assert_failed(bomb.await.unwrap(), FailureKind::CallerPanicked, Executed::No);
        before.await.unwrap().unwrap();
        after.await.unwrap().unwrap();
        assert_eq!(db.values().await, [1, 2]);
        assert_eq!(db.shared.snapshot().connections_total, 2, "the writer's connection was sound");
    });
}

#[test]
fn a_reply_that_panics_when_nobody_takes_it_harms_no_neighbour() {
    lane(async {
        let db = Db::with_table().await;
        let (entered, mut is_in) = tokio::sync::mpsc::unbounded_channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = std::sync::Mutex::new(released);
        let reply = Transact::new(move |tx: &mut Tx<'_>| {
            tx.execute("INSERT INTO t(v) VALUES (1)", ())?;
            entered.send(()).unwrap();
            let _ = released.lock().unwrap().recv();
            Ok(Touchy)
        });
        let reply = db.start(Duration::from_secs(5), reply).await;
        is_in.recv().await.unwrap();
        let next = db.start(LONG, Execute::new("INSERT INTO t(v) VALUES (2)")).await;
        reply.abort();
        assert!(reply.await.is_err_and(|error| error.is_cancelled()));
        drop(release);
        next.await.unwrap().unwrap();
        db.run("INSERT INTO t(v) VALUES (3)").await;
        assert!(db.values().await.ends_with(&[2, 3]));
        assert_eq!(db.shared.snapshot().connections_total, 2, "the writer's connection was sound");
    });
}
