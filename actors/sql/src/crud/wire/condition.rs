//! A condition as JSON.

use serde_json::{Map, Value as Json};

use crate::{StatementError, Value, crud::Filter};

/// Reads an object: all of its entries must hold.
pub(super) fn filter(json: Json) -> Result<Filter, StatementError> {
    let Json::Object(entries) = json else { return Err(wrong("a condition must be an object")) };
    let filters = entries.into_iter().map(|(name, json)| match name.as_str() {
        "$and" => list(&name, json).map(Filter::all_of),
        "$or" => list(&name, json).map(Filter::any_of),
        "$not" => filter(json).map(|inner| !inner),
        _ if name.starts_with('$') => {
            Err(wrong(&format!("`{name}` is no combination; there are: $and, $or, $not")))
        }
        _ => column(&name, json).map_err(|error| wrong(&format!("column `{name}`: {error}"))),
    });
    filters.collect::<Result<Vec<_>, _>>().map(Filter::all_of)
}

fn list(name: &str, json: Json) -> Result<Vec<Filter>, StatementError> {
    match json {
        Json::Array(items) => items.into_iter().map(filter).collect(),
        _ => Err(wrong(&format!("`{name}` takes a list of conditions"))),
    }
}

fn column(name: &str, json: Json) -> Result<Filter, StatementError> {
    match json {
        // a tagged value, not operators
        Json::Object(object) if !object.contains_key("type") => {
            if object.is_empty() {
                return Err(wrong("an empty object says nothing"));
            }
            operators(name, object)
        }
        // one list to compare with, or the values of several rows: nobody can tell
        Json::Array(_) => Err(wrong("a list needs its operator; for any of its values send {\"in\": […]}")),
        value => Ok(Filter::eq(name, Value::from_json(value)?)),
    }
}

fn operators(name: &str, object: Map<String, Json>) -> Result<Filter, StatementError> {
    let filters = object.into_iter().map(|(operator, json)| match operator.as_str() {
        "eq" => Value::from_json(json).map(|value| Filter::eq(name, value)),
        "ne" => Value::from_json(json).map(|value| Filter::ne(name, value)),
        "lt" => Value::from_json(json).map(|value| Filter::lt(name, value)),
        "le" => Value::from_json(json).map(|value| Filter::le(name, value)),
        "gt" => Value::from_json(json).map(|value| Filter::gt(name, value)),
        "ge" => Value::from_json(json).map(|value| Filter::ge(name, value)),
        "in" => values(json).map(|values| Filter::in_list(name, values)),
        "between" => between(name, json),
        "like" => match json {
            Json::String(pattern) => Ok(Filter::like(name, pattern)),
            _ => Err(wrong("`like` takes a text")),
        },
        "is_null" => match json {
            Json::Bool(true) => Ok(Filter::is_null(name)),
            Json::Bool(false) => Ok(!Filter::is_null(name)),
            _ => Err(wrong("`is_null` takes true or false")),
        },
        _ => Err(wrong(&format!(
            "`{operator}` is no operator; there are: eq, ne, lt, le, gt, ge, in, between, like, is_null"
        ))),
    });
    filters.collect::<Result<Vec<_>, _>>().map(Filter::all_of)
}

fn between(name: &str, json: Json) -> Result<Filter, StatementError> {
    match <[Value; 2]>::try_from(values(json)?) {
        Ok([low, high]) => Ok(Filter::between(name, low, high)),
        Err(_) => Err(wrong("`between` takes a list of two values")),
    }
}

fn values(json: Json) -> Result<Vec<Value>, StatementError> {
    match json {
        Json::Array(items) => items.into_iter().map(Value::from_json).collect(),
        _ => Err(wrong("a list of values is missing")),
    }
}

fn wrong(text: &str) -> StatementError {
    StatementError::Value(text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_operator_reads_as_it_looks() {
        let none: [i64; 0] = [];
        for (json, expected) in [
            (json!({}), Filter::everything()),
            (json!({"id": 7}), Filter::eq("id", 7)),
            (json!({"id": null}), Filter::is_null("id")),
            (
                json!({"a": {"type": "decimal", "value": "9.90"}}),
                Filter::eq("a", Value::Decimal("9.90".into())),
            ),
            (json!({"a": {"ge": 1, "lt": 5}}), Filter::ge("a", 1).and(Filter::lt("a", 5))),
            (json!({"a": {"ne": null}}), !Filter::is_null("a")),
            (json!({"a": {"in": [1, 2]}}), Filter::in_list("a", [1, 2])),
            (json!({"a": {"in": []}}), Filter::in_list("a", none)),
            (json!({"a": {"between": [1, 2]}}), Filter::between("a", 1, 2)),
            (json!({"a": {"like": "A%"}}), Filter::like("a", "A%")),
            (json!({"a": {"is_null": false}}), !Filter::is_null("a")),
            (json!({"$or": [{"a": 1}, {"b": 2}]}), Filter::eq("a", 1).or(("b", 2))),
            (json!({"$not": {"a": 1}}), !Filter::eq("a", 1)),
        ] {
            assert_eq!(filter(json.clone()).unwrap(), expected, "{json}");
        }
    }

    #[test]
    fn what_would_have_to_be_guessed_is_refused() {
        for (json, expected) in [
            (json!([]), "an object"),
            (json!({"a": {}}), "column `a`"),
            (json!({"a": [1]}), "column `a`"),
            (json!({"a": {"gte": 1}}), "there are: eq"),
            (json!({"a": {"between": [1]}}), "two values"),
            (json!({"$nor": []}), "$and"),
            (json!({"$or": {"a": 1}}), "a list of conditions"),
        ] {
            let error = filter(json.clone()).unwrap_err().to_string();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
