//! What the server bounds in our sessions by itself, and that no session is lent without it.

use std::time::Duration;

use backstop_core::{
    backend::Backend as _,
    error::{Executed, FailureKind},
    outcome::Outcome,
};
use backstop_mysql::sql::{Execute, Query, QueryAs, QueryStream, TransactAsync};
use backstop_testkit::server::{MariaDb, MariaDbSetup};

use crate::support::{Db, LONG, assert_failed, lane, until};

type Ceilings = (f64, i64, i64, i64, i64);

/// Reads the session's own values; `Query` is a read, which has a session of its own.
fn ceilings() -> QueryAs<Ceilings> {
    QueryAs::new(
        "SELECT @@max_statement_time, @@idle_transaction_timeout, @@innodb_lock_wait_timeout, @@lock_wait_timeout, \
         @@wait_timeout",
    )
}

/// One connection, whose statements may take this long.
async fn within(statement_timeout: Duration) -> Db<'static> {
    let db =
        Db::with(|options| options.pool_size(1).max_overflow(0).statement_timeout(statement_timeout)).await;
    db.make_table();
    db
}

#[test]
fn a_session_has_its_ceilings_after_a_reset_too() {
    lane(async {
        let db = Db::with(|options| {
            options
                .pool_size(1)
                .max_overflow(0)
                .statement_timeout(Duration::from_millis(2_500))
                .idle_in_transaction_timeout(Duration::from_millis(3_001))
                .lock_timeout(Duration::from_secs(5))
                .max_lifetime(Duration::from_secs(600))
        })
        .await;
        let expected = (2.5, 4, 5, 5, 660);
        // reading a variable of the server counts as leaving something, so each of these is followed by a reset
        for _ in 0..3 {
            assert_eq!(db.ask(ceilings()).await.unwrap(), [expected]);
        }
        db.ask(Query::new("SELECT @left := 7")).await.unwrap();
        assert_eq!(db.ask(ceilings()).await.unwrap(), [expected]);
        assert_eq!(db.lane.pool().created_total, 1);
    });
}

#[test]
fn what_is_off_or_lower_on_the_server_stays_the_servers() {
    let server = MariaDb::start(MariaDbSetup::default()).unwrap();
    let set = "SET GLOBAL max_statement_time = 1.5, GLOBAL innodb_lock_wait_timeout = 2, GLOBAL lock_wait_timeout = 3, \
               GLOBAL idle_transaction_timeout = 4, GLOBAL wait_timeout = 90;";
    server.sql(set).unwrap();
    lane(async {
        let defaults = Db::on(&server, |options| options).await;
        assert_eq!(defaults.ask(ceilings()).await.unwrap(), [(1.5, 4, 2, 3, 90)]);
        let off = Db::on(&server, |options| {
            let off = Duration::ZERO;
            options.statement_timeout(off).idle_in_transaction_timeout(off).lock_timeout(off)
        });
        assert_eq!(off.await.ask(ceilings()).await.unwrap(), [(1.5, 4, 2, 3, 90)]);
        let lower = Db::on(&server, |options| {
            let second = Duration::from_secs(1);
            options.statement_timeout(second).idle_in_transaction_timeout(second).lock_timeout(second)
        });
        assert_eq!(lower.await.ask(ceilings()).await.unwrap(), [(1.0, 1, 1, 1, 90)]);
    });
}

#[test]
fn a_statement_that_reaches_its_ceiling_is_undone_and_its_session_serves_on() {
    lane(async {
        let db = within(Duration::from_millis(200)).await;
        let read = db.ask(Query::new("SELECT count(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b")).await;
        let failure = assert_failed(read, FailureKind::Timeout, Executed::No);
        assert_eq!((failure.code(), failure.outcome()), (Some("1969/70100"), Outcome::Failure), "{failure}");
        assert!(!failure.is_transient());

        let insert = "INSERT INTO t SELECT seq, seq FROM seq_1_to_100000000";
        let failure = assert_failed(db.ask(Execute::new(insert)).await, FailureKind::Timeout, Executed::No);
        assert_eq!(failure.code(), Some("1969/70100"), "{failure}");

        let closure = TransactAsync::new(async |tx| {
            tx.execute("INSERT INTO t VALUES (1, 1)", ()).await?;
            tx.query_as::<i64>("SELECT count(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b", ()).await
        });
        assert_failed(db.ask(closure).await, FailureKind::Timeout, Executed::No);

        db.ask(Execute::new("INSERT INTO t VALUES (2, 2)")).await.unwrap();
        assert_eq!(db.ids().await, [2]);
        assert_eq!(db.lane.pool().created_total, 1);
    });
}

#[test]
fn a_stream_has_no_ceiling_and_leaves_it_to_the_next_call() {
    lane(async {
        let db = within(Duration::from_millis(300)).await;
        for rows in [40, 0] {
            // 800 ms in all
            let sql = format!("SELECT seq, SLEEP(0.02) FROM seq_1_to_100 WHERE seq <= {rows}");
            let mut stream = db.ask(QueryStream::new(sql).chunk_rows(5)).await.unwrap();
            let mut seen = 0;
            while let Some(chunk) = stream.next_chunk().await {
                seen += chunk.unwrap().len();
            }
            assert_eq!(seen, rows);
        }
        // one that fails on its way
        let mut failing = db.ask(QueryStream::new("SELECT (SELECT seq FROM seq_1_to_9)")).await.unwrap();
        assert!(failing.next_chunk().await.unwrap().is_err());
        let endless = db.ask(Query::new("SELECT count(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b")).await;
        assert_failed(endless, FailureKind::Timeout, Executed::No);
        assert_eq!(db.lane.pool().created_total, 1);
    });
}

#[test]
fn a_transaction_that_idles_is_ended_by_the_server_and_undone() {
    lane(async {
        let db = Db::with(|options| options.idle_in_transaction_timeout(Duration::from_secs(1))).await;
        db.make_table();
        let name = db.database.name().to_owned();
        let closure = TransactAsync::new(async move |tx| {
            let insert = "INSERT INTO t VALUES (?, ?)";
            tx.execute(insert, (1, 1)).await?;
            let count = format!("SELECT count(*) FROM information_schema.processlist WHERE db = '{name}';");
            let gone = async || MariaDb::shared().unwrap().sql(&count).unwrap() == "0";
            until("the end of an idle session", gone).await;
            tx.execute(insert, (2, 2)).await
        });
        let failure = assert_failed(db.ask_in(LONG, closure).await, FailureKind::Lost, Executed::No);
        assert!(failure.is_transient(), "{failure}");
        assert!(db.ids().await.is_empty());
    });
}
