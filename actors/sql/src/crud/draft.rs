//! What a message asks for, apart from its values: the shape, by which its text is remembered.

use super::{
    filter::{Filter, Node},
    record::Record,
};
use crate::{Dialect, TableName, Value};

/// A list for `IN` is filled up to the next power of two by its last value, so that few texts serve all
/// lengths; beyond this it is sent as it is.
const FILLED_MAX: usize = 4_096;

/// One statement on one table.
#[derive(Clone, Copy)]
pub(super) struct Draft<'m> {
    pub(super) table: &'m TableName,
    pub(super) form: Form<'m>,
}

/// What is done with the table. Values come in the order in which the fields stand here.
#[derive(Clone, Copy)]
pub(super) enum Form<'m> {
    Select { columns: &'m [Box<str>], filter: &'m Filter, order: &'m [Order], page: Page },
    Count { filter: &'m Filter },
    Exists { filter: &'m Filter },
    Insert { record: &'m Record, id: Option<&'m str> },
    Upsert { record: &'m Record, keys: &'m [Box<str>], update: Option<&'m [Box<str>]> },
    Update { record: &'m Record, filter: &'m Filter },
    Delete { filter: &'m Filter },
}

/// A column and whether it is sorted from the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) column: Box<str>,
    pub(super) descending: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Page {
    First,
    Window { limit: u64, offset: u64 },
}

impl Draft<'_> {
    /// Writes a text that two messages share exactly when their statements do.
    pub(super) fn write_shape(&self, out: &mut String) {
        if let Some(schema) = self.table.schema() {
            push(out, schema);
            out.push_str(" .");
        }
        push(out, self.table.name());
        match self.form {
            Form::Select { columns, filter, order, page } => {
                out.push_str(if matches!(page, Page::First) { "first" } else { "page" });
                push_all(out, columns);
                filter.0.write_shape(out);
                for Order { column, descending } in order {
                    out.push_str(if *descending { "desc" } else { "asc" });
                    push(out, column);
                }
            }
            Form::Count { filter } => shaped(out, "count", filter),
            Form::Exists { filter } => shaped(out, "exists", filter),
            Form::Delete { filter } => shaped(out, "delete", filter),
            Form::Update { record, filter } => {
                out.push_str("update");
                push_all(out, record.columns());
                filter.0.write_shape(out);
            }
            Form::Insert { record, id } => {
                out.push_str("insert");
                push_all(out, record.columns());
                if let Some(id) = id {
                    push(out, id);
                }
            }
            Form::Upsert { record, keys, update } => {
                out.push_str("upsert");
                push_all(out, record.columns());
                push_all(out, keys);
                if let Some(update) = update {
                    push_all(out, update);
                }
            }
        }
    }

    pub(super) fn writes(&self) -> bool {
        !matches!(self.form, Form::Select { .. } | Form::Count { .. } | Form::Exists { .. })
    }

    /// Copies the values, in the order in which the text of the shape asks for them.
    pub(super) fn values(&self, dialect: Dialect) -> Vec<Value> {
        let mut out = Vec::new();
        match self.form {
            Form::Select { filter, page, .. } => {
                filter.0.push_values(dialect, &mut out);
                if let Page::Window { limit, offset } = page {
                    let rows = |rows: u64| Value::Int(i64::try_from(rows).unwrap_or(i64::MAX));
                    out.extend([rows(limit), rows(offset)]);
                }
            }
            Form::Count { filter } | Form::Exists { filter } | Form::Delete { filter } => {
                filter.0.push_values(dialect, &mut out);
            }
            Form::Insert { record, .. } | Form::Upsert { record, .. } => {
                out.extend_from_slice(record.values())
            }
            Form::Update { record, filter } => {
                out.extend_from_slice(record.values());
                filter.0.push_values(dialect, &mut out);
            }
        }
        out
    }
}

impl Node {
    pub(super) fn write_shape(&self, out: &mut String) {
        match self {
            Self::Always => out.push('*'),
            Self::Never => out.push('0'),
            Self::Compare { column, by, .. } => {
                out.push_str(by.sign());
                push(out, column);
            }
            Self::Among { column, values } => {
                out.push_str("in");
                push_number(out, filled(values.len()));
                push(out, column);
            }
            Self::Between { column, .. } => tagged(out, "between", column),
            Self::Like { column, .. } => tagged(out, "like", column),
            Self::IsNull { column } => tagged(out, "null", column),
            Self::All(nodes) => nested(out, "and", nodes),
            Self::Any(nodes) => nested(out, "or", nodes),
            Self::Not(node) => nested(out, "not", std::slice::from_ref(node)),
        }
    }

    fn push_values(&self, dialect: Dialect, out: &mut Vec<Value>) {
        match self {
            Self::Always | Self::Never | Self::IsNull { .. } => {}
            Self::Compare { value, .. } => out.push(value.clone()),
            // one text for all lengths
            Self::Among { values, .. } if dialect == Dialect::Postgres => {
                out.push(Value::Array(values.clone()));
            }
            Self::Among { values, .. } => {
                out.extend_from_slice(values);
                let missing = filled(values.len()) - values.len();
                if let Some(last) = values.last() {
                    out.extend(std::iter::repeat_n(last.clone(), missing));
                }
            }
            Self::Between { low, high, .. } => out.extend([low.clone(), high.clone()]),
            Self::Like { pattern, .. } => out.push(Value::Text(pattern.to_string())),
            Self::All(nodes) | Self::Any(nodes) => {
                for node in nodes {
                    node.push_values(dialect, out);
                }
            }
            Self::Not(node) => node.push_values(dialect, out),
        }
    }
}

impl super::filter::Comparison {
    fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// How many values a list is sent with.
pub(super) fn filled(values: usize) -> usize {
    if values <= FILLED_MAX { values.next_power_of_two() } else { values }
}

/// Its length in front keeps a name from running into what follows, whatever it holds.
fn push(out: &mut String, name: &str) {
    out.push(' ');
    push_number(out, name.len());
    out.push(':');
    out.push_str(name);
}

/// Without the machinery of `write!`, because it stands on the path of each call.
fn push_number(out: &mut String, number: usize) {
    if number >= 10 {
        push_number(out, number / 10);
    }
    out.extend(char::from_digit((number % 10) as u32, 10));
}

fn push_all(out: &mut String, names: &[Box<str>]) {
    out.push('[');
    push_number(out, names.len());
    for name in names {
        push(out, name);
    }
    out.push(']');
}

fn shaped(out: &mut String, verb: &str, filter: &Filter) {
    out.push_str(verb);
    filter.0.write_shape(out);
}

fn tagged(out: &mut String, tag: &str, column: &str) {
    out.push_str(tag);
    push(out, column);
}

fn nested<N: std::borrow::Borrow<Node>>(out: &mut String, word: &str, nodes: &[N]) {
    out.push_str(word);
    out.push('(');
    for node in nodes {
        node.borrow().write_shape(out);
    }
    out.push(')');
}
