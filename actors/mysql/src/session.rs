//! One session with the server: opened, set up, checked, closed.

mod ceiling;

use std::{sync::Arc, time::Duration};

use backstop_core::{
    clock::{self, Instant},
    error::{Executed, Failure, FailureKind, Phase},
    outcome::Outcome,
};
use futures_util::FutureExt as _;
use mysql_async::{Conn, prelude::Queryable as _};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

pub(crate) use self::ceiling::{Ceilings, seconds};
use crate::{
    error::{self, During},
    pool::Pool,
    shared::{Core, Epoch},
};

/// How long an orderly goodbye or a clean-up may take.
pub(crate) const BRIEF: Duration = Duration::from_millis(250);

/// How long the answer to a ping may take.
const PING: Duration = Duration::from_secs(1);

/// Whether the server refuses to write in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    ReadOnly,
    ReadWrite,
}

impl Mode {
    fn sql(self) -> &'static str {
        match self {
            Self::ReadOnly => "SET SESSION TRANSACTION READ ONLY",
            Self::ReadWrite => "SET SESSION TRANSACTION READ WRITE",
        }
    }
}

/// A session, with its share of the cap.
pub(crate) struct Session {
    pub(crate) conn: Conn,
    pub(crate) mode: Mode,
    pub(crate) epoch: Epoch,
    pub(crate) idle_since: Instant,
    /// The largest command that the server takes, in bytes.
    pub(crate) packet: usize,
    ends: Instant,
    verify_after: Duration,
    slot: Slot,
}

/// A connection's share of the cap; given back on drop, which is when the connection is gone.
pub(crate) struct Slot {
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    pub(crate) fn new(pool: &Arc<Pool>, permit: OwnedSemaphorePermit) -> Self {
        pool.opened();
        Self { pool: Arc::clone(pool), _permit: permit }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pool.closed();
    }
}

impl Session {
    /// Opens a session; it is of mode [`Mode::ReadWrite`].
    pub(crate) async fn open(core: &Core, slot: Slot) -> Result<Self, Failure> {
        let epoch = core.epoch();
        let limit = core.options.connect_timeout;
        let Ok(opened) = timeout(limit, open(core)).await else {
            let text = format!("the server did not greet within {limit:?}");
            return Err(Failure::unavailable(text));
        };
        let (conn, wait, packet) = opened?;
        let now = clock::now();
        let lifetime = core.options.max_lifetime;
        Ok(Self {
            conn,
            mode: Mode::ReadWrite,
            epoch,
            idle_since: now,
            packet,
            ends: now + lifetime.mul_f64(1.0 - fastrand::f64() / 10.0),
            // the server closes a session that idles for `wait_timeout`; half of it is a safe distance
            verify_after: core.options.verify_after.min(wait / 2),
            slot,
        })
    }

    /// Says whether it is past its life, or of a time whose connections must go.
    pub(crate) fn is_over(&self, core: &Core, now: Instant) -> bool {
        now >= self.ends || self.epoch.evicted != core.epoch().evicted || self.conn.is_disconnected()
    }

    /// Says whether it must answer before it is used.
    pub(crate) fn needs_check(&self, core: &Core, now: Instant) -> bool {
        now.saturating_duration_since(self.idle_since) >= self.verify_after
            || self.epoch.suspect != core.epoch().suspect
    }

    /// Asks for a sign of life; `false` where the connection is gone.
    pub(crate) async fn is_alive(&mut self, core: &Core) -> Result<bool, Failure> {
        let epoch = core.epoch();
        match timeout(PING, self.conn.ping()).await {
            Ok(Ok(())) => {
                self.epoch.suspect = epoch.suspect;
                Ok(true)
            }
            Ok(Err(_)) => Ok(false),
            Err(_) => Err(Failure::unavailable(format!("the server did not answer a ping within {PING:?}"))),
        }
    }

    /// Sets whether the server refuses to write in the session.
    pub(crate) async fn set_mode(&mut self, mode: Mode) -> Result<(), mysql_async::Error> {
        if self.mode != mode {
            self.conn.query_drop(mode.sql()).await?;
            self.mode = mode;
        }
        Ok(())
    }

    /// Forgets all that statements left in the session: variables, locks, temporary tables, prepared statements. It
    /// keeps its mode, or a reader would pay for that at its next call.
    pub(crate) async fn reset(&mut self, core: &Core) -> Result<bool, mysql_async::Error> {
        if !self.conn.reset().await? {
            return Ok(false);
        }
        let setup = core.ceilings.setup();
        match self.mode {
            Mode::ReadWrite => self.conn.query_drop(setup).await?,
            Mode::ReadOnly => self.conn.query_drop(format!("{setup}; {}", self.mode.sql())).await?,
        }
        Ok(true)
    }

    /// Ends the session in order, in a task of its own; its place comes free when that is done.
    pub(crate) fn retire(self) {
        let Self { conn, slot, .. } = self;
        let leaving = slot.pool.core().leave();
        let goodbye = async move {
            // nobody is left who could use the error
            let _ = timeout(BRIEF, conn.disconnect()).await;
            drop(slot);
            drop(leaving);
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(goodbye);
        }
    }

    /// Ends the connection now, whatever was under way.
    pub(crate) fn cut(self) -> Slot {
        let Self { mut conn, slot, .. } = self;
        // A connection that is dropped with rows to come would be read to their end by the driver. One that is dropped
        // inside of a command is closed at once, so begin one.
        let _ = conn.ping().now_or_never();
        drop(conn);
        slot
    }
}

/// Opens a connection and sets it up; returns how long it may idle and the largest command.
async fn open(core: &Core) -> Result<(Conn, Duration, usize), Failure> {
    let during = |error| match error {
        // of TLS too: a certificate that is not trusted
        mysql_async::Error::Io(error) => Failure::unavailable(error.to_string()),
        error => {
            let failure = error::failure(&error, During::Connect).in_phase(Phase::Connect);
            // what is refused here is in the settings, such as a database that is not there: no call can be served
            if failure.kind() == FailureKind::Refused { failure.counts_as(Outcome::Failure) } else { failure }
        }
    };
    let mut conn = Conn::new(core.opts.clone()).await.map_err(during)?;
    conn.query_drop(core.ceilings.setup()).await.map_err(during)?;
    let settings =
        "SELECT @@sql_mode, CAST(@@wait_timeout AS UNSIGNED), CAST(@@max_allowed_packet AS UNSIGNED)";
    let settings: Option<(String, u64, u64)> = conn.query_first(settings).await.map_err(during)?;
    let Some((modes, wait, packet)) = settings else {
        return Err(Failure::new(FailureKind::Protocol, "the server does not tell its settings")
            .in_phase(Phase::Connect)
            .executed_is(Executed::No));
    };
    // `ANSI` and its kin bring them back
    if let Some(mode) = modes.split(',').find(|mode| matches!(*mode, "ANSI_QUOTES" | "NO_BACKSLASH_ESCAPES"))
    {
        let text =
            format!("the server's sql_mode keeps {mode}, which changes what quotes mean in every statement");
        return Err(Failure::unavailable(text).transient(false));
    }
    Ok((conn, Duration::from_secs(wait), usize::try_from(packet).unwrap_or(usize::MAX)))
}

/// Ends another session on the server, whatever it does.
pub(crate) async fn kill(conn: &mut Conn, id: u32) -> Result<(), mysql_async::Error> {
    const GONE: u16 = 1094;
    match conn.query_drop(format!("KILL CONNECTION {id}")).await {
        Err(mysql_async::Error::Server(error)) if error.code == GONE => Ok(()),
        other => other,
    }
}
