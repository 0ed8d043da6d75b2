//! A TCP proxy on loopback that spoils connections on purpose, for backends with real servers.
//!
//! A fault is set from outside and holds for every connection until it is healed. Chance, where it enters, is
//! drawn from a seed and the number of the connection.
//!
//! ```no_run
//! # use std::time::Duration;
//! use backstop_testkit::proxy::{Direction, Fault, Proxy};
//!
//! # async fn demo(server: std::net::SocketAddr) -> std::io::Result<()> {
//! let proxy = Proxy::start(server, 7).await?;
//! // point the client at `proxy.address()`, then:
//! proxy.set(Fault::Cut { direction: Direction::ToClient, after: 100, reset: true });
//! proxy.heal();
//! # Ok(()) }
//! ```

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use fastrand::Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What is wrong with the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// New connections are refused; those that are open stay.
    Refuse,
    /// New connections are accepted and reset at once; those that are open stay.
    AcceptAndReset,
    /// Each piece is late by a time between these two.
    Delay(Duration, Duration),
    /// So many bytes a second pass, each way.
    Throttle(u32),
    /// The connection ends after so many bytes of one direction, counted from its start.
    Cut {
        /// Which bytes count.
        direction: Direction,
        /// How many pass.
        after: usize,
        /// Whether it ends with a reset instead of an orderly end.
        reset: bool,
    },
    /// Nothing moves in this direction, and nobody is told: half-open. With `None`, in either.
    Hold(Option<Direction>),
}

/// A running proxy; dropped, it ends with all of its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    fault: watch::Sender<Setting>,
    counts: Arc<Counts>,
    listening: JoinHandle<()>,
}

/// The fault at work, and how often everything was cut by hand.
#[derive(Clone, Debug, Default)]
struct Setting {
    fault: Fault,
    cuts: u32,
    reset: bool,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicUsize,
    open: AtomicUsize,
}

/// Counts a connection as open while it lives.
struct Open(Arc<Counts>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

impl Proxy {
    /// Starts a proxy in front of `server`, on a port of loopback.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(server: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (fault, settings) = watch::channel(Setting::default());
        let counts = Arc::<Counts>::default();
        let listening = tokio::spawn(listen(listener, server, seed, settings, Arc::clone(&counts)));
        Ok(Self { address, fault, counts, listening })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets `fault` hold from now on, for open connections too.
    pub fn set(&self, fault: Fault) {
        self.fault.send_modify(|setting| setting.fault = fault);
    }

    /// Ends the fault; what was held moves on.
    pub fn heal(&self) {
        self.set(Fault::None);
    }

    /// Ends every open connection now.
    pub fn cut_all(&self, reset: bool) {
        self.fault.send_modify(|setting| {
            setting.cuts += 1;
            setting.reset = reset;
        });
    }

    /// Counts the connections that were accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.counts.accepted.load(Relaxed)
    }

    /// Counts the connections that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.counts.open.load(Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut_all(false);
    }
}

async fn listen(
    listener: TcpListener,
    server: SocketAddr,
    seed: u64,
    mut settings: watch::Receiver<Setting>,
    counts: Arc<Counts>,
) {
    let Ok(address) = listener.local_addr() else { return };
    let mut listener = Some(listener);
    loop {
        if settings.borrow_and_update().fault == Fault::Refuse {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(address).await.ok();
        }
        let Some(accepting) = &listener else {
            if settings.changed().await.is_err() {
                return;
            }
            continue;
        };
        let client = tokio::select! {
            changed = settings.changed() => if changed.is_err() { return } else { continue },
            accepted = accepting.accept() => accepted,
        };
        let Ok((client, _)) = client else { continue };
        let number = counts.accepted.fetch_add(1, Relaxed) as u64;
        if settings.borrow().fault == Fault::AcceptAndReset {
            reset(&client);
            continue;
        }
        counts.open.fetch_add(1, Relaxed);
        let (open, settings) = (Open(Arc::clone(&counts)), settings.clone());
        tokio::spawn(async move {
            let _open = open;
            connect(client, server, Rng::with_seed(seed ^ number.wrapping_mul(0x9E37_79B9)), settings).await;
        });
    }
}

/// Makes the coming end of a connection a reset.
fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Serves one connection until one side ends it or a fault does.
async fn connect(
    mut client: TcpStream,
    server: SocketAddr,
    mut rng: Rng,
    mut settings: watch::Receiver<Setting>,
) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return reset(&client);
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let cuts = settings.borrow_and_update().cuts;
    let with_reset = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let (up, down) = (settings.clone(), settings.clone());
        let other = rng.fork();
        tokio::select! {
            ended = pump(from_client, to_server, Direction::ToServer, up, rng) => ended,
            ended = pump(from_server, to_client, Direction::ToClient, down, other) => ended,
            cut = settings.wait_for(|setting| setting.cuts != cuts) => cut.is_ok_and(|setting| setting.reset),
        }
    };
    if with_reset {
        reset(&client);
        reset(&server);
    }
}

/// Moves bytes one way until the end; says whether to end with a reset.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    mut settings: watch::Receiver<Setting>,
    mut rng: Rng,
) -> bool {
    let (mut buffer, mut passed) = (vec![0; 16 * 1024], 0_usize);
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return false };
        let mut piece = &buffer[..count];
        while !piece.is_empty() {
            let fault = settings.borrow_and_update().fault.clone();
            let mut now = piece.len();
            match fault {
                Fault::Hold(which) if which.is_none_or(|which| which == direction) => {
                    if settings.changed().await.is_err() {
                        return false;
                    }
                    continue;
                }
                Fault::Delay(least, most) => {
                    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                    let late = rng.u64(nanos(least)..=nanos(most).max(nanos(least)));
                    tokio::time::sleep(Duration::from_nanos(late)).await;
                }
                Fault::Throttle(rate) => {
                    // Ten pieces a second.
                    now = now.min((rate as usize / 10).max(1));
                    tokio::time::sleep(Duration::from_secs_f64(now as f64 / f64::from(rate.max(1)))).await;
                }
                Fault::Cut { direction: counted, after, reset } if counted == direction => {
                    now = now.min(after.saturating_sub(passed));
                    if now == 0 {
                        return reset;
                    }
                }
                _ => {}
            }
            if to.write_all(&piece[..now]).await.is_err() {
                return false;
            }
            passed += now;
            piece = &piece[now..];
            if let Fault::Cut { direction: counted, after, reset } = settings.borrow().fault
                && counted == direction
                && passed >= after
            {
                return reset;
            }
        }
    }
}
