use proptest::prelude::*;

use super::*;
use crate::clock;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn exactly(max_rate: u32, window: u64) -> RatePolicy {
    RatePolicy { max_rate, window: ms(window), margin: Duration::ZERO }
}

/// The most sends in any window; a window that starts with a send is never worse than another one.
fn densest(sends: &[Instant], window: Duration) -> usize {
    let within = |start: Instant| sends.iter().filter(|at| **at >= start && **at < start + window).count();
    sends.iter().map(|start| within(*start)).max().unwrap_or(0)
}

#[test]
fn a_burst_at_the_seam_of_two_windows_is_not_allowed() {
    let (mut limiter, start) = (RateLimiter::new(exactly(10, 1000)), clock::now());
    let end = start + ms(990);
    for _ in 0..10 {
        assert_eq!(limiter.reserve(end, end), Ok(end));
    }
    // a token bucket or a fixed window would let ten more pass here
    let next = start + ms(1000);
    assert_eq!(limiter.reserve(next, next), Err(RateLimited { retry_at: end + ms(1000) }));
    assert_eq!(limiter.reserve(end + ms(1000), end + ms(1000)), Ok(end + ms(1000)));
}

#[test]
fn later_calls_queue_in_order_for_the_windows_to_come() {
    let (mut limiter, start) = (RateLimiter::new(exactly(2, 100)), clock::now());
    let reserved: Vec<_> = (0..6).map(|_| limiter.reserve(start, start + ms(1000)).unwrap()).collect();
    assert_eq!(reserved, [0, 0, 100, 100, 200, 200].map(|at| start + ms(at)));
}

#[test]
fn a_refusal_reserves_nothing_and_says_when() {
    let (mut limiter, start) = (RateLimiter::new(exactly(1, 100)), clock::now());
    limiter.reserve(start, start).unwrap();
    for _ in 0..50 {
        assert_eq!(limiter.reserve(start, start + ms(99)), Err(RateLimited { retry_at: start + ms(100) }));
    }
    assert_eq!(limiter.reserve(start, start + ms(100)), Ok(start + ms(100)));
    let snapshot = limiter.snapshot(start);
    assert_eq!((snapshot.reserved_total, snapshot.refused_total, snapshot.wait_ms), (2, 50, 200));
}

#[test]
fn the_margin_keeps_the_limit_although_timers_wake_late() {
    let mut limiter = RateLimiter::new(RatePolicy { max_rate: 10, ..RatePolicy::default() });
    let (start, mut rng) = (clock::now(), fastrand::Rng::with_seed(1));
    let late = || start + ms(1_000_000);
    let arrivals: Vec<_> = (0..200)
        .map(|_| limiter.reserve(start, late()).unwrap() + Duration::from_micros(rng.u64(0..5000)))
        .collect();
    assert!(densest(&arrivals, Duration::from_secs(1)) <= 10);
}

#[test]
fn a_reservation_given_back_goes_to_the_next_call() {
    let (mut limiter, start) = (RateLimiter::new(exactly(1, 100)), clock::now());
    let reserved: Vec<_> = (0..3).map(|_| limiter.reserve(start, start + ms(1000)).unwrap()).collect();
    limiter.give_back(reserved[1], start + ms(50));
    assert_eq!(limiter.reserve(start + ms(60), start + ms(1000)), Ok(start + ms(100)));
    assert_eq!(limiter.reserve(start + ms(60), start + ms(1000)), Ok(start + ms(300)));
    // what was not given back in time stays taken
    limiter.give_back(reserved[2], start + ms(200));
    assert_eq!(limiter.reserve(start + ms(200), start + ms(1000)), Ok(start + ms(400)));
}

#[test]
fn a_lower_rate_holds_at_once() {
    let (mut limiter, start) = (RateLimiter::new(exactly(5, 100)), clock::now());
    assert_eq!((0..9).filter(|_| limiter.reserve(start, start).is_ok()).count(), 5);
    limiter.set_policy(exactly(2, 100));
    let later: Vec<_> = (0..3).map(|_| limiter.reserve(start, start + ms(1000)).unwrap()).collect();
    assert_eq!(later, [100, 100, 200].map(|at| start + ms(at)));
}

#[test]
fn clients_are_limited_one_by_one() {
    let policy = ClientRatePolicy { max_rate: 2, window: ms(100), ..ClientRatePolicy::default() };
    let (mut limiter, start) = (ClientLimiter::new(policy), clock::now());
    for client in ["ann", "bob"] {
        assert_eq!(limiter.reserve(client, start, start), Ok(start));
        assert_eq!(limiter.reserve(client, start, start), Ok(start));
        let refused = limiter.reserve(client, start, start);
        assert_eq!(refused, Err(RateLimited { retry_at: start + ms(100) }));
    }
}

#[test]
fn new_clients_are_refused_while_all_others_are_active() {
    let policy = ClientRatePolicy { max_rate: 1, window: ms(100), max_clients: 2, ..Default::default() };
    let (mut limiter, start) = (ClientLimiter::new(policy), clock::now());
    limiter.reserve("ann", start, start).unwrap();
    limiter.reserve("bob", start + ms(10), start + ms(10)).unwrap();
    let (now, far) = (start + ms(99), start + ms(1000));
    assert_eq!(limiter.reserve("cat", now, far), Err(RateLimited { retry_at: start + ms(100) }));
    let now = start + ms(100);
    assert_eq!(limiter.reserve("cat", now, far), Ok(now));
    // bob is still limited: nobody's arrival gave him a fresh window
    assert_eq!(limiter.reserve("bob", now, now), Err(RateLimited { retry_at: start + ms(110) }));
    assert_eq!(limiter.snapshot().crowded_total, 1);
}

#[test]
fn memory_does_not_grow_with_the_number_of_clients() {
    let policy = ClientRatePolicy { max_clients: 10, window: ms(5), ..ClientRatePolicy::default() };
    let (mut limiter, start) = (ClientLimiter::new(policy), clock::now());
    for n in 0..1000 {
        let now = start + ms(n);
        assert!(limiter.reserve(&n.to_string(), now, now).is_ok());
        assert!(limiter.snapshot().clients <= 10);
    }
}

#[test]
fn wrong_settings_are_named() {
    let policy = RatePolicy::default();
    assert!(policy.validate().is_ok() && ClientRatePolicy::default().validate().is_ok());
    for (wrong, setting) in [
        (RatePolicy { max_rate: 0, ..policy.clone() }, "max_rate"),
        (RatePolicy { max_rate: MAX_RATE + 1, ..policy.clone() }, "max_rate"),
        (RatePolicy { window: Duration::ZERO, ..policy.clone() }, "window"),
        (RatePolicy { margin: ms(2000), ..policy }, "margin"),
    ] {
        assert_eq!(wrong.validate().unwrap_err().setting(), setting);
    }
    let clients = ClientRatePolicy { max_clients: 0, ..ClientRatePolicy::default() };
    assert_eq!(clients.validate().unwrap_err().setting(), "max_clients");
    let read: ClientRatePolicy = serde_json::from_str(r#"{"max_rate":5,"window":"1m"}"#).unwrap();
    assert_eq!((read.max_rate, read.window, read.max_clients), (5, ms(60_000), 10_000));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(120) })]

    #[test]
    fn no_window_holds_more_than_its_rate(
        max_rate in 1..8_u32,
        window in 1..50_u64,
        steps in prop::collection::vec((0..30_u64, 0..120_u64, any::<bool>()), 1..120),
    ) {
        let (mut limiter, start) = (RateLimiter::new(exactly(max_rate, window)), clock::now());
        let (mut time, mut sends) = (0, Vec::new());
        for (pause, patience, give_back) in steps {
            time += pause;
            let now = start + ms(time);
            match limiter.reserve(now, now + ms(patience)) {
                Ok(go) => {
                    prop_assert!(go >= now && go <= now + ms(patience));
                    sends.push(go);
                }
                Err(refused) => prop_assert!(refused.retry_at > now + ms(patience)),
            }
            if give_back && let Some(at) = sends.iter().rposition(|at| *at > now) {
                limiter.give_back(sends.swap_remove(at), now);
            }
        }
        prop_assert!(densest(&sends, ms(window)) <= max_rate as usize);
    }

    #[test]
    fn nobody_waits_longer_than_the_limit_requires(
        max_rate in 1..8_u32,
        window in 1..50_u64,
        pauses in prop::collection::vec(0..30_u64, 1..120),
    ) {
        let (mut limiter, start) = (RateLimiter::new(exactly(max_rate, window)), clock::now());
        let (mut time, mut sends) = (0, Vec::<Instant>::new());
        for pause in pauses {
            time += pause;
            let go = limiter.reserve(start + ms(time), start + ms(1_000_000)).unwrap();
            let before = sends.len().checked_sub(max_rate as usize).map(|at| sends[at] + ms(window));
            let expected = [Some(start + ms(time)), sends.last().copied(), before];
            prop_assert_eq!(Some(go), expected.into_iter().max().flatten());
            sends.push(go);
        }
    }

    #[test]
    fn no_client_exceeds_its_rate_whoever_else_comes(
        steps in prop::collection::vec((0..8_u64, 0..6_usize), 1..200),
    ) {
        let policy = ClientRatePolicy { max_rate: 2, window: ms(20), max_clients: 3, ..Default::default() };
        let (mut limiter, start, mut time) = (ClientLimiter::new(policy), clock::now(), 0);
        let mut sends = vec![Vec::new(); 6];
        for (pause, client) in steps {
            time += pause;
            let now = start + ms(time);
            sends[client].extend(limiter.reserve(&client.to_string(), now, now + ms(30)));
            prop_assert!(limiter.snapshot().clients <= 3);
        }
        for sends in sends {
            prop_assert!(densest(&sends, ms(20)) <= 2);
        }
    }
}
