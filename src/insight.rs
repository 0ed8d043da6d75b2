//! What the SQL backends see of their own work, all three by one face.

use std::sync::Arc;

use backstop_core::backend::Backend;
use backstop_sql::{
    crud::CrudEngine,
    seen::{LeaseSnapshot, Seen, SlowQuery, StatementSnapshot},
};
use backstop_supervisor::BackendRef;

/// What a SQL backend sees of its own work; it asks no lane and no server, so it answers while a backend is down.
///
/// A backend that was replaced begins anew, and one that has ended shows nothing.
///
/// ```
/// # #[cfg(not(feature = "sqlite"))] fn main() {}
/// # #[cfg(feature = "sqlite")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use backstop::{SqlInsight, prelude::*, sql::{Explain, Query}, sqlite::{Sqlite, SqliteOptions}};
///
/// let runtime = Runtime::builder().backend("db", SqliteOptions::memory(), Policy::default()).start().await?;
/// let db = runtime.backend::<Sqlite>("db")?;
/// db.ask(Query::new("SELECT ? AS n").bind(1)).await?;
/// assert_eq!(db.statements(10)[0].calls(), 1);
/// for slow in db.slow_queries(10) {
///     println!("{} took {:?}: {}", slow.sql.as_str(), slow.elapsed, db.ask(Explain::new(slow.sql.clone())).await?);
/// }
/// # runtime.shutdown(Deadline::after(std::time::Duration::from_secs(1))).await;
/// # Ok(()) }
/// ```
pub trait SqlInsight {
    /// Sums what happened to each statement, those that took the most time first, at most `limit`.
    fn statements(&self, limit: usize) -> Vec<StatementSnapshot>;

    /// Lists the statements that took as long as `slow_query_threshold` (1 s by default) or longer, newest first, at
    /// most `limit` of the last 100.
    fn slow_queries(&self, limit: usize) -> Vec<SlowQuery>;

    /// Lists who holds a connection, the longest first, and whether that is longer than `leak_after`.
    fn leases(&self) -> Vec<LeaseSnapshot>;
}

impl<B: Backend + CrudEngine> SqlInsight for BackendRef<B> {
    fn statements(&self, limit: usize) -> Vec<StatementSnapshot> {
        of(self).map_or_else(Vec::new, |seen| seen.statements(limit))
    }

    fn slow_queries(&self, limit: usize) -> Vec<SlowQuery> {
        of(self).map_or_else(Vec::new, |seen| seen.slow_queries(limit))
    }

    fn leases(&self) -> Vec<LeaseSnapshot> {
        of(self).map_or_else(Vec::new, |seen| seen.leases())
    }
}

fn of<B: Backend>(backend: &BackendRef<B>) -> Option<Arc<Seen>> {
    backend.insight()
}
