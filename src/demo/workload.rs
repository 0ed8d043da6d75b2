//! The callers: a bounded number of them, each with a seeded plan of its own.

mod messages;
mod plan;
mod servers;

use std::{rc::Rc, time::Duration};

pub(super) use self::messages::work;
pub(super) use self::plan::{Action, Plan, Step};
use self::plan::{MIX, SERVER_MIX};
use super::{Role, stage::Stage};

/// How many callers the backends have that are always there.
const CALLERS: u64 = 12;

/// How many callers each database server has.
const SERVER_CALLERS: u64 = 6;

/// A caller: its number, and the server that it asks; `None` asks the others.
pub(super) type Caller = (u64, Option<Role>);

/// The callers of a run.
pub(super) fn callers(stage: &Stage) -> Vec<Caller> {
    let common = (0..CALLERS).map(|number| (number, None));
    let servers = stage.servers.running().flat_map(|(role, _)| {
        let first = CALLERS + role.index() as u64 * SERVER_CALLERS;
        (first..first + SERVER_CALLERS).map(move |number| (number, Some(role)))
    });
    common.chain(servers).collect()
}

/// Sends messages one after the other, by plan, until the run is over.
pub(super) async fn call(stage: Rc<Stage>, (number, server): Caller) {
    let mix = if server.is_some() { SERVER_MIX } else { MIX };
    let mut plan = Plan::new(stage.options.seed, number, mix);
    while !stage.is_over() {
        let step = plan.next_step();
        match (server, &stage.payments, &stage.savings) {
            (Some(role @ Role::Payments), Some(backend), _) => {
                servers::perform(&stage, role, backend, &step).await;
            }
            (Some(role @ Role::Savings), _, Some(backend)) => {
                servers::perform(&stage, role, backend, &step).await;
            }
            _ => messages::perform(&stage, &step).await,
        }
        tokio::time::sleep(step.pause.max(Duration::from_millis(1))).await;
    }
}
