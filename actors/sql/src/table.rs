//! Names of tables, with or without a schema.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::Deserialize;

use crate::{Dialect, StatementError};

const PREFIX: &str = "table:";

/// The name of a table: `orders`, or `shop.orders` with its schema.
///
/// A text is split at its dot, and each part is quoted by itself. The schema is that of PostgreSQL, the database on
/// MySQL, and on SQLite `main` or `temp`, because nothing can be attached. For a part that holds a dot there are
/// [`TableName::plain`] and [`TableName::in_schema`]; a text with two dots is refused when it is used.
///
/// ```
/// use backstop_sql::{TableName, crud::SelectOne};
///
/// let order = SelectOne::new("shop.orders", ("id", 7));
/// let odd = SelectOne::new(TableName::plain("orders.2024"), ("id", 7));
/// let both = SelectOne::new(TableName::in_schema("shop", "orders.2024"), ("id", 7));
/// assert_eq!(TableName::from("shop.orders"), TableName::in_schema("shop", "orders"));
/// # drop((order, odd, both));
/// ```
///
/// As data it is such a text, or an array of its parts: `"shop.orders"`, `["orders.2024"]`,
/// `["shop", "orders.2024"]`.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "Form")]
pub struct TableName {
    schema: Option<Box<str>>,
    name: Box<str>,
    /// It came as a text with more parts than two.
    is_too_deep: bool,
}

impl TableName {
    /// Names a table as it stands, whatever its name holds, where statements without a schema find it.
    pub fn plain(name: impl AsRef<str>) -> Self {
        Self { schema: None, name: name.as_ref().into(), is_too_deep: false }
    }

    /// Names a table of a schema; neither is split.
    pub fn in_schema(schema: impl Into<Box<str>>, name: impl AsRef<str>) -> Self {
        Self { schema: Some(schema.into()), ..Self::plain(name) }
    }

    /// Returns the name without its schema, not quoted.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the schema, not quoted; none where the server finds the table by itself.
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The tag of every cached answer that was read from a table of this name, in whatever schema: `orders` and
    /// `shop.orders` may be the same table, so a write to either drops what was read from both.
    pub(crate) fn tag(&self) -> Arc<str> {
        format!("{PREFIX}{}", self.name).into()
    }

    /// The tag of what was read from the table by its full name.
    pub(crate) fn full_tag(&self) -> Option<Arc<str>> {
        let schema = self.schema()?;
        Some(format!("{PREFIX}{schema}.{}", self.name()).into())
    }

    /// Refuses what is no name for any engine.
    pub(crate) fn check(&self) -> Result<(), StatementError> {
        if self.is_too_deep {
            let text = "must be `name` or `schema.name`; a name with a dot is given in parts";
            let shown: String = self.to_string().chars().take(64).collect();
            return Err(StatementError::Message(format!("table `{}` {text}", shown.escape_debug())));
        }
        let mut parts =
            [("table", self.name())].into_iter().chain(self.schema().map(|name| ("schema", name)));
        match parts.find(|(_, name)| name.is_empty() || name.contains('\0')) {
            None => Ok(()),
            Some((what, "")) => Err(StatementError::Message(format!("{what} has an empty name"))),
            Some((what, _)) => Err(StatementError::Message(format!("{what} has a name that holds a NUL"))),
        }
    }
}

impl Dialect {
    /// Appends the name of a table, each part as a quoted identifier.
    pub fn push_table(self, sql: &mut String, table: &TableName) {
        if let Some(schema) = table.schema() {
            self.push_identifier(sql, schema);
            sql.push('.');
        }
        self.push_identifier(sql, table.name());
    }
}

impl From<&str> for TableName {
    fn from(text: &str) -> Self {
        match text.split_once('.') {
            None => Self::plain(text),
            Some((schema, name)) => Self { is_too_deep: name.contains('.'), ..Self::in_schema(schema, name) },
        }
    }
}

impl From<String> for TableName {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&String> for TableName {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<Box<str>> for TableName {
    fn from(text: Box<str>) -> Self {
        (&*text).into()
    }
}

impl From<Cow<'_, str>> for TableName {
    fn from(text: Cow<'_, str>) -> Self {
        (&*text).into()
    }
}

impl From<&TableName> for TableName {
    fn from(name: &TableName) -> Self {
        name.clone()
    }
}

/// Shows the parts as they are, with a dot between them.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.schema() {
            None => f.write_str(self.name()),
            Some(schema) => write!(f, "{schema}.{}", self.name()),
        }
    }
}

impl fmt::Debug for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.schema() {
            None => fmt::Debug::fmt(self.name(), f),
            Some(schema) => write!(f, "{schema:?}.{:?}", self.name()),
        }
    }
}

/// The name as data.
#[derive(Deserialize)]
#[serde(untagged, expecting = "`table` must be a text, or an array of a schema and a name")]
enum Form {
    Text(String),
    Parts(Vec<String>),
}

impl TryFrom<Form> for TableName {
    type Error = &'static str;

    fn try_from(form: Form) -> Result<Self, Self::Error> {
        match form {
            Form::Text(text) => Ok(text.into()),
            Form::Parts(parts) => match <[String; 2]>::try_from(parts) {
                Ok([schema, name]) => Ok(Self::in_schema(schema, name)),
                Err(parts) => match parts.as_slice() {
                    [name] => Ok(Self::plain(name)),
                    _ => Err("`table` must have one part or two: a schema and a name"),
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(dialect: Dialect, table: impl Into<TableName>) -> String {
        let mut sql = String::new();
        dialect.push_table(&mut sql, &table.into());
        sql
    }

    #[test]
    fn each_part_is_quoted_by_itself() {
        assert_eq!(quoted(Dialect::Postgres, "orders"), r#""orders""#);
        assert_eq!(quoted(Dialect::Postgres, "shop.orders"), r#""shop"."orders""#);
        assert_eq!(quoted(Dialect::MySql, "sh`op.orders"), "`sh``op`.`orders`");
        assert_eq!(quoted(Dialect::Sqlite, "main\".\"; DROP TABLE t"), r#""main"""."""; DROP TABLE t""#);
        assert_eq!(quoted(Dialect::MySql, TableName::plain("a.b")), "`a.b`");
        assert_eq!(quoted(Dialect::Postgres, TableName::in_schema("a.b", "c.d")), r#""a.b"."c.d""#);
    }

    #[test]
    fn a_name_of_no_part_or_of_too_many_is_refused() {
        for bad in ["", ".orders", "shop.", ".", "a.b.c", "a..b", "shop.or\0ders", "sh\0op.orders"] {
            assert!(TableName::from(bad).check().is_err(), "{bad:?}");
        }
        for good in ["orders", "shop.orders"] {
            TableName::from(good).check().unwrap();
        }
        TableName::in_schema("a.b", "c.d").check().unwrap();
    }

    #[test]
    fn data_is_a_text_or_the_parts() {
        let read = |json: &str| serde_json::from_str::<TableName>(json);
        assert_eq!(read(r#""shop.orders""#).unwrap(), TableName::in_schema("shop", "orders"));
        assert_eq!(read(r#"["a.b"]"#).unwrap(), TableName::plain("a.b"));
        assert_eq!(read(r#"["a", "b.c"]"#).unwrap(), TableName::in_schema("a", "b.c"));
        for bad in ["7", "[]", r#"["a", "b", "c"]"#, "[7]"] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains("`table` must"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_table_has_one_tag_in_whatever_schema_and_one_of_its_full_name() {
        let (short, full) = (TableName::from("orders"), TableName::from("shop.orders"));
        assert_eq!((&*short.tag(), short.full_tag()), ("table:orders", None));
        assert_eq!((&*full.tag(), full.full_tag().as_deref()), ("table:orders", Some("table:shop.orders")));
    }
}
