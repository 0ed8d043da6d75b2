//! One turn of one contender: closed loops of callers, and what they saw.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

/// Takes its turn with so many callers.
pub type Turn = Box<dyn FnMut(usize, &Stopwatch) -> Sample>;

/// A way of doing the same thing.
pub struct Contender {
    /// Its name in the tables.
    pub name: &'static str,
    /// Takes its turn.
    pub turn: Turn,
    /// Whether it knows one caller only.
    pub alone: bool,
}

impl Contender {
    /// Names a way of doing it.
    pub fn new(name: &'static str, turn: impl FnMut(usize, &Stopwatch) -> Sample + 'static) -> Self {
        Self { name, turn: Box::new(turn), alone: false }
    }

    /// Says that it knows one caller only.
    pub fn alone(self) -> Self {
        Self { alone: true, ..self }
    }
}

/// What one turn came to.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Operations a second.
    pub rate: f64,
    /// The latency in microseconds that half of the operations did not exceed.
    pub p50: f64,
    /// The latency in microseconds that 99 % of the operations did not exceed.
    pub p99: f64,
    /// The latency in microseconds that 99.9 % of the operations did not exceed.
    pub p999: f64,
    /// Processor time of this process for one operation, in microseconds, callers included.
    pub cpu: f64,
    /// A figure of the contender's own, such as operations a commit.
    pub extra: Option<f64>,
}

/// Tells the callers of one turn when to count and when to stop.
#[derive(Clone, Debug)]
pub struct Stopwatch {
    phase: Arc<AtomicU8>,
    callers: Arc<AtomicU64>,
    warm_up: Duration,
    measured: Duration,
    /// Latency is read off every so many operations, because two clock reads cost 40 ns.
    every: u64,
}

/// How far apart callers begin, so that no two of them do the same at the same time.
const STRIDE: u64 = 1_009;
const COUNTING: u8 = 1;
const OVER: u8 = 2;

/// One caller: `while let Some(turn) = caller.next() { .. }`, and what it saw.
pub struct Caller {
    watch: Stopwatch,
    number: u64,
    turn: u64,
    counted: u64,
    timed: Option<Instant>,
    latency: Histogram<u64>,
}

impl Stopwatch {
    /// Measures turns of this length.
    pub fn new(warm_up: Duration, measured: Duration, every: u64) -> Self {
        Self { phase: Arc::default(), callers: Arc::default(), warm_up, measured, every }
    }

    /// Starts a turn: a thread of its own moves the phases on, so that busy callers cannot delay them.
    pub fn start(&self) -> std::thread::JoinHandle<(Duration, f64)> {
        self.phase.store(0, Relaxed);
        self.callers.store(0, Relaxed);
        let watch = self.clone();
        std::thread::spawn(move || {
            std::thread::sleep(watch.warm_up);
            let (start, cpu) = (Instant::now(), cpu_time());
            watch.phase.store(COUNTING, Relaxed);
            std::thread::sleep(watch.measured);
            watch.phase.store(OVER, Relaxed);
            (start.elapsed(), cpu_time() - cpu)
        })
    }

    /// How long a turn runs before it is measured, and how long it is measured.
    pub fn lengths(&self) -> (Duration, Duration) {
        (self.warm_up, self.measured)
    }

    /// Makes one caller of the turn that was started.
    pub fn caller(&self) -> Caller {
        let number = self.callers.fetch_add(1, Relaxed);
        let turn = number * STRIDE;
        Caller { watch: self.clone(), number, turn, counted: 0, timed: None, latency: histogram() }
    }
}

impl Caller {
    /// Its number within the turn, from 0.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Says whether the turn is over, for one whose operations do not count.
    pub fn is_over(&self) -> bool {
        self.watch.phase.load(Relaxed) == OVER
    }

    /// Begins the operation anew, after a pause that is no part of it.
    pub fn begin(&mut self) {
        self.timed = self.timed.map(|_| Instant::now());
    }

    /// Notes the end of one operation and begins the next one; `None` when the turn is over.
    pub fn next(&mut self) -> Option<u64> {
        let phase = self.watch.phase.load(Relaxed);
        if let Some(start) = self.timed.take()
            && phase == COUNTING
        {
            let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.latency.saturating_record(nanos.max(1));
        }
        self.counted += u64::from(phase == COUNTING);
        self.turn += 1;
        self.timed = (self.turn % self.watch.every == 0).then(Instant::now);
        (phase != OVER).then_some(self.turn)
    }
}

impl Sample {
    /// Sums up what the callers of one turn saw.
    pub fn of(
        seen: impl IntoIterator<Item = Caller>,
        turn: std::thread::JoinHandle<(Duration, f64)>,
    ) -> Self {
        let (elapsed, cpu) = turn.join().unwrap();
        let (mut counted, mut latency) = (0, histogram());
        for caller in seen {
            counted += caller.counted;
            latency.add(&caller.latency).unwrap();
        }
        let micros = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
        let counted = counted as f64;
        Self {
            rate: counted / elapsed.as_secs_f64(),
            p50: micros(0.5),
            p99: micros(0.99),
            p999: micros(0.999),
            cpu: cpu * 1e6 / counted.max(1.0),
            extra: None,
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap()
}

/// Processor time of this process so far, in seconds.
fn cpu_time() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `getrusage` fills the structure it is handed.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
