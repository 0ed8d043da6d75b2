//! SIGKILL of the server under load (MY1): what was acknowledged is there, once.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use backstop_core::{error::Executed, message::Class};
use backstop_mysql::sql::{Execute, Request, Transaction};
use backstop_testkit::{
    ledger::{Fate, Ledger},
    server::{MariaDb, MariaDbSetup},
};

use crate::support::{Db, End, ask, lane, until};

const CALLERS: u64 = 8;
const ROUNDS: usize = 3;
const TIMEOUT: Duration = Duration::from_secs(2);

/// Writes until it is told to stop; each row has a key of its own.
async fn write(db: &Db<'_>, caller: u64, stop: &Cell<bool>, ledger: &RefCell<Ledger>) {
    let mut nth = 0;
    while !stop.get() {
        nth += 1;
        let key = caller * 1_000_000 + nth;
        let row = |half: u64| {
            let key = i64::try_from(key).unwrap();
            Request::with_params("INSERT INTO entry VALUES (?, ?)", (key, half))
        };
        ledger.borrow_mut().sent(key, Class::Unsafe);
        // even keys as one statement, odd ones as a transaction whose halves must be there together
        let result = if key.is_multiple_of(2) {
            ask(&*db.lane, &Execute::from(row(0)), TIMEOUT).await.map(drop)
        } else {
            ask(&*db.lane, &Transaction::new().then(row(1)).then(row(2)), TIMEOUT).await.map(drop)
        };
        let fate = match result {
            Ok(()) => Fate::Acknowledged,
            Err(End::Failed(failure)) => Fate::Ended(failure.executed()),
            Err(End::Dropped { sent }) => Fate::Ended(if sent { Executed::Unknown } else { Executed::No }),
        };
        ledger.borrow_mut().told(key, fate);
        if fate != Fate::Acknowledged {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[test]
fn my1_kill_9_loses_no_acknowledged_write_and_doubles_none() {
    lane(async {
        let server = Rc::new(MariaDb::start(MariaDbSetup::default()).unwrap());
        let db = Db::on(&server, |options| options).await;
        db.database.sql("CREATE TABLE entry (`key` BIGINT, half INT) ENGINE = InnoDB;").unwrap();
        let (stop, ledger) = (Cell::new(false), RefCell::new(Ledger::default()));
        let load =
            futures_util::future::join_all((0..CALLERS).map(|caller| write(&db, caller, &stop, &ledger)));
        let faults = async {
            let acknowledged = || ledger.borrow().count(Fate::Acknowledged);
            for _ in 0..ROUNDS {
                let before = acknowledged();
                until("acknowledged writes", async || acknowledged() > before + 50).await;
                server.kill().unwrap();
                let not_served = || ledger.borrow().len() - acknowledged();
                let failed = not_served();
                until("a call that meets the outage", async || not_served() > failed + 20).await;
                server.restart().unwrap();
            }
            let before = acknowledged();
            until("writes after the last restart", async || acknowledged() > before + 50).await;
            stop.set(true);
        };
        tokio::join!(load, faults);

        let rows = db
            .database
            .sql("SELECT `key`, count(*), count(DISTINCT half) FROM entry GROUP BY `key`;")
            .unwrap();
        let mut executions = BTreeMap::new();
        for line in rows.lines() {
            let mut numbers = line.split('\t').map(|number| number.parse::<u64>().unwrap());
            let (key, count, halves) =
                (numbers.next().unwrap(), numbers.next().unwrap(), numbers.next().unwrap());
            let expected = if key.is_multiple_of(2) { 1 } else { 2 };
            assert_eq!(halves, expected, "half of transaction {key}");
            executions.insert(key, u32::try_from(count / expected).unwrap());
            assert_eq!(count % expected, 0, "{key}");
        }
        let ledger = ledger.into_inner();
        let breaches = ledger.breaches(|key| executions.get(&key).copied().unwrap_or(0));
        assert!(breaches.is_empty(), "{breaches:#?}");
        let unknown = ledger.count(Fate::Ended(Executed::Unknown));
        assert!(unknown > 0, "no write was under way at any kill");
    });
}
