//! HT1 and HT8: no connection, no answer, and connections that end at the wrong moment.

use std::time::Duration;

use backstop_core::{
    backend::Backend,
    error::{Executed, FailureKind, Phase},
    outcome::Outcome,
};
use backstop_http::{Get, Post, Put};
use tokio::net::TcpListener;

use crate::support::{Ended, Server, Signal, ask, ask_within, assert_failure, backend_for, ok, run};

#[test]
fn a_refused_connection_was_not_executed() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let backend = backend_for(&format!("http://{address}"), |_| {}).await;
        let failure = ask(&backend, &Post::new("x").build().unwrap()).await.unwrap_err().failure();
        assert_failure(&failure, FailureKind::Unavailable, "connect", Phase::Connect, Executed::No);
        assert_eq!((failure.is_transient(), failure.outcome()), (true, Outcome::Failure));
    });
}

#[test]
fn a_name_that_does_not_resolve_was_not_executed() {
    run(async {
        // RFC 6761: `invalid` never resolves
        let backend = backend_for("http://nobody.invalid", |_| {}).await;
        match ask(&backend, &Post::new("x").build().unwrap()).await.unwrap_err() {
            Ended::Failed(failure) => {
                assert_failure(&failure, FailureKind::Unavailable, "dns", Phase::Connect, Executed::No);
            }
            // a machine without a network may wait for its resolver
            Ended::Late { phase, sent } => assert_eq!((phase, sent), (Phase::Connect, false)),
        }
    });
}

#[test]
fn a_server_that_accepts_and_is_silent_leaves_unknown_at_the_deadline() {
    run(async {
        let server = Server::start(|mut peer, _| async move {
            peer.request().await;
            peer.closed_by_client().await;
        })
        .await;
        let backend = server.backend().await;
        let late = ask_within(Duration::from_millis(100), &backend, &Post::new("x").build().unwrap()).await;
        assert!(matches!(late, Err(Ended::Late { phase: Phase::Execute, sent: true })), "{late:?}");
        assert_eq!(server.requests().len(), 1);
    });
}

#[test]
fn a_close_before_any_answer_is_unknown_and_arrived_once() {
    run(async {
        for reset in [false, true] {
            let server = Server::start(move |mut peer, _| async move {
                peer.request().await;
                if reset { peer.reset() } else { peer.close().await }
            })
            .await;
            let backend = server.backend().await;
            let failure =
                ask(&backend, &Post::new("x").text("body").build().unwrap()).await.unwrap_err().failure();
            assert_failure(&failure, FailureKind::Lost, "disconnected", Phase::Execute, Executed::Unknown);
            assert_eq!((failure.is_transient(), failure.outcome()), (true, Outcome::Failure));
            assert_eq!((server.requests().len(), server.connections.get()), (1, 1), "nothing is sent twice");
        }
    });
}

#[test]
fn a_close_in_the_head_is_unknown() {
    run(async {
        let whole = ok("hello");
        let head = whole.len() - 5;
        for cut in 1..head {
            let server = Server::closing_after(&whole[..cut]).await;
            let failure =
                ask(&server.backend().await, &Post::new("x").build().unwrap()).await.unwrap_err().failure();
            assert_failure(&failure, FailureKind::Lost, "disconnected", Phase::Execute, Executed::Unknown);
        }
    });
}

#[test]
fn a_connection_closed_while_idle_is_not_used_again() {
    run(async {
        let closed = Signal::default();
        let done = closed.clone();
        let server = Server::start(move |mut peer, _| {
            let done = done.clone();
            async move {
                peer.request().await;
                peer.send(ok("hello")).await;
                drop(peer);
                done.fire();
            }
        })
        .await;
        let backend = server.backend().await;
        for number in 1..=3 {
            assert_eq!(ask(&backend, &Post::new("x").build().unwrap()).await.unwrap().body(), "hello");
            closed.wait().await;
            assert_eq!(server.connections.get(), number);
        }
    });
}

#[test]
fn a_close_at_the_moment_of_reuse_is_a_transient_loss_and_arrives_at_most_once() {
    run(async {
        for reset in [false, true] {
            let server = Server::start(move |mut peer, _| async move {
                peer.request().await;
                peer.send(ok("hello")).await;
                // the second request arrives and is never answered
                peer.request().await;
                if reset { peer.reset() } else { peer.close().await }
            })
            .await;
            let backend = server.backend().await;
            ask(&backend, &Get::new("x").build().unwrap()).await.unwrap();
            let failure = ask(&backend, &Post::new("y").build().unwrap()).await.unwrap_err().failure();
            assert_failure(&failure, FailureKind::Lost, "disconnected", Phase::Execute, Executed::Unknown);
            assert!(failure.is_transient(), "the guard repeats a read or an idempotent write");
            assert_eq!(failure.outcome(), Outcome::NotCounted, "closing an idle connection is no ill health");
            assert_eq!(server.requests().iter().filter(|request| request.starts_with("POST")).count(), 1);
            assert_eq!(backend.pool().idle, 0);
        }
    });
}

#[test]
fn an_answer_that_comes_before_the_whole_request_ends_in_an_error_or_the_answer() {
    run(async {
        let server = Server::start(|mut peer, _| async move {
            peer.send("HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
                .await;
            peer.close().await;
        })
        .await;
        let body = vec![b'x'; 8 * 1024 * 1024];
        let request = Put::new("x").bytes("a/b", body).build().unwrap();
        let failure = ask(&server.backend().await, &request).await.unwrap_err().failure();
        assert!(matches!(failure.kind(), FailureKind::Refused | FailureKind::Lost), "{failure}");
    });
}
