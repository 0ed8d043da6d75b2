//! Reads: inline on the caller's thread while they are short, on reader threads when they are not.

pub(crate) mod threads;
mod window;

use std::{cell::Cell, sync::Arc, time::Duration};

use backstop_core::{
    clock::{self, Instant},
    error::Failure,
};
use backstop_sql::{Columns, Request, Rows, seen::Watched};

use crate::{
    connection::{self, Role},
    error::{self, During, Fault},
    file::FileId,
    options::Place,
    reader::window::Window,
    run::{self, Limits},
    shared::Core,
    watch::Watch,
};

/// How often a lane looks whether the file is still in its place.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Reads that follow each other this closely share a transaction; a read on its own would only pay for one.
const CLOSE: Duration = Duration::from_micros(200);

/// What a lane knows of a statement.
pub(crate) struct Known {
    pub(crate) statement: Arc<Watched>,
    columns: Cell<Option<Columns>>,
    /// How many calls go straight to a reader thread before the next try inline.
    detour: Cell<u32>,
    /// How often the budget of an inline read was spent.
    strikes: Cell<u32>,
}

impl Known {
    pub(crate) fn new(statement: Watched) -> Self {
        Self {
            statement: Arc::new(statement),
            columns: Cell::default(),
            detour: Cell::new(0),
            strikes: Cell::new(0),
        }
    }

    /// Says whether this call should go straight to a reader thread.
    pub(crate) fn is_slow(&self) -> bool {
        let detour = self.detour.get();
        self.detour.set(detour.saturating_sub(1));
        detour > 0
    }

    /// Each spent budget doubles the calls until the next try: 16, 32 … 4,096.
    fn strike(&self) {
        let strikes = self.strikes.get().min(8);
        self.detour.set(16 << strikes);
        self.strikes.set(strikes + 1);
    }
}

/// The read-only connection of one lane.
#[derive(Debug)]
pub(crate) struct Inline {
    window: Window,
    watch: Arc<Watch>,
    epoch: u64,
    file: Option<FileId>,
    looked: Option<Instant>,
    /// When the last read was asked for.
    asked: Instant,
    reads: u64,
}

/// How an inline read ended.
pub(crate) enum Inlined {
    Done(Result<Rows, Failure>),
    /// It is long, or a lock is in its way: a reader thread takes it.
    Elsewhere,
}

impl Inline {
    /// Opens the connection of a lane; the writer has the database open.
    pub(crate) fn open(core: &Core, epoch: u64) -> Result<Self, Failure> {
        let watch = Arc::default();
        let connection = connection::open(&core.options, Role::Reader, &watch);
        let connection = connection.map_err(|error| error::failure(error, During::Open))?;
        core.stats.opened();
        let (window, now) = (Window::new(connection, core.options.read_window), clock::now());
        Ok(Self { window, watch, epoch, file: file(core), looked: Some(now), asked: now, reads: 0 })
    }

    /// Has the next read look at the path first, however short ago the last look was.
    pub(crate) fn look_again(&mut self) {
        self.looked = None;
    }

    /// Says whether the connection still reads the database of `epoch` at its path.
    pub(crate) fn is_current(&mut self, core: &Core, epoch: u64, now: Instant) -> bool {
        // what an earlier database's connection sees at the path is no news
        if self.epoch != epoch {
            return false;
        }
        let recent = |looked| now.saturating_duration_since(looked) < LOOK_EVERY;
        if !self.looked.is_some_and(recent) {
            self.looked = Some(now);
            self.count(core);
            if file(core) != self.file {
                core.closed();
                return false;
            }
        }
        true
    }

    /// Runs a read for as many steps as the options allow; `None` where the writer has to open the database
    /// anew first.
    pub(crate) fn read(
        &mut self,
        core: &Core,
        known: &Known,
        request: &Request,
        now: Instant,
    ) -> Option<Inlined> {
        let epoch = core.epoch()?;
        if !self.is_current(core, epoch, now) {
            return None;
        }
        let close = now.saturating_duration_since(self.asked) < CLOSE;
        self.asked = now;
        let connection = self.window.enter(core, now, close);
        let _watching = self.watch.steps(core.options.inline_steps);
        let noted = known.statement.stats.begin_at("query", now);
        let mut columns = known.columns.take();
        let limits = Limits::of(request, &core.options);
        let result = run::read(&connection, &known.statement, request, limits, &mut columns);
        known.columns.set(columns);
        drop(connection);
        let result = match result {
            Err(fault) if fault.is_interrupt() || fault.is_busy() => {
                // a thread takes it, and notes it
                noted.forget();
                if fault.is_interrupt() {
                    known.strike();
                }
                return Some(Inlined::Elsewhere);
            }
            result => result.map_err(|fault| Fault::into_failure(fault, During::Statement)),
        };
        self.reads += u64::from(result.is_ok());
        noted.end(&result, |rows| rows.len() as u64);
        Some(Inlined::Done(result))
    }

    /// Hands the count of reads over to the shared counters.
    pub(crate) fn count(&mut self, core: &Core) {
        core.stats.inline_reads(std::mem::take(&mut self.reads));
    }
}

fn file(core: &Core) -> Option<FileId> {
    match &core.options.place {
        Place::Memory => None,
        Place::File(path) => FileId::of(path),
    }
}
