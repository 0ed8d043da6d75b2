//! Idle connections that are opened before anybody asks for them.

use backstop_postgres::sql::Query;
use futures_util::future::join_all;

use crate::support::{Db, LONG, ask, lane, until};

#[test]
fn none_is_opened_ahead_by_default() {
    lane(async {
        let db = Db::new().await;
        db.int("SELECT 1").await;
        let snapshot = db.shared.snapshot();
        assert_eq!((snapshot.min_idle, snapshot.created_total), (0, 1), "{snapshot:?}");
    });
}

#[test]
fn they_are_open_before_the_first_call_and_the_first_calls_use_them() {
    lane(async {
        let db = Db::with(|options| options.min_idle(3)).await;
        until("three idle", async || db.shared.snapshot().idle == 3).await;
        let snapshot = db.shared.snapshot();
        assert_eq!(
            (snapshot.min_idle, snapshot.connections, snapshot.created_total),
            (3, 3, 3),
            "{snapshot:?}"
        );
        let sleeps =
            join_all((0..3).map(|_| db.ask(Query::new("SELECT pg_backend_pid(), pg_sleep(0.2)")))).await;
        let sessions = sleeps.into_iter().map(|end| end.unwrap().get(0).unwrap()[0].as_int().unwrap());
        assert_eq!(sessions.collect::<std::collections::HashSet<_>>().len(), 3);
    });
}

#[test]
fn those_that_are_lost_are_opened_again() {
    lane(async {
        let db = Db::with(|options| options.min_idle(3)).await;
        until("three idle", async || db.shared.snapshot().idle == 3).await;
        let name = db.database.name();
        let kill = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '{name}';"
        );
        assert_eq!(db.database.sql(&kill).unwrap(), "3");
        until("three new ones", async || {
            let snapshot = db.shared.snapshot();
            snapshot.created_total >= 6 && snapshot.idle == 3 && db.sessions("true") == 3
        })
        .await;
        assert_eq!(db.int("SELECT 1").await, 1);
        assert_eq!(db.shared.snapshot().closed_total.broken, 3);
    });
}

#[test]
fn lanes_share_them_and_the_pool_s_size_is_never_passed() {
    lane(async {
        let db = Db::with(|options| options.pool_size(4).max_overflow(2).min_idle(4)).await;
        until("the first lane has all", async || db.shared.snapshot().idle == 4).await;
        let second = db.another_lane().await;
        let idle = |lane: &backstop_postgres::Postgres| backstop_core::backend::Backend::pool(lane).idle;
        until("two each", async || {
            assert!(db.shared.snapshot().connections <= 4, "{:?}", db.shared.snapshot());
            (idle(&db.lane), idle(&second)) == (2, 2)
        })
        .await;
        ask(&*second, &Query::new("SELECT 1"), LONG).await.unwrap();
        drop(second);
        until("all in the first again", async || idle(&db.lane) == 4).await;
    });
}

#[test]
fn they_come_back_after_an_outage_and_calls_are_told_meanwhile() {
    lane(async {
        let server = backstop_testkit::server::Postgres::start(Default::default()).unwrap();
        let db = Db::on(&server, |options| options.min_idle(2)).await;
        until("two idle", async || db.shared.snapshot().idle == 2).await;
        server.kill().unwrap();
        until("attempts", async || db.shared.snapshot().connect_failures_total > 1).await;
        assert_eq!(db.shared.snapshot().idle, 0);
        server.restart().unwrap();
        until("two idle again", async || db.shared.snapshot().idle == 2).await;
        assert_eq!(db.int("SELECT 1").await, 1);
    });
}
