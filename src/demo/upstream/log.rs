//! What the service has executed, in its own words.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;

/// One in so many writes is executed twice once the bug is planted.
const DOUBLE_EVERY: u64 = 7;

/// The log of executed writes; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct UpstreamLog(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    executed: Vec<u64>,
    keys: HashSet<String>,
    double_writes: bool,
}

impl UpstreamLog {
    /// Executes a write; one with a key that is known already has no second effect.
    pub(super) fn execute(&self, op: u64, key: Option<&str>) {
        let mut entries = self.0.lock();
        if key.is_some_and(|key| !entries.keys.insert(key.to_owned())) {
            return;
        }
        entries.executed.push(op);
        if entries.double_writes && key.is_none() && op.is_multiple_of(DOUBLE_EVERY) {
            entries.executed.push(op);
        }
    }

    pub(super) fn plant_double_writes(&self) {
        self.0.lock().double_writes = true;
    }

    /// Counts how often each write was executed.
    #[must_use]
    pub(crate) fn counts(&self) -> HashMap<u64, u32> {
        let mut counts = HashMap::new();
        for op in &self.0.lock().executed {
            *counts.entry(*op).or_default() += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_key_has_no_second_effect_and_a_planted_bug_has_one() {
        let log = UpstreamLog::default();
        log.execute(7, Some("k7"));
        log.execute(7, Some("k7"));
        log.execute(8, None);
        assert_eq!(log.counts(), HashMap::from([(7, 1), (8, 1)]));
        log.plant_double_writes();
        log.execute(14, None);
        assert_eq!(log.counts()[&14], 2);
    }
}
