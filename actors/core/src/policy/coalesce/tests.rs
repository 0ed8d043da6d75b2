use std::{
    sync::{Barrier, atomic::AtomicUsize},
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};

use super::*;
use crate::error::{CallError, Failure};

fn join(flights: &Flights) -> Role {
    flights.join(TypeId::of::<u32>(), &CallKey::new("key"))
}

fn lead(flights: &Flights) -> Leader {
    match join(flights) {
        Role::Leader(leader) => leader,
        other => panic!("{other:?}"),
    }
}

fn follow(flights: &Flights) -> Follower {
    match join(flights) {
        Role::Follower(follower) => follower,
        other => panic!("{other:?}"),
    }
}

fn number(followed: Option<Followed>) -> u32 {
    match followed {
        Some(Followed::Answer(Ok(reply))) => *reply.downcast_ref().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn promoted(followed: Option<Followed>) -> Leader {
    match followed {
        Some(Followed::Lead(leader)) => leader,
        other => panic!("{other:?}"),
    }
}

#[test]
fn everybody_gets_the_answer_of_the_leader() {
    let flights = Flights::new(9);
    let leader = lead(&flights);
    let followers: Vec<_> = (0..3).map(|_| follow(&flights)).collect();
    leader.complete(Ok(Arc::new(7_u32)));
    for follower in followers {
        assert_eq!(number(follower.now_or_never()), 7);
    }
    assert_eq!(flights.snapshot().flights, 0);
}

#[test]
fn everybody_gets_the_error_of_the_leader() {
    let flights = Flights::new(9);
    let (leader, follower) = (lead(&flights), follow(&flights));
    leader.complete(Err(CallError::Failed(Failure::unavailable("down"))));
    let followed = follower.now_or_never();
    assert!(matches!(followed, Some(Followed::Answer(Err(CallError::Failed(_))))));
}

#[test]
fn a_call_after_the_answer_starts_a_new_flight() {
    let flights = Flights::new(9);
    lead(&flights).complete(Ok(Arc::new(1_u32)));
    drop(lead(&flights));
    drop(lead(&flights));
    assert_eq!(flights.snapshot().led_total, 3);
}

#[test]
fn other_keys_and_other_messages_fly_alone() {
    let flights = Flights::new(9);
    let _leader = lead(&flights);
    assert!(matches!(flights.join(TypeId::of::<u32>(), &CallKey::new("other")), Role::Leader(_)));
    assert!(matches!(flights.join(TypeId::of::<i32>(), &CallKey::new("key")), Role::Leader(_)));
}

#[test]
fn a_cancelled_leader_hands_over_to_exactly_one() {
    let flights = Flights::new(9);
    let leader = lead(&flights);
    let (mut first, second) = (follow(&flights), follow(&flights));
    drop(leader);
    let next = promoted((&mut first).now_or_never());
    let mut second = second;
    assert!((&mut second).now_or_never().is_none());
    let third = follow(&flights);
    next.complete(Ok(Arc::new(2_u32)));
    assert_eq!((number(second.now_or_never()), number(third.now_or_never())), (2, 2));
    assert_eq!(flights.snapshot().promoted_total, 1);
}

#[test]
fn a_leader_that_panics_hands_over() {
    let flights = Flights::new(9);
    let (leader, follower) = (lead(&flights), follow(&flights));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _leader = leader;
        panic!("made up");
    }));
    assert!(panic.is_err());
    promoted(follower.now_or_never()).complete(Ok(Arc::new(0_u32)));
}

#[test]
fn a_follower_dropped_right_after_its_promotion_passes_it_on() {
    let flights = Flights::new(9);
    let leader = lead(&flights);
    let (first, second, third) = (follow(&flights), follow(&flights), follow(&flights));
    drop(leader);
    drop(first);
    drop(second);
    drop(promoted(third.now_or_never()));
    assert_eq!(flights.snapshot().flights, 0);
}

#[test]
fn a_follower_that_went_away_gets_nothing_and_frees_its_place() {
    let flights = Flights::new(2);
    let leader = lead(&flights);
    let (first, second) = (follow(&flights), follow(&flights));
    assert!(matches!(join(&flights), Role::Alone));
    drop(first);
    let third = follow(&flights);
    drop(leader);
    promoted(second.now_or_never()).complete(Ok(Arc::new(3_u32)));
    assert_eq!(number(third.now_or_never()), 3);
}

#[test]
fn the_last_to_leave_ends_the_flight() {
    let flights = Flights::new(9);
    let (leader, follower) = (lead(&flights), follow(&flights));
    drop(follower);
    drop(leader);
    assert_eq!(flights.snapshot().flights, 0);
    drop(lead(&flights));
}

#[test]
fn a_long_line_of_leavers_does_not_nest() {
    let flights = Flights::new(100_000);
    let leader = lead(&flights);
    let followers: Vec<_> = (0..100_000).map(|_| follow(&flights)).collect();
    drop(leader);
    drop(followers);
    assert_eq!(flights.snapshot().flights, 0);
}

#[test]
fn roles_cross_threads() {
    fn is_send<T: Send + 'static>() {}
    is_send::<Leader>();
    is_send::<Follower>();
    is_send::<Followed>();
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Flights>();
}

/// Each call joins and either answers, or is cancelled while it leads or follows; nobody may hang.
async fn call(flights: &Flights, answered: &AtomicUsize, rng: &mut fastrand::Rng) {
    let leader = match join(flights) {
        Role::Alone => return,
        Role::Leader(leader) => leader,
        Role::Follower(follower) => {
            if rng.u8(0..4) == 0 {
                tokio::task::yield_now().await;
                return;
            }
            match follower.await {
                Followed::Answer(_) => {
                    answered.fetch_add(1, Relaxed);
                    return;
                }
                Followed::Lead(leader) => leader,
            }
        }
    };
    (0..rng.u8(0..3)).for_each(|_| std::thread::yield_now());
    tokio::task::yield_now().await;
    if rng.bool() {
        leader.complete(Ok(Arc::new(1_u32)));
    }
}

#[test]
fn nobody_hangs_whatever_is_cancelled_on_which_thread() {
    let (flights, answered, barrier) = (Flights::new(16), AtomicUsize::new(0), Barrier::new(4));
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (flights, answered, barrier) = (&flights, &answered, &barrier);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                let mut rng = fastrand::Rng::with_seed(seed);
                barrier.wait();
                runtime.block_on(async {
                    for _ in 0..300 {
                        let mut seeds: Vec<_> = (0..8).map(|_| rng.fork()).collect();
                        let calls = seeds.iter_mut().map(|rng| call(flights, answered, rng));
                        let ended = tokio::time::timeout(Duration::from_secs(5), join_all(calls)).await;
                        assert!(ended.is_ok(), "somebody hangs");
                    }
                });
            });
        }
    });
    assert_eq!(flights.snapshot().flights, 0);
    assert!(answered.load(Relaxed) > 0);
}
