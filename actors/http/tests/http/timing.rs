//! HT2: stalls, trickles and endless bodies; each ends by its own limit or at the deadline.

use std::time::Duration;

use backstop_core::{
    backend::Serve,
    call::{CallContext, Deadline, OpId},
    error::{Executed, FailureKind, Phase},
};
use backstop_http::{Get, Post};

use crate::support::{Ended, SOON, Server, ask, ask_within, assert_failure, ok, run};

const SHORT: Duration = Duration::from_millis(80);

#[test]
fn silence_before_the_head_ends_at_the_first_byte_timeout() {
    run(async {
        let server = Server::start(|mut peer, _| async move {
            peer.request().await;
            peer.send("HTTP/1.1 200").await;
            peer.closed_by_client().await;
        })
        .await;
        let backend = server.backend_with(|options| options.first_byte_timeout = SHORT).await;
        let failure = ask(&backend, &Post::new("x").build().unwrap()).await.unwrap_err().failure();
        assert_failure(
            &failure,
            FailureKind::Timeout,
            "first_byte_timeout",
            Phase::Execute,
            Executed::Unknown,
        );
        assert!(failure.is_transient());
    });
}

#[test]
fn a_stalled_body_ends_at_the_idle_timeout() {
    run(async {
        let server = Server::start(|mut peer, _| async move {
            peer.request().await;
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await;
            peer.closed_by_client().await;
        })
        .await;
        let backend = server.backend_with(|options| options.body_idle_timeout = SHORT).await;
        let failure = ask(&backend, &Get::new("x").build().unwrap()).await.unwrap_err().failure();
        assert_failure(&failure, FailureKind::Timeout, "body_idle_timeout", Phase::Decode, Executed::Unknown);
        let failure = ask(&backend, &Post::new("x").build().unwrap()).await.unwrap_err().failure();
        assert_eq!(failure.executed(), Executed::Yes, "a write that was answered with 200 was done");
    });
}

#[test]
fn a_trickle_ends_at_the_deadline_of_the_call() {
    run(async {
        let server = Server::start(|mut peer, _| async move {
            peer.request().await;
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await;
            let mut tick = tokio::time::interval(Duration::from_millis(10));
            let mut alive = true;
            while alive {
                tick.tick().await;
                alive = tokio::io::AsyncWriteExt::write_all(&mut peer.stream, b"x").await.is_ok();
            }
        })
        .await;
        let backend = server.backend_with(|options| options.body_idle_timeout = SHORT).await;
        let late = ask_within(Duration::from_millis(300), &backend, &Get::new("x").build().unwrap()).await;
        assert!(matches!(late, Err(Ended::Late { phase: Phase::Decode, sent: true })), "{late:?}");
    });
}

#[test]
fn an_endless_body_ends_at_the_size_limit() {
    run(async {
        for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"] {
            let server = Server::start(move |mut peer, _| async move {
                peer.request().await;
                peer.send(head).await;
                let piece = [&b"1000\r\n"[..], &[b'x'; 4096], b"\r\n"].concat();
                while tokio::io::AsyncWriteExt::write_all(&mut peer.stream, &piece).await.is_ok() {}
            })
            .await;
            let backend = server.backend_with(|options| options.max_response_bytes = 100_000).await;
            let failure = ask(&backend, &Get::new("x").build().unwrap()).await.unwrap_err().failure();
            assert_failure(
                &failure,
                FailureKind::TooLarge,
                "body_too_large",
                Phase::Decode,
                Executed::Unknown,
            );
        }
    });
}

#[test]
fn a_tls_handshake_that_stalls_ends_at_the_connect_timeout_and_was_not_executed() {
    run(async {
        let server = Server::start(|mut peer, _| async move { peer.closed_by_client().await }).await;
        let base = format!("https://{}", server.address);
        let backend = crate::support::backend_for(&base, |options| options.connect_timeout = SHORT).await;
        let failure = ask(&backend, &Post::new("x").build().unwrap()).await.unwrap_err().failure();
        assert_failure(&failure, FailureKind::Timeout, "connect_timeout", Phase::Connect, Executed::No);
        let late = backend_for_late(&server).await;
        assert!(matches!(late, Err(Ended::Late { phase: Phase::Connect, sent: false })), "{late:?}");
    });
}

/// The deadline passes during the handshake: nothing was sent yet.
async fn backend_for_late(server: &Server) -> Result<backstop_http::Response, Ended> {
    let backend = crate::support::backend_for(&format!("https://{}", server.address), |_| {}).await;
    ask_within(SHORT, &backend, &Post::new("x").build().unwrap()).await
}

#[test]
fn a_slow_body_of_a_failure_does_not_hold_the_failure_back() {
    run(async {
        let server = Server::start(|mut peer, _| async move {
            peer.request().await;
            peer.send("HTTP/1.1 404 Not Found\r\ncontent-length: 10\r\n\r\nhello").await;
            peer.closed_by_client().await;
        })
        .await;
        let failure =
            ask(&server.backend().await, &Get::new("x").build().unwrap()).await.unwrap_err().failure();
        assert_failure(&failure, FailureKind::Refused, "404", Phase::Execute, Executed::No);
    });
}

#[test]
fn the_first_byte_leaves_after_sending_was_called() {
    run(async {
        let server = Server::replying(ok("hello")).await;
        let backend = server.backend().await;
        let request = Post::new("x").build().unwrap();
        let call = CallContext::new(OpId::next(), Deadline::after(SOON));
        let mut serve = std::pin::pin!(backend.serve(&request, &call));
        let watched = std::future::poll_fn(|cx| {
            let polled = serve.as_mut().poll(cx);
            assert!(call.was_sent() || server.requests().is_empty());
            assert!(call.was_sent() || call.phase() != Phase::Execute);
            polled
        });
        assert_eq!(watched.await.unwrap().body(), "hello");
    });
}
