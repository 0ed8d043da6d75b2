//! The parameters of a statement, by position or by name.

use std::fmt;

use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue as Source;

use crate::{
    StatementError, Value,
    value::{Pairs, read},
};

/// Values for the placeholders of a statement.
///
/// ```
/// use backstop_sql::{Params, Value};
///
/// let by_position = Params::from((7, "Ada"));
/// let by_name = Params::named([("id", Value::from(7)), ("name", "Ada".into())]);
/// assert_eq!(by_position.len(), by_name.len());
/// ```
#[derive(Clone, PartialEq)]
pub enum Params {
    /// For `?` and `$1`.
    Positional(Vec<Value>),
    /// For `:name`.
    Named(Vec<(Box<str>, Value)>),
}

impl Params {
    /// Gives parameters by name, without the colon.
    pub fn named<N: Into<Box<str>>, V: Into<Value>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self::Named(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// Returns the values by position; none where they have names.
    #[must_use]
    pub fn positional(&self) -> &[Value] {
        match self {
            Self::Positional(values) => values,
            Self::Named(_) => &[],
        }
    }

    /// Counts the parameters.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Positional(values) => values.len(),
            Self::Named(values) => values.len(),
        }
    }

    /// Says whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a value at the next position; named ones stay, and the mixture is refused when it is bound.
    pub(crate) fn push(&mut self, value: Value) {
        match self {
            Self::Positional(values) => values.push(value),
            Self::Named(values) => values.push((format!("{}", values.len() + 1).into(), value)),
        }
    }

    /// Adds a value with a name, or replaces the one of that name.
    pub(crate) fn set(&mut self, name: Box<str>, value: Value) {
        if let Self::Positional(values) = self {
            let numbered = std::mem::take(values).into_iter().enumerate();
            *self = Self::Named(numbered.map(|(at, value)| (format!("{}", at + 1).into(), value)).collect());
        }
        if let Self::Named(values) = self {
            match values.iter_mut().find(|(known, _)| *known == name) {
                Some((_, old)) => *old = value,
                None => values.push((name, value)),
            }
        }
    }

    /// Reads an array of positional or an object of named parameters; see [`Value::from_json`]. Deserializing
    /// reads numbers from their source text instead, and refuses names that are given twice.
    ///
    /// # Errors
    /// [`StatementError::Value`] names the parameter that cannot be read.
    pub fn from_json(json: serde_json::Value) -> Result<Self, StatementError> {
        let at = |name: String| move |error| at_place(&name, &error);
        match json {
            serde_json::Value::Null => Ok(Self::default()),
            serde_json::Value::Array(values) => {
                let values = values.into_iter().enumerate();
                let read =
                    values.map(|(i, value)| Value::from_json(value).map_err(at(format!("${}", i + 1))));
                read.collect::<Result<_, _>>().map(Self::Positional)
            }
            serde_json::Value::Object(values) => {
                let read = values.into_iter().map(|(name, value)| {
                    let value = Value::from_json(value).map_err(at(format!(":{name}")))?;
                    Ok((name.into_boxed_str(), value))
                });
                read.collect::<Result<_, _>>().map(Self::Named)
            }
            _ => Err(not_params()),
        }
    }
}

/// Reads an array of positional or an object of named parameters, numbers from their source text; see
/// [`Value::from_json`] for the form of each.
///
/// ```
/// use backstop_sql::{Params, Value};
///
/// let params: Params = serde_json::from_str(r#"[{"type": "decimal", "value": 0.10}]"#)?;
/// assert_eq!(params, Params::from([Value::Decimal("0.10".to_owned())]));
/// # Ok::<_, serde_json::Error>(())
/// ```
impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = Box::<Source>::deserialize(deserializer)?;
        from_source(&source).map_err(de::Error::custom)
    }
}

fn from_source(source: &Source) -> Result<Params, StatementError> {
    let text = source.get();
    let unread = |error: serde_json::Error| StatementError::Value(error.to_string());
    match text.as_bytes().first() {
        Some(b'n') => Ok(Params::default()),
        Some(b'[') => {
            let values: Vec<&Source> = serde_json::from_str(text).map_err(unread)?;
            let values = values.into_iter().enumerate();
            let read = values
                .map(|(at, value)| read(value).map_err(|error| at_place(&format!("${}", at + 1), &error)));
            read.collect::<Result<_, _>>().map(Params::Positional)
        }
        Some(b'{') => {
            let Pairs(values) = serde_json::from_str(text).map_err(unread)?;
            let read = values.into_iter().map(|(name, value)| {
                let value = read(value).map_err(|error| at_place(&format!(":{name}"), &error))?;
                Ok((name.into_boxed_str(), value))
            });
            read.collect::<Result<_, _>>().map(Params::Named)
        }
        _ => Err(not_params()),
    }
}

fn at_place(name: &str, error: &StatementError) -> StatementError {
    StatementError::Value(format!("parameter {name}: {error}"))
}

fn not_params() -> StatementError {
    StatementError::Value("`params` must be an array or an object".to_owned())
}

impl Default for Params {
    fn default() -> Self {
        Self::Positional(Vec::new())
    }
}

/// Shows how many there are and no value, because values may be secrets.
impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Positional(values) => write!(f, "Params({} positional)", values.len()),
            Self::Named(values) => {
                f.write_str("Params")?;
                f.debug_set().entries(values.iter().map(|(name, _)| name)).finish()
            }
        }
    }
}

impl From<()> for Params {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl From<Vec<Value>> for Params {
    fn from(values: Vec<Value>) -> Self {
        Self::Positional(values)
    }
}

impl<V: Into<Value>, const N: usize> From<[V; N]> for Params {
    fn from(values: [V; N]) -> Self {
        Self::Positional(values.into_iter().map(Into::into).collect())
    }
}

macro_rules! params_from_tuple {
    ($($name:ident)+) => {
        impl<$($name: Into<Value>),+> From<($($name,)+)> for Params {
            #[allow(non_snake_case, reason = "a type and its value share one name in the macro")]
            fn from(($($name,)+): ($($name,)+)) -> Self {
                Self::Positional(vec![$($name.into()),+])
            }
        }
    };
}

params_from_tuple!(A);
params_from_tuple!(A B);
params_from_tuple!(A B C);
params_from_tuple!(A B C D);
params_from_tuple!(A B C D E);
params_from_tuple!(A B C D E F);
params_from_tuple!(A B C D E F G);
params_from_tuple!(A B C D E F G H);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn debug_shows_no_value() {
        let params = Params::named([("token", "hunter2")]);
        assert!(!format!("{params:?} {:?}", Params::from(["hunter2"])).contains("hunter2"));
    }

    #[test]
    fn json_arrays_are_positions_and_objects_are_names() {
        assert_eq!(Params::from_json(json!([1, "a"])).unwrap(), Params::from((1, "a")));
        assert_eq!(Params::from_json(json!({"a": 1})).unwrap(), Params::named([("a", 1)]));
        let error = Params::from_json(json!({"a": {"b": 1}})).unwrap_err();
        assert!(error.to_string().contains("parameter :a"), "{error}");
    }

    #[test]
    fn parameters_from_source_text_are_exact_and_named_once() {
        let read = |text| serde_json::from_str::<Params>(text).map_err(|error| error.to_string());
        assert_eq!(read("[1, \"a\"]"), Ok(Params::from((1, "a"))));
        assert_eq!(read("{\"b\": 1, \"a\": 2}"), Ok(Params::named([("b", 1), ("a", 2)])));
        assert_eq!(read("null"), Ok(Params::default()));
        for (bad, expected) in [
            ("7", "array or an object"),
            ("{\"a\": 1, \"a\": 2}", ":a is given twice"),
            ("[0, 18446744073709551616]", "parameter $2"),
            ("{\"x\": 0.1000000000000000055}", "parameter :x"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        // a value that was parsed before takes the same way
        assert_eq!(serde_json::from_value::<Params>(json!([0.5])).unwrap(), Params::from([0.5]));
    }
}
