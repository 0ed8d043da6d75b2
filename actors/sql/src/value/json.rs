//! Values on the wire: what JSON cannot hold exactly travels as text.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value as Json;

use super::Value;
use crate::error::StatementError;

/// How whole numbers of 64 bits and decimals are written as JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Numbers {
    /// As strings (the default), because many JSON readers know 53 bits alone. It never depends on the
    /// magnitude, so the type of a column is stable.
    #[default]
    String,
    /// As numbers; a decimal then passes through a float, and may lose digits.
    Number,
}

/// A value with the form it takes as JSON.
#[derive(Clone, Copy, Debug)]
pub struct JsonValue<'a>(pub &'a Value, pub Numbers);

impl Serialize for JsonValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.0, self.1) {
            (Value::Null, _) => serializer.serialize_unit(),
            (Value::Bool(value), _) => serializer.serialize_bool(*value),
            (Value::Int(value), Numbers::String) => serializer.collect_str(value),
            (Value::Int(value), Numbers::Number) => serializer.serialize_i64(*value),
            (Value::Float(value), _) => serialize_float(*value, serializer),
            (Value::Decimal(text), Numbers::Number) => match text.parse::<f64>() {
                Ok(value) if value.is_finite() => serializer.serialize_f64(value),
                _ => serializer.serialize_str(text),
            },
            (Value::Decimal(text) | Value::Text(text), _) => serializer.serialize_str(text),
            (Value::Bytes(bytes), _) => serializer.serialize_str(&STANDARD.encode(bytes)),
            (Value::Json(json), _) => json.serialize(serializer),
            (Value::UInt(value), Numbers::String) => serializer.collect_str(value),
            (Value::UInt(value), Numbers::Number) => serializer.serialize_u64(*value),
            (Value::Uuid(value), _) => serializer.collect_str(value),
            (Value::Date(value), _) => serializer.collect_str(value),
            (Value::Time(value), _) => serializer.collect_str(value),
            (Value::DateTime(value), _) => serializer.collect_str(value),
            (Value::Timestamp(value), _) => serializer.collect_str(value),
            (Value::Array(items), numbers) => {
                serializer.collect_seq(items.iter().map(|item| JsonValue(item, numbers)))
            }
            (Value::Raw(raw), _) => serializer.serialize_str(&raw.text),
        }
    }
}

/// JSON has no words for what is not finite, so they travel as text.
fn serialize_float<S: Serializer>(value: f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_f64(value)
    } else if value.is_nan() {
        serializer.serialize_str("NaN")
    } else {
        serializer.serialize_str(if value > 0.0 { "Infinity" } else { "-Infinity" })
    }
}

impl Value {
    /// Reads a parameter: a bare null, bool, number or string, or a tagged `{"type": …, "value": …}`.
    ///
    /// The tags are `bool`, `int8` (`int2`, `int4`), `float8` (`float4`), `decimal`, `text`, `bytes`
    /// (base64) and `json`. A bare array or object is refused, so that nothing is guessed.
    ///
    /// # Errors
    /// [`StatementError::Value`] says what is wrong and what would be right.
    pub fn from_json(json: Json) -> Result<Self, StatementError> {
        match json {
            Json::Null => Ok(Self::Null),
            Json::Bool(value) => Ok(Self::Bool(value)),
            Json::Number(number) => number_from(&number),
            Json::String(text) => Ok(Self::Text(text)),
            Json::Array(_) => Err(wrong("an array is no parameter; send {\"type\":\"json\",\"value\":[…]}")),
            Json::Object(mut object) => {
                let (kind, value) = (object.remove("type"), object.remove("value"));
                match (kind, value) {
                    (Some(Json::String(kind)), Some(value)) if object.is_empty() => tagged(&kind, value),
                    _ => Err(wrong(
                        "an object is no parameter; send {\"type\":\"json\",\"value\":{…}} for a document",
                    )),
                }
            }
        }
    }
}

fn number_from(number: &serde_json::Number) -> Result<Value, StatementError> {
    if let Some(value) = number.as_i64() {
        Ok(Value::Int(value))
    } else if number.is_u64() {
        Err(wrong(format!("{number} does not fit into 64 bits with a sign; send it as type `decimal`")))
    } else {
        number.as_f64().map(Value::Float).ok_or_else(|| wrong(format!("{number} is out of range")))
    }
}

fn tagged(kind: &str, value: Json) -> Result<Value, StatementError> {
    let shown = value.to_string();
    let mismatch = || wrong(format!("{} is no value of type `{kind}`", clip(&shown)));
    if value.is_null() && kind != "json" {
        return Ok(Value::Null);
    }
    match kind {
        "bool" => value.as_bool().map(Value::Bool).ok_or_else(mismatch),
        "int2" | "int4" | "int8" => match &value {
            Json::String(text) => text.parse().map(Value::Int).map_err(|_| mismatch()),
            _ => value.as_i64().map(Value::Int).ok_or_else(mismatch),
        },
        "float4" | "float8" => match &value {
            Json::String(text) => text.parse().map(Value::Float).map_err(|_| mismatch()),
            _ => value.as_f64().map(Value::Float).ok_or_else(mismatch),
        },
        "decimal" => match value {
            Json::String(text) if is_decimal(&text) => Ok(Value::Decimal(text)),
            Json::Number(number) if !number.is_f64() => Ok(Value::Decimal(number.to_string())),
            _ => Err(mismatch()),
        },
        "text" => value.as_str().map(Value::from).ok_or_else(mismatch),
        "bytes" => {
            let text = value.as_str().ok_or_else(mismatch)?;
            STANDARD.decode(text).map(Value::Bytes).map_err(|_| mismatch())
        }
        "json" => Ok(Value::from(value)),
        _ => Err(wrong(format!(
            "no type is named `{}`; there are: bool, int2, int4, int8, float4, float8, decimal, text, bytes, json",
            clip(kind)
        ))),
    }
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    !(whole.is_empty() && fraction.is_empty())
        && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())
}

/// Keeps errors short, whatever was sent.
fn clip(text: &str) -> String {
    let mut clipped: String = text.chars().take(40).collect();
    if clipped.len() < text.len() {
        clipped.push('…');
    }
    clipped
}

fn wrong(message: impl Into<String>) -> StatementError {
    StatementError::Value(message.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(value: Value, numbers: Numbers) -> Json {
        serde_json::to_value(JsonValue(&value, numbers)).unwrap()
    }

    #[test]
    fn wide_numbers_travel_as_strings_unless_asked_otherwise() {
        assert_eq!(written(Value::Int(i64::MAX), Numbers::String), json!("9223372036854775807"));
        assert_eq!(written(Value::Int(7), Numbers::String), json!("7"));
        assert_eq!(written(Value::Int(7), Numbers::Number), json!(7));
        assert_eq!(written(Value::Decimal("1.50".into()), Numbers::String), json!("1.50"));
        assert_eq!(written(Value::Decimal("1.50".into()), Numbers::Number), json!(1.5));
    }

    #[test]
    fn what_json_cannot_hold_travels_as_text() {
        assert_eq!(written(Value::Float(f64::INFINITY), Numbers::Number), json!("Infinity"));
        assert_eq!(written(Value::Bytes(vec![1, 2, 255]), Numbers::String), json!("AQL/"));
    }

    #[test]
    fn tagged_values_keep_their_type() {
        let read = |json| Value::from_json(json).unwrap();
        assert_eq!(
            read(json!({"type": "int8", "value": "9007199254740993"})),
            Value::Int(9_007_199_254_740_993)
        );
        assert_eq!(read(json!({"type": "bytes", "value": "AQL/"})), Value::Bytes(vec![1, 2, 255]));
        assert_eq!(read(json!({"type": "decimal", "value": "99.90"})), Value::Decimal("99.90".into()));
        assert_eq!(read(json!({"type": "text", "value": null})), Value::Null);
        assert_eq!(read(json!({"type": "json", "value": [1]})), Value::from(json!([1])));
    }

    #[test]
    fn what_would_have_to_be_guessed_is_refused() {
        for bad in [
            json!({"a": 1}),
            json!([1]),
            json!(18_446_744_073_709_551_615_u64),
            json!({"type": "decimal", "value": "1e"}),
            json!({"type": "decimal", "value": "."}),
            json!({"type": "money", "value": "1"}),
            json!({"type": "int8", "value": 1.5}),
        ] {
            assert!(matches!(Value::from_json(bad.clone()), Err(StatementError::Value(_))), "{bad}");
        }
    }
}
