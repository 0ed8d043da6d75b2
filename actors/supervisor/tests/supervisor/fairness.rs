//! A lane hands the thread on after 128 messages.

use backstop_testkit::{
    fake::{Do, Fact},
    sim,
};
use futures_util::future::join_all;

use crate::support::{Stage, no_retries};

#[test]
fn a_full_mailbox_leaves_other_tasks_of_the_thread_a_turn_every_128_messages() {
    sim::run(async {
        let stage = Stage::with_one_lane(no_retries()).await;
        let fake = stage.fake.on_logical_lane(1);
        let calls = tokio::task::spawn_local(join_all((1..=1_280).map(|nonce| fake.ask(Do::echo(nonce)))));
        let served = || stage.world.count(|fact| matches!(fact, Fact::Executed { .. }));
        let (mut before, mut most, mut turns) = (served(), 0, 0);
        while served() < 1_281 && turns < 1_000 {
            tokio::task::yield_now().await;
            let now = served();
            most = most.max(now - std::mem::replace(&mut before, now));
            turns += 1;
        }
        assert!(most <= 128, "{most} messages in one turn");
        assert!((10..1_000).contains(&turns), "{turns} turns, {before} served");
        assert!(calls.await.unwrap().iter().all(Result::is_ok));
        stage.assert_idle();
    });
}
