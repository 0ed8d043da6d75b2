//! Listeners with the real server.

use std::{cell::RefCell, rc::Rc, time::Duration};

use backstop_core::error::{Failure, FailureKind};
use tokio::task::LocalSet;
use tokio_postgres::Client;

use super::{Listen, Notice, NoticeStream, listen};
use crate::{
    error::{During, failure},
    session::{Session, Wire, connect},
};

/// How many sessions of the database listen.
const LISTENERS: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";

async fn opened(url: &str) -> Result<(Client, Wire), Failure> {
    connect(url).await.map_err(|error| failure(error, During::Connect, true))
}

/// A stream whose connection runs in a task of this thread.
async fn start(session: &Session, message: &Listen) -> NoticeStream {
    let url = session.database.url().to_owned();
    let (stream, going) = listen(async move || opened(&url).await, message).await.unwrap();
    tokio::task::spawn_local(going);
    stream
}

async fn heard(stream: &mut NoticeStream) -> Notice {
    let notice = tokio::time::timeout(Duration::from_secs(10), stream.next_notice()).await;
    notice.expect("nothing was heard").expect("the stream has ended")
}

fn message(channel: &str, payload: &str) -> Notice {
    Notice::Message { channel: channel.into(), payload: payload.into() }
}

async fn until_listeners(session: &Session, count: i64) {
    let seen = async {
        while session.one(LISTENERS, &[]).await.unwrap() != count.into() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), seen).await.expect("the listeners did not change");
}

#[tokio::test]
async fn notifications_arrive_in_order_by_exact_names() {
    LocalSet::new()
        .run_until(async {
            let session = Session::open().await;
            let mut stream = start(&session, &Listen::new(["a\"; DROP", "Orders"])).await;
            session.run("NOTIFY orders, 'other'; NOTIFY \"Orders\", '1'; NOTIFY \"a\"\"; DROP\"; NOTIFY \"Orders\", '2'").await;
            for expected in [message("Orders", "1"), message("a\"; DROP", ""), message("Orders", "2")] {
                assert_eq!(heard(&mut stream).await, expected);
            }
        })
        .await;
}

#[tokio::test]
async fn a_lost_connection_is_a_gap_and_nothing_after_it_is_missed() {
    LocalSet::new()
        .run_until(async {
            let session = Session::open().await;
            let mut stream = start(&session, &Listen::new(["c"])).await;
            for round in ["1", "2"] {
                let ended = LISTENERS.replace("count(*)", "bool_or(pg_terminate_backend(pid))");
                session.one(&ended, &[]).await.unwrap();
                assert_eq!(heard(&mut stream).await, Notice::Gap);
                // at the gap it listens already
                session.run(&format!("NOTIFY c, '{round}'")).await;
                assert_eq!(heard(&mut stream).await, message("c", round));
            }
        })
        .await;
}

#[tokio::test]
async fn attempts_to_reconnect_grow_apart_and_a_refused_login_is_not_hammered() {
    LocalSet::new()
        .run_until(async {
            let session = Session::open().await;
            let url = session.database.url().to_owned();
            let refused = Rc::new(RefCell::new(Vec::new()));
            let attempts: Rc<RefCell<Vec<tokio::time::Instant>>> = Rc::default();
            let log = Rc::clone(&attempts);
            let plan = Rc::clone(&refused);
            let connect = async move || {
                log.borrow_mut().push(tokio::time::Instant::now());
                let next: Option<Failure> = plan.borrow_mut().pop();
                match next {
                    Some(refused) => Err(refused),
                    None => opened(&url).await,
                }
            };
            let (mut stream, going) = listen(connect, &Listen::new(["c"])).await.unwrap();
            tokio::task::spawn_local(going);
            let login = Failure::new(FailureKind::Auth, "no").retry_in(Duration::from_secs(1));
            *refused.borrow_mut() = vec![login, Failure::unavailable("no"), Failure::unavailable("no")];
            let ended = LISTENERS.replace("count(*)", "bool_or(pg_terminate_backend(pid))");
            session.one(&ended, &[]).await.unwrap();
            assert_eq!(heard(&mut stream).await, Notice::Gap);
            let attempts: Vec<tokio::time::Instant> = attempts.borrow().clone();
            assert_eq!(attempts.len(), 5);
            let pauses: Vec<Duration> = attempts.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(pauses[1..3].iter().all(|pause| *pause >= Duration::from_millis(100)), "{pauses:?}");
            assert!(pauses[3] >= Duration::from_secs(1), "{pauses:?}");
        })
        .await;
}

#[tokio::test]
async fn more_than_the_buffer_holds_is_a_gap_and_the_rest_arrives() {
    LocalSet::new()
        .run_until(async {
            let session = Session::open().await;
            let mut stream = start(&session, &Listen::new(["c", "done"]).buffer(3)).await;
            session.run("SELECT pg_notify('c', at::text) FROM generate_series(1, 100) AS at").await;
            for payload in ["1", "2", "3"] {
                assert_eq!(heard(&mut stream).await, message("c", payload));
            }
            assert_eq!(heard(&mut stream).await, Notice::Gap);
            session.run("NOTIFY done, 'x'").await;
            // what came between the gap and the end may have found room again, in order
            let mut last = 3;
            loop {
                match heard(&mut stream).await {
                    Notice::Message { channel, .. } if &*channel == "done" => break,
                    Notice::Message { payload, .. } => {
                        let number: i32 = payload.parse().unwrap();
                        assert!(number > last);
                        last = number;
                    }
                    Notice::Gap => {}
                }
            }
        })
        .await;
}

#[tokio::test]
async fn a_dropped_stream_closes_its_connection_and_a_dropped_connection_ends_the_stream() {
    LocalSet::new()
        .run_until(async {
            let session = Session::open().await;
            let stream = start(&session, &Listen::new(["c"])).await;
            until_listeners(&session, 1).await;
            drop(stream);
            until_listeners(&session, 0).await;
            let url = session.database.url().to_owned();
            let (mut stream, going) =
                listen(async move || opened(&url).await, &Listen::new(["c"])).await.unwrap();
            drop(going);
            assert_eq!(stream.next_notice().await, None);
            until_listeners(&session, 0).await;
        })
        .await;
}

#[tokio::test]
async fn names_that_the_server_would_change_are_refused_before_it_is_asked() {
    let nobody = async || -> Result<(Client, Wire), Failure> { panic!("it was asked") };
    for channels in [vec![], vec![String::new()], vec!["x".repeat(64)], vec!["a\0b".to_owned()]] {
        let failure = listen(nobody, &Listen::new(channels)).await.map(drop).unwrap_err();
        assert_eq!((failure.kind(), failure.code()), (FailureKind::Refused, Some("invalid_message")));
    }
}
