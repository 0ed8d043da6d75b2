//! The checks; each is one test of each backend.

use std::time::Duration;

use backstop_core::{
    backend::Connect,
    call::Deadline,
    clock,
    error::{Executed, FailureKind},
    outcome::Outcome,
    policy::circuit_breaker::BreakerState,
};
use backstop_supervisor::Order;

use super::{
    Ability, ContractSubject,
    stage::{AMPLE, host, host_with, latest, offered, outage, policy, run},
};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);

/// Settings that cannot work are named by `share`.
pub fn a_wrong_setting_is_named_before_anything_runs<S: ContractSubject>() {
    run(async |subject: S| {
        let Some(wrong) = offered::<S, _>(Ability::WrongSetting, subject.wrong()) else { return };
        let Err(error) = wrong.share() else { panic!("a wrong setting was taken") };
        assert!(!error.setting().is_empty() && !error.to_string().is_empty());
    });
}

/// An instance is built while the server is away, and that is no crash.
pub fn connecting_needs_no_server<S: ContractSubject>() {
    run(async |subject: S| {
        if !outage(&subject).await {
            return;
        }
        let supervisor = crate::sim::supervisor();
        let backend =
            supervisor.add("subject", subject.connect(), policy()).await.expect("no server is needed");
        backend.start_lane().expect("a lane needs no server");
        tokio::time::sleep(SHORT).await;
        assert_eq!(backend.snapshot().guard.restarts_in_window, 0);
        subject.make_reachable().await;
        supervisor.shutdown(Deadline::after(AMPLE)).await;
    });
}

/// The first call works.
pub fn a_read_is_answered<S: ContractSubject>() {
    host::<S, _>(async |stage| {
        stage.subject.read(&stage.backend, AMPLE).await.expect("a read works");
        assert_eq!(stage.backend.snapshot().guard.incarnations, 1);
        stage
    });
}

/// Calls at the same time each get their own answer.
pub fn many_reads_at_once_are_answered<S: ContractSubject>() {
    host::<S, _>(async |stage| {
        let calls: Vec<_> =
            (0..50).map(|_| tokio::task::spawn_local(stage.subject.read(&stage.backend, AMPLE))).collect();
        for call in calls {
            call.await.expect("no panic").expect("a read works");
        }
        stage
    });
}

/// An acknowledged write is there once.
pub fn a_write_happens_exactly_once<S: ContractSubject>() {
    host::<S, _>(async |stage| {
        for key in 1..=5 {
            let Some(write) =
                offered::<S, _>(Ability::Write, stage.subject.write(&stage.backend, key, AMPLE))
            else {
                break;
            };
            write.await.expect("a write works");
            assert_eq!(stage.subject.writes(key).await, 1, "key {key}");
        }
        stage
    });
}

/// A slow call ends at its deadline and does not claim to have been executed.
pub fn a_call_ends_at_its_deadline<S: ContractSubject>() {
    host::<S, _>(async |stage| {
        stage.subject.read(&stage.backend, AMPLE).await.expect("a read works");
        let Some(slow) = offered::<S, _>(Ability::SlowRead, stage.subject.slow(&stage.backend, LONG, SHORT))
        else {
            return stage;
        };
        let start = clock::now();
        let error = slow.await.expect_err("it takes longer than its deadline");
        let took = clock::now() - start;
        assert!(took <= latest::<S>(SHORT), "a deadline of {SHORT:?} took {took:?}");
        assert_ne!(error.executed(), Executed::Yes, "{error}");
        stage.subject.read(&stage.backend, AMPLE).await.expect("the next call is served");
        stage
    });
}

/// A call whose deadline has passed is refused before anything is sent.
pub fn a_call_without_time_sends_nothing<S: ContractSubject>() {
    host::<S, _>(async |stage| {
        stage.subject.read(&stage.backend, AMPLE).await.expect("a read works");
        if let Some(write) =
            offered::<S, _>(Ability::Write, stage.subject.write(&stage.backend, 9, Duration::ZERO))
        {
            let error = write.await.expect_err("it has no time");
            assert_eq!((error.code(), error.executed()), ("expired", Executed::No));
            assert_eq!(stage.subject.writes(9).await, 0);
        }
        stage
    });
}

/// A caller that goes away frees the one place there is.
pub fn a_dropped_call_gives_its_place_back<S: ContractSubject>() {
    host_with::<S, _>(policy().concurrency(1), async |stage| {
        stage.subject.read(&stage.backend, AMPLE).await.expect("a read works");
        let Some(slow) = offered::<S, _>(Ability::SlowRead, stage.subject.slow(&stage.backend, LONG, LONG))
        else {
            return stage;
        };
        assert!(tokio::time::timeout(SHORT, slow).await.is_err(), "it is still under way when it is dropped");
        stage.subject.read(&stage.backend, AMPLE).await.expect("the place is free");
        stage.until("no call under way", async || stage.backend.guard().in_flight() == 0).await;
        assert_eq!(stage.backend.snapshot().guard.abandoned_total, 1);
        stage
    });
}

/// Neither late nor dropped calls keep a connection busy.
pub fn the_pool_comes_back_to_idle<S: ContractSubject>() {
    host::<S, _>(async |stage| {
        for _ in 0..4 {
            if let Some(slow) =
                offered::<S, _>(Ability::SlowRead, stage.subject.slow(&stage.backend, LONG, LONG))
            {
                let _ = tokio::time::timeout(SHORT / 4, slow).await;
            }
            if let Some(slow) =
                offered::<S, _>(Ability::SlowRead, stage.subject.slow(&stage.backend, LONG, SHORT / 4))
            {
                let _ = slow.await;
            }
        }
        stage.until("an idle pool", async || stage.backend.pool().await.active == 0).await;
        stage.subject.read(&stage.backend, AMPLE).await.expect("a read works");
        stage
    });
}

/// A refusal is the caller's fault: not executed, not repeated, not counted against the backend.
pub fn a_bad_request_is_no_failure_of_the_backend<S: ContractSubject>() {
    host::<S, _>(async |stage| {
        for _ in 0..20 {
            let error = stage.subject.bad(&stage.backend, AMPLE).await.expect_err("it is bad");
            let failure =
                error.as_failure().unwrap_or_else(|| panic!("a failure of the backend's side: {error}"));
            assert_eq!(failure.executed(), Executed::No, "{failure}");
            assert_eq!(failure.outcome(), Outcome::Success, "{failure}");
            assert!(!failure.is_transient(), "{failure}");
            assert_eq!(failure.attempts(), 1);
        }
        assert_eq!(stage.backend.breaker_state(), BreakerState::Closed);
        assert_eq!(stage.backend.snapshot().guard.breaker.failures, 0);
        stage
    });
}

/// A server that is away is `unavailable` (or not reached in time), and nothing was executed.
pub fn an_unreachable_backend_is_unavailable_and_nothing_was_executed<S: ContractSubject>() {
    host::<S, _>(async |stage| {
        if outage(&stage.subject).await {
            let error = stage.subject.read(&stage.backend, AMPLE).await.expect_err("nobody is there");
            let failure =
                error.as_failure().unwrap_or_else(|| panic!("a failure of the backend's side: {error}"));
            assert!(matches!(failure.kind(), FailureKind::Unavailable | FailureKind::Timeout), "{failure}");
            assert_eq!(failure.executed(), Executed::No, "{failure}");
            assert_eq!(failure.outcome(), Outcome::Failure, "{failure}");
            stage.subject.make_reachable().await;
        }
        stage
    });
}

/// A probe asks the server itself.
pub fn a_probe_tells_up_from_down<S: ContractSubject>() {
    host::<S, _>(async |stage| {
        stage.backend.order(Order::Probe).await.expect("it is up");
        if outage(&stage.subject).await {
            assert!(stage.backend.order(Order::Probe).await.is_err(), "it is down");
            stage.subject.make_reachable().await;
            stage
                .until("a probe that passes", async || stage.backend.order(Order::Probe).await.is_ok())
                .await;
        }
        stage
    });
}

/// An outage charges the breaker, never the restart limit.
pub fn an_outage_opens_the_breaker_and_costs_no_restart<S: ContractSubject>() {
    host::<S, _>(async |stage| {
        stage.subject.read(&stage.backend, AMPLE).await.expect("a read works");
        if outage(&stage.subject).await {
            // A file that is gone is noticed at the next look, not at the next read.
            stage
                .until("the outage", async || stage.subject.read(&stage.backend, AMPLE).await.is_err())
                .await;
            for _ in 0..10 {
                assert!(stage.subject.read(&stage.backend, AMPLE).await.is_err());
            }
            assert_eq!(stage.backend.breaker_state(), BreakerState::Open);
            let refused = stage.subject.read(&stage.backend, AMPLE).await.expect_err("it is open");
            assert_eq!(refused.code(), "circuit_open");
            assert_eq!((stage.crashes(), stage.backend.snapshot().guard.restarts_in_window), (0, 0));
            stage.subject.make_reachable().await;
        }
        stage
    });
}

/// A server that comes back is used again by the same instance.
pub fn a_backend_that_comes_back_serves_again_without_a_restart<S: ContractSubject>() {
    let mut quick = policy();
    quick.breaker.open_for = SHORT;
    quick.breaker.probe_grace = SHORT;
    host_with::<S, _>(quick, async |stage| {
        stage.subject.read(&stage.backend, AMPLE).await.expect("a read works");
        if outage(&stage.subject).await {
            for _ in 0..6 {
                let _ = stage.subject.read(&stage.backend, AMPLE).await;
            }
            stage.subject.make_reachable().await;
            let served = async || stage.subject.read(&stage.backend, AMPLE).await.is_ok();
            stage.until("a read that works again", served).await;
            assert_eq!((stage.crashes(), stage.backend.snapshot().guard.incarnations), (0, 1));
        }
        stage
    });
}

/// A closure that panics ends its own call; the instance goes on.
pub fn a_panic_of_the_caller_costs_no_instance<S: ContractSubject>() {
    host::<S, _>(async |stage| {
        if let Some(call) =
            offered::<S, _>(Ability::CallerCode, stage.subject.caller_panic(&stage.backend, AMPLE))
        {
            let error = call.await.expect_err("it panics");
            assert_eq!(error.code(), "caller_panicked");
            stage.subject.read(&stage.backend, AMPLE).await.expect("a read works");
            assert_eq!((stage.crashes(), stage.backend.snapshot().guard.incarnations), (0, 1));
        }
        stage
    });
}

/// Calls under way end on the old instance, new ones are served by the new one.
pub fn a_restart_by_order_loses_no_call<S: ContractSubject>() {
    host::<S, _>(async |stage| {
        let mut calls = Vec::new();
        for _ in 0..5 {
            for _ in 0..10 {
                calls.push(tokio::task::spawn_local(stage.subject.read(&stage.backend, AMPLE)));
            }
            tokio::task::yield_now().await;
            stage
                .backend
                .order(Order::Restart { reason: "contract".into() })
                .await
                .expect("it is carried out");
        }
        for call in calls {
            call.await.expect("no panic").expect("a read works");
        }
        assert_eq!(stage.crashes(), 0);
        stage
    });
}

/// A backend at rest closes at once.
pub fn a_shutdown_is_clean_and_in_time<S: ContractSubject>() {
    host::<S, _>(async |stage| {
        stage.subject.read(&stage.backend, AMPLE).await.expect("a read works");
        let start = clock::now();
        let report = stage.supervisor.shutdown(Deadline::after(AMPLE)).await;
        assert!(report.is_clean(), "{report:?}");
        assert!(clock::now() - start < AMPLE, "{report:?}");
        let refused = stage.subject.read(&stage.backend, AMPLE).await.expect_err("it has ended");
        assert_eq!((refused.code(), refused.executed()), ("stopped", Executed::No));
        stage
    });
}

/// A call that would outlast the end is given up, told so, and does not hold up the end.
pub fn a_shutdown_gives_up_a_slow_call_in_time<S: ContractSubject>() {
    host::<S, _>(async |stage| {
        stage.subject.read(&stage.backend, AMPLE).await.expect("a read works");
        let Some(slow) = offered::<S, _>(Ability::SlowRead, stage.subject.slow(&stage.backend, LONG, LONG))
        else {
            return stage;
        };
        let slow = tokio::task::spawn_local(slow);
        stage.until("the slow call", async || stage.backend.guard().in_flight() == 1).await;
        let (start, within) = (clock::now(), Duration::from_secs(2));
        let report = stage.supervisor.shutdown(Deadline::after(within)).await;
        assert!(clock::now() - start <= latest::<S>(within), "{report:?}");
        assert_eq!(report.backends[0].abandoned, 1, "{report:?}");
        let error = slow.await.expect("no panic").expect_err("it was given up");
        assert_ne!(error.executed(), Executed::Yes, "{error}");
        stage
    });
}
