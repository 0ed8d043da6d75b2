//! The callers: a bounded number of them, each with a seeded plan of its own.

mod messages;
mod plan;

use std::{rc::Rc, time::Duration};

pub(super) use self::messages::work;
pub(super) use self::plan::{Action, Plan, Step};
use super::stage::Stage;

/// How many callers there are.
pub(super) const CALLERS: u64 = 12;

/// Sends messages one after the other, by plan, until the run is over.
pub(super) async fn call(stage: Rc<Stage>, number: u64) {
    let mut plan = Plan::new(stage.options.seed, number);
    while !stage.is_over() {
        let step = plan.next_step();
        messages::perform(&stage, &step).await;
        tokio::time::sleep(step.pause.max(Duration::from_millis(1))).await;
    }
}
