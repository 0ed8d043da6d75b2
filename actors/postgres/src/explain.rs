//! How the server would run a statement.

use std::sync::atomic::Ordering::Relaxed;

use backstop_core::{
    backend::Serve,
    call::CallContext,
    error::{Failure, FailureKind},
};
use backstop_sql::{Column, Dialect, Explain, Plan, Rows, Value, message::Explained};
use tokio_postgres::SimpleQueryMessage;

use crate::{Postgres, error::During, lease::Lease, run::Mode, statement::Known};

/// A session that neither writes nor looks at the values it is given.
const BEGIN: &str = "BEGIN READ ONLY; SET LOCAL plan_cache_mode = force_generic_plan";

impl Serve<Explain> for Postgres {
    async fn serve(&self, message: &Explain, call: &CallContext) -> Result<Plan, Failure> {
        let explained = message.explained(Dialect::Postgres)?;
        let lease = self.lane().acquire(call, "explain").await?;
        let plan = match &explained.values {
            None => lease.generic_plan(&explained, call).await,
            Some(_) => lease.plan(&explained, call).await,
        };
        plan.map_err(|failure| self.judged(failure))
    }
}

impl Lease {
    /// The plan for the values that were given.
    async fn plan(&self, explained: &Explained, call: &CallContext) -> Result<Plan, Failure> {
        let request = explained.request("EXPLAIN (FORMAT JSON)");
        let known = Known::parse(request.sql.as_str())?;
        let rows = self.statement(call, &known, &request, Mode::Read).await?.rows;
        Plan::from_json(&rows.ok_or_else(no_rows)?)
    }

    /// The plan for all values: that of a statement which the server prepares for them.
    async fn generic_plan(&self, explained: &Explained, call: &CallContext) -> Result<Plan, Failure> {
        let client = self.connection()?;
        self.state().in_transaction.store(true, Relaxed);
        self.run(call, During::Statement, false, client.batch_execute(BEGIN)).await?;
        // it outlives the transaction, and should it stay behind it is in nobody's way
        let name = format!("backstop_plan_{}", call.id().get());
        let prepare = format!("PREPARE {name} AS {}", explained.statement.sql());
        // not as a batch: a batch would take a second statement; and without a name of its own
        self.run(call, During::Statement, false, client.execute_typed(&prepare, &[])).await?;
        let nulls = vec!["NULL"; explained.statement.placeholders()].join(", ");
        let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE {name}({nulls})");
        let said = self.run(call, During::Statement, false, client.simple_query(&explain)).await?;
        self.run(call, During::Statement, false, client.batch_execute(&format!("DEALLOCATE {name}"))).await?;
        let mut text = String::new();
        for message in &said {
            if let SimpleQueryMessage::Row(row) = message {
                text.push_str(row.get(0).unwrap_or_default());
            }
        }
        let mut rows = Rows::new([Column { name: "QUERY PLAN".into(), db_type: None }].into_iter().collect());
        rows.push_cell(Value::Text(text));
        Plan::from_json(&rows)
    }
}

fn no_rows() -> Failure {
    Failure::new(FailureKind::Protocol, "EXPLAIN returned nothing")
}
