//! How the server would run a statement.

use backstop_core::{backend::Serve, call::CallContext, error::Failure};
use backstop_sql::{Dialect, Explain, Plan, StatementError, Verb};

use crate::{
    MySql,
    known::Known,
    run::{self, Limits},
    session::Mode,
};

impl Serve<Explain> for MySql {
    async fn serve(&self, message: &Explain, call: &CallContext) -> Result<Plan, Failure> {
        let explained = message.explained(Dialect::MySql)?;
        if explained.values.is_none() {
            let text = "MySQL has no plan for all values: give the parameters of one run";
            return Err(StatementError::Missing(text.to_owned()).into());
        }
        // a read-only session does not even explain a write
        let mode = match explained.statement.verb() {
            Verb::Select | Verb::With => Mode::ReadOnly,
            _ => Mode::ReadWrite,
        };
        let request = explained.request("EXPLAIN FORMAT=JSON");
        let known = Known::parse(request.sql.as_str())?;
        let mut lease = self.pool.acquire("explain", Some(mode), call).await?;
        let limits = Limits::of(&request, self.options());
        Plan::from_json(&run::read(&mut lease, &known, &request, limits, call).await?)
    }
}
