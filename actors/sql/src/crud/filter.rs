//! Which rows a message means.

use std::{fmt, ops};

use super::Record;
use crate::Value;

/// A condition on the columns of one table.
///
/// A pair, a list of pairs or a [`Record`] means equality of all of them; an equality with no value means
/// `IS NULL`. `()` means every row, which updates and deletes refuse unless it is said aloud.
///
/// ```
/// use backstop_sql::crud::Filter;
///
/// let adults = Filter::ge("age", 18).and(Filter::eq("status", "active").or(Filter::is_null("status")));
/// let named = Filter::in_list("name", ["Ada", "Grace"]).and(!Filter::like("email", "%@example.com"));
/// # drop((adults, named));
/// ```
#[derive(Clone, PartialEq)]
pub struct Filter(pub(super) Node);

/// Constants are folded while a filter is built, so one that means every row is always `Always`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Always,
    Never,
    Compare { column: Box<str>, by: Comparison, value: Value },
    Among { column: Box<str>, values: Vec<Value> },
    Between { column: Box<str>, low: Value, high: Value },
    Like { column: Box<str>, pattern: Box<str> },
    IsNull { column: Box<str> },
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident => $by:ident;)+) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(column: impl Into<Box<str>>, value: impl Into<Value>) -> Self {
            Self(Node::Compare { column: column.into(), by: Comparison::$by, value: value.into() })
        }
    )+};
}

impl Filter {
    /// Means every row.
    #[must_use]
    pub fn everything() -> Self {
        Self(Node::Always)
    }

    /// The column equals the value; without a value, it is null.
    #[must_use]
    pub fn eq(column: impl Into<Box<str>>, value: impl Into<Value>) -> Self {
        let (column, value) = (column.into(), value.into());
        Self(match value {
            Value::Null => Node::IsNull { column },
            value => Node::Compare { column, by: Comparison::Equal, value },
        })
    }

    /// The column differs from the value; without a value, it is not null.
    #[must_use]
    pub fn ne(column: impl Into<Box<str>>, value: impl Into<Value>) -> Self {
        let (column, value) = (column.into(), value.into());
        match value {
            Value::Null => !Self(Node::IsNull { column }),
            value => Self(Node::Compare { column, by: Comparison::NotEqual, value }),
        }
    }

    comparisons! {
        /// The column is less than the value.
        lt => Less;
        /// The column is at most the value.
        le => LessOrEqual;
        /// The column is greater than the value.
        gt => Greater;
        /// The column is at least the value.
        ge => GreaterOrEqual;
    }

    /// The column equals one of the values; an empty list means no row.
    #[must_use]
    pub fn in_list<V: Into<Value>>(column: impl Into<Box<str>>, values: impl IntoIterator<Item = V>) -> Self {
        let values: Vec<Value> = values.into_iter().map(Into::into).collect();
        Self(if values.is_empty() { Node::Never } else { Node::Among { column: column.into(), values } })
    }

    /// The column lies between two values, both included.
    #[must_use]
    pub fn between(column: impl Into<Box<str>>, low: impl Into<Value>, high: impl Into<Value>) -> Self {
        Self(Node::Between { column: column.into(), low: low.into(), high: high.into() })
    }

    /// The text matches a pattern with `%` and `_`, which `\` makes literal. Whether case matters is the
    /// engine's own: it does on PostgreSQL, and not on SQLite.
    #[must_use]
    pub fn like(column: impl Into<Box<str>>, pattern: impl Into<Box<str>>) -> Self {
        Self(Node::Like { column: column.into(), pattern: pattern.into() })
    }

    /// The column has no value.
    #[must_use]
    pub fn is_null(column: impl Into<Box<str>>) -> Self {
        Self(Node::IsNull { column: column.into() })
    }

    /// Both hold.
    #[must_use]
    pub fn and(self, other: impl Into<Self>) -> Self {
        Self::all_of([self, other.into()])
    }

    /// At least one of both holds.
    #[must_use]
    pub fn or(self, other: impl Into<Self>) -> Self {
        Self::any_of([self, other.into()])
    }

    /// All of them hold; an empty list means every row.
    #[must_use]
    pub fn all_of(filters: impl IntoIterator<Item = Self>) -> Self {
        let mut nodes = Vec::new();
        for Self(node) in filters {
            match node {
                Node::Always => {}
                Node::Never => return Self(Node::Never),
                Node::All(inner) => nodes.extend(inner),
                node => nodes.push(node),
            }
        }
        Self(single(nodes, Node::Always, Node::All))
    }

    /// At least one of them holds; an empty list means no row.
    #[must_use]
    pub fn any_of(filters: impl IntoIterator<Item = Self>) -> Self {
        let mut nodes = Vec::new();
        for Self(node) in filters {
            match node {
                Node::Never => {}
                Node::Always => return Self(Node::Always),
                Node::Any(inner) => nodes.extend(inner),
                node => nodes.push(node),
            }
        }
        Self(single(nodes, Node::Never, Node::Any))
    }

    /// Says whether it means every row, however it was written.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0 == Node::Always
    }

    /// The column and the value, if it is one equality.
    pub(super) fn as_key(&self) -> Option<(&str, &Value)> {
        match &self.0 {
            Node::Compare { column, by: Comparison::Equal, value } => Some((column, value)),
            _ => None,
        }
    }
}

fn single(mut nodes: Vec<Node>, none: Node, many: fn(Vec<Node>) -> Node) -> Node {
    match nodes.len() {
        0 => none,
        1 => nodes.remove(0),
        _ => many(nodes),
    }
}

impl ops::Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        Self(match self.0 {
            Node::Always => Node::Never,
            Node::Never => Node::Always,
            Node::Not(inner) => *inner,
            node => Node::Not(Box::new(node)),
        })
    }
}

impl From<()> for Filter {
    fn from((): ()) -> Self {
        Self::everything()
    }
}

impl<N: Into<Box<str>>, V: Into<Value>> From<(N, V)> for Filter {
    fn from((column, value): (N, V)) -> Self {
        Self::eq(column, value)
    }
}

impl<N: Into<Box<str>>, V: Into<Value>, const K: usize> From<[(N, V); K]> for Filter {
    fn from(pairs: [(N, V); K]) -> Self {
        Self::all_of(pairs.map(Into::into))
    }
}

impl<N: Into<Box<str>>, V: Into<Value>> From<Vec<(N, V)>> for Filter {
    fn from(pairs: Vec<(N, V)>) -> Self {
        Self::all_of(pairs.into_iter().map(Into::into))
    }
}

impl From<Record> for Filter {
    fn from(record: Record) -> Self {
        Self::all_of(record.into_pairs().map(Into::into))
    }
}

/// Shows the structure and no value, because values may be secrets.
impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shape = String::new();
        self.0.write_shape(&mut shape);
        write!(f, "Filter({shape})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_means_every_row_is_seen_as_that() {
        let none: [i64; 0] = [];
        for everything in [
            Filter::from(()),
            Filter::all_of([]),
            !Filter::any_of([]),
            !Filter::in_list("id", none),
            Filter::eq("id", 1).or(()),
            !(Filter::eq("id", 1).and(Filter::in_list("id", none))),
            Record::default().into(),
        ] {
            assert!(everything.is_everything(), "{everything:?}");
        }
        assert!(!Filter::any_of([]).is_everything());
        assert!(!Filter::from(("id", 1)).is_everything());
    }

    #[test]
    fn an_equality_without_a_value_is_null() {
        assert_eq!(Filter::eq("a", None::<i64>), Filter::is_null("a"));
        assert_eq!(Filter::ne("a", Value::Null), !Filter::is_null("a"));
        assert_eq!(Filter::from([("a", Value::Null)]), Filter::is_null("a"));
    }

    #[test]
    fn debug_shows_no_value() {
        let filter = Filter::eq("token", "hunter2").or(Filter::like("token", "hunter2%"));
        let shown = format!("{filter:?}");
        assert!(shown.contains("token") && !shown.contains("hunter2"), "{shown}");
    }
}
