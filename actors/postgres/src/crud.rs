//! The messages that name a table in place of a text.

use backstop_core::{call::CallContext, error::Failure};
use backstop_sql::{
    Dialect, Rows, Value,
    crud::{CrudEngine, InsertOne, Inserted, SelectOne, Shapes},
};

use crate::{
    Postgres,
    bulk::weight,
    merge::{Insert, Lookup},
};

/// A value above it has a statement to itself, so that statements of many stay small.
const MERGED_BYTES: usize = 16 << 10;

impl Postgres {
    /// Says whether statements have names; those of many are prepared.
    fn names(&self) -> bool {
        self.lane().core.naming().is_on()
    }
}

impl CrudEngine for Postgres {
    const DIALECT: Dialect = Dialect::Postgres;

    fn shapes(&self) -> &Shapes {
        self.crud_shapes()
    }

    async fn select_one(&self, message: &SelectOne, call: &CallContext) -> Result<Rows, Failure> {
        let request = message.lower_known(Self::DIALECT, self.shapes())?;
        let known = self.checked(&request)?;
        let lookup = message.as_key_lookup().filter(|lookup| is_small(lookup.key));
        let Some(lookup) = lookup.filter(|_| self.names() && known.may_share() && known.service.is_quick())
        else {
            return Box::pin(self.autocommit().read(call, &known, &request, "select_one")).await;
        };
        let group = self.lookups().of(&request, || Lookup::new(self.autocommit(), &known, lookup.key_column));
        let numbers = request.numbers;
        group.ask(call, request).await.map(|rows| rows.with_numbers(numbers))
    }

    async fn insert_one(&self, message: &InsertOne, call: &CallContext) -> Result<Inserted, Failure> {
        let request = message.lower_known(Self::DIALECT, self.shapes())?;
        let known = self.checked(&request)?;
        let row = message.as_row_insert();
        // what a statement of many returns is in no promised order
        let is_merged =
            self.names() && row.id.is_none() && !row.columns.is_empty() && row.values.iter().all(is_small);
        let written = if is_merged {
            let insert = || Insert::new(self.autocommit(), &known, (row.table, row.columns));
            self.inserts().of(&request, insert).ask(call, request).await?
        } else {
            self.autocommit().write(call, &known, &request, "insert_one").await?
        };
        Ok(message.reply(written))
    }
}

fn is_small(value: &Value) -> bool {
    weight(value) <= MERGED_BYTES
}

backstop_sql::serve_crud!(Postgres);
