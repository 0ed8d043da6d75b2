//! Several asks at once: order, limits, races, isolation.

use std::{future::IntoFuture, time::Duration};

use backstop::{
    orchestrator::{Fate, Member},
    prelude::*,
};

use crate::fake::{Act, Do, Fake, World, end, one};

#[tokio::test]
async fn a_tuple_gives_one_result_each_in_request_order() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let b = runtime.backend::<Fake>("b").unwrap();
    let late = world.clone();
    let asks = (b.ask(Do::hold("last")), b.ask(Do::fail(Executed::No)), b.ask(Do::reply(3)));
    let releasing = async move {
        late.until(|seen| seen.done.len() == 2).await;
        late.release("last");
    };
    let ((first, second, third), ()) = tokio::join!(Gather::all(asks).into_future(), releasing);
    assert_eq!(first.unwrap(), "last");
    assert_eq!(second.unwrap_err().executed(), Executed::No);
    assert_eq!(third.unwrap(), 3);
    end(runtime).await;
}

#[tokio::test]
async fn eight_members_of_different_types_fit_into_one_gather() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let b = runtime.backend::<Fake>("b").unwrap();
    let ask = |n: u64| b.ask(Do::reply(n));
    let by_name = runtime.orchestrator().execute("b", "reply", serde_json::json!({"value": 8}));
    let asks = (ask(1), ask(2), ask(3), ask(4), ask(5), ask(6), ask(7), by_name);
    let (one, .., eight) = runtime.orchestrator().gather(asks).await;
    assert_eq!((one.unwrap(), eight.unwrap()), (1.into(), 8.into()));
    end(runtime).await;
}

#[tokio::test]
async fn a_list_keeps_request_order_whatever_ends_first() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let b = runtime.backend::<Fake>("b").unwrap();
    let labels = ["0", "1", "2", "3"];
    let gather = Gather::all(labels.iter().map(|label| b.ask(Do::hold(label))).collect::<Vec<_>>());
    let outside = world.clone();
    let releasing = async move {
        for (done, label) in ["2", "0", "3", "1"].into_iter().enumerate() {
            outside.release(label);
            outside.until(|seen| seen.done.len() == done + 1).await;
        }
    };
    let (results, ()) = tokio::join!(gather.into_future(), releasing);
    let answers: Vec<_> = results.into_iter().map(|result| result.unwrap()).collect();
    assert_eq!(answers, labels);
    assert_eq!(world.seen().done, ["2", "0", "3", "1"]);
    assert!(Gather::all(Vec::<backstop::orchestrator::BoxAsk<u8>>::new()).await.is_empty());
    end(runtime).await;
}

#[tokio::test]
async fn the_first_answer_wins_and_the_losers_are_cancelled() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let b = runtime.backend::<Fake>("b").unwrap();
    let asks = vec![
        b.ask(Do::hold("a")),
        b.ask(Do::fail(Executed::No)),
        b.ask(Do::hold("win")),
        b.ask(Do::hold("c")),
    ];
    let outside = world.clone();
    let releasing = async move {
        outside.until(|seen| seen.begun.len() == 4 && seen.done.len() == 1).await;
        outside.release("win");
    };
    let (first, ()) = tokio::join!(Gather::all(asks).first_ok().into_future(), releasing);
    let first = first.unwrap();
    assert_eq!((first.answer, first.position), ("win".into(), 2));
    assert_eq!(first.failures.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [1]);
    let seen = world.until(|seen| seen.active == 0).await;
    let mut cancelled = seen.cancelled;
    cancelled.sort();
    assert_eq!(cancelled, ["a", "c"], "the losers were dropped by their backend");
    end(runtime).await;
}

#[tokio::test]
async fn at_least_n_ends_with_the_nth_answer_and_cancels_the_rest() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let b = runtime.backend::<Fake>("b").unwrap();
    let asks = vec![
        b.ask(Do::hold("never")),
        b.ask(Do::reply(1)),
        b.ask(Do::fail(Executed::No)),
        b.ask(Do::reply(2)),
    ];
    let gathered = Gather::all(asks).at_least(2).await.unwrap();
    assert_eq!(gathered.answers().map(|(position, _)| position).collect::<Vec<_>>(), [1, 3]);
    assert!(matches!(gathered.slots()[0].fate, Fate::Cancelled));
    assert!(matches!(gathered.slots()[2].fate, Fate::Failed(_)));
    let seen = world.until(|seen| seen.active == 0).await;
    assert_eq!(seen.cancelled, ["never"]);
    end(runtime).await;
}

#[tokio::test]
async fn at_least_n_gives_up_as_soon_as_n_cannot_be_reached() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let b = runtime.backend::<Fake>("b").unwrap();
    let asks = vec![b.ask(Do::hold("never")), b.ask(Do::fail(Executed::No)), b.ask(Do::fail(Executed::No))];
    let too_few = Gather::all(asks).at_least(2).await.unwrap_err();
    assert_eq!((too_few.needed, too_few.gathered.failures().count()), (2, 2));
    assert!(too_few.to_string().starts_with("0 answers of 2 needed, 3 asked"), "{too_few}");
    world.until(|seen| seen.active == 0).await;

    let begun = world.seen().begun.len();
    let impossible = Gather::all(vec![b.ask(Do::reply(1))]).at_least(2).await.unwrap_err();
    assert_eq!(impossible.gathered.slots().len(), 1);
    assert!(Gather::all(vec![b.ask(Do::reply(1))]).at_least(0).await.is_ok());
    assert_eq!(world.seen().begun.len(), begun, "what cannot be reached, or need not be, is not begun");
    assert!(Gather::all(vec![b.ask(Do::fail(Executed::No))]).first_ok().await.is_err());
    end(runtime).await;
}

#[tokio::test]
async fn panics_of_one_member_change_no_other() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let b = runtime.backend::<Fake>("b").unwrap();
    let asks = (
        b.ask(Do::new("backend panics", Act::Panic)),
        b.ask(Do::new("panic in class", Act::Panic)),
        b.ask(Do::reply(3)),
    );
    let (backend, caller, fine) = Gather::all(asks).await;
    assert_eq!(backend.unwrap_err().code(), "panicked");
    assert_eq!(caller.unwrap_err().code(), "caller_panicked");
    assert_eq!(fine.unwrap(), 3);
    let list = vec![b.ask(Do::new("panic in class", Act::Panic)), b.ask(Do::reply(1))];
    let results = Gather::all(list).await;
    assert!(results[0].is_err() && results[1].is_ok());
    end(runtime).await;
}

#[tokio::test]
async fn within_limits_every_member_and_says_what_was_executed() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let b = runtime.backend::<Fake>("b").unwrap();
    let gather = Gather::all((b.ask(Do::hold("never")), b.ask(Do::reply(2))));
    let (slow, fast) = gather.within(Duration::from_millis(300)).await;
    let slow = slow.unwrap_err();
    assert_eq!((slow.code(), slow.executed()), ("timeout", Executed::Unknown));
    assert_eq!(fast.unwrap(), 2);

    let short = b.ask(Do::hold("never")).within(Duration::from_millis(10)).boxed_ask();
    let timed = Gather::all(vec![short, b.ask(Do::reply(1)).boxed_ask()])
        .within(Duration::from_secs(5))
        .timed()
        .await;
    assert!(matches!(timed.slots()[0].fate, Fate::Failed(_)), "its own shorter time stays");
    assert!(
        timed.slots()[0].elapsed >= Duration::from_millis(10)
            && timed.slots()[0].elapsed < Duration::from_secs(4)
    );
    end(runtime).await;
}

#[tokio::test]
async fn nothing_is_sent_before_the_gather_is_awaited_and_dropping_it_cancels() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let b = runtime.backend::<Fake>("b").unwrap();
    drop(Gather::all((b.ask(Do::hold("x")), b.ask(Do::hold("y")))));
    assert!(world.seen().begun.is_empty());
    let task = tokio::spawn(Gather::all(vec![b.ask(Do::hold("x")), b.ask(Do::hold("y"))]).into_future());
    world.until(|seen| seen.active == 2).await;
    task.abort();
    let seen = world.until(|seen| seen.active == 0).await;
    assert_eq!(seen.cancelled.len(), 2);
    end(runtime).await;
}
