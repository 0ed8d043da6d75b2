//! Look-ups by key.

use std::{
    cell::{Cell, OnceCell},
    rc::Rc,
};

use backstop_core::{call::CallContext, error::Failure};
use backstop_sql::{Columns, Params, Request, Rows, Value};
use tokio_postgres::types::Type;

use super::{
    Item, Plan, Shape, is_plain,
    unique::{self, Key},
};
use crate::{autocommit::Autocommit, bulk::push_array_type, statement::Known};

/// The same look-up with different keys.
pub(crate) struct Lookup {
    autocommit: Rc<Autocommit>,
    known: Rc<Known>,
    key_column: Box<str>,
    /// The type of the keys, as the server sees it.
    key: OnceCell<Type>,
    plan: Plan,
    /// The plan is one for a unique column.
    is_unique: Cell<bool>,
}

/// The name of the operation, as statistics and holders show it.
const OPERATION: &str = "select_one";

impl Lookup {
    pub(crate) fn new(autocommit: &Rc<Autocommit>, known: &Rc<Known>, key_column: &str) -> Self {
        Self {
            autocommit: Rc::clone(autocommit),
            known: Rc::clone(known),
            key_column: key_column.into(),
            key: OnceCell::new(),
            plan: Plan::default(),
            is_unique: Cell::new(false),
        }
    }

    async fn plan(&self, call: &CallContext) -> Result<Option<Rc<Known>>, Failure> {
        let epoch = self.autocommit.lane.core.schema();
        if let Some(plan) = self.plan.get(epoch) {
            return Ok(plan);
        }
        let prepared = self.autocommit.member(call, OPERATION).await?.prepared(call, &self.known).await?;
        let [key] = prepared.statement.params() else { return self.keep(epoch, None, false) };
        let key = self.key.get_or_init(|| key.clone());
        if let Some(by_key) = unique::statement(self.known.sql(), key) {
            let column = (&*self.key_column, key);
            if unique::is_unique(&self.autocommit, call, by_key.table, column, OPERATION).await? {
                return self.keep(epoch, Some(by_key.sql), true);
            }
        }
        self.plan_for_any_column(epoch)
    }

    fn plan_for_any_column(&self, epoch: u64) -> Result<Option<Rc<Known>>, Failure> {
        let key = self.key.get().filter(|key| is_plain(key));
        self.keep(epoch, key.and_then(|key| many(self.known.sql(), key)), false)
    }

    fn keep(&self, epoch: u64, text: Option<String>, is_unique: bool) -> Result<Option<Rc<Known>>, Failure> {
        self.is_unique.set(is_unique);
        Ok(self.plan.keep(&self.autocommit.lane.core, epoch, text)?)
    }
}

impl Shape for Lookup {
    type Reply = Rows;
    const SLOTS: usize = 1;

    fn is_always_alone(&self) -> bool {
        matches!(self.plan.get(self.autocommit.lane.core.schema()), Some(None))
    }

    async fn alone(&self, call: &CallContext, request: &Request) -> Result<Rows, Failure> {
        self.autocommit.read(call, &self.known, request, OPERATION).await
    }

    async fn together(&self, call: &CallContext, items: &[Item]) -> Result<Option<Vec<Rows>>, Failure> {
        let mut plan = self.plan(call).await?;
        let by_key = self.key.get().filter(|_| self.is_unique.get());
        if by_key.is_some_and(|ty| items.iter().any(|item| Key::of(item, ty).is_none())) {
            // such as a UUID given as text
            plan = self.plan_for_any_column(self.autocommit.lane.core.schema())?;
        }
        let by_key = by_key.filter(|_| self.is_unique.get());
        let Some(plan) = plan else { return Ok(None) };
        let keys = items.iter().filter_map(|item| item.request.params.positional().first().cloned());
        let params = Params::from(vec![Value::Array(keys.collect())]);
        let request = Request::with_params(plan.sql().to_owned(), params);
        let rows = self.autocommit.read(call, &plan, &request, OPERATION).await?;
        let replies = match by_key {
            Some(ty) => unique::split(rows, items, ty),
            None => split(rows, items),
        };
        if replies.is_some() {
            self.autocommit.lane.core.counts.merged(items.len());
        } else if by_key.is_some() {
            // the column is unique no more
            self.plan_for_any_column(self.autocommit.lane.core.schema())?;
        }
        Ok(replies)
    }
}

/// Puts the look-up behind a list of keys. Each key has the look-up's own first row, and its place in the list.
///
/// Text compares by its collation and numbers by value, so that the server must say which row belongs to which key.
fn many(one: &str, key: &Type) -> Option<String> {
    let (before, after) =
        one.split_once("$1").filter(|(before, after)| !before.contains('$') && !after.contains('$'))?;
    let mut sql = String::from("SELECT \"backstop row\".*, \"backstop key\".n FROM unnest((SELECT $1::");
    push_array_type(&mut sql, key);
    sql.push_str(")) WITH ORDINALITY AS \"backstop key\"(v, n) CROSS JOIN LATERAL (");
    sql.push_str(before);
    sql.push_str("\"backstop key\".v");
    sql.push_str(after);
    sql.push_str(") AS \"backstop row\"");
    Some(sql)
}

/// Gives each message its row; `None` where the reply does not hold all that there is.
fn split(rows: Rows, items: &[Item]) -> Option<Vec<Rows>> {
    let width = rows.columns().len();
    if rows.is_truncated() || width < 2 {
        return None;
    }
    let columns: Columns = rows.columns().iter().take(width - 1).cloned().collect();
    let empty = |item: &Item| Rows::new(columns.clone()).with_numbers(item.request.numbers);
    let mut replies: Vec<Rows> = items.iter().map(empty).collect();
    let mut cells = rows.into_cells().into_iter();
    let mut row = Vec::with_capacity(width);
    loop {
        row.extend(cells.by_ref().take(width));
        let Some(place) = row.pop() else { return Some(replies) };
        let at = usize::try_from(place.as_int()?.checked_sub(1)?).ok()?;
        let reply = replies.get_mut(at).filter(|reply| reply.is_empty())?;
        row.drain(..).for_each(|cell| reply.push_cell(cell));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_look_up_itself_stands_behind_the_keys() {
        let key = &Type::INT8;
        let sql = many("SELECT \"a\" FROM \"t\" WHERE \"id\" = $1 LIMIT 1", key).unwrap();
        assert_eq!(
            sql,
            "SELECT \"backstop row\".*, \"backstop key\".n FROM unnest((SELECT \
             $1::\"pg_catalog\".\"int8\"[])) WITH ORDINALITY AS \
             \"backstop key\"(v, n) CROSS JOIN LATERAL (SELECT \"a\" FROM \"t\" WHERE \"id\" = \
             \"backstop key\".v LIMIT 1) AS \"backstop row\""
        );
        assert_eq!(many("SELECT \"$1\" FROM \"t\" WHERE \"id\" = $1 LIMIT 1", key), None);
        assert_eq!(many("SELECT 1", key), None);
    }
}
