//! The fault proxy in front of an echo server on loopback.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use backstop_testkit::proxy::{Direction, Fault, Proxy};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

/// Sends everything back.
async fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn start() -> Proxy {
    Proxy::start(echo_server().await, 7).await.unwrap()
}

async fn echo(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(text).await?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn without_a_fault_bytes_pass_unchanged() {
    let proxy = start().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let text: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (mut from, mut to) = stream.split();
    let mut answer = vec![0; text.len()];
    let (sent, received) = tokio::join!(to.write_all(&text), from.read_exact(&mut answer));
    sent.unwrap();
    received.unwrap();
    assert!(answer == text);
    assert_eq!((proxy.accepted(), proxy.open()), (1, 1));
}

#[tokio::test]
async fn a_cut_lets_exactly_so_many_bytes_pass() {
    let proxy = start().await;
    proxy.set(Fault::Cut { direction: Direction::ToClient, after: 5, reset: false });
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(b"0123456789").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(answer, b"01234");
}

#[tokio::test]
async fn a_reset_is_seen_as_one() {
    let proxy = start().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(echo(&mut stream, b"one").await.unwrap(), b"one");
    proxy.set(Fault::Cut { direction: Direction::ToServer, after: 3, reset: true });
    let error = echo(&mut stream, b"two").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn everything_can_be_cut_at_once() {
    let proxy = start().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(echo(&mut stream, b"one").await.unwrap(), b"one");
    proxy.cut_all(true);
    let mut answer = [0; 1];
    assert_eq!(stream.read(&mut answer).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut again = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(echo(&mut again, b"two").await.unwrap(), b"two", "the proxy lives on");
}

#[tokio::test]
async fn held_bytes_move_on_when_the_fault_is_healed() {
    let proxy = start().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(echo(&mut stream, b"one").await.unwrap(), b"one");
    proxy.set(Fault::Hold(Some(Direction::ToClient)));
    stream.write_all(b"two").await.unwrap();
    let mut answer = [0; 3];
    let held = timeout(Duration::from_millis(100), stream.read_exact(&mut answer)).await;
    assert!(held.is_err(), "nothing comes, and nobody is told");
    proxy.heal();
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"two");
}

#[tokio::test]
async fn a_refused_port_is_served_again_when_the_fault_is_healed() {
    let proxy = start().await;
    proxy.set(Fault::Refuse);
    let refused = async || TcpStream::connect(proxy.address()).await.is_err();
    while !refused().await {
        tokio::task::yield_now().await;
    }
    proxy.heal();
    while refused().await {
        tokio::task::yield_now().await;
    }
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(echo(&mut stream, b"one").await.unwrap(), b"one");
}

#[tokio::test]
async fn an_accepted_connection_can_be_reset_at_once() {
    let proxy = start().await;
    proxy.set(Fault::AcceptAndReset);
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(echo(&mut stream, b"one").await.is_err());
}

#[tokio::test]
async fn a_delay_and_a_throttle_take_their_time() {
    let proxy = start().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.set(Fault::Delay(Duration::from_millis(40), Duration::from_millis(60)));
    let start = Instant::now();
    assert_eq!(echo(&mut stream, b"one").await.unwrap(), b"one");
    assert!(start.elapsed() >= Duration::from_millis(80), "both ways: {:?}", start.elapsed());
    proxy.set(Fault::Throttle(10_000));
    let start = Instant::now();
    assert_eq!(echo(&mut stream, &[7; 2_000]).await.unwrap(), [7; 2_000]);
    assert!(start.elapsed() >= Duration::from_millis(180), "2 kB at 10 kB/s: {:?}", start.elapsed());
}
