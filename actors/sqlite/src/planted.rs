//! What the tests of this crate plant, because nothing else makes the writer panic between two statements or
//! fills a database to its last page.

use std::sync::Arc;

use parking_lot::Mutex;

/// The statements at the last of which the writer panics once; none unless a test arms them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Planted {
    path: Arc<Mutex<Vec<&'static str>>>,
    /// The most pages that the engine gives the database, so that it is really full.
    pub(crate) pages_max: Option<u32>,
}

impl Planted {
    /// Has the writer panic when it has come by all of these in their order; by `COMMIT` after it was run, by
    /// others before.
    pub(crate) fn arm(&self, path: &[&'static str]) {
        *self.path.lock() = path.to_vec();
    }

    pub(crate) fn pass(&self, sql: &str) {
        let mut path = self.path.lock();
        if path.first() == Some(&sql) {
            path.remove(0);
            let is_there = path.is_empty();
            drop(path);
            assert!(!is_there, "planted at {sql}");
        }
    }
}
