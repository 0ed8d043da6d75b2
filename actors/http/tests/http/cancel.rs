//! A call that is dropped: the server sees the connection end, and the next call has its own answer.

use std::time::Duration;

use backstop_core::{
    backend::{Backend, Serve},
    call::{CallContext, Deadline, OpId},
    error::Phase,
};
use backstop_http::Get;
use futures_util::FutureExt;

use crate::support::{Ended, SOON, Server, Signal, ask, ask_within, ok, run};

#[test]
fn a_dropped_call_ends_its_connection_at_every_stage() {
    run(async {
        for sent in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello"] {
            let gone = Signal::default();
            let noticed = gone.clone();
            let server = Server::start(move |mut peer, number| {
                let noticed = noticed.clone();
                async move {
                    peer.request().await;
                    if number > 0 {
                        return peer.send(ok("second")).await;
                    }
                    peer.send(sent).await;
                    peer.closed_by_client().await;
                    noticed.fire();
                }
            })
            .await;
            let backend = server.backend().await;
            let late = ask_within(Duration::from_millis(50), &backend, &Get::new("x").build().unwrap()).await;
            assert!(matches!(late, Err(Ended::Late { sent: true, .. })), "{late:?}");
            gone.wait().await;
            assert_eq!((backend.pool().active, backend.pool().idle), (0, 0));
            assert_eq!(ask(&backend, &Get::new("y").build().unwrap()).await.unwrap().body(), "second");
        }
    });
}

#[test]
fn a_call_dropped_before_its_first_byte_sends_nothing() {
    run(async {
        let server = Server::replying(ok("hello")).await;
        let backend = server.backend().await;
        let call = CallContext::new(OpId::next(), Deadline::after(SOON));
        // dropped after its first poll, while the connection opens
        assert!(backend.serve(&Get::new("x").build().unwrap(), &call).now_or_never().is_none());
        assert_eq!((call.was_sent(), call.phase(), backend.pool().active), (false, Phase::Connect, 0));
        ask(&backend, &Get::new("y").build().unwrap()).await.unwrap();
        assert_eq!(server.requests().len(), 1);
    });
}
