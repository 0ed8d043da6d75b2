//! What calls in flight and idle lanes cost: bytes by a counting allocator, time by the clock.
#![allow(dead_code, reason = "the echo backend is shared with comparisons that use all of it")]

#[path = "../../../../overhead/echo.rs"]
mod echo;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use backstop_core::policy::Policy;
use backstop_supervisor::{BackendRef, Supervisor, SupervisorOptions};
use echo::{Echo, EchoOptions, Hold, Ready};
use tokio::task::LocalSet;

/// Calls that are under way at once.
const CALLS: usize = 16_000;
/// Lanes that idle on one thread.
const LANES: u32 = 64;

/// Counts the bytes that are allocated now.
struct Counting;

static HELD: AtomicI64 = AtomicI64::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size() as i64, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as i64, Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        backstop_supervisor::attach_thread();
        let supervisor = Supervisor::start(SupervisorOptions::default()).unwrap();
        let policy = Policy::default().intake(2 * CALLS).timeout(Duration::from_secs(60));
        let echo = supervisor.add("echo", EchoOptions, policy).await.unwrap();
        echo.ask(Ready(1)).await.unwrap();
        println!("| | |\n|---|---:|");
        idle_lanes(&echo).await;
        for round in 1..=3 {
            in_flight(&echo, round).await;
        }
        std::process::exit(0);
    });
}

/// Starts lanes that then do nothing.
async fn idle_lanes(echo: &BackendRef<Echo>) {
    let before = HELD.load(Relaxed);
    for lane in 1..=LANES {
        echo.on_logical_lane(lane).ask(Ready(1)).await.unwrap();
    }
    let bytes = (HELD.load(Relaxed) - before) / i64::from(LANES);
    println!("| an idle lane that has answered once, without driver connections | {bytes} B |");
}

/// Puts calls in flight, then lets go of them.
async fn in_flight(echo: &BackendRef<Echo>, round: usize) {
    let (before, start) = (HELD.load(Relaxed), Instant::now());
    let callers: Vec<_> = (0..CALLS).map(|_| tokio::task::spawn_local(echo.ask(Hold))).collect();
    while echo.snapshot().lanes.iter().map(|lane| lane.in_flight).sum::<usize>() < CALLS {
        tokio::task::yield_now().await;
    }
    let (started, held) = (start.elapsed(), HELD.load(Relaxed) - before);
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    for caller in callers {
        let _ = caller.await;
    }
    while echo.guard().in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    let whole = start.elapsed();
    let each = |time: Duration| time.as_secs_f64() * 1e6 / CALLS as f64;
    println!(
        "| {CALLS} calls in flight, round {round}: bytes each, the caller's task included | {} B |",
        held / CALLS as i64
    );
    println!("| … to start one | {:.2} µs |", each(started));
    println!("| … to start and cancel one | {:.2} µs |", each(whole));
}
