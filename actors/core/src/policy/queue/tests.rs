use proptest::prelude::*;

use super::*;
use crate::clock;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn fifo(limit: usize) -> WaitQueue<u32> {
    WaitQueue::new(QueuePolicy { limit, ..QueuePolicy::default() })
}

fn codel() -> QueuePolicy {
    QueuePolicy { discipline: Discipline::Codel, ..QueuePolicy::default() }
}

fn items<T: Copy>(list: &[(T, Duration)]) -> Vec<T> {
    list.iter().map(|(item, _)| *item).collect()
}

#[test]
fn first_come_first_served_with_the_time_waited() {
    let (mut queue, start) = (fifo(9), clock::now());
    for n in 0..3 {
        queue.push(n, start + ms(n.into()), start + ms(1000)).unwrap();
    }
    for n in 0..3 {
        assert_eq!(queue.pop(start + ms(10)).next, Some((n, ms(10 - u64::from(n)))));
    }
    assert_eq!(queue.pop(start + ms(10)), Popped::empty());
}

#[test]
fn a_full_queue_gives_the_call_back() {
    let (mut queue, start) = (fifo(2), clock::now());
    queue.push(1, start, start + ms(9)).unwrap();
    queue.push(2, start, start + ms(9)).unwrap();
    assert_eq!(queue.push(3, start, start + ms(9)), Err(Full { item: 3, limit: 2 }));
    assert_eq!(queue.snapshot(start).full_total, 1);
}

#[test]
fn nothing_is_handed_out_at_or_after_its_deadline() {
    let (mut queue, start) = (fifo(9), clock::now());
    for (item, deadline) in [(1, 10), (2, 100), (3, 10), (4, 100)] {
        queue.push(item, start, start + ms(deadline)).unwrap();
    }
    let first = queue.pop(start + ms(10));
    assert_eq!((first.next, items(&first.expired)), (Some((2, ms(10))), vec![1]));
    let second = queue.pop(start + ms(10));
    assert_eq!((second.next, items(&second.expired)), (Some((4, ms(10))), vec![3]));
    assert!(queue.is_empty());
}

#[test]
fn a_sweep_returns_what_expired_anywhere() {
    let (mut queue, start) = (fifo(9), clock::now());
    for (item, deadline) in [(1, 100), (2, 10), (3, 100), (4, 10)] {
        queue.push(item, start, start + ms(deadline)).unwrap();
    }
    let swept = queue.sweep(start + ms(50));
    assert_eq!((swept.next, items(&swept.expired), queue.len()), (None, vec![2, 4], 2));
}

#[test]
fn a_call_leaves_early_once() {
    let (mut queue, start) = (fifo(9), clock::now());
    let tickets: Vec<_> = (0..3).map(|n| queue.push(n, start, start + ms(99)).unwrap()).collect();
    assert_eq!(queue.remove(tickets[1]), Some(1));
    assert_eq!(queue.remove(tickets[1]), None);
    assert_eq!(queue.pop(start).next.unwrap().0, 0);
    assert_eq!(queue.pop(start).next.unwrap().0, 2);
    assert_eq!(queue.remove(tickets[2]), None);
}

#[test]
fn calls_that_leave_early_cost_no_memory() {
    let (mut queue, start) = (fifo(4), clock::now());
    queue.push(0, start, start + ms(99)).unwrap();
    for n in 0..10_000 {
        let ticket = queue.push(n, start, start + ms(99)).unwrap();
        queue.remove(ticket);
    }
    assert!(queue.places.len() <= 20, "{}", queue.places.len());
    assert_eq!(queue.pop(start).next.unwrap().0, 0);
}

#[test]
fn draining_empties_the_queue_in_order() {
    let (mut queue, start) = (fifo(9), clock::now());
    let tickets: Vec<_> = (0..4).map(|n| queue.push(n, start, start + ms(99)).unwrap()).collect();
    queue.remove(tickets[2]);
    assert_eq!(queue.drain().collect::<Vec<_>>(), [0, 1, 3]);
    assert!(queue.is_empty());
}

/// Serves one call each 20 ms while two arrive, for `seconds`; returns the queue and the shed and longest waits.
fn overload(policy: QueuePolicy, seconds: u64) -> (WaitQueue<u32>, usize, Vec<Duration>, Instant) {
    let (mut queue, mut now) = (WaitQueue::new(policy), clock::now());
    let (mut shed, mut waits) = (0, Vec::new());
    for step in 0..seconds * 50 {
        now += ms(20);
        for n in 0..2 {
            let _ = queue.push(u32::try_from(2 * step + n).unwrap(), now, now + ms(60_000));
        }
        let popped = queue.pop(now);
        shed += popped.shed.len();
        waits.extend(popped.next.map(|(_, waited)| waited));
    }
    (queue, shed, waits, now)
}

#[test]
fn fifo_never_sheds() {
    let (queue, shed, _, _) = overload(QueuePolicy::default(), 10);
    assert_eq!((shed, queue.len()), (0, 500));
}

#[test]
fn codel_sheds_nothing_within_the_first_interval() {
    let (_, shed, _, _) = overload(codel(), 2);
    assert_eq!(shed, 0);
}

#[test]
fn codel_bounds_the_wait_while_the_queue_stands() {
    let (queue, shed, waits, _) = overload(codel(), 20);
    assert!(shed > 400, "{shed}");
    // alternating intervals are served without shedding only when one of their waits was good
    let late = &waits[150..];
    let slow = late.iter().filter(|waited| **waited > ms(100)).count();
    assert!(slow < late.len() / 10, "{slow} of {}", late.len());
    assert!(queue.len() < 20, "{}", queue.len());
}

#[test]
fn codel_drops_only_what_waited_over_twice_the_target() {
    let (mut queue, start) = (WaitQueue::new(codel()), clock::now());
    let late = start + ms(60_000);
    for n in 0..4 {
        queue.push(n, start, late).unwrap();
    }
    // waits of 60 ms and more for a whole interval
    assert_eq!(queue.pop(start + ms(60)).next.unwrap().0, 0);
    for (item, age) in [(10, 101), (11, 100), (12, 10)] {
        queue.push(item, start + ms(2001 - age), late).unwrap();
    }
    let popped = queue.pop(start + ms(2001));
    assert_eq!((items(&popped.shed), popped.next), (vec![1, 2, 3, 10], Some((11, ms(100)))));
}

#[test]
fn codel_stops_shedding_after_an_interval_with_a_good_wait() {
    let (mut queue, _, _, mut now) = overload(codel(), 20);
    while !queue.is_empty() {
        let _ = queue.pop(now);
    }
    for _ in 0..250 {
        now += ms(20);
        queue.push(0, now - ms(10), now + ms(900)).unwrap();
        assert!(queue.pop(now).next.is_some());
    }
    assert!(!queue.snapshot(now).shedding);
    queue.push(1, now, now + ms(900)).unwrap();
    assert!(queue.pop(now + ms(300)).next.is_some());
}

#[test]
fn codel_sheds_nothing_while_most_calls_need_not_wait() {
    let (mut queue, mut now) = (WaitQueue::new(codel()), clock::now());
    for n in 0..100 {
        queue.push(n, now, now + ms(900)).unwrap();
        now += ms(150);
        assert_eq!(queue.pop(now).next, Some((n, ms(150))));
        queue.passed();
    }
}

#[test]
fn codel_acts_although_nothing_is_served() {
    let (mut queue, start) = (WaitQueue::new(codel()), clock::now());
    (0..3).for_each(|n| drop(queue.push(n, start, start + ms(60_000))));
    assert_eq!(queue.sweep(start + ms(1999)), Popped::empty());
    assert_eq!(items(&queue.sweep(start + ms(2000)).shed), [0, 1, 2]);
}

#[test]
fn a_pause_forgets_that_the_queue_stood() {
    let (mut queue, _, _, mut now) = overload(codel(), 20);
    queue.drain().for_each(drop);
    now += ms(10_000);
    queue.push(1, now, now + ms(9000)).unwrap();
    let popped = queue.pop(now + ms(150));
    assert_eq!((items(&popped.shed), popped.next), (vec![], Some((1, ms(150)))));
}

#[test]
fn newest_first_only_while_shedding() {
    let policy = QueuePolicy { newest_first: true, ..codel() };
    let (mut queue, start) = (WaitQueue::new(policy), clock::now());
    let late = start + ms(60_000);
    (0..3).for_each(|n| drop(queue.push(n, start, late)));
    assert_eq!(queue.pop(start + ms(70)).next.unwrap().0, 0);
    (10..13).for_each(|n| drop(queue.push(n, start + ms(1990), late)));
    let popped = queue.pop(start + ms(2000));
    assert_eq!((items(&popped.shed), popped.next.unwrap().0), (vec![1, 2], 12));
    // the oldest waited 10 ms, so the next interval serves in order again
    assert_eq!(queue.pop(start + ms(4000)).next.unwrap().0, 10);
}

#[test]
fn wrong_settings_are_named() {
    let policy = QueuePolicy::default();
    assert!(policy.validate().is_ok() && codel().validate().is_ok());
    for (wrong, setting) in [
        (QueuePolicy { limit: 0, ..policy.clone() }, "limit"),
        (QueuePolicy { target: Duration::ZERO, ..policy.clone() }, "target"),
        (QueuePolicy { interval: ms(10), ..policy.clone() }, "interval"),
        (QueuePolicy { newest_first: true, ..policy }, "newest_first"),
    ] {
        assert_eq!(wrong.validate().unwrap_err().setting(), setting);
    }
    let read: QueuePolicy = serde_json::from_str(r#"{"discipline":"codel","target":"20ms"}"#).unwrap();
    assert_eq!(read, QueuePolicy { target: ms(20), ..codel() });
}

#[derive(Clone, Debug)]
enum Step {
    Push { patience: u64 },
    Pop,
    Sweep,
    Remove { which: usize },
}

fn step() -> impl Strategy<Value = (u64, Step)> {
    let step = prop_oneof![
        4 => (0..60_u64).prop_map(|patience| Step::Push { patience }),
        3 => Just(Step::Pop),
        1 => Just(Step::Sweep),
        2 => (0..40_usize).prop_map(|which| Step::Remove { which }),
    ];
    (0..10_u64, step)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn fifo_agrees_with_a_plain_list(steps in prop::collection::vec(step(), 1..120)) {
        let (mut queue, start, mut time) = (fifo(8), clock::now(), 0);
        // item and deadline of those that wait, in order
        let mut model: Vec<(u32, u64)> = Vec::new();
        let mut tickets = Vec::new();
        for (pause, step) in steps {
            time += pause;
            let now = start + ms(time);
            match step {
                Step::Push { patience } => {
                    let item = u32::try_from(tickets.len()).unwrap();
                    let pushed = queue.push(item, now, now + ms(patience));
                    prop_assert_eq!(pushed.is_ok(), model.len() < 8);
                    if let Ok(ticket) = pushed {
                        model.push((item, time + patience));
                        tickets.push(ticket);
                    }
                }
                Step::Pop => {
                    let popped = queue.pop(now);
                    let alive = model.iter().position(|(_, deadline)| *deadline > time);
                    let gone: Vec<_> = model.drain(..alive.map_or(model.len(), |at| at + 1)).collect();
                    let (next, expired) = match alive {
                        Some(at) => (Some(gone[at].0), &gone[..at]),
                        None => (None, &gone[..]),
                    };
                    prop_assert_eq!(popped.next.map(|(item, _)| item), next);
                    prop_assert_eq!(items(&popped.expired), expired.iter().map(|(n, _)| *n).collect::<Vec<_>>());
                }
                Step::Sweep => {
                    let expired = items(&queue.sweep(now).expired);
                    let expected: Vec<_> = model.extract_if(.., |(_, end)| *end <= time).map(|(n, _)| n).collect();
                    prop_assert_eq!(expired, expected);
                }
                Step::Remove { which } if which < tickets.len() => {
                    let at = model.iter().position(|(item, _)| *item as usize == which);
                    prop_assert_eq!(queue.remove(tickets[which]), at.map(|at| model.remove(at).0));
                }
                Step::Remove { .. } => {}
            }
            prop_assert_eq!(queue.len(), model.len());
        }
    }

    #[test]
    fn codel_gives_every_call_exactly_one_end(steps in prop::collection::vec(step(), 1..120), newest_first: bool) {
        let policy = QueuePolicy { limit: 16, target: ms(2), interval: ms(10), newest_first, ..codel() };
        let (mut queue, start, mut time) = (WaitQueue::new(policy), clock::now(), 0);
        let (mut pushed, mut ended, mut tickets) = (0, Vec::new(), Vec::new());
        for (pause, step) in steps {
            time += pause;
            let now = start + ms(time);
            let popped = match step {
                Step::Push { patience } => {
                    if let Ok(ticket) = queue.push(pushed, now, now + ms(patience)) {
                        tickets.push(ticket);
                        pushed += 1;
                    }
                    continue;
                }
                Step::Pop => queue.pop(now),
                Step::Sweep => queue.sweep(now),
                Step::Remove { which } => {
                    ended.extend(tickets.get(which).and_then(|ticket| queue.remove(*ticket)));
                    continue;
                }
            };
            for (_, waited) in &popped.shed {
                prop_assert!(*waited > ms(4));
            }
            ended.extend(items(&popped.shed).into_iter().chain(items(&popped.expired)));
            ended.extend(popped.next.map(|(item, _)| item));
        }
        ended.extend(queue.drain());
        ended.sort_unstable();
        prop_assert_eq!(ended, (0..pushed).collect::<Vec<_>>());
    }
}
