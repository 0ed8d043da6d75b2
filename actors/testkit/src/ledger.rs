//! What callers were told, compared with what an outside record says was executed.
//!
//! | told | executions allowed |
//! |---|---|
//! | a reply, or `executed: yes` | exactly one; at least one where the class allows repeats |
//! | `executed: no`, or a rejection | none |
//! | `executed: unknown` | none or one; any number where the class allows repeats |
//! | nothing: the caller went away | none or one; any number where the class allows repeats |

use std::collections::BTreeMap;

use backstop_core::{
    error::{CallError, Executed},
    message::Class,
};

/// What a caller was told about one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It got its reply.
    Acknowledged,
    /// It got an error that says whether the work was done.
    Ended(Executed),
    /// It went away before the end.
    WentAway,
}

impl Fate {
    /// What the result of a call tells its caller.
    #[must_use]
    pub fn of<R>(result: &Result<R, CallError>) -> Self {
        match result {
            Ok(_) => Self::Acknowledged,
            Err(error) => Self::Ended(error.executed()),
        }
    }
}

/// The operations that were sent, each with what its caller was told.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: BTreeMap<u64, Entry>,
    breaches: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    class: Class,
    fate: Option<Fate>,
}

impl Ledger {
    /// Notes that an operation is about to be sent.
    pub fn sent(&mut self, nonce: u64, class: Class) {
        if self.sent.insert(nonce, Entry { class, fate: None }).is_some() {
            self.breaches.push(format!("operation {nonce} was used twice by the test"));
        }
    }

    /// Notes what its caller was told; a second word about the same operation is a breach.
    pub fn told(&mut self, nonce: u64, fate: Fate) {
        match self.sent.get_mut(&nonce) {
            Some(Entry { fate: slot @ None, .. }) => *slot = Some(fate),
            Some(Entry { fate: Some(first), .. }) => {
                self.breaches.push(format!("operation {nonce} ended twice: {first:?}, then {fate:?}"));
            }
            None => self.breaches.push(format!("operation {nonce} ended but was never sent")),
        }
    }

    /// Lists every breach of the table above; `executions` is the outside record.
    #[must_use]
    pub fn breaches(&self, executions: impl Fn(u64) -> u32) -> Vec<String> {
        let mut breaches = self.breaches.clone();
        for (nonce, entry) in &self.sent {
            let count = executions(*nonce);
            match entry.fate {
                None => breaches.push(format!("operation {nonce} has no fate")),
                Some(fate) if !allowed(entry.class, fate, count) => breaches.push(format!(
                    "operation {nonce} ({:?}): told {fate:?}, executed {count} times",
                    entry.class
                )),
                Some(_) => {}
            }
        }
        breaches
    }

    /// Counts the operations that were sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sent.len()
    }

    /// Says whether none was sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Counts the operations with this fate.
    #[must_use]
    pub fn count(&self, fate: Fate) -> usize {
        self.sent.values().filter(|entry| entry.fate == Some(fate)).count()
    }
}

fn allowed(class: Class, fate: Fate, executions: u32) -> bool {
    let once = executions <= 1 || class.survives_unknown();
    match fate {
        Fate::Acknowledged | Fate::Ended(Executed::Yes) => executions >= 1 && once,
        Fate::Ended(Executed::No) => executions == 0,
        Fate::Ended(Executed::Unknown) | Fate::WentAway => once,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches_of(class: Class, fate: Fate, executions: u32) -> usize {
        let mut ledger = Ledger::default();
        ledger.sent(1, class);
        ledger.told(1, fate);
        ledger.breaches(|_| executions).len()
    }

    #[test]
    fn an_acknowledged_unsafe_operation_was_executed_exactly_once() {
        for (executions, breaches) in [(0, 1), (1, 0), (2, 1)] {
            assert_eq!(breaches_of(Class::Unsafe, Fate::Acknowledged, executions), breaches);
        }
    }

    #[test]
    fn executed_no_leaves_no_trace_of_any_class() {
        for class in [Class::Read, Class::Unsafe] {
            assert_eq!(breaches_of(class, Fate::Ended(Executed::No), 0), 0);
            assert_eq!(breaches_of(class, Fate::Ended(Executed::No), 1), 1);
        }
    }

    #[test]
    fn unknown_is_none_or_one_unless_the_class_allows_repeats() {
        for fate in [Fate::Ended(Executed::Unknown), Fate::WentAway] {
            assert_eq!(breaches_of(Class::Unsafe, fate, 0), 0);
            assert_eq!(breaches_of(Class::Unsafe, fate, 1), 0);
            assert_eq!(breaches_of(Class::Transaction, fate, 2), 1);
            assert_eq!(breaches_of(Class::Idempotent, fate, 2), 0);
        }
    }

    #[test]
    fn an_operation_without_a_fate_or_with_two_is_a_breach() {
        let mut ledger = Ledger::default();
        ledger.sent(1, Class::Read);
        assert_eq!(ledger.breaches(|_| 0).len(), 1);
        ledger.told(1, Fate::WentAway);
        ledger.told(1, Fate::WentAway);
        ledger.told(2, Fate::WentAway);
        assert_eq!(ledger.breaches(|_| 0).len(), 2);
    }
}
