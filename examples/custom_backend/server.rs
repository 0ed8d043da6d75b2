//! The server of the example: `get key` and `put key value`, one line each; several lines are one round trip.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[derive(Default)]
struct State {
    values: Mutex<HashMap<String, String>>,
    round_trips: AtomicUsize,
    drop_next: AtomicBool,
}

pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<State>,
}

impl Server {
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (address, state) = (listener.local_addr()?, Arc::<State>::default());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Ok(Self { address, state })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn round_trips(&self) -> usize {
        self.state.round_trips.load(Relaxed)
    }

    /// Does the work of the next round trip and closes the connection instead of answering.
    pub(crate) fn drop_next_reply(&self) {
        self.state.drop_next.store(true, Relaxed);
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let (mut input, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        input.extend_from_slice(&chunk[..read]);
        if input.last() != Some(&b'\n') {
            continue;
        }
        let lines = String::from_utf8_lossy(&input).into_owned();
        input.clear();
        state.round_trips.fetch_add(1, Relaxed);
        let replies: String = lines.lines().map(|line| answer(line, &state)).collect();
        if state.drop_next.swap(false, Relaxed) || stream.write_all(replies.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(line: &str, state: &State) -> String {
    let mut values = state.values.lock().unwrap();
    let mut words = line.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some("get"), Some(key), None) => values.get(key).map_or("-\n".into(), |value| format!("+{value}\n")),
        (Some("put"), Some(key), Some(value)) => {
            values.insert(key.into(), value.into());
            "+\n".into()
        }
        (Some("ping"), ..) => "+\n".into(),
        _ => "!unknown command\n".into(),
    }
}
