//! What all lanes of one database share: the writer, the readers, the counters.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use backstop_core::{
    batch::BatchQueue,
    call::{CallContext, Deadline},
    error::Failure,
    snapshot::PoolSnapshot,
};
use backstop_sql::seen::Seen;
use parking_lot::Mutex;

use crate::{
    error,
    gate::Gate,
    job::{Job, Reply, Withdraw, Work},
    options::{Place, SqliteOptions},
    pool::Pool,
    reader,
    stats::{SqliteSnapshot, Stats},
    writer,
};

/// The writer and the readers of one database; their threads start at the first call and end when the last
/// reference is dropped.
pub struct SqliteShared {
    pub(crate) core: Arc<Core>,
}

impl SqliteShared {
    pub(crate) fn new(options: SqliteOptions) -> Self {
        Self { core: Arc::new(Core::new(options)) }
    }

    /// Shows what the threads have done, and the size of the write-ahead log (one look at the disk).
    #[must_use]
    pub fn snapshot(&self) -> SqliteSnapshot {
        self.core.snapshot()
    }
}

impl Drop for SqliteShared {
    fn drop(&mut self) {
        self.core.writes.close();
        self.core.reads.close();
        self.core.long_reads.close();
    }
}

impl fmt::Debug for SqliteShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteShared").field("place", &self.core.options.place).finish_non_exhaustive()
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// The writer.
    Writes,
    /// The readers.
    Reads,
    /// The readers of what may last as long as its caller likes.
    LongReads,
}

/// The part that the threads hold too; it does not keep them alive.
pub(crate) struct Core {
    pub(crate) options: SqliteOptions,
    pub(crate) writes: BatchQueue<Job>,
    pub(crate) reads: BatchQueue<Job>,
    /// Streams and read-only transactions.
    pub(crate) long_reads: BatchQueue<Job>,
    pub(crate) stats: Stats,
    pub(crate) pool: Arc<Pool>,
    /// Where new reads on threads wait while the log is emptied.
    pub(crate) gate: Gate,
    /// Whether the log is over its limit and could not be emptied.
    pub(crate) log_is_long: AtomicBool,
    pub(crate) seen: Arc<Seen>,
    pub(crate) lanes: AtomicUsize,
    /// Counts the times the database was opened; readers of an earlier epoch open anew.
    epoch: AtomicU64,
    /// Whether the writer holds the database open, so that readers find file and log in place.
    open: AtomicBool,
    /// Odd while the writer is at work; no commit of this process happens between two equal even values.
    version: AtomicU64,
    threads: Mutex<Threads>,
}

#[derive(Default)]
struct Threads {
    writer: bool,
    readers: bool,
    long_readers: bool,
}

impl Core {
    fn new(options: SqliteOptions) -> Self {
        let seen = Arc::new(Seen::new(options.slow_query_threshold, options.leak_after));
        Self {
            options,
            seen,
            writes: BatchQueue::default(),
            reads: BatchQueue::default(),
            long_reads: BatchQueue::default(),
            stats: Stats::default(),
            pool: Arc::default(),
            gate: Gate::default(),
            log_is_long: AtomicBool::new(false),
            lanes: AtomicUsize::new(0),
            epoch: AtomicU64::new(0),
            open: AtomicBool::new(false),
            version: AtomicU64::new(0),
            threads: Mutex::default(),
        }
    }

    /// Says whether the database lives in memory.
    pub(crate) fn in_memory(&self) -> bool {
        self.options.place == Place::Memory
    }

    /// Returns the epoch of the open database; `None` while it is closed.
    pub(crate) fn epoch(&self) -> Option<u64> {
        self.open.load(Ordering::Acquire).then(|| self.epoch.load(Ordering::Acquire))
    }

    /// Notes that the writer has opened the database.
    pub(crate) fn opened(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.open.store(true, Ordering::Release);
    }

    /// Notes that the database is still the one that was opened, whatever a reader thought.
    pub(crate) fn still_open(&self) {
        self.open.store(true, Ordering::Release);
    }

    /// Notes that the writer has closed the database, or that its file is gone.
    pub(crate) fn closed(&self) {
        self.open.store(false, Ordering::Release);
    }

    /// Notes that the writer begins or ends its work.
    pub(crate) fn changes(&self, at_work: bool) {
        debug_assert_eq!(self.version.load(Ordering::Relaxed).is_multiple_of(2), at_work);
        // a read that sees the effect of a commit sees the odd value that was stored before it
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns the version of the data while nobody of this process changes it.
    pub(crate) fn settled(&self) -> Option<u64> {
        Some(self.version.load(Ordering::SeqCst)).filter(|version| version.is_multiple_of(2))
    }

    /// Hands work to the writer and waits for its end.
    pub(crate) async fn write(self: &Arc<Self>, work: Work, call: &CallContext) -> Result<Reply, Failure> {
        self.submit(Queue::Writes, work, call).await
    }

    /// Hands work to a reader thread and waits for its end.
    pub(crate) async fn read(self: &Arc<Self>, work: Work, call: &CallContext) -> Result<Reply, Failure> {
        self.submit(Queue::Reads, work, call).await
    }

    /// Hands work to a thread and waits for its end.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        queue: Queue,
        work: Work,
        call: &CallContext,
    ) -> Result<Reply, Failure> {
        let (job, answer) = Job::new(work, call.deadline());
        let withdraw = Withdraw::new(Arc::clone(&job.ticket), call, &self.pool);
        self.push(queue, job)?;
        let result = answer.await;
        withdraw.answered();
        result.unwrap_or_else(|_| Err(error::lost()))
    }

    /// Hands a job to a thread.
    pub(crate) fn push(self: &Arc<Self>, queue: Queue, job: Job) -> Result<(), Failure> {
        let (started, jobs) = match queue {
            Queue::Writes => (self.start_writer(), &self.writes),
            Queue::Reads => (self.start_readers(), &self.reads),
            Queue::LongReads => (self.start_long_readers(), &self.long_reads),
        };
        started.map_err(no_thread)?;
        if queue != Queue::Writes {
            self.gate.hurry(job.ticket.deadline().instant());
        }
        jobs.push(job).map_err(|_| Failure::unavailable("the database is closed"))
    }

    /// Asks the writer to close the database, and waits for it until `deadline`.
    pub(crate) async fn close(&self, deadline: Deadline) {
        if !self.threads.lock().writer {
            return;
        }
        let (job, answer) = Job::new(Work::Close, deadline);
        if self.writes.push(job).is_ok() {
            let _ = tokio::time::timeout_at(deadline.instant(), answer).await;
        }
    }

    fn start_writer(self: &Arc<Self>) -> io::Result<()> {
        let mut threads = self.threads.lock();
        if !threads.writer {
            let core = Arc::clone(self);
            thread::Builder::new().name("sqlite-writer".into()).spawn(move || writer::run(&core))?;
            threads.writer = true;
        }
        Ok(())
    }

    fn start_readers(self: &Arc<Self>) -> io::Result<()> {
        start_all(self, &mut self.threads.lock().readers, "sqlite-reader", reader::threads::run)
    }

    fn start_long_readers(self: &Arc<Self>) -> io::Result<()> {
        start_all(self, &mut self.threads.lock().long_readers, "sqlite-stream", reader::threads::run_long)
    }

    /// The size of the log; one look at the disk.
    pub(crate) fn wal_bytes(&self) -> u64 {
        let Place::File(path) = &self.options.place else { return 0 };
        let mut wal = path.clone().into_os_string();
        wal.push("-wal");
        std::fs::metadata(wal).map_or(0, |metadata| metadata.len())
    }

    pub(crate) fn snapshot(&self) -> SqliteSnapshot {
        let wal_bytes = self.wal_bytes();
        let (writes_waiting, reads_waiting) =
            (self.writes.waiting(), self.reads.waiting() + self.long_reads.waiting());
        let log_is_long = self.log_is_long.load(Ordering::Relaxed);
        SqliteSnapshot { writes_waiting, reads_waiting, wal_bytes, log_is_long, ..self.stats.read() }
    }

    /// The writer and the readers as a pool: each thread is a place, with a connection once it was needed.
    pub(crate) fn shared_pool(&self) -> PoolSnapshot {
        let (active, created_total, closed_total, timeouts_total) = self.pool.read();
        let open = usize::try_from(created_total.saturating_sub(closed_total)).unwrap_or(usize::MAX);
        PoolSnapshot {
            active,
            idle: open.saturating_sub(active),
            waiting: self.writes.waiting() + self.reads.waiting() + self.long_reads.waiting(),
            max: if self.in_memory() { 1 } else { 1 + 2 * self.options.readers },
            created_total,
            closed_total,
            timeouts_total,
        }
    }

    /// What an operator should know of right now.
    pub(crate) fn alarms(&self) -> Vec<Arc<str>> {
        let is_long = self.log_is_long.load(Ordering::Relaxed);
        let limit = self.options.wal_limit;
        let text = || {
            format!(
                "the write-ahead log is over its limit of {limit} bytes: reads keep it from being emptied"
            )
        };
        is_long.then(|| text().into()).into_iter().collect()
    }
}

/// Starts the readers of a kind where they do not run yet.
fn start_all(core: &Arc<Core>, are_started: &mut bool, name: &str, run: fn(&Arc<Core>)) -> io::Result<()> {
    if !*are_started {
        for number in 0..core.options.readers {
            let core = Arc::clone(core);
            thread::Builder::new().name(format!("{name}-{number}")).spawn(move || run(&core))?;
            // with one thread at least, everything is served
            *are_started = true;
        }
    }
    Ok(())
}

#[allow(clippy::needless_pass_by_value, reason = "the signature of map_err")]
fn no_thread(error: io::Error) -> Failure {
    Failure::unavailable(format!("a thread for the database cannot be started: {error}"))
}
