//! Inserts of one row.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use backstop_core::{
    call::CallContext,
    clock::{self, Instant},
    error::{Executed, Failure, FailureKind},
};
use backstop_sql::{Params, Request, Sql, TableName, Value, Written};

use super::{Item, Plan, Shape, is_plain};
use crate::{
    autocommit::Autocommit,
    bulk::{push_array_type, push_target},
    run::Mode,
    statement::Known,
};

/// Rows for the same columns of a table.
pub(crate) struct Insert {
    autocommit: Rc<Autocommit>,
    known: Rc<Known>,
    table: TableName,
    columns: Vec<Box<str>>,
    plan: Plan,
    /// When the table's rules and triggers were looked at.
    looked: Cell<Option<Instant>>,
}

/// The name of the operation, as statistics and holders show it.
const OPERATION: &str = "insert_one";

/// How long a look at the rules and triggers of a table holds: other clients may make some, and nobody tells us.
const LOOK_HOLDS: Duration = Duration::from_secs(1);

/// A row that waits for another transaction must not hold up the others: then each row waits by itself.
const WAIT: &str = "(SELECT set_config('lock_timeout', '50ms', true)) AS \"backstop wait\"";

/// Says whether a row is inserted as it is given, whoever comes with it: no rule, and no trigger of the user's that could
/// count statements or leave rows out.
const IS_PLAIN: &str = "SELECT c.relkind IN ('r', 'p') AND NOT c.relhasrules AND NOT EXISTS (\
     SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgtype & 4 <> 0) \
     FROM pg_catalog.pg_class c WHERE c.oid = $1::text::regclass";

impl Insert {
    pub(crate) fn new(
        autocommit: &Rc<Autocommit>,
        known: &Rc<Known>,
        (table, columns): (&TableName, &[Box<str>]),
    ) -> Self {
        let (autocommit, known, plan) = (Rc::clone(autocommit), Rc::clone(known), Plan::default());
        let looked = Cell::new(None);
        Self { autocommit, known, table: table.into(), columns: columns.to_vec(), plan, looked }
    }

    /// Says whether the table was looked at a moment ago.
    fn is_looked_at(&self) -> bool {
        let now = clock::now();
        self.looked.get().is_some_and(|looked| now.saturating_duration_since(looked) < LOOK_HOLDS)
    }

    /// Looks at the table again before the next statement of many.
    fn forget_look(&self) {
        self.looked.set(None);
    }

    async fn plan(&self, call: &CallContext) -> Result<Option<Rc<Known>>, Failure> {
        let epoch = self.autocommit.lane.core.schema();
        let kept = self.plan.get(epoch);
        if let Some(plan) = kept.clone().filter(|_| self.is_looked_at()) {
            return Ok(plan);
        }
        self.looked.set(Some(clock::now()));
        let plan = match kept {
            // it outlives the look as long as the table stays plain
            Some(Some(plan)) => match self.is_plain(call).await {
                Ok(true) => Ok(Some(plan)),
                Ok(false) => Ok(self.plan.keep(&self.autocommit.lane.core, epoch, None)?),
                Err(failure) => Err(failure),
            },
            _ => self.make_plan(call, epoch).await,
        };
        plan.inspect_err(|_| self.forget_look())
    }

    async fn make_plan(&self, call: &CallContext, epoch: u64) -> Result<Option<Rc<Known>>, Failure> {
        let member = self.autocommit.member(call, OPERATION).await?;
        let prepared = member.prepared(call, &self.known).await?;
        drop(member);
        let types = prepared.statement.params();
        let mut text = None;
        if types.len() == self.columns.len() && types.iter().all(is_plain) && self.is_plain(call).await? {
            let mut sql = String::from("INSERT INTO ");
            push_target(&mut sql, &self.table, &self.columns);
            sql.push_str(" SELECT \"backstop rows\".* FROM ");
            sql.push_str(WAIT);
            sql.push_str(", unnest(");
            for (at, ty) in types.iter().enumerate() {
                sql.push_str(&format!("{}(SELECT ${}::", if at == 0 { "" } else { ", " }, at + 1));
                push_array_type(&mut sql, ty);
                sql.push(')');
            }
            sql.push_str(") AS \"backstop rows\"");
            text = Some(sql);
        }
        Ok(self.plan.keep(&self.autocommit.lane.core, epoch, text)?)
    }

    async fn is_plain(&self, call: &CallContext) -> Result<bool, Failure> {
        let mut name = String::new();
        backstop_sql::Dialect::Postgres.push_table(&mut name, &self.table);
        let request = Request::with_params(IS_PLAIN, Params::from(vec![Value::Text(name)]));
        let known = Known::parse(IS_PLAIN)?;
        let rows = self.autocommit.read(call, &known, &request, OPERATION).await?;
        Ok(rows.get(0).is_some_and(|row| row.values().first() == Some(&Value::Bool(true))))
    }
}

impl Shape for Insert {
    type Reply = Written;
    const SLOTS: usize = 1;

    fn is_always_alone(&self) -> bool {
        matches!(self.plan.get(self.autocommit.lane.core.schema()), Some(None)) && self.is_looked_at()
    }

    async fn alone(&self, call: &CallContext, request: &Request) -> Result<Written, Failure> {
        self.autocommit.write(call, &self.known, request, OPERATION).await
    }

    async fn together(&self, call: &CallContext, items: &[Item]) -> Result<Option<Vec<Written>>, Failure> {
        let Some(plan) = self.plan(call).await? else { return Ok(None) };
        let lease = self.autocommit.lane.acquire(call, OPERATION).await?;
        lease.prepared(call, &plan).await?;
        // Who left while we waited was told that nothing was sent, and who leaves from here on is told `unknown`.
        call.sending();
        let there = || items.iter().filter(|item| !item.is_left());
        let count = there().count();
        let column = |at: usize| {
            let cells = there().map(|item| item.request.params.positional().get(at).cloned());
            cells.collect::<Option<Vec<_>>>().map(Value::Array)
        };
        let Some(columns) = (0..self.columns.len()).map(column).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let request = Request::with_params(Sql::from(Arc::<str>::from(plan.sql())), Params::from(columns));
        let written = lease.statement(call, &plan, &request, Mode::Write).await;
        let affected = written.map_err(|failure| self.autocommit.judged(failure))?.affected;
        match usize::try_from(affected) {
            Ok(all) if all == count => {
                self.autocommit.lane.core.counts.merged(count);
                Ok(Some(items.iter().map(|_| Written::counting(1)).collect()))
            }
            Ok(0) => {
                self.forget_look();
                Ok(Some(items.iter().map(|_| Written::counting(0)).collect()))
            }
            _ => {
                // a trigger that came after we looked
                self.forget_look();
                let text = format!("of {count} rows that were inserted together {affected} stayed");
                Err(Failure::new(FailureKind::Protocol, text).executed_is(Executed::Unknown))
            }
        }
    }
}
