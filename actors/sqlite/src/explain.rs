//! How the engine would run a statement.

use std::sync::Arc;

use backstop_core::{backend::Serve, call::CallContext, error::Failure};
use backstop_sql::{Dialect, Explain, Plan, seen::Watched};

use crate::{Sqlite, job::Work};

impl Serve<Explain> for Sqlite {
    async fn serve(&self, message: &Explain, call: &CallContext) -> Result<Plan, Failure> {
        let request = message.explained(Dialect::Sqlite)?.request("EXPLAIN QUERY PLAN");
        let statement = Arc::new(Watched::unread(&request.sql, Dialect::Sqlite)?);
        Plan::from_steps(&self.read_elsewhere(Work::Read(statement, Arc::new(request)), call).await?)
    }
}
