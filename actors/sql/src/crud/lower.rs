//! From a shape to the text of an engine: the one place that builds it, and the memory of what was built.

mod build;

use std::{cell::RefCell, fmt, rc::Rc, sync::Arc};

use backstop_core::planted::{self, Bug};

use self::build::Build;
use super::{
    draft::{Draft, Form},
    filter::Node,
    name,
};
use crate::{Dialect, Params, Request, Sql, StatementError, memo::Memo};

/// The texts of one lane, by their shapes.
pub struct Shapes {
    known: RefCell<Known>,
}

struct Known {
    texts: Memo<Rc<Text>>,
    /// The shape that is asked for; kept for its memory.
    shape: String,
}

/// The text of a shape.
#[derive(Debug)]
struct Text {
    sql: Sql,
    /// For each placeholder, the value that it takes; none where they come in order.
    slots: Option<Box<[usize]>>,
    /// The tag of what it makes untrue.
    invalidates: Option<Arc<str>>,
}

impl Shapes {
    /// Remembers at most `capacity` texts (at least 2); those that are used stay.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { known: RefCell::new(Known { texts: Memo::new(capacity), shape: String::new() }) }
    }

    /// Counts the texts that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.borrow().texts.len()
    }

    /// Says whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn text(&self, draft: &Draft<'_>, dialect: Dialect) -> Result<Rc<Text>, StatementError> {
        let Known { texts, shape } = &mut *self.known.borrow_mut();
        shape.clear();
        draft.write_shape(shape);
        if let Some(text) = texts.get(shape) {
            return Ok(text);
        }
        let text = Rc::new(Text::build(draft, dialect)?);
        texts.put(Sql::from(shape.clone()), Rc::clone(&text));
        Ok(text)
    }
}

impl fmt::Debug for Shapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shapes").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Draft<'_> {
    /// Turns it into a statement with its parameters.
    pub(super) fn lower(&self, dialect: Dialect, shapes: Option<&Shapes>) -> Result<Request, StatementError> {
        let text = match shapes {
            Some(shapes) => shapes.text(self, dialect)?,
            None => Rc::new(Text::build(self, dialect)?),
        };
        let values = self.values(dialect);
        let mut values: Vec<_> = match &text.slots {
            None => values,
            Some(slots) => slots.iter().filter_map(|slot| values.get(*slot).cloned()).collect(),
        };
        if planted::is(Bug::ValuesReversed) {
            values.reverse();
        }
        let mut request = Request::with_params(text.sql.clone(), Params::Positional(values));
        request.invalidates = text.invalidates.clone();
        Ok(request)
    }

    fn check_names(&self, dialect: Dialect) -> Result<(), StatementError> {
        name::check_table(dialect, self.table)?;
        let column = |column: &str| name::check(dialect, "column", column);
        let columns = |columns: &[Box<str>]| columns.iter().try_for_each(|name| column(name));
        match self.form {
            Form::Select { columns: picked, filter, order, .. } => {
                columns(picked)?;
                filter.0.each_column(&mut |name| column(name))?;
                order.iter().try_for_each(|order| column(&order.column))
            }
            Form::Count { filter } | Form::Exists { filter } | Form::Delete { filter } => {
                filter.0.each_column(&mut |name| column(name))
            }
            Form::Insert { record, id } => {
                columns(record.columns())?;
                id.map_or(Ok(()), column)
            }
            Form::Upsert { record, keys, update } => {
                columns(record.columns())?;
                columns(keys)?;
                columns(update.unwrap_or_default())
            }
            Form::Update { record, filter } => {
                columns(record.columns())?;
                filter.0.each_column(&mut |name| column(name))
            }
        }
    }
}

impl Node {
    fn each_column<E>(&self, check: &mut dyn FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        match self {
            Self::Always | Self::Never => Ok(()),
            Self::Compare { column, .. }
            | Self::Among { column, .. }
            | Self::Between { column, .. }
            | Self::Like { column, .. }
            | Self::IsNull { column } => check(column),
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().try_for_each(|node| node.each_column(check)),
            Self::Not(node) => node.each_column(check),
        }
    }
}

impl Text {
    fn build(draft: &Draft<'_>, dialect: Dialect) -> Result<Self, StatementError> {
        draft.check_names(dialect)?;
        let mut build = Build { table: draft.table, dialect, marks: 0 };
        let (sql, values) = match draft.form {
            Form::Select { columns, filter, order, page } => build.select(columns, filter, order, page),
            Form::Count { filter } => build.count(filter),
            Form::Exists { filter } => build.exists(filter),
            Form::Insert { record, id } => build.insert(record, id, None)?,
            Form::Upsert { record, keys, update } => {
                let conflict = build.conflict(record, keys, update);
                build.insert(record, None, Some(conflict))?
            }
            Form::Update { record, filter } => build.update(record, filter),
            Form::Delete { filter } => build.delete(filter),
        };
        let slots = values.into_iter().map(slot_of).collect::<Result<Vec<_>, _>>()?;
        let in_order = slots.len() == build.marks && slots.iter().enumerate().all(|(at, slot)| at == *slot);
        let invalidates = draft.writes().then(|| draft.table.tag());
        Ok(Self { sql: sql.into(), slots: (!in_order).then(|| slots.into()), invalidates })
    }
}

/// The builder is given the number of each value in place of the value, and gives the numbers back in the
/// order of the engine's placeholders. So no value passes through its types, which know fewer than ours.
fn slot_of(value: sea_query::Value) -> Result<usize, StatementError> {
    let slot = match value {
        sea_query::Value::BigInt(Some(slot)) => usize::try_from(slot).ok(),
        sea_query::Value::BigUnsigned(Some(slot)) => usize::try_from(slot).ok(),
        _ => None,
    };
    slot.ok_or_else(|| StatementError::Message("the statement holds a value that nobody gave".to_owned()))
}

#[cfg(test)]
mod tests;
