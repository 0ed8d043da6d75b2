//! A server that takes no more sessions.

use std::time::Duration;

use backstop_core::{
    clock,
    error::{Executed, FailureKind},
};
use backstop_postgres::sql::Query;
use backstop_testkit::server::{Postgres, PostgresSetup};

use crate::support::{Db, LONG, assert_failed, lane, until};

fn small() -> Postgres {
    Postgres::start(PostgresSetup { max_connections: 6, ..PostgresSetup::default() }).unwrap()
}

#[test]
fn calls_beyond_the_servers_limit_wait_for_a_connection_that_we_have() {
    lane(async {
        let server = small();
        let db = Db::on(&server, |options| options.pool_size(12).max_overflow(0)).await;
        let calls: Vec<_> = (0..24).map(|_| db.start(LONG, Query::new("SELECT pg_sleep(0.05)"))).collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        let snapshot = db.shared.snapshot();
        assert!(snapshot.connections <= 6, "{snapshot:?}");
        // a storm would knock once for each call and each answer
        assert!((1..60).contains(&snapshot.connect_failures_total), "{snapshot:?}");
    });
}

#[test]
fn without_any_connection_a_full_server_is_told_at_once_and_a_freed_place_is_used() {
    lane(async {
        let server = small();
        let greedy = Db::on(&server, |options| options.pool_size(6).max_overflow(0)).await;
        let hold: Vec<_> = (0..6).map(|_| greedy.start(LONG, Query::new("SELECT pg_sleep(20)"))).collect();
        until("a full server", async || {
            greedy.shared.snapshot().active == 6 && greedy.shared.snapshot().created_total == 6
        })
        .await;
        let options = greedy.options.clone().application_name("late");
        let late = {
            use backstop_core::backend::Connect;
            let shared = std::sync::Arc::new(options.share().unwrap());
            options.connect(&shared).await.unwrap()
        };
        let started = clock::now();
        let refused = crate::support::ask(&late, &Query::new("SELECT 1"), LONG).await;
        let failure = assert_failed(refused, FailureKind::Overloaded, Executed::No);
        assert_eq!(failure.code(), Some("53300"));
        assert!(clock::now() - started < Duration::from_secs(2));
        hold[0].abort();
        until("a closed connection", async || greedy.shared.snapshot().active == 5).await;
        use backstop_core::{backend::Backend, call::Deadline};
        hold.iter().for_each(tokio::task::JoinHandle::abort);
        until("idle connections", async || greedy.shared.snapshot().active == 0).await;
        greedy.lane.close(Deadline::after(LONG)).await;
        let started = clock::now();
        until("service", async || crate::support::ask(&late, &Query::new("SELECT 1"), LONG).await.is_ok())
            .await;
        assert!(clock::now() - started < Duration::from_secs(2));
    });
}
