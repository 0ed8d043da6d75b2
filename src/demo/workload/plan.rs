//! What a caller does next: drawn from its own seed, so that a run can be repeated.

use std::time::Duration;

use fastrand::Rng;

/// What a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// Reads from the database, by type.
    Query,
    /// Reads from the database, by name.
    QueryByName,
    /// Inserts an order that must not be inserted twice.
    Insert,
    /// Inserts an order with a key, which may be repeated.
    InsertKeyed,
    /// Inserts two orders in one transaction.
    Transfer,
    /// Reads from the API.
    Get,
    /// Writes to the API; must not happen twice.
    Post,
    /// Writes to the API with a key, which may be repeated.
    PostKeyed,
    /// Gives the worker something to do.
    Work,
    /// Reads from two backends and has the worker do something, all at once.
    Gather,
    /// Three operations as data.
    Batch,
    /// Moves money from one account to another, in a closure.
    Move,
}

/// Actions with their weights.
pub(crate) type Mix = &'static [(Action, u32)];

/// What is asked of the backends that are always there.
pub(crate) const MIX: Mix = &[
    (Action::Query, 18),
    (Action::QueryByName, 4),
    (Action::Insert, 12),
    (Action::InsertKeyed, 8),
    (Action::Transfer, 6),
    (Action::Get, 20),
    (Action::Post, 10),
    (Action::PostKeyed, 6),
    (Action::Work, 10),
    (Action::Gather, 4),
    (Action::Batch, 2),
];

/// What is asked of a database server.
pub(crate) const SERVER_MIX: Mix = &[
    (Action::Query, 30),
    (Action::QueryByName, 5),
    (Action::Insert, 20),
    (Action::InsertKeyed, 10),
    (Action::Transfer, 10),
    (Action::Move, 25),
];

/// One in so many single messages is given up by its caller before its time.
const CANCEL_ONE_IN: u32 = 20;

/// One step of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// What to ask for.
    pub action: Action,
    /// A number that the answer must repeat.
    pub nonce: u64,
    /// When the caller goes away, if the answer is not there by then.
    pub cancel_after: Option<Duration>,
    /// How long the caller rests afterwards.
    pub pause: Duration,
}

/// The plan of one caller.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    rng: Rng,
    mix: Mix,
}

impl Plan {
    /// Draws the plan of caller `number`.
    #[must_use]
    pub(crate) fn new(seed: u64, number: u64, mix: Mix) -> Self {
        let rng = Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(number));
        Self { rng, mix }
    }

    /// Draws the next step.
    pub(crate) fn next_step(&mut self) -> Step {
        let Self { rng, mix } = self;
        let total = mix.iter().map(|(_, weight)| weight).sum();
        let mut drawn = rng.u32(0..total);
        let mut action = Action::Query;
        for (candidate, weight) in *mix {
            action = *candidate;
            match drawn.checked_sub(*weight) {
                Some(rest) => drawn = rest,
                None => break,
            }
        }
        let cancels = rng.u32(0..CANCEL_ONE_IN) == 0;
        Step {
            action,
            nonce: rng.u64(1..1 << 40),
            cancel_after: cancels.then(|| Duration::from_micros(rng.u64(0..2_000))),
            pause: Duration::from_micros(rng.u64(4_000..20_000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_steps_and_callers_differ() {
        let steps = |seed, number| {
            let mut plan = Plan::new(seed, number, MIX);
            (0..50).map(|_| plan.next_step()).collect::<Vec<_>>()
        };
        assert_eq!(steps(7, 0), steps(7, 0));
        assert_ne!(steps(7, 0), steps(7, 1));
        assert_ne!(steps(7, 0), steps(8, 0));
    }

    #[test]
    fn every_action_has_its_turn_and_some_callers_go_away() {
        for mix in [MIX, SERVER_MIX] {
            let mut plan = Plan::new(1, 0, mix);
            let steps: Vec<_> = (0..2_000).map(|_| plan.next_step()).collect();
            let seen: HashSet<_> = steps.iter().map(|step| step.action).collect();
            assert_eq!(seen.len(), mix.len());
            assert!((50..200).contains(&steps.iter().filter(|step| step.cancel_after.is_some()).count()));
        }
    }
}
