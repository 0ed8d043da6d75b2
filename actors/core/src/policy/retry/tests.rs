use super::*;

const CLASSES: [Class; 5] = [Class::Read, Class::Idempotent, Class::Keyed, Class::Unsafe, Class::Transaction];
const LONG: Duration = Duration::from_secs(60);

fn failure(executed: Executed, transient: bool) -> Failure {
    Failure::new(FailureKind::Server, "made up").executed_is(executed).transient(transient)
}

fn decide(class: Class, failure: &Failure) -> Decision {
    RetryPolicy::default().decide(class, failure, 1, true, LONG, &mut Rng::with_seed(1))
}

fn is_retry(decision: Decision) -> bool {
    matches!(decision, Decision::RetryAfter(_))
}

#[test]
fn every_row_of_the_table_holds() {
    use Class::{Idempotent, Keyed, Read, Transaction, Unsafe};
    use Executed::{No, Unknown, Yes};
    let (never, again) = (Some, None);
    let table = [
        (Read, No, true, again),
        (Read, Unknown, true, again),
        (Read, Yes, true, never(GiveUp::Executed)),
        (Read, No, false, never(GiveUp::Permanent)),
        (Read, Unknown, false, never(GiveUp::Permanent)),
        (Read, Yes, false, never(GiveUp::Executed)),
        (Idempotent, No, true, again),
        (Idempotent, Unknown, true, again),
        (Idempotent, Yes, true, never(GiveUp::Executed)),
        (Idempotent, No, false, never(GiveUp::Permanent)),
        (Idempotent, Unknown, false, never(GiveUp::Permanent)),
        (Idempotent, Yes, false, never(GiveUp::Executed)),
        (Keyed, No, true, again),
        (Keyed, Unknown, true, again),
        (Keyed, Yes, true, never(GiveUp::Executed)),
        (Keyed, No, false, never(GiveUp::Permanent)),
        (Keyed, Unknown, false, never(GiveUp::Permanent)),
        (Keyed, Yes, false, never(GiveUp::Executed)),
        (Unsafe, No, true, again),
        (Unsafe, Unknown, true, never(GiveUp::Unknown)),
        (Unsafe, Yes, true, never(GiveUp::Executed)),
        (Unsafe, No, false, never(GiveUp::Permanent)),
        (Unsafe, Unknown, false, never(GiveUp::Permanent)),
        (Unsafe, Yes, false, never(GiveUp::Executed)),
        (Transaction, No, true, again),
        (Transaction, Unknown, true, never(GiveUp::Unknown)),
        (Transaction, Yes, true, never(GiveUp::Executed)),
        (Transaction, No, false, never(GiveUp::Permanent)),
        (Transaction, Unknown, false, never(GiveUp::Permanent)),
        (Transaction, Yes, false, never(GiveUp::Executed)),
    ];
    assert_eq!(table.len(), CLASSES.len() * 3 * 2);
    for (class, executed, transient, expected) in table {
        let row = format!("{class:?}, executed {executed}, transient {transient}");
        match (decide(class, &failure(executed, transient)), expected) {
            (Decision::GiveUp(reason), Some(expected)) => assert_eq!(reason, expected, "{row}"),
            (Decision::RetryAfter(delay), None) => assert!(delay <= Duration::from_millis(100), "{row}"),
            (decision, _) => panic!("{row}: {decision:?}"),
        }
    }
}

#[test]
fn panics_and_cancelled_work_are_never_repeated() {
    for kind in [FailureKind::Panicked, FailureKind::CallerPanicked, FailureKind::Cancelled] {
        for class in CLASSES {
            for executed in [Executed::No, Executed::Unknown] {
                let failure = Failure::new(kind, "made up").executed_is(executed).transient(true);
                assert_eq!(decide(class, &failure), Decision::GiveUp(GiveUp::NotRepeatable));
            }
        }
    }
}

#[test]
fn two_retries_and_no_more() {
    let policy = RetryPolicy::default();
    let failure = failure(Executed::No, true);
    let at = |attempt| policy.decide(Class::Read, &failure, attempt, true, LONG, &mut Rng::with_seed(1));
    assert!(is_retry(at(1)) && is_retry(at(2)));
    assert_eq!(at(3), Decision::GiveUp(GiveUp::Attempts));
}

#[test]
fn nothing_is_repeated_while_the_breaker_is_not_closed() {
    let failure = failure(Executed::No, true);
    for class in CLASSES {
        let decision = RetryPolicy::default().decide(class, &failure, 1, false, LONG, &mut Rng::with_seed(1));
        assert_eq!(decision, Decision::GiveUp(GiveUp::Breaker));
    }
}

#[test]
fn hint_of_the_backend_wins_over_the_backoff() {
    for hint in [Duration::ZERO, Duration::from_secs(17)] {
        let failure = failure(Executed::No, true).retry_in(hint);
        assert_eq!(decide(Class::Unsafe, &failure), Decision::RetryAfter(hint));
    }
}

#[test]
fn a_delay_that_does_not_fit_ends_the_call_at_once() {
    let hinted = failure(Executed::No, true).retry_in(Duration::from_secs(1));
    let policy = RetryPolicy::default();
    let decide = |failure: &Failure, remaining| {
        policy.decide(Class::Read, failure, 1, true, remaining, &mut Rng::with_seed(1))
    };
    assert_eq!(decide(&hinted, Duration::from_secs(1)), Decision::GiveUp(GiveUp::Deadline));
    assert!(is_retry(decide(&hinted, Duration::from_millis(1001))));
    assert_eq!(decide(&failure(Executed::No, true), Duration::ZERO), Decision::GiveUp(GiveUp::Deadline));
}

#[test]
fn delays_grow_with_the_attempts() {
    let policy = RetryPolicy { max_retries: 20, ..RetryPolicy::default() };
    let failure = failure(Executed::No, true);
    let mut rng = Rng::with_seed(5);
    let mut longest = |attempt| {
        (0..500)
            .filter_map(|_| match policy.decide(Class::Read, &failure, attempt, true, LONG, &mut rng) {
                Decision::RetryAfter(delay) => Some(delay.as_millis()),
                Decision::GiveUp(_) => None,
            })
            .max()
            .unwrap()
    };
    assert!((90..=100).contains(&longest(1)));
    assert!((180..=200).contains(&longest(2)));
    assert!((4500..=5000).contains(&longest(10)));
}

#[test]
fn settings_read_partly_and_name_what_is_wrong() {
    let policy: RetryPolicy = serde_json::from_str(r#"{"max_retries":1,"backoff":{"base":"10ms"}}"#).unwrap();
    assert_eq!((policy.max_retries, policy.backoff.base), (1, Duration::from_millis(10)));
    assert!(policy.validate().is_ok());
    assert!(serde_json::from_str::<RetryPolicy>(r#"{"retries":1}"#).is_err());
    let wrong = RetryPolicy { max_retries: 1000, ..policy.clone() };
    assert_eq!(wrong.validate().unwrap_err().setting(), "max_retries");
    let backoff = BackoffPolicy { base: Duration::ZERO, ..policy.backoff };
    assert_eq!(RetryPolicy { backoff, ..policy }.validate().unwrap_err().setting(), "backoff.base");
}
