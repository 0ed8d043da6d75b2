//! HT4, and the connections of a lane: reuse, bounds, idle time.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use backstop_core::{
    backend::{Backend, Connect},
    call::Deadline,
    error::Phase,
};
use backstop_http::{Get, Head, HttpOptions, Post};
use futures_util::future::join_all;

use crate::support::{Ended, SOON, Server, Signal, ask, ask_within, ok, run};

#[test]
fn bytes_behind_an_answer_never_reach_the_next_call() {
    run(async {
        let foreign = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nforeign";
        let heads = [
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false),
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false),
            ("HTTP/1.1 204 No Content\r\n\r\n", false),
            ("HTTP/1.1 304 Not Modified\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", true),
        ];
        for (answer, head) in heads {
            for surplus in [foreign, "x", "\r\n"] {
                let whole = format!("{answer}{surplus}");
                let server = Server::replying(whole).await;
                let backend = server.backend().await;
                for number in 1..=3 {
                    let request = if head { Head::new("x").build() } else { Get::new("x").build() };
                    let reply = ask(&backend, &request.unwrap()).await.unwrap();
                    assert_ne!(reply.body(), "foreign");
                    assert_eq!(server.connections.get(), number, "a dirty connection is closed: {answer:?}");
                }
            }
        }
    });
}

#[test]
fn bytes_that_come_between_two_calls_close_the_connection() {
    run(async {
        let go = Signal::default();
        let gone = Signal::default();
        let (wait, sent) = (go.clone(), gone.clone());
        let server = Server::start(move |mut peer, _| {
            let (wait, sent) = (wait.clone(), sent.clone());
            async move {
                peer.request().await;
                peer.send(ok("own")).await;
                wait.wait().await;
                peer.send(ok("foreign")).await;
                sent.fire();
                peer.closed_by_client().await;
            }
        })
        .await;
        let backend = server.backend().await;
        for number in 1..=3 {
            assert_eq!(ask(&backend, &Get::new("x").build().unwrap()).await.unwrap().body(), "own");
            assert_eq!(server.connections.get(), number);
            go.fire();
            gone.wait().await;
        }
    });
}

#[test]
fn the_bound_holds_over_all_lanes_and_waiting_is_shown() {
    run(async {
        let release = Signal::default();
        let arrived = Signal::default();
        let (wait, came) = (release.clone(), arrived.clone());
        let server = Server::start(move |mut peer, _| {
            let (wait, came) = (wait.clone(), came.clone());
            async move {
                while peer.request().await.is_some() {
                    came.fire();
                    wait.wait().await;
                    peer.send(ok("hello")).await;
                }
            }
        })
        .await;
        let mut options = HttpOptions::new(&format!("http://{}", server.address)).unwrap();
        options.max_connections = 1;
        let shared = Arc::new(options.share().unwrap());
        let (one, two) = (options.connect(&shared).await.unwrap(), options.connect(&shared).await.unwrap());
        let request = Get::new("x").build().unwrap();
        let first = ask(&one, &request);
        let rest = async {
            arrived.wait().await;
            let late = ask_within(Duration::from_millis(50), &two, &request).await;
            assert!(matches!(late, Err(Ended::Late { phase: Phase::Acquire, sent: false })), "{late:?}");
            assert_eq!((two.pool().timeouts_total, two.pool().waiting, two.pool().max), (1, 0, 1));
            assert_eq!((one.pool().active, server.requests().len()), (1, 1));
            release.fire();
        };
        let (first, ()) = tokio::join!(first, rest);
        assert_eq!(first.unwrap().body(), "hello");
        release.fire();
        assert_eq!(ask(&two, &request).await.unwrap().body(), "hello", "the right to connect came back");
    });
}

#[test]
fn many_calls_share_few_connections_and_each_has_its_own_answer() {
    run(async {
        let server = Server::start(|mut peer, _| async move {
            while let Some(request) = peer.request().await {
                let path = request.split(' ').nth(1).unwrap().to_owned();
                peer.send(ok(&path)).await;
            }
        })
        .await;
        let backend = server.backend_with(|options| options.max_connections = 4).await;
        let calls = (0..200).map(|number| {
            let backend = &backend;
            async move {
                let request = Post::new(format!("n/{number}")).build().unwrap();
                assert_eq!(ask(backend, &request).await.unwrap().text().unwrap(), format!("/n/{number}"));
            }
        });
        join_all(calls).await;
        let pool = backend.pool();
        assert_eq!((pool.active, pool.idle as u64), (0, pool.created_total), "{pool:?}");
        assert!(pool.created_total <= 4, "{pool:?}");
    });
}

#[test]
fn idle_connections_are_closed_without_any_further_call() {
    run(async {
        let gone = Signal::default();
        let noticed = gone.clone();
        let server = Server::start(move |mut peer, _| {
            let noticed = noticed.clone();
            async move {
                peer.request().await;
                peer.send(ok("hello")).await;
                peer.closed_by_client().await;
                noticed.fire();
            }
        })
        .await;
        let backend = server.backend_with(|options| options.keep_alive = Duration::from_millis(50)).await;
        ask(&backend, &Get::new("x").build().unwrap()).await.unwrap();
        assert_eq!(backend.pool().idle, 1);
        gone.wait().await;
        let pool = backend.pool();
        assert_eq!((pool.idle, pool.created_total, pool.closed_total), (0, 1, 1));
    });
}

#[test]
fn close_ends_the_idle_connections() {
    run(async {
        let gone = Signal::default();
        let noticed = gone.clone();
        let server = Server::start(move |mut peer, _| {
            let noticed = noticed.clone();
            async move {
                while peer.request().await.is_some() {
                    peer.send(ok("hello")).await;
                }
                noticed.fire();
            }
        })
        .await;
        let backend = server.backend().await;
        ask(&backend, &Get::new("x").build().unwrap()).await.unwrap();
        backend.close(Deadline::after(SOON)).await;
        gone.wait().await;
        assert_eq!(backend.pool().idle, 0);
    });
}

#[test]
fn a_lane_in_need_makes_another_close_an_idle_connection() {
    run(async {
        let server = Server::replying(ok("hello")).await;
        let mut options = HttpOptions::new(&format!("http://{}", server.address)).unwrap();
        options.max_connections = 1;
        let shared = Arc::new(options.share().unwrap());
        let (one, two) = (options.connect(&shared).await.unwrap(), options.connect(&shared).await.unwrap());
        let request = Get::new("x").build().unwrap();
        for _ in 0..3 {
            ask_within(Duration::from_millis(100), &one, &request).await.unwrap();
            assert_eq!((one.pool().idle, two.pool().idle), (1, 0));
            ask_within(Duration::from_millis(100), &two, &request).await.unwrap();
            assert_eq!((one.pool().idle, two.pool().idle), (0, 1));
        }
    });
}

#[test]
fn eight_threads_share_four_connections_and_every_call_ends() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = std::thread::spawn(move || {
        run(async {
            let open = Rc::new(Cell::new((0, 0)));
            let seen = Rc::clone(&open);
            let server = Server::start(move |mut peer, _| {
                let open = Rc::clone(&open);
                async move {
                    let (now, most) = open.get();
                    open.set((now + 1, most.max(now + 1)));
                    while let Some(request) = peer.request().await {
                        peer.send(ok(request.split(' ').nth(1).unwrap())).await;
                    }
                    let (now, most) = open.get();
                    open.set((now - 1, most));
                }
            })
            .await;
            sender.send(server.address).unwrap();
            stopped.await.unwrap();
            // the server may hear of a close after the next connection
            assert!(seen.get().1 <= 4 + 2, "{} connections at once", seen.get().1);
        });
    });
    let mut options = HttpOptions::new(&format!("http://{}", receiver.recv().unwrap())).unwrap();
    options.max_connections = 4;
    let shared = Arc::new(options.share().unwrap());
    let lanes: Vec<_> = (0..8)
        .map(|lane| {
            let (options, shared) = (options.clone(), Arc::clone(&shared));
            std::thread::spawn(move || {
                run(async {
                    let backend = options.connect(&shared).await.unwrap();
                    let calls = (0..25).map(|number| {
                        let backend = &backend;
                        async move {
                            let path = format!("{lane}/{number}");
                            let reply =
                                ask(backend, &Post::new(path.as_str()).build().unwrap()).await.unwrap();
                            assert_eq!(reply.text().unwrap(), format!("/{path}"));
                        }
                    });
                    join_all(calls).await;
                    assert!(backend.pool().created_total >= 1);
                });
            })
        })
        .collect();
    for lane in lanes {
        lane.join().unwrap();
    }
    stop.send(()).unwrap();
    server.join().unwrap();
}
