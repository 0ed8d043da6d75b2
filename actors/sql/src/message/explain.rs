//! The plan of a statement that is not run.

use std::{fmt, sync::Arc};

use backstop_core::{
    error::{Executed, Failure, FailureKind, Phase},
    message::{Class, Message},
};
use serde::Serialize;
use serde_json::Value as Json;

use super::{Request, Sql, request::request_setters};
use crate::{Dialect, Params, Rows, Statement, StatementError, Value, Verb};

/// Asks the engine how it would run a statement. The statement is never run, and a write changes nothing.
///
/// The parameters are those that the statement would be run with. Without any, SQLite and PostgreSQL tell the plan
/// that holds for all values; MySQL has none, and refuses.
///
/// ```
/// use backstop_sql::{Explain, Query};
///
/// let orders = Explain::new("SELECT id FROM orders WHERE customer = ?").bind(7);
/// let same = Explain::of(Query::new("SELECT id FROM orders WHERE customer = ?").bind(7).request());
/// # drop((orders, same));
/// ```
#[derive(Clone, Debug)]
pub struct Explain {
    request: Arc<Request>,
}

impl Explain {
    /// Asks for the plan of `sql`, such as that of a [`SlowQuery`](crate::seen::SlowQuery).
    pub fn new(sql: impl Into<Sql>) -> Self {
        Request::new(sql).into()
    }

    /// Asks for the plan of what another message would run.
    #[must_use]
    pub fn of(request: &Arc<Request>) -> Self {
        Self { request: Arc::clone(request) }
    }

    request_setters!();

    /// Checks the statement, and finds its text and its values for the engine; backends call it.
    ///
    /// # Errors
    /// Those of [`Statement::parse`] and [`Statement::bind`]; all but SELECT, WITH, INSERT, UPDATE and DELETE are
    /// refused.
    pub fn explained(&self, dialect: Dialect) -> Result<Explained, StatementError> {
        let statement = Statement::parse(self.request.sql.as_str(), dialect)?;
        let has_plan = [Verb::Select, Verb::With, Verb::Insert, Verb::Update, Verb::Delete];
        if !has_plan.contains(&statement.verb()) {
            let what = "EXPLAIN of this statement".to_owned();
            return Err(StatementError::Refused { what, why: "only a read or a write of rows has a plan" });
        }
        let is_generic = self.request.params.is_empty() && statement.placeholders() > 0;
        let values = match is_generic {
            true => None,
            false => Some(statement.bind(&self.request.params)?.cloned().collect()),
        };
        Ok(Explained { statement, values })
    }
}

impl From<Request> for Explain {
    fn from(request: Request) -> Self {
        Self { request: Arc::new(request) }
    }
}

impl Message for Explain {
    type Reply = Plan;
    const NAME: &'static str = "explain";

    fn class(&self) -> Class {
        Class::Read
    }
}

/// A statement that can be explained.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The statement, with the engine's placeholders.
    pub statement: Statement,
    /// The values in the engine's order; `None` where it takes some and none were given.
    pub values: Option<Vec<Value>>,
}

impl Explained {
    /// Puts the engine's words for it in front, with NULL for values that were not given.
    #[must_use]
    pub fn request(&self, words: &str) -> Request {
        let null = || vec![Value::Null; self.statement.placeholders()];
        let values = self.values.clone().unwrap_or_else(null);
        Request::with_params(format!("{words} {}", self.statement.sql()), Params::Positional(values))
    }
}

/// How an engine would run a statement, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// The plan as PostgreSQL and MySQL write it.
    pub json: Option<Json>,
    /// The plan as SQLite writes it, each step behind two spaces more than the one it belongs to.
    pub lines: Vec<String>,
}

impl Plan {
    /// Reads the one cell in which an engine sends JSON.
    ///
    /// # Errors
    /// [`Decode`](FailureKind::Decode) where it is none.
    pub fn from_json(rows: &Rows) -> Result<Self, Failure> {
        let json = match rows.get(0).and_then(|row| row.values().first()) {
            Some(Value::Json(json)) => Ok(Json::clone(json)),
            Some(Value::Text(text)) => serde_json::from_str(text).map_err(|error| no_plan().caused_by(error)),
            _ => Err(no_plan()),
        };
        Ok(Self { json: Some(json?), lines: Vec::new() })
    }

    /// Reads the steps of SQLite: id, parent, an unused column, and what is done.
    ///
    /// # Errors
    /// [`Decode`](FailureKind::Decode) where they are none.
    pub fn from_steps(rows: &Rows) -> Result<Self, Failure> {
        let mut lines = Vec::new();
        let mut depths: Vec<(i64, usize)> = Vec::new();
        for row in rows.iter() {
            let [Value::Int(id), Value::Int(parent), _, Value::Text(what)] = row.values() else {
                return Err(no_plan());
            };
            let above = depths.iter().find(|(known, _)| known == parent);
            let depth = above.map_or(0, |(_, depth)| depth + 1);
            depths.push((*id, depth));
            lines.push(format!("{}{what}", "  ".repeat(depth)));
        }
        Ok(Self { json: None, lines })
    }
}

fn no_plan() -> Failure {
    Failure::new(FailureKind::Decode, "the engine's answer is no plan")
        .in_phase(Phase::Decode)
        .executed_is(Executed::No)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.json {
            Some(json) => write!(f, "{json:#}"),
            None => f.write_str(&self.lines.join("\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_a_statement_go_with_it_in_the_order_of_the_engine() {
        let asked = Explain::new("SELECT :b, :a, :b").bind_named("a", 1).bind_named("b", 2);
        let request = asked.explained(Dialect::MySql).unwrap().request("EXPLAIN");
        assert_eq!(request.sql.as_str(), "EXPLAIN SELECT ?, ?, ?");
        assert_eq!(request.params, Params::from((2, 1, 2)));
        let generic = Explain::new("SELECT :b, :a, :b").explained(Dialect::Postgres).unwrap();
        assert!(generic.values.is_none());
        assert_eq!(generic.request("EXPLAIN").params, Params::from((Value::Null, Value::Null)));
        let missing = Explain::new("SELECT :b, :a").bind_named("a", 1).explained(Dialect::Sqlite);
        assert!(matches!(missing, Err(StatementError::Missing(_))), "{missing:?}");
    }

    #[test]
    fn what_would_run_or_has_no_plan_is_refused() {
        for text in ["ANALYZE SELECT 1", "EXPLAIN SELECT 1", "EXECUTE p", "VACUUM", "DROP TABLE t"] {
            let refused = Explain::new(text).explained(Dialect::Postgres).unwrap_err();
            assert_eq!(refused.code(), "refused_statement", "{text}");
        }
        assert_eq!(
            Explain::new("SELECT 1; DROP TABLE t").explained(Dialect::Postgres).unwrap_err().code(),
            { StatementError::Multiple { at: 0 }.code() }
        );
    }
}
