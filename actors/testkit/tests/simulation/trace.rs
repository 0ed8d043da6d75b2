//! A hash of everything that was seen, in its order: equal seeds must give equal ones.

use std::hash::{DefaultHasher, Hash, Hasher};

use backstop_core::event::EventKind;
use backstop_testkit::ledger::Fate;

#[derive(Default)]
pub(crate) struct Trace(DefaultHasher);

impl Trace {
    pub(crate) fn fate(&mut self, at: u64, nonce: u64, fate: Fate, code: &str) {
        (at, nonce, fate, code).hash(&mut self.0);
    }

    pub(crate) fn event(&mut self, at: u64, kind: &EventKind) {
        (at, format!("{kind:?}")).hash(&mut self.0);
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0.finish()
    }
}
