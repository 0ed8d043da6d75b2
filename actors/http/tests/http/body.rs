//! HT3: a body is whole, or it is an error.

use backstop_core::{
    error::{Executed, FailureKind, Phase},
    outcome::Outcome,
};
use backstop_http::{Get, Head, Post};

use crate::support::{Server, ask, assert_failure, gzip, ok, response, run};

fn chunked(body: &[u8], end: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    [head.as_bytes(), format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n", end.as_bytes()].concat()
}

fn gzipped(wire: &[u8]) -> Vec<u8> {
    response("200 OK", "content-encoding: gzip\r\n", wire)
}

/// Cuts `whole` at every byte behind the head: no cut is a success.
fn every_cut_is_an_error(whole: Vec<u8>) {
    run(async {
        let head = whole.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        for cut in head..whole.len() {
            let server = Server::closing_after(&whole[..cut]).await;
            let backend = server.backend().await;
            let failure = ask(&backend, &Get::new("x").build().unwrap()).await.unwrap_err().failure();
            assert_failure(&failure, FailureKind::Lost, "truncated", Phase::Decode, Executed::Unknown);
            assert_eq!((failure.is_transient(), failure.outcome()), (true, Outcome::Failure));
            let failure = ask(&backend, &Post::new("x").build().unwrap()).await.unwrap_err().failure();
            assert_failure(&failure, FailureKind::Lost, "truncated", Phase::Decode, Executed::Yes);
        }
        let server = Server::closing_after(whole).await;
        let reply = ask(&server.backend().await, &Get::new("x").build().unwrap()).await.unwrap();
        assert_eq!(reply.body(), "hello");
        assert!(!reply.is_close_delimited());
    });
}

#[test]
fn a_body_cut_before_its_length_is_an_error() {
    every_cut_is_an_error(ok("hello"));
}

#[test]
fn a_chunked_body_cut_before_its_last_chunk_is_an_error() {
    every_cut_is_an_error(chunked(b"hello", "0\r\n\r\n"));
}

#[test]
fn a_chunked_body_cut_in_its_trailer_is_an_error() {
    every_cut_is_an_error(chunked(b"hello", "0\r\nx-sum: 1\r\n\r\n"));
}

#[test]
fn a_gzip_body_cut_on_the_wire_is_an_error() {
    every_cut_is_an_error(gzipped(&gzip(b"hello")));
}

#[test]
fn a_gzip_stream_cut_inside_an_intact_framing_is_an_error() {
    run(async {
        let wire = gzip(b"hello");
        for cut in 1..wire.len() {
            let server = Server::replying(gzipped(&wire[..cut])).await;
            let failure = ask(&server.backend().await, &Get::new("x").build().unwrap()).await.unwrap_err();
            assert_failure(
                &failure.failure(),
                FailureKind::Lost,
                "truncated",
                Phase::Decode,
                Executed::Unknown,
            );
        }
    });
}

#[test]
fn gzip_in_chunks_is_decoded() {
    run(async {
        let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut wire = head.as_bytes().to_vec();
        for piece in gzip(b"hello").chunks(3) {
            wire.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            wire.extend_from_slice(piece);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        let server = Server::replying(wire).await;
        let backend = server.backend().await;
        for _ in 0..3 {
            assert_eq!(ask(&backend, &Get::new("x").build().unwrap()).await.unwrap().body(), "hello");
        }
        assert_eq!(server.connections.get(), 1);
    });
}

#[test]
fn a_body_that_ends_with_the_connection_is_whole_but_flagged() {
    run(async {
        for head in [
            "HTTP/1.0 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ] {
            let server = Server::closing_after(format!("{head}hello")).await;
            let backend = server.backend().await;
            for _ in 0..2 {
                let reply = ask(&backend, &Get::new("x").build().unwrap()).await.unwrap();
                assert_eq!(
                    (reply.body().as_ref(), reply.is_close_delimited()),
                    (&b"hello"[..], true),
                    "{head}"
                );
            }
        }
    });
}

#[test]
fn a_body_that_should_end_with_the_connection_but_is_reset_is_an_error() {
    run(async {
        let server = Server::start(|mut peer, _| async move {
            peer.request().await;
            peer.send("HTTP/1.1 200 OK\r\n\r\nhello").await;
            peer.reset();
        })
        .await;
        let failure =
            ask(&server.backend().await, &Post::new("x").build().unwrap()).await.unwrap_err().failure();
        assert_eq!(failure.kind(), FailureKind::Lost);
    });
}

#[test]
fn http_1_0_with_a_length_is_held_against_it() {
    run(async {
        let server = Server::closing_after("HTTP/1.0 200 OK\r\ncontent-length: 9\r\n\r\nhello").await;
        let failure = ask(&server.backend().await, &Get::new("x").build().unwrap()).await.unwrap_err();
        assert_eq!(failure.failure().code(), Some("truncated"));
        let server = Server::closing_after("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
        let reply = ask(&server.backend().await, &Get::new("x").build().unwrap()).await.unwrap();
        assert_eq!((reply.body().as_ref(), reply.is_close_delimited()), (&b"hello"[..], false));
    });
}

#[test]
fn an_http_1_0_connection_is_used_again_only_when_the_server_says_so() {
    run(async {
        for (headers, connections) in
            [("", 2), ("connection: close\r\n", 2), ("connection: Keep-Alive\r\n", 1)]
        {
            let answer = format!("HTTP/1.0 200 OK\r\n{headers}content-length: 5\r\n\r\nhello");
            let server = Server::replying(answer).await;
            let backend = server.backend().await;
            for _ in 0..2 {
                assert_eq!(ask(&backend, &Get::new("x").build().unwrap()).await.unwrap().body(), "hello");
            }
            assert_eq!(server.connections.get(), connections, "{headers}");
        }
    });
}

#[test]
fn answers_without_a_body_are_whole_whatever_length_they_announce() {
    run(async {
        for status in ["204 No Content", "304 Not Modified"] {
            for headers in ["", "content-length: 5\r\n", "transfer-encoding: chunked\r\n"] {
                let server = Server::replying(format!("HTTP/1.1 {status}\r\n{headers}\r\n")).await;
                let backend = server.backend().await;
                for _ in 0..2 {
                    let reply = ask(&backend, &Get::new("x").build().unwrap()).await.unwrap();
                    assert_eq!(
                        (reply.body().len(), reply.is_close_delimited()),
                        (0, false),
                        "{status} {headers}"
                    );
                }
            }
        }
        for headers in
            ["", "content-length: 5\r\n", "transfer-encoding: chunked\r\n", "content-encoding: gzip\r\n"]
        {
            let server = Server::replying(format!("HTTP/1.1 200 OK\r\n{headers}\r\n")).await;
            let backend = server.backend().await;
            for _ in 0..2 {
                let reply = ask(&backend, &Head::new("x").build().unwrap()).await.unwrap();
                assert_eq!(reply.body().len(), 0);
            }
            assert_eq!(server.connections.get(), 1, "HEAD with {headers}");
        }
    });
}

#[test]
fn interim_responses_are_not_taken_for_the_answer() {
    run(async {
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        let whole = [interim.as_bytes(), &ok("hello")].concat();
        for split in [1, 10, interim.len() - 1, interim.len(), interim.len() + 5] {
            let (first, second) = (whole[..split].to_vec(), whole[split..].to_vec());
            let server = Server::start(move |mut peer, _| {
                let (first, second) = (first.clone(), second.clone());
                async move {
                    while peer.request().await.is_some() {
                        peer.send(&first).await;
                        tokio::task::yield_now().await;
                        peer.send(&second).await;
                    }
                }
            })
            .await;
            let backend = server.backend().await;
            for _ in 0..2 {
                let reply = ask(&backend, &Get::new("x").build().unwrap()).await.unwrap();
                assert_eq!((reply.status(), reply.body().as_ref()), (200, &b"hello"[..]));
            }
            assert_eq!(server.connections.get(), 1);
        }
    });
}

#[test]
fn every_split_of_an_answer_gives_the_same_reply() {
    run(async {
        for whole in [ok("hello"), chunked(b"hello", "0\r\n\r\n"), gzipped(&gzip(b"hello"))] {
            for split in 1..whole.len() {
                let (first, second) = (whole[..split].to_vec(), whole[split..].to_vec());
                let server = Server::start(move |mut peer, _| {
                    let (first, second) = (first.clone(), second.clone());
                    async move {
                        peer.stream.set_nodelay(true).unwrap();
                        while peer.request().await.is_some() {
                            peer.send(&first).await;
                            for _ in 0..3 {
                                tokio::task::yield_now().await;
                            }
                            peer.send(&second).await;
                        }
                    }
                })
                .await;
                let reply = ask(&server.backend().await, &Get::new("x").build().unwrap()).await.unwrap();
                assert_eq!(reply.body(), "hello", "split at {split}");
            }
        }
    });
}

#[test]
fn malformed_answers_are_protocol_errors() {
    run(async {
        for bytes in [
            "hello\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx\0y: z\r\n\r\n",
        ] {
            let server = Server::replying(bytes).await;
            let failure =
                ask(&server.backend().await, &Post::new("x").build().unwrap()).await.unwrap_err().failure();
            assert_failure(&failure, FailureKind::Protocol, "malformed", Phase::Execute, Executed::Unknown);
        }
        for body in ["zz\r\nhello", "5\r\nhelloworld\r\n0\r\n\r\n", "fffffffffffffffff\r\n"] {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let server = Server::replying(format!("{head}{body}")).await;
            let failure =
                ask(&server.backend().await, &Post::new("x").build().unwrap()).await.unwrap_err().failure();
            assert_failure(&failure, FailureKind::Protocol, "malformed", Phase::Decode, Executed::Yes);
        }
    });
}

#[test]
fn an_upgrade_header_does_not_hide_a_body() {
    run(async {
        let server = Server::replying(response("200 OK", "upgrade: websocket\r\n", b"hello")).await;
        let backend = server.backend().await;
        for _ in 0..2 {
            let failure = ask(&backend, &Get::new("x").build().unwrap()).await.unwrap_err().failure();
            assert_eq!((failure.kind(), failure.code()), (FailureKind::Protocol, Some("malformed")));
        }
    });
}

#[test]
fn a_coding_that_was_not_asked_for_is_refused() {
    run(async {
        for coding in ["br", "deflate", "gzip, gzip", "gzip\r\ncontent-encoding: gzip", "zstd"] {
            let headers = format!("content-encoding: {coding}\r\n");
            let server = Server::replying(response("200 OK", &headers, &gzip(&gzip(b"hello")))).await;
            let failure =
                ask(&server.backend().await, &Get::new("x").build().unwrap()).await.unwrap_err().failure();
            assert_eq!(
                (failure.kind(), failure.code()),
                (FailureKind::Protocol, Some("encoding")),
                "{coding}"
            );
        }
    });
}
