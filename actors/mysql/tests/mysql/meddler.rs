//! A man in the middle who knows packets: it swallows, swaps or replaces what the server sends.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
};

/// What happens to a packet of the server.
#[derive(Clone, Debug)]
pub(crate) enum Trick {
    Pass,
    Swallow,
    /// It changes places with the next one.
    Swap,
    /// The connection ends in the middle of it.
    Cut,
    /// Another payload takes its place.
    Replace(Vec<u8>),
}

/// A proxy that plays a trick on the `nth` packet of the server after it is armed.
pub(crate) struct Meddler {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    armed: AtomicBool,
    seen: AtomicUsize,
    trick: Mutex<Option<(usize, Trick)>>,
    said: Mutex<Vec<u8>>,
}

impl Meddler {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(server).await else { continue };
                tokio::spawn(meddle(client, server, Arc::clone(&shared)));
            }
        });
        Self { address, state }
    }

    /// From now on, plays `trick` on the packet with this number, counted from 0, once.
    pub(crate) fn arm(&self, nth: usize, trick: Trick) {
        *self.state.trick.lock().unwrap() = Some((nth, trick));
        self.state.seen.store(0, Ordering::SeqCst);
        self.state.said.lock().unwrap().clear();
        self.state.armed.store(true, Ordering::SeqCst);
    }

    /// Whether the trick was played.
    pub(crate) fn is_done(&self) -> bool {
        self.state.trick.lock().unwrap().is_none()
    }

    /// What clients said since it was armed.
    pub(crate) fn said(&self) -> Vec<u8> {
        self.state.said.lock().unwrap().clone()
    }
}

impl State {
    fn next(&self) -> Trick {
        if !self.armed.load(Ordering::SeqCst) {
            return Trick::Pass;
        }
        let number = self.seen.fetch_add(1, Ordering::SeqCst);
        let mut trick = self.trick.lock().unwrap();
        match trick.take() {
            Some((nth, found)) if nth == number => found,
            other => {
                *trick = other;
                Trick::Pass
            }
        }
    }
}

async fn meddle(client: TcpStream, server: TcpStream, state: Arc<State>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let heard = Arc::clone(&state);
    let upward = async move {
        let mut buffer = [0; 4_096];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            heard.said.lock().unwrap().extend_from_slice(&buffer[..count]);
            if to_server.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    let downward = async move {
        while let Some(packet) = read_packet(&mut from_server).await {
            let bytes = match state.next() {
                Trick::Pass => packet,
                Trick::Swallow => continue,
                Trick::Cut => {
                    let half = packet.len() / 2;
                    let _ = to_client.write_all(&packet[..half]).await;
                    return;
                }
                Trick::Swap => {
                    let Some(mut next) = read_packet(&mut from_server).await else { return };
                    next.extend(packet);
                    next
                }
                Trick::Replace(payload) => {
                    let mut bytes = u32::try_from(payload.len()).unwrap().to_le_bytes()[..3].to_vec();
                    bytes.push(packet[3]);
                    bytes.extend(payload);
                    bytes
                }
            };
            if to_client.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = upward => {}
        () = downward => {}
    }
}

async fn read_packet(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut packet = vec![0; 4];
    from.read_exact(&mut packet).await.ok()?;
    let length = usize::from(packet[0]) | usize::from(packet[1]) << 8 | usize::from(packet[2]) << 16;
    packet.resize(4 + length, 0);
    from.read_exact(&mut packet[4..]).await.ok()?;
    Some(packet)
}
