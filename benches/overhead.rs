//! What Backstop adds to one message; see `docs/benchmarks.md`.
//!
//! Every policy is on, with its default: intake, guard, breaker, deadline, reply, statistics; across threads
//! also the mailbox.
#![allow(clippy::disallowed_methods, reason = "measures real time, on the real clock")]
#![allow(missing_docs, clippy::unwrap_used, reason = "a failure must end the run")]

#[path = "overhead/arbiter.rs"]
mod arbiter;
#[path = "overhead/echo.rs"]
mod echo;

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use backstop_core::{
    backend::Serve,
    call::{CallContext, Deadline, OpId},
    clock,
    error::CallError,
    outcome::Outcome,
    policy::{
        Policy,
        circuit_breaker::{BreakerPolicy, CircuitBreaker},
    },
    stats::{LaneStats, Recorder},
};
use backstop_supervisor::Order;
use criterion::{Criterion, criterion_group, criterion_main};

use self::{
    arbiter::Arbiter,
    echo::{Echo, Ready, YieldOnce},
};

const CALLERS: u64 = 64;

/// The backend called without anything around it.
fn bare(criterion: &mut Criterion) {
    let arbiter = Arbiter::start();
    let context = || CallContext::new(OpId::next(), Deadline::after(Duration::from_secs(5)));
    let mut group = criterion.benchmark_group("bare call");
    group.bench_function("ready", |bencher| {
        let call = context();
        bencher.to_async(&arbiter).iter(async || Echo.serve(&Ready(black_box(1)), &call).await.unwrap());
    });
    group.bench_function("yields once", |bencher| {
        let call = context();
        bencher.to_async(&arbiter).iter(async || Echo.serve(&YieldOnce(black_box(1)), &call).await.unwrap());
    });
    group.finish();
}

/// Callers on the lane's own thread: tasks, as the handlers of actix-web are. The time shown is that of one call.
fn ask(criterion: &mut Criterion) {
    let arbiter = Arbiter::start();
    let (_supervisor, echo) = arbiter.host(Policy::default());
    let mut group = criterion.benchmark_group("ask on the lane's thread");
    for callers in [1, CALLERS] {
        let name = if callers == 1 { String::new() } else { format!(", {callers} callers") };
        group.bench_function(format!("ready{name}"), |bencher| {
            bencher.iter_custom(|calls| {
                arbiter
                    .callers(callers, calls, &echo, async |echo, value| echo.ask(Ready(value)).await.unwrap())
            });
        });
        group.bench_function(format!("yields once{name}"), |bencher| {
            bencher.iter_custom(|calls| {
                arbiter.callers(callers, calls, &echo, async |echo, value| {
                    echo.ask(YieldOnce(value)).await.unwrap()
                })
            });
        });
    }
    group.finish();
}

/// A caller on a runtime whose threads cannot host a lane, so that the call crosses to a home lane.
fn across(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let arbiter = std::thread::spawn(|| {
        let arbiter = Arbiter::start();
        arbiter.host(Policy::default())
    });
    let (_supervisor, echo) = arbiter.join().unwrap();
    let mut group = criterion.benchmark_group("ask across threads");
    for callers in [1, CALLERS] {
        group.bench_function(format!("{callers} callers"), |bencher| {
            bencher.iter_custom(|calls| {
                let share = calls.div_ceil(callers);
                let elapsed = runtime.block_on(async {
                    let start = Instant::now();
                    let asked = (0..callers).map(|_| {
                        let echo = echo.clone();
                        tokio::spawn(async move {
                            for value in 0..share {
                                black_box(echo.ask(Ready(value)).await.unwrap());
                            }
                        })
                    });
                    for caller in asked.collect::<Vec<_>>() {
                        caller.await.unwrap();
                    }
                    start.elapsed()
                });
                elapsed.mul_f64(calls as f64 / (share * callers) as f64)
            });
        });
    }
    group.finish();
}

/// A call refused by an open breaker.
fn refused(criterion: &mut Criterion) {
    let arbiter = Arbiter::start();
    let (_supervisor, echo) = arbiter.host(Policy::default());
    arbiter.block_on(async {
        let trip = Order::Trip { reason: "bench".into(), open_for: Some(Duration::from_secs(3_000)) };
        echo.order(trip).await.unwrap();
        assert_eq!(echo.ask(Ready(1)).await.unwrap_err().code(), "circuit_open");
    });
    let mut group = criterion.benchmark_group("open breaker");
    group.bench_function("ask refused", |bencher| {
        bencher.to_async(&arbiter).iter(async || black_box(echo.ask(Ready(1)).await).is_err());
    });
    group.bench_function("door alone", |bencher| bencher.iter(|| black_box(echo.guard().admit()).is_err()));
    group.finish();
}

/// Single parts of the way.
fn parts(criterion: &mut Criterion) {
    let arbiter = Arbiter::start();
    let (_supervisor, echo) = arbiter.host(Policy::default());
    let mut group = criterion.benchmark_group("parts");
    group.bench_function("clock", |bencher| bencher.iter(clock::now));
    group.bench_function("breaker, acquire and record", |bencher| {
        let mut breaker = CircuitBreaker::new(BreakerPolicy::default(), 1, clock::now());
        let now = clock::now();
        bencher.iter(|| {
            let permit = breaker.try_acquire(black_box(now)).unwrap();
            breaker.record(permit, Outcome::Success, Duration::from_micros(5), now, None, None)
        });
    });
    group.bench_function("recorder", |bencher| {
        let recorder = Recorder::new(Arc::<LaneStats>::default());
        let result = Ok::<u64, CallError>(1);
        bencher.iter(|| recorder.record("get", black_box(&result), black_box(Duration::from_micros(5))));
    });
    group.bench_function("intake, in and out", |bencher| {
        bencher.iter(|| echo.guard().admit().unwrap().settle());
    });
    group.bench_function("guard around a ready reply", |bencher| {
        let guard = echo.guard();
        bencher.to_async(&arbiter).iter(async || {
            let now = clock::now();
            let call = CallContext::started_at(OpId::next(), now, guard.deadline(None, now));
            guard.run(&Echo, &Ready(black_box(1)), &call, backstop_core::message::Class::Read).await.unwrap()
        });
    });
    group.finish();
}

criterion_group! {
    name = overhead;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = bare, ask, across, refused, parts
}
criterion_main!(overhead);
