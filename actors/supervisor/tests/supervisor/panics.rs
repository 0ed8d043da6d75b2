//! A panic ends its own call and nothing else.

use std::time::Duration;

use backstop_core::{call::Deadline, error::{Executed, FailureKind}, policy::Policy};
use backstop_supervisor::{Placement, Supervisor, SupervisorOptions};

use crate::fake::{Do, FakeOptions, simulated};

fn single() -> SupervisorOptions {
    SupervisorOptions { placement: Placement::Single, ..SupervisorOptions::default() }
}

#[test]
fn a_panic_fails_its_call_and_the_next_call_gets_a_new_instance() {
    simulated(async {
        let supervisor = Supervisor::start(single()).unwrap();
        let fake = supervisor.add("fake", FakeOptions, Policy::default()).await.unwrap();
        assert_eq!(fake.ask(Do::Echo(1)).await.unwrap(), 1);
        let waiting = tokio::task::spawn_local(fake.ask(Do::Wait(Duration::from_secs(1), 7)));
        tokio::task::yield_now().await;
        let error = fake.ask(Do::Panic).await.unwrap_err();
        let failure = error.as_failure().unwrap();
        assert_eq!(failure.kind(), FailureKind::Panicked);
        assert_eq!((failure.message(), failure.executed()), ("planned", Executed::Unknown));
        assert_eq!(fake.ask(Do::Echo(2)).await.unwrap(), 2, "waits for the new instance");
        assert_eq!(waiting.await.unwrap().unwrap(), 7, "the old instance finishes its calls");
        assert_eq!(fake.snapshot().guard.incarnations, 2);
        let report = supervisor.shutdown(Deadline::after(Duration::from_secs(5))).await;
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(fake.ask(Do::Echo(3)).await.unwrap_err().code(), "stopped");
    });
}
