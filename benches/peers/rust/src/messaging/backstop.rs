//! Backstop with every policy on.

use std::hint::black_box;

use backstop_core::policy::Policy;
use backstop_supervisor::{BackendRef, Supervisor, SupervisorOptions, SupervisorRef};

use crate::{
    contender::Contender,
    echo::{Echo, EchoOptions, Ready},
    spread::{Arbiter, stealing, turn_on},
};

async fn hosted() -> (SupervisorRef, BackendRef<Echo>) {
    let supervisor = Supervisor::start(SupervisorOptions::default()).unwrap();
    let echo = supervisor.add("echo", EchoOptions, Policy::default()).await.unwrap();
    (supervisor, echo)
}

/// Callers on the lane's thread.
pub fn same_thread() -> Contender {
    let arbiter = Arbiter::here();
    let (supervisor, echo) = arbiter.run(hosted());
    Contender::new("Backstop", move |callers, watch| {
        let _keep = &supervisor;
        arbiter.turn(callers, watch, |mut caller| {
            let echo = echo.clone();
            async move {
                while let Some(turn) = caller.next() {
                    black_box(echo.ask(Ready(turn)).await.unwrap());
                }
                caller
            }
        })
    })
}

/// Callers on a work-stealing runtime, whose calls go to home lanes.
pub fn cross_thread() -> Contender {
    let runtime = stealing();
    let (supervisor, echo) = runtime.block_on(hosted());
    Contender::new("Backstop, home lanes", move |callers, watch| {
        let _keep = &supervisor;
        turn_on(&runtime, callers, watch, |mut caller| {
            let echo = echo.clone();
            async move {
                while let Some(turn) = caller.next() {
                    black_box(echo.ask(Ready(turn)).await.unwrap());
                }
                caller
            }
        })
    })
}
