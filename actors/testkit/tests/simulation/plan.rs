//! What happens in one schedule, and when: all of it follows from the seed.

use std::time::Duration;

use backstop_core::{
    error::{Executed, Failure, FailureKind},
    message::Class,
    policy::{
        Policy,
        backoff::BackoffPolicy,
        circuit_breaker::{BreakerPolicy, OverrideMode},
        queue::{Discipline, QueuePolicy},
        rate_limiter::RatePolicy,
        restart::RestartPolicy,
        retry::RetryPolicy,
        window::WindowPolicy,
    },
};
use backstop_testkit::{
    fake::{CloseEnd, ConnectEnd, Effect, End, Mode, Step},
    sim::{ms, secs},
};
use fastrand::Rng;

/// One schedule.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) policy: Policy,
    pub(crate) lanes: u32,
    /// Calls on further lanes go through the mailbox of another, as from another thread.
    pub(crate) lanes_max: usize,
    pub(crate) connects: Vec<ConnectEnd>,
    pub(crate) close: CloseEnd,
    /// In the order of their times.
    pub(crate) acts: Vec<(Duration, Act)>,
    /// Whether the backend is drained in the middle of things; else it is made well first.
    pub(crate) ends_abruptly: bool,
    pub(crate) drain: Duration,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Ask(Sent),
    Mode(Mode),
    Restart,
    Replace,
    Trip(Duration),
    Reset,
    Force(OverrideMode, Duration),
    Lift,
    Pause(Duration),
    Probe,
    Reconfigure { intake: usize, concurrency: usize },
    CancelByOperator(usize),
    ProbePanics,
    Invalidate,
}

/// One message and how patient its caller is.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) lane: u32,
    pub(crate) timeout: Duration,
    pub(crate) leaves_after: Option<Duration>,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Do { class: Class, steps: Vec<Step> },
    Get { key: u64, ttl: Option<Duration>, step: Step },
}

/// Messages of one schedule, at least.
pub(crate) const MESSAGES: usize = 200;

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let policy = policy(rng).seed(seed);
        let lanes = rng.u32(1..=4);
        let mut acts = messages(rng, lanes);
        orders(rng, &mut acts);
        acts.sort_by_key(|(at, _)| *at);
        let connect = |rng: &mut Rng| {
            *rng.choice([ConnectEnd::Build, ConnectEnd::Panic, ConnectEnd::Refuse].as_slice()).unwrap()
        };
        let connects =
            if rng.u8(..4) == 0 { (0..rng.usize(1..4)).map(|_| connect(rng)).collect() } else { Vec::new() };
        let close = match rng.u8(..8) {
            0 => CloseEnd::Panic,
            1 => CloseEnd::Hang,
            2 | 3 => CloseEnd::After(ms(rng.u64(1..300))),
            _ => CloseEnd::Quick,
        };
        let lanes_max = rng.usize(1..=lanes as usize);
        Self {
            policy,
            lanes,
            lanes_max,
            connects,
            close,
            acts,
            ends_abruptly: chance(rng, 33),
            drain: ms(rng.u64(20..1_500)),
        }
    }
}

fn chance(rng: &mut Rng, percent: u8) -> bool {
    rng.u8(..100) < percent
}

fn policy(rng: &mut Rng) -> Policy {
    let window = if rng.bool() {
        WindowPolicy::Count { calls: rng.u32(20..60) }
    } else {
        WindowPolicy::Time { length: secs(rng.u64(2..10)), buckets: 10 }
    };
    let breaker = BreakerPolicy {
        window,
        minimum_calls: rng.u32(5..15),
        consecutive_failures: rng.u32(3..8),
        slow_after: ms(rng.u64(30..200)),
        slow_percent: rng.u8(30..90),
        open_for: ms(rng.u64(100..800)),
        open_max: secs(3),
        open_decay: secs(2),
        probes: rng.u32(1..5),
        probe_lease: ms(rng.u64(100..600)),
        probe_first: rng.bool(),
        probe_grace: ms(rng.u64(20..200)),
        ramp: if rng.bool() { vec![10, 50] } else { Vec::new() },
        ramp_step: ms(200),
        ramp_min_calls: 5,
        shadow: chance(rng, 5),
        ..BreakerPolicy::default()
    };
    let codel = chance(rng, 30);
    let queue = QueuePolicy {
        limit: rng.usize(4..64),
        discipline: if codel { Discipline::Codel } else { Discipline::Fifo },
        target: ms(5),
        interval: ms(50),
        newest_first: codel && rng.bool(),
    };
    let mut policy = Policy {
        attempt_timeout: chance(rng, 30).then(|| ms(rng.u64(30..200))),
        intake: rng.usize(6..40),
        concurrency: chance(rng, 70).then(|| rng.usize(1..8)),
        queue,
        breaker,
        retry: RetryPolicy {
            max_retries: rng.u32(0..4),
            backoff: BackoffPolicy { base: ms(5), max_delay: ms(50), ..BackoffPolicy::default() },
            ..RetryPolicy::default()
        },
        rate: chance(rng, 20).then(|| RatePolicy {
            max_rate: rng.u32(5..50),
            window: ms(200),
            margin: ms(1),
        }),
        restart: RestartPolicy {
            min_delay: ms(rng.u64(5..60)),
            max_delay: ms(500),
            healthy_after: secs(2),
            max_restarts: rng.u32(1..8),
            within: secs(5),
            ..RestartPolicy::default()
        },
        stuck_after: secs(2),
        ..Policy::default()
    };
    policy.probe.enabled = chance(rng, 80);
    policy.probe.interval = chance(rng, 30).then(|| ms(rng.u64(200..2_000)));
    policy.probe.timeout = ms(100);
    policy
}

/// Messages in bursts, so that bounds are met and queues stand.
fn messages(rng: &mut Rng, lanes: u32) -> Vec<(Duration, Act)> {
    let mut acts = Vec::new();
    let mut at = Duration::ZERO;
    while acts.len() < MESSAGES {
        at += ms(rng.u64(0..150));
        let burst = if chance(rng, 15) { rng.usize(10..50) } else { rng.usize(1..4) };
        for _ in 0..burst {
            at += Duration::from_micros(if rng.bool() { 0 } else { rng.u64(0..2_000) });
            let timeout = ms(match rng.u8(..20) {
                0 => 0,
                1..4 => rng.u64(600..2_500),
                _ => rng.u64(10..600),
            });
            let leaves_after = chance(rng, 15).then(|| ms(rng.u64(0..300)));
            let sent = Sent { lane: rng.u32(..lanes), timeout, leaves_after, what: what(rng) };
            acts.push((at, Act::Ask(sent)));
        }
    }
    acts
}

fn what(rng: &mut Rng) -> What {
    if chance(rng, 20) {
        let ttl = chance(rng, 30).then(|| ms(rng.u64(10..200)));
        return What::Get { key: rng.u64(..4), ttl, step: step(rng) };
    }
    let classes =
        [Class::Read, Class::Idempotent, Class::Keyed, Class::Unsafe, Class::Unsafe, Class::Transaction];
    let class = *rng.choice(classes.as_slice()).unwrap();
    What::Do { class, steps: (0..rng.usize(1..4)).map(|_| step(rng)).collect() }
}

fn step(rng: &mut Rng) -> Step {
    let time = |rng: &mut Rng| ms(if rng.bool() { 0 } else { rng.u64(0..120) });
    let (before, after) = (if chance(rng, 30) { time(rng) } else { Duration::ZERO }, time(rng));
    let drop_panics = chance(rng, 1);
    let plain = Step { before, after, drop_panics, ..Step::default() };
    match rng.u8(..100) {
        0..70 => Step { effect: if rng.bool() { Effect::Early } else { Effect::Late }, ..plain },
        70..85 => Step { before, after, ..fault(rng) },
        85..92 => {
            Step { end: End::Hang, effect: if rng.bool() { Effect::Early } else { Effect::Never }, ..plain }
        }
        92..94 => Step { end: End::Hang, effect: Effect::Never, sends: false, ..plain },
        94..96 => Step { end: End::Panic, ..plain },
        96 => Step { end: End::Panic, effect: Effect::Never, sends: false, ..plain },
        _ => Step { end: End::CallerPanics, effect: Effect::Never, ..plain },
    }
}

fn fault(rng: &mut Rng) -> Step {
    let unknown = Failure::new(FailureKind::Lost, "planned loss");
    let failure = match rng.u8(..6) {
        0 => Failure::refused("planned refusal"),
        1 => Failure::new(FailureKind::Aborted, "planned abort").executed_is(Executed::No),
        2 => Failure::new(FailureKind::Overloaded, "planned overload")
            .executed_is(Executed::No)
            .retry_in(ms(20)),
        3 => Failure::new(FailureKind::TooLarge, "planned giant").executed_is(Executed::Yes),
        4 => Failure::unavailable("planned outage"),
        _ => unknown,
    };
    let lost = failure.executed() == Executed::Unknown && rng.bool();
    let step = Step::fails(failure);
    if lost { Step { effect: Effect::Never, ..step } } else { step }
}

fn orders(rng: &mut Rng, acts: &mut Vec<(Duration, Act)>) {
    let end = acts.last().map_or(Duration::ZERO, |(at, _)| *at).as_millis();
    let end = u64::try_from(end).unwrap().max(1);
    for _ in 0..rng.usize(2..6) {
        let at = rng.u64(..end);
        let mode = match rng.u8(..4) {
            0 => Mode::Down,
            1 => Mode::Slow(ms(rng.u64(50..400))),
            2 => Mode::Hanging,
            _ => Mode::Failing(Failure::new(FailureKind::Server, "planned trouble")),
        };
        acts.push((ms(at), Act::Mode(mode)));
        acts.push((ms(at + rng.u64(100..1_500)), Act::Mode(Mode::Up)));
    }
    for _ in 0..rng.usize(0..7) {
        let act = match rng.u8(..14) {
            0 | 1 => Act::Restart,
            2 => Act::Replace,
            3 => Act::Trip(ms(rng.u64(10..500))),
            4 | 5 | 13 => Act::Reset,
            6 => {
                let modes = [
                    OverrideMode::ForcedOpen,
                    OverrideMode::ForcedClosed,
                    OverrideMode::ObserveOnly,
                    OverrideMode::Disabled,
                ];
                Act::Force(*rng.choice(modes.as_slice()).unwrap(), ms(rng.u64(50..800)))
            }
            7 => Act::Lift,
            8 => Act::Pause(ms(rng.u64(10..200))),
            9 => Act::Probe,
            10 => Act::Reconfigure { intake: rng.usize(4..50), concurrency: rng.usize(1..10) },
            11 => Act::ProbePanics,
            _ => Act::Invalidate,
        };
        acts.push((ms(rng.u64(..end)), act));
    }
    for _ in 0..rng.usize(0..6) {
        acts.push((ms(rng.u64(..end)), Act::CancelByOperator(rng.usize(..8))));
    }
}
