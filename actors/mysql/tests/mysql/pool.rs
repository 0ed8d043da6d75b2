//! The cap on connections: shared over lanes, fair, and never passed.

use std::{rc::Rc, sync::Arc, time::Duration};

use backstop_core::{
    backend::{Backend as _, Connect as _},
    call::Deadline,
    clock,
    error::{Executed, FailureKind, Phase},
};
use backstop_mysql::{
    MySqlOptions,
    sql::{Execute, Query, QueryAs, QueryStream},
};
use backstop_testkit::server::{MariaDb, MariaDbSetup};

use crate::support::{Db, LONG, SHORT, ask, lane, until};

fn one() -> QueryAs<i64> {
    QueryAs::new("SELECT 1")
}

#[test]
fn a_call_without_a_connection_says_why_in_time() {
    lane(async {
        let db = Db::with(|options| options.pool_size(2).max_overflow(0)).await;
        let busy: Vec<_> = (0..2).map(|_| db.start(LONG, Query::new("SELECT SLEEP(20)"))).collect();
        until("two busy connections", async || db.sessions_with("SLEEP") == 2).await;
        let failure = db.ask_in(SHORT, one()).await.unwrap_err().failure();
        assert_eq!((failure.kind(), failure.executed()), (FailureKind::Exhausted, Executed::No), "{failure}");
        assert_eq!(failure.phase(), Phase::Acquire);
        assert!(
            failure.message().contains("all 2 connections")
                && failure.message().contains("oldest serves `query`"),
            "{failure}"
        );
        assert_eq!(db.lane.pool().timeouts_total, 1);
        busy.iter().for_each(tokio::task::JoinHandle::abort);
        assert_eq!(db.ask(one()).await.unwrap(), [1]);
    });
}

#[test]
fn an_idle_connection_of_another_lane_is_closed_for_a_lane_that_waits() {
    lane(async {
        let db = Db::with(|options| options.pool_size(2).max_overflow(0)).await;
        let calls: Vec<_> = (0..2).map(|_| db.start(LONG, Query::new("SELECT SLEEP(0.1)"))).collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!(db.lane.pool().idle, 2);
        let other = db.another_lane().await;
        assert_eq!(ask(&*other, &one(), Duration::from_millis(500)).await.unwrap(), [1]);
        assert_eq!((db.lane.pool().idle, other.pool().idle), (1, 1));
    });
}

#[test]
fn eight_lanes_with_four_connections_all_make_progress_and_never_pass_the_cap() {
    lane(async {
        let db = Db::with(|options| options.pool_size(3).max_overflow(1)).await;
        let mut lanes = vec![Rc::clone(&db.lane)];
        for _ in 1..8 {
            lanes.push(db.another_lane().await);
        }
        let calls: Vec<_> = (0..160)
            .map(|at| {
                let lane = Rc::clone(&lanes[at % 8]);
                tokio::task::spawn_local(async move {
                    let sleep = Query::new("SELECT SLEEP(0.002)");
                    if at % 2 == 0 {
                        ask(&*lane, &sleep, LONG).await.map(drop)
                    } else {
                        ask(&*lane, &Execute::new("DO 1"), LONG).await.map(drop)
                    }
                })
            })
            .collect();
        let mut most = 0;
        while calls.iter().any(|call| !call.is_finished()) {
            let open: u64 =
                lanes.iter().map(|lane| lane.pool().created_total - lane.pool().closed_total).sum();
            most = most.max(open);
            tokio::task::yield_now().await;
        }
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert!((2..=4).contains(&most), "{most} connections of 4");
        until("no overflow", async || lanes.iter().map(|lane| lane.pool().idle).sum::<usize>() <= 4).await;
    });
}

#[test]
fn overflow_is_closed_when_nobody_waits() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(4)).await;
        let calls: Vec<_> = (0..5).map(|_| db.start(LONG, Query::new("SELECT SLEEP(0.1)"))).collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        until("one connection", async || db.lane.pool().idle == 1 && db.lane.pool().active == 0).await;
        assert_eq!(db.lane.pool().created_total, 5);
        until("one session", async || db.sessions() == 1).await;
    });
}

#[test]
fn reads_and_writes_in_turn_keep_one_connection_each() {
    lane(async {
        let db = Db::with_table().await;
        for id in 0..20_i64 {
            db.ask(Execute::new("INSERT INTO t VALUES (?, ?)").bind(id).bind(id)).await.unwrap();
            db.ask(one()).await.unwrap();
        }
        assert_eq!(db.lane.pool().created_total, 2);
    });
}

#[test]
fn a_lone_connection_changes_its_mode_as_calls_ask_for_it() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        db.make_table();
        for id in 0..3_i64 {
            db.ask(Execute::new("INSERT INTO t VALUES (?, ?)").bind(id).bind(id)).await.unwrap();
            assert_eq!(db.ids().await.len() as i64, id + 1);
        }
        assert_eq!(db.lane.pool().created_total, 1);
    });
}

#[test]
fn a_connection_past_its_life_is_replaced_between_calls() {
    lane(async {
        let db = Db::with(|options| options.max_lifetime(Duration::from_secs(1))).await;
        let start = clock::now();
        while db.lane.pool().created_total < 2 {
            assert!(start.elapsed() < LONG);
            assert_eq!(db.ask(one()).await.unwrap(), [1]);
        }
        assert!(start.elapsed() >= Duration::from_millis(800), "{:?}", start.elapsed());
    });
}

#[test]
fn a_closed_lane_leaves_no_session_on_the_server() {
    lane(async {
        let db = Db::new().await;
        db.ask(one()).await.unwrap();
        assert_eq!(db.sessions(), 1);
        db.lane.close(Deadline::after(LONG)).await;
        assert_eq!(db.lane.pool().idle, 0);
        until("no session", async || db.sessions() == 0).await;
    });
}

#[test]
fn a_lane_that_is_dropped_leaves_no_session_on_the_server() {
    lane(async {
        let mut db = Db::new().await;
        db.ask(one()).await.unwrap();
        let stream =
            db.ask(QueryStream::new("SELECT a.seq FROM seq_1_to_1000000 a, seq_1_to_1000000 b")).await;
        let other = db.another_lane().await;
        drop(std::mem::replace(&mut db.one.lane, other));
        until("no session", async || db.sessions() <= 1).await;
        drop(stream);
        until("no session but the killer's", async || db.sessions_with("seq_1_to") == 0).await;
    });
}

#[test]
fn eight_threads_share_four_connections_and_all_are_served() {
    let server = MariaDb::start(MariaDbSetup::default()).unwrap();
    let options = MySqlOptions::url(server.url()).pool_size(3).max_overflow(1);
    let shared = Arc::new(options.share().unwrap());
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                lane(async {
                    let lane = Rc::new(options.connect(&shared).await.unwrap());
                    for round in 0..30_i64 {
                        if round % 2 == 0 {
                            let read = QueryAs::<i64>::new("SELECT ?").bind(round);
                            assert_eq!(ask(&*lane, &read, LONG).await.unwrap(), [round]);
                        } else {
                            ask(&*lane, &Execute::new("DO 1"), LONG).await.unwrap();
                        }
                    }
                    lane.close(Deadline::after(LONG)).await;
                    assert_eq!((lane.pool().active, lane.pool().idle), (0, 0));
                });
            });
        }
    });
    let most = server.sql("SHOW STATUS LIKE 'Max_used_connections';").unwrap();
    let most: u32 = most.split_whitespace().nth(1).unwrap().parse().unwrap();
    // without the cap it would be a reader and a writer for each thread; the server ends a session a moment after its
    // connection was closed, and this question is one more
    assert!((2..=10).contains(&most), "{most}");
}
