//! References to the results of other operations.

use serde_json::Value;

/// `#/id/path`: where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    /// The operation.
    pub(super) id: String,
    /// The place in its result, as a JSON pointer; empty for all of it.
    pub(super) pointer: &'a str,
}

impl<'a> Reference<'a> {
    /// Reads `#/id/path`; `~1` and `~0` stand for `/` and `~`, as in RFC 6901.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("#/")?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (id, pointer) = rest.split_at(end);
        let id = id.replace("~1", "/").replace("~0", "~");
        (!id.is_empty()).then_some(Self { id, pointer })
    }
}

/// The text of a value that is `{"type": "ref", "value": text}` and nothing else.
fn text_of(value: &Value) -> Option<&Value> {
    let object = value.as_object().filter(|object| object.len() == 2)?;
    object.get("type").and_then(Value::as_str).filter(|tag| *tag == "ref")?;
    object.get("value")
}

/// What is wrong with arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    TooDeep,
    BadReference(String),
}

/// Collects the ids that arguments refer to; looks at most `depth` levels deep.
pub(super) fn collect(value: &Value, depth: usize, ids: &mut Vec<String>) -> Result<(), Wrong> {
    if let Some(text) = text_of(value) {
        let bad = || Wrong::BadReference(text.as_str().map_or_else(|| text.to_string(), str::to_owned));
        let reference = text.as_str().and_then(Reference::parse).ok_or_else(bad)?;
        ids.push(reference.id);
        return Ok(());
    }
    let inner = |value| match depth {
        0 => Err(Wrong::TooDeep),
        _ => collect(value, depth - 1, ids),
    };
    match value {
        Value::Array(values) => values.iter().try_for_each(inner),
        Value::Object(values) => values.values().try_for_each(inner),
        _ => Ok(()),
    }
}

/// Puts results in the place of references.
pub(super) struct Resolver<'a, F: Fn(&str) -> Option<&'a Value>> {
    /// Finds the result of an operation.
    pub(super) result_of: F,
    /// Bytes that may still be put in; without it a chain of doublings would fill the memory.
    pub(super) bytes: usize,
}

impl<'a, F: Fn(&str) -> Option<&'a Value>> Resolver<'a, F> {
    /// Fills in all references of a value whose depth has been checked; `depth` bounds what is put in.
    pub(super) fn resolve(&mut self, value: Value, depth: usize) -> Result<Value, String> {
        if let Some(text) = text_of(&value).and_then(Value::as_str) {
            return self.fetch(text, depth);
        }
        let inner = depth.saturating_sub(1);
        match value {
            Value::Array(values) => values
                .into_iter()
                .map(|value| self.resolve(value, inner))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            Value::Object(values) => {
                let resolved = values.into_iter().map(|(key, value)| Ok((key, self.resolve(value, inner)?)));
                resolved.collect::<Result<_, String>>().map(Value::Object)
            }
            value => Ok(value),
        }
    }

    fn fetch(&mut self, text: &str, depth: usize) -> Result<Value, String> {
        let missing = || format!("`{text}` leads to no value");
        let reference = Reference::parse(text).ok_or_else(missing)?;
        let found = (self.result_of)(&reference.id).and_then(|result| result.pointer(reference.pointer));
        let found = found.ok_or_else(missing)?;
        if !spend(found, depth, &mut self.bytes) {
            return Err(format!("`{text}` is too large or too deep to be put into the arguments"));
        }
        Ok(found.clone())
    }
}

/// Takes the approximate size of a value from `bytes`; false when it or the depth does not suffice.
fn spend(value: &Value, depth: usize, bytes: &mut usize) -> bool {
    let own = match value {
        Value::String(text) => text.len() + 8,
        Value::Object(values) => values.keys().map(|key| key.len() + 8).sum::<usize>() + 8,
        _ => 8,
    };
    let Some(left) = bytes.checked_sub(own) else { return false };
    *bytes = left;
    let mut inner = |value| depth > 0 && spend(value, depth - 1, bytes);
    match value {
        Value::Array(values) => values.iter().all(inner),
        Value::Object(values) => values.values().all(&mut inner),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resolved(arguments: Value, bytes: usize) -> Result<Value, String> {
        let result = json!({"rows": [["7", "Ada"]], "a/b": 1});
        let result_of = |id: &str| (id == "x" || id == "x/y").then_some(&result);
        Resolver { result_of, bytes }.resolve(arguments, 8)
    }

    #[test]
    fn references_are_filled_in_anywhere_and_the_rest_stays() {
        let arguments = json!({"sql": "…", "params": [{"type": "ref", "value": "#/x/rows/0/1"}, 1, {"type": "int8", "value": "2"}]});
        let expected = json!({"sql": "…", "params": ["Ada", 1, {"type": "int8", "value": "2"}]});
        assert_eq!(resolved(arguments, 1_000), Ok(expected));
        assert_eq!(resolved(json!({"type": "ref", "value": "#/x~1y/a~1b"}), 1_000), Ok(json!(1)));
        let all = resolved(json!({"type": "ref", "value": "#/x"}), 1_000).unwrap();
        assert_eq!(all["rows"][0][0], "7");
    }

    #[test]
    fn a_path_that_leads_nowhere_is_named() {
        let error = resolved(json!([{"type": "ref", "value": "#/x/rows/9/0"}]), 1_000).unwrap_err();
        assert!(error.contains("#/x/rows/9/0"), "{error}");
    }

    #[test]
    fn what_is_put_in_is_bounded_in_sum() {
        let twice = json!([{"type": "ref", "value": "#/x"}, {"type": "ref", "value": "#/x"}]);
        let mut bytes = 10_000;
        assert!(spend(&resolved(json!({"type": "ref", "value": "#/x"}), 1_000).unwrap(), 8, &mut bytes));
        let size = 10_000 - bytes;
        assert!(resolved(twice.clone(), 2 * size).is_ok());
        assert!(resolved(twice, 2 * size - 1).is_err());
    }

    #[test]
    fn ids_are_collected_and_depth_is_bounded() {
        let arguments =
            json!({"a": [{"type": "ref", "value": "#/x/rows"}], "b": {"type": "ref", "value": "#/y"}});
        let mut ids = Vec::new();
        assert_eq!(collect(&arguments, 2, &mut ids), Ok(()));
        ids.sort();
        assert_eq!(ids, ["x", "y"]);
        assert_eq!(collect(&json!([[[1]]]), 3, &mut ids), Ok(()));
        assert_eq!(collect(&json!([[[1]]]), 2, &mut ids), Err(Wrong::TooDeep));
    }

    #[test]
    fn malformed_references_are_refused() {
        for text in [json!("x"), json!("#x"), json!("#/"), json!("#//a"), json!(3), json!(null)] {
            let found = collect(&json!([{"type": "ref", "value": text}]), 4, &mut Vec::new());
            assert!(matches!(found, Err(Wrong::BadReference(_))), "{text}");
        }
    }
}
