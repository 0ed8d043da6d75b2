//! A server that says what a test lets it say.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What it says to a client that has sent its startup packet, and to one that asked something.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    /// Instead of a greeting.
    pub(crate) greeting: Option<Vec<u8>>,
    /// Instead of the answer to a statement that is prepared.
    pub(crate) prepared: Option<Vec<u8>>,
    /// Instead of the one row of an answer.
    pub(crate) row: Option<Vec<u8>>,
    /// Behind it, without end.
    pub(crate) endless: Option<Vec<u8>>,
}

/// Listens on loopback; ends when it is dropped.
pub(crate) struct Rogue {
    pub(crate) address: SocketAddr,
    script: Arc<Mutex<Script>>,
    listening: JoinHandle<()>,
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// One message of the protocol.
pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    lying(tag, u32::try_from(body.len() + 4).unwrap(), body)
}

/// A message that tells another length than it has.
pub(crate) fn lying(tag: u8, length: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(length.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A row of cells.
pub(crate) fn row(cells: &[&[u8]]) -> Vec<u8> {
    let mut body = u16::try_from(cells.len()).unwrap().to_be_bytes().to_vec();
    for cell in cells {
        body.extend(u32::try_from(cell.len()).unwrap().to_be_bytes());
        body.extend(*cell);
    }
    message(b'D', &body)
}

/// A notice with so many bytes of text.
pub(crate) fn notice(bytes: usize) -> Vec<u8> {
    let text = "n".repeat(bytes);
    message(b'N', format!("SWARNING\0VWARNING\0C01000\0M{text}\0\0").as_bytes())
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// Lets everybody in.
fn greeting() -> Vec<u8> {
    [message(b'R', &[0; 4]), message(b'S', b"server_version\x0016.0\0"), message(b'K', &[0; 8]), ready()]
        .concat()
}

/// One column of int8 without a parameter.
fn described() -> Vec<u8> {
    let mut column = vec![0, 1];
    column.extend(b"n\0");
    column.extend([0; 6]);
    column.extend(20_u32.to_be_bytes());
    column.extend([0, 8, 0xff, 0xff, 0xff, 0xff, 0, 1]);
    [message(b'1', &[]), message(b't', &[0, 0]), message(b'T', &column)].concat()
}

impl Rogue {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::<Mutex<Script>>::default();
        let own = Arc::clone(&script);
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let script = Arc::clone(&own);
                tokio::spawn(async move { serve(client, &script).await });
            }
        });
        Self { address, script, listening }
    }

    /// Says this from now on.
    pub(crate) fn says(&self, script: Script) {
        *self.script.lock() = script;
    }
}

/// Talks until the client goes.
async fn serve(mut client: TcpStream, script: &Mutex<Script>) -> Option<()> {
    let length = client.read_u32().await.ok()?;
    let mut body = vec![0; usize::try_from(length).ok()?.checked_sub(4)?];
    client.read_exact(&mut body).await.ok()?;
    let said = script.lock().greeting.clone().unwrap_or_else(greeting);
    client.write_all(&said).await.ok()?;
    let (mut reply, mut endless) = (Vec::new(), None);
    loop {
        let tag = client.read_u8().await.ok()?;
        let length = client.read_u32().await.ok()?;
        let mut body = vec![0; usize::try_from(length).ok()?.checked_sub(4)?];
        client.read_exact(&mut body).await.ok()?;
        let now = script.lock().clone();
        match tag {
            b'P' => reply.extend(now.prepared.unwrap_or_else(described)),
            b'B' => reply.extend(message(b'2', &[])),
            b'E' => {
                reply.extend(now.row.unwrap_or_else(|| row(&[&7_u64.to_be_bytes()])));
                endless = now.endless;
                if endless.is_none() {
                    reply.extend(message(b'C', b"SELECT 1\0"));
                }
            }
            // what turns the session between reading and writing
            b'Q' => reply.extend([message(b'C', b"SET\0"), ready()].concat()),
            b'S' if endless.is_none() => reply.extend(ready()),
            _ => {}
        }
        if matches!(tag, b'Q' | b'S') {
            client.write_all(&std::mem::take(&mut reply)).await.ok()?;
            while let Some(more) = &endless {
                client.write_all(more).await.ok()?;
            }
        }
    }
}
