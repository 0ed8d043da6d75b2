//! A lane hands the thread on after 128 messages.

use std::{cell::Cell, rc::Rc};

use backstop_testkit::{fake::Do, sim};
use futures_util::{FutureExt, future::join_all};

use crate::support::{Stage, no_retries};

#[test]
fn a_full_mailbox_leaves_other_tasks_of_the_thread_a_turn_every_128_messages() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        assert!(stage.fake.ask(Do::echo(0)).await.is_ok());
        let mut calls = Box::pin(join_all((1..=1_280).map(|nonce| stage.fake.ask(Do::echo(nonce)))));
        assert!(calls.as_mut().now_or_never().is_none(), "all of them are in the mailbox now");
        let served = || stage.world.count(|fact| matches!(fact, backstop_testkit::fake::Fact::Executed { .. }));
        let (before, most) = (Rc::new(Cell::new(served())), Cell::new(0));
        let mut turns = 0;
        while served() < 1_281 {
            tokio::task::yield_now().await;
            let now = served();
            most.set(most.get().max(now - before.replace(now)));
            turns += 1;
        }
        assert!(most.get() <= 128, "{} messages in one turn", most.get());
        assert!(turns >= 10, "{turns}");
        assert!(calls.await.iter().all(Result::is_ok));
        stage.assert_idle();
    });
}
