//! Remembers what was derived from a statement's text, within a bound.

use std::{collections::HashMap, mem};

use foldhash::fast::RandomState;

use crate::Sql;

/// A bounded memory of texts, one per lane: the least recently used half goes first.
///
/// It keeps two generations: a hit in the old one moves to the young one, and a full young one becomes the
/// old one. So a look-up costs one hash, and nothing is scanned.
#[derive(Debug)]
pub struct Memo<V> {
    young: HashMap<Sql, V, RandomState>,
    old: HashMap<Sql, V, RandomState>,
    half: usize,
}

impl<V: Clone> Memo<V> {
    /// Keeps at most `capacity` texts (at least 2).
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), half: (capacity / 2).max(1) }
    }

    /// Returns what is remembered of `sql`, or remembers what `make` returns.
    ///
    /// # Errors
    /// Those of `make`; they are not remembered.
    pub fn get_or_make<E>(&mut self, sql: &Sql, make: impl FnOnce(&str) -> Result<V, E>) -> Result<V, E> {
        if let Some(value) = self.get(sql.as_str()) {
            return Ok(value);
        }
        let value = make(sql.as_str())?;
        self.put(sql.clone(), value.clone());
        Ok(value)
    }

    /// Returns what is remembered of a text.
    pub fn get(&mut self, text: &str) -> Option<V> {
        if let Some(value) = self.young.get(text) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(text)?;
        self.put(key, value.clone());
        Some(value)
    }

    /// Remembers `value` of a text.
    pub fn put(&mut self, key: Sql, value: V) {
        if self.young.len() >= self.half {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// Counts the texts that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Says whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_bound_holds() {
        let mut memo = Memo::new(8);
        let hot = Sql::from("hot");
        for at in 0..1_000 {
            let text = Sql::from(format!("text {at}"));
            memo.get_or_make(&text, |_| Ok::<_, ()>(0)).unwrap();
            memo.get_or_make(&hot, |_| if at == 0 { Ok(1) } else { Err(()) })
                .expect("the hot text was forgotten");
            assert!(memo.len() <= 8);
        }
    }

    #[test]
    fn errors_are_not_remembered() {
        let mut memo = Memo::<u8>::new(2);
        memo.get_or_make(&"a".into(), |_| Err(())).unwrap_err();
        assert!(memo.is_empty());
    }
}
