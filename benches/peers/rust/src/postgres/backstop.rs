//! Backstop's side: one backend with a pool like those of the peers.

use std::rc::Rc;

use backstop_postgres::{Postgres, PostgresOptions};

use super::table::Table;
use crate::sql::{Hosted, POOL};

/// Starts it, with callers on so many threads.
pub fn hosted(table: &Table, threads: usize) -> Rc<Hosted<Postgres>> {
    Hosted::start(PostgresOptions::url(table.url.as_str()).pool_size(POOL).max_overflow(0), threads)
}
