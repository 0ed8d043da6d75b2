//! The server is paused, kills, forgets, is full or read-only. The rows of the fault catalogue are in the names.

use std::time::Duration;

use backstop_core::{
    backend::Backend as _,
    clock,
    error::{Executed, FailureKind},
    outcome::Outcome,
};
use backstop_mysql::{
    MySqlOptions,
    sql::{Execute, Query, QueryAs, Request, Transaction},
};
use backstop_testkit::server::{MariaDb, MariaDbSetup};

use crate::support::{Db, End, LONG, SHORT, assert_failed, lane, until};

fn one() -> QueryAs<i64> {
    QueryAs::new("SELECT 1")
}

/// Ends the session (or its statement) that runs `text`.
fn kill(db: &Db<'_>, what: &str, text: &str) {
    let id = format!(
        "SELECT id FROM information_schema.processlist WHERE db = '{}' AND info LIKE '%{text}%' AND \
         id <> CONNECTION_ID();",
        db.database.name()
    );
    let id = db.database.sql(&id).unwrap();
    db.database.sql(&format!("KILL {what} {id};")).unwrap();
}

#[test]
fn my2_a_statement_that_an_operator_kills_was_not_executed() {
    lane(async {
        let db = Db::with_table().await;
        for (what, kind, code) in
            [("QUERY", FailureKind::Timeout, "1317/"), ("CONNECTION", FailureKind::Lost, "")]
        {
            // what waits for a lock is interrupted and undone; SLEEP itself would return early and well
            let holder = Transaction::new()
                .then(Request::new("INSERT INTO t VALUES (1, 1)"))
                .then(Request::new("SELECT SLEEP(15)"));
            let holder = db.start(LONG, holder);
            until("the lock", async || db.sessions_with("SLEEP") == 1).await;
            let call = db.start(LONG, Execute::new("INSERT INTO t VALUES (1, 2)"));
            until("the statement", async || db.sessions_with("(1, 2)") == 1).await;
            kill(&db, what, "(1, 2)");
            let failure = call.await.unwrap().unwrap_err().failure();
            assert_eq!(failure.kind(), kind, "{failure}");
            assert!(failure.code().unwrap_or_default().starts_with(code), "{failure}");
            if what == "QUERY" {
                assert_eq!(failure.executed(), Executed::No, "{failure}");
            }
            holder.abort();
            until("its end", async || db.sessions_with("SLEEP") == 0).await;
            assert_eq!(db.ids().await, Vec::<i64>::new());
        }
    });
}

#[test]
fn my2_a_paused_server_costs_a_call_its_deadline_and_no_more() {
    lane(async {
        let server = MariaDb::start(MariaDbSetup::default()).unwrap();
        let db = Db::on(&server, |options| options).await;
        db.make_table();
        // the statement is prepared already, so that it is sent and not only asked for
        let insert = |id: i64| Execute::new("INSERT INTO t VALUES (?, ?)").bind(id).bind(id);
        db.ask(insert(1)).await.unwrap();
        server.pause().unwrap();
        let start = clock::now();
        let End::Dropped { sent } = db.ask_in(SHORT, insert(2)).await.unwrap_err() else {
            panic!("nobody can have answered")
        };
        assert!(sent && start.elapsed() < SHORT * 3, "{:?}", start.elapsed());
        // the next one finds no connection, and says so before its deadline
        let failure = db.ask_in(SHORT, insert(3)).await.unwrap_err().failure();
        assert_eq!(
            (failure.kind(), failure.executed()),
            (FailureKind::Unavailable, Executed::No),
            "{failure}"
        );
        server.resume().unwrap();
        assert_eq!(db.ask(one()).await.unwrap(), [1]);
        until("an idle pool", async || db.lane.pool().active == 0).await;
        let count = db.ids().await.len();
        assert!(count == 1 || count == 2, "{count}");
    });
}

#[test]
fn my3_a_session_that_the_server_forgot_is_found_before_anything_is_sent() {
    lane(async {
        let settings = vec![("wait_timeout".to_owned(), "1".to_owned())];
        let server = MariaDb::start(MariaDbSetup { settings, ..MariaDbSetup::default() }).unwrap();
        let db = Db::on(&server, |options| options).await;
        db.make_table();
        for id in 0..3_i64 {
            db.ask(Execute::new("INSERT INTO t VALUES (?, ?)").bind(id).bind(id)).await.unwrap();
            assert_eq!(db.lane.pool().idle, 1);
            until("the end of the idle session", async || db.sessions() == 0).await;
        }
        assert_eq!(db.ids().await, [0, 1, 2]);
        assert!(db.lane.pool().created_total >= 3);
    });
}

#[test]
fn my5_a_server_without_room_for_a_session_is_overloaded_and_nothing_was_executed() {
    lane(async {
        let server = MariaDb::start(MariaDbSetup { max_connections: 10, ..MariaDbSetup::default() }).unwrap();
        let db = Db::on(&server, |options| options.pool_size(30)).await;
        let calls: Vec<_> = (0..20).map(|_| db.start(LONG, Query::new("SELECT SLEEP(0.5)"))).collect();
        let (mut served, mut refused) = (0, 0);
        for call in calls {
            match call.await.unwrap() {
                Ok(_) => served += 1,
                Err(end) => {
                    let failure = end.failure();
                    assert_eq!(
                        (failure.kind(), failure.executed(), failure.outcome()),
                        (FailureKind::Overloaded, Executed::No, Outcome::Overload),
                        "{failure}"
                    );
                    assert!(failure.code().unwrap().starts_with("1040/"), "{failure}");
                    refused += 1;
                }
            }
        }
        assert!(served >= 10 && refused >= 5, "{served} served, {refused} refused");
        assert_eq!(db.ask(one()).await.unwrap(), [1]);
    });
}

#[test]
fn my5_a_server_that_became_read_only_loses_its_connections_and_nothing_was_executed() {
    lane(async {
        // the superuser may write to a read-only server
        let server = MariaDb::start(MariaDbSetup::default()).unwrap();
        server.create_user("app", "secret").unwrap();
        server.sql("GRANT SELECT, INSERT ON *.* TO app@'%';").unwrap();
        let db = Db::on(&server, |options| options).await;
        db.make_table();
        let url = server.url_for("app", "secret", db.database.name());
        let app = Db::on(&server, |_| MySqlOptions::url(url)).await;
        app.run("INSERT INTO t VALUES (1, 1)").await;
        let created = app.lane.pool().created_total;
        server.sql("SET GLOBAL read_only = 1;").unwrap();
        let insert = || Execute::new("INSERT INTO t VALUES (2, 2)");
        let failure = assert_failed(app.ask(insert()).await, FailureKind::Unavailable, Executed::No);
        assert!(failure.code().unwrap().starts_with("1290/") && failure.is_transient(), "{failure}");
        server.sql("SET GLOBAL read_only = 0;").unwrap();
        app.ask(insert()).await.unwrap();
        assert_eq!(app.lane.pool().created_total, created + 1);
        assert_eq!(app.ids().await, [1, 2]);
    });
}

#[test]
fn my7_a_reply_past_its_limit_is_cut_and_its_statement_ended() {
    lane(async {
        let db = Db::with(|options| options.rows_max(100)).await;
        let endless = "SELECT a.seq FROM seq_1_to_1000000 a, seq_1_to_1000000 d";
        let start = clock::now();
        let rows = db.ask(Query::new(endless)).await.unwrap();
        assert!(rows.is_truncated() && rows.len() == 100);
        assert_failed(db.ask(QueryAs::<i64>::new(endless)).await, FailureKind::TooLarge, Executed::No);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        until("its end on the server", async || db.sessions_with("seq_1_to_1000000 d") == 0).await;
        // a few rows past the limit cost no connection
        until("an idle pool", async || db.lane.pool().active == 0).await;
        let created = db.lane.pool().created_total;
        assert!(db.ask(Query::new("SELECT seq FROM seq_1_to_150")).await.unwrap().is_truncated());
        assert_eq!(db.ask(one()).await.unwrap(), [1]);
        assert_eq!(db.lane.pool().created_total, created);
    });
}

#[test]
fn my7_a_reply_with_too_many_bytes_is_cut() {
    lane(async {
        let db = Db::with(|options| options.bytes_max(100_000)).await;
        let rows = db.ask(Query::new("SELECT REPEAT('x', 30000) FROM seq_1_to_10")).await.unwrap();
        assert!(rows.is_truncated() && rows.len() == 3, "{}", rows.len());
    });
}
