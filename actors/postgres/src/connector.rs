//! Opens connections: finds a host that will do, encrypts, authenticates.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use backstop_core::{
    clock::{self, Instant},
    error::{Executed, Failure, FailureKind, Phase},
};
use parking_lot::Mutex;
use tokio::{net, time::timeout};
use tokio_postgres::{Client, Connection};

use crate::{
    Credentials, TargetSession,
    check::{Host, Settings},
    error::{During, failure},
    framing::Framing,
    naming::Naming,
    socket::{Address, Patience, Socket},
    tls::{self, Encrypted},
};

/// How long a server that refused us, or that we refused, is not tried again, unless the password was rotated.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// The half of a connection that moves its bytes.
pub(crate) type Wire = Connection<Socket, Encrypted<Socket>>;

/// A session that was opened and not yet driven.
pub(crate) struct Opened {
    pub(crate) client: Client,
    pub(crate) wire: Wire,
    pub(crate) peer: Peer,
}

/// Where a session lives, for the cancel requests that belong to it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: Address,
    pub(crate) name: String,
}

pub(crate) struct Connector {
    settings: Settings,
    /// The host that answered last is asked first.
    preferred: AtomicUsize,
    refused: Mutex<Option<Refused>>,
    last_error: Mutex<Option<String>>,
    naming: Naming,
}

/// The server did not let us in, or did not prove who it is.
struct Refused {
    until: Instant,
    rotations: Option<u64>,
    failure: Failure,
}

impl Connector {
    pub(crate) fn new(settings: Settings) -> Self {
        let (refused, last_error) = (Mutex::new(None), Mutex::new(None));
        let naming = Naming::new(settings.options.prepared_statements);
        Self { settings, preferred: AtomicUsize::new(0), refused, last_error, naming }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn naming(&self) -> &Naming {
        &self.naming
    }

    /// Asks another host first from now on.
    pub(crate) fn prefer_another(&self) {
        let next = (self.preferred.load(Relaxed) + 1) % self.settings.hosts.len().max(1);
        self.preferred.store(next, Relaxed);
    }

    /// What opening a connection failed with the last time, unless one was opened since.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.last_error.lock().clone()
    }

    /// Opens a session on the first host that will do, the one that did last before the others.
    ///
    /// # Errors
    /// What the last host said; nothing was sent that could take effect.
    pub(crate) async fn open(&self) -> Result<Opened, Failure> {
        let mut opened = self.try_hosts().await;
        if opened.as_ref().is_err_and(|failure| self.naming.refused_options(failure)) {
            opened = self.try_hosts().await;
        }
        *self.last_error.lock() = opened.as_ref().err().map(|failure| failure.message().to_owned());
        opened
    }

    async fn try_hosts(&self) -> Result<Opened, Failure> {
        self.refused_before()?;
        let config = self.config()?;
        let (hosts, first) = (&self.settings.hosts, self.preferred.load(Relaxed));
        let mut last = None;
        for at in (0..hosts.len()).map(|step| (first + step) % hosts.len()) {
            let limit = self.settings.options.connect_timeout;
            let tried = timeout(limit, self.try_host(&hosts[at], &config)).await;
            match tried
                .unwrap_or_else(|_| Err(unreachable(&hosts[at], &format!("no answer within {limit:?}"))))
            {
                Ok(opened) => {
                    self.preferred.store(at, Relaxed);
                    self.remember(None);
                    return Ok(opened);
                }
                Err(failure) => last = Some(failure),
            }
        }
        let failure = last.unwrap_or_else(|| Failure::unavailable("no host is configured"));
        self.remember(Some(&failure));
        Err(failure)
    }

    /// The password is asked for anew each time.
    fn config(&self) -> Result<tokio_postgres::Config, Failure> {
        let settings = &self.settings;
        let mut config =
            if self.naming.is_on() { settings.driver.clone() } else { settings.pooled_driver.clone() };
        if let Some(credentials) = &self.settings.credentials {
            let password = credentials.get().map_err(|why| {
                Failure::new(FailureKind::Auth, format!("the password is not available: {why}"))
                    .in_phase(Phase::Connect)
                    .executed_is(Executed::No)
            })?;
            config.password(password.expose());
        }
        Ok(config)
    }

    async fn try_host(&self, host: &Host, config: &tokio_postgres::Config) -> Result<Opened, Failure> {
        let addresses = resolve(host).await.map_err(|error| unreachable(host, &error.to_string()))?;
        let mut last = unreachable(host, "the name has no address");
        for address in addresses {
            let socket = match Socket::connect(&address, self.patience()).await {
                Ok(socket) => socket.with_framing(self.settings.tls.is_none().then(|| self.framing())),
                Err(error) => {
                    last = unreachable(host, &error.to_string());
                    continue;
                }
            };
            let peer = Peer { address, name: host.name() };
            let opened = config.connect_raw(socket, self.tls(&peer)).await;
            let (client, wire) = opened.map_err(|error| failure(error, During::Connect, false))?;
            let mut opened = Opened { client, wire, peer };
            self.check_target(host, &mut opened).await?;
            return Ok(opened);
        }
        Err(last)
    }

    pub(crate) fn patience(&self) -> Patience {
        let options = &self.settings.options;
        Patience { keepalive: options.keepalive, user_timeout: options.user_timeout }
    }

    pub(crate) fn tls(&self, peer: &Peer) -> tls::Connector {
        let (config, host, framing) = (self.settings.tls.clone(), peer.name.clone(), self.framing());
        tls::Connector { config, host, framing }
    }

    fn framing(&self) -> Framing {
        Framing::for_replies_of(self.settings.options.bytes_max)
    }

    /// Asks the server whether it takes writes, where that matters.
    async fn check_target(&self, host: &Host, opened: &mut Opened) -> Result<(), Failure> {
        let wanted = match self.settings.target {
            TargetSession::Any => return Ok(()),
            TargetSession::ReadWrite => false,
            TargetSession::ReadOnly => true,
        };
        // a value of the session, so that a primary whose default is read-only counts as one that takes none
        let asked = opened.client.simple_query("SHOW transaction_read_only");
        let reply = tokio::select! {
            reply = asked => reply.map_err(|error| failure(error, During::Connect, false))?,
            ended = &mut opened.wire => {
                return Err(match ended {
                    Err(error) => failure(error, During::Connect, false),
                    Ok(()) => unreachable(host, "the server closed the connection"),
                });
            }
        };
        let is_read_only = reply.iter().any(|message| {
            matches!(message, tokio_postgres::SimpleQueryMessage::Row(row) if row.get(0) == Some("on"))
        });
        if is_read_only == wanted {
            return Ok(());
        }
        let takes = if is_read_only { "takes no writes" } else { "takes writes" };
        Err(unreachable(host, &format!("the server {takes}, and `target_session` wants another one")))
    }

    /// Lets one attempt through each [`REFUSED_PAUSE`], however many ask.
    fn refused_before(&self) -> Result<(), Failure> {
        let mut refused = self.refused.lock();
        let Some(known) = refused.as_mut().filter(|known| known.rotations == self.rotations()) else {
            *refused = None;
            return Ok(());
        };
        let now = clock::now();
        if known.until > now {
            return Err(known.failure.clone().retry_in(known.until - now));
        }
        // this attempt is the only one until its end is known, or for as long if it is given up
        known.until = now + REFUSED_PAUSE;
        Ok(())
    }

    /// Notes how an attempt ended.
    fn remember(&self, failure: Option<&Failure>) {
        let refusal = failure.filter(|failure| failure.kind() == FailureKind::Auth || is_tls(failure));
        let (until, rotations) = (clock::now() + REFUSED_PAUSE, self.rotations());
        *self.refused.lock() = refusal.map(|failure| Refused { until, rotations, failure: failure.clone() });
    }

    fn rotations(&self) -> Option<u64> {
        self.settings.credentials.as_ref().map(Credentials::rotations)
    }
}

async fn resolve(host: &Host) -> io::Result<Vec<Address>> {
    Ok(match host {
        Host::Unix(path) => vec![Address::Unix(path.clone())],
        Host::Tcp { name, port } => {
            net::lookup_host((name.as_str(), *port)).await?.map(Address::Tcp).collect()
        }
    })
}

/// Says whether no encrypted stream to a server that is known came about.
fn is_tls(failure: &Failure) -> bool {
    failure.code() == Some("tls")
}

fn unreachable(host: &Host, why: &str) -> Failure {
    Failure::unavailable(format!("cannot connect to {host}: {why}"))
}
