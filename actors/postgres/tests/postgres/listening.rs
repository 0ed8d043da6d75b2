//! Notifications through the backend: its cap, its close, its reconnect.

use backstop_core::{backend::Backend as _, call::Deadline};
use backstop_postgres::{Listen, Notice};

use crate::support::{Db, LONG, lane, until};

#[test]
fn a_notification_arrives_and_a_lost_connection_is_a_gap() {
    lane(async {
        let db = Db::new().await;
        let mut stream = db.ask(Listen::new(["news"])).await.unwrap();
        db.run("NOTIFY news, 'first'").await;
        let first = stream.next_notice().await.unwrap();
        assert!(matches!(&first, Notice::Message { payload, .. } if &**payload == "first"), "{first:?}");
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND application_name = current_setting('application_name') AND pid <> pg_backend_pid()";
        db.run(end).await;
        assert_eq!(stream.next_notice().await, Some(Notice::Gap));
        db.run("NOTIFY news, 'second'").await;
        let second = stream.next_notice().await.unwrap();
        assert!(matches!(&second, Notice::Message { payload, .. } if &**payload == "second"), "{second:?}");
    });
}

#[test]
fn a_listener_counts_against_the_cap_and_gives_its_place_back() {
    lane(async {
        let db = Db::with(|options| options.pool_size(2).max_overflow(0)).await;
        db.run("SELECT 1").await;
        let streams = [db.ask(Listen::new(["a"])).await.unwrap(), db.ask(Listen::new(["b"])).await.unwrap()];
        let end = db.ask_in(std::time::Duration::from_millis(200), Listen::new(["c"])).await.unwrap_err();
        assert_eq!(end.executed(), backstop_core::error::Executed::No);
        drop(streams);
        db.run("SELECT 1").await;
        until("the listeners' sessions are closed", async || db.sessions("query LIKE 'LISTEN%'") == 0).await;
    });
}

#[test]
fn closing_the_backend_ends_its_streams() {
    lane(async {
        let db = Db::new().await;
        let mut stream = db.ask(Listen::new(["news"])).await.unwrap();
        db.lane.close(Deadline::after(LONG)).await;
        while stream.next_notice().await.is_some() {}
        until("no session is left", async || db.sessions("true") == 0).await;
    });
}
