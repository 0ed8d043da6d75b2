//! Values on their way out: what JSON cannot hold exactly travels as text.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize, Serializer};

use super::Value;

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
            (
                Value::Uuid(_) | Value::Date(_) | Value::Time(_) | Value::DateTime(_) | Value::Timestamp(_),
                _,
            ) => serializer.collect_str(&self.0.iso().unwrap_or_default()),
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
    } else {
        serializer.serialize_str(float_word(value))
    }
}

/// The word for a float that is not finite.
pub(crate) fn float_word(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::RawValue;

    fn written(value: Value, numbers: Numbers) -> Json {
        serde_json::to_value(JsonValue(&value, numbers)).unwrap()
    }

    fn raw(db_type: &str, text: &str) -> Value {
        Value::Raw(Box::new(RawValue { db_type: db_type.into(), text: text.to_owned() }))
    }

    #[test]
    fn wide_numbers_travel_as_strings_unless_asked_otherwise() {
        assert_eq!(written(Value::Int(i64::MAX), Numbers::String), json!("9223372036854775807"));
        assert_eq!(written(Value::UInt(u64::MAX), Numbers::String), json!("18446744073709551615"));
        assert_eq!(written(Value::UInt(u64::MAX), Numbers::Number), json!(u64::MAX));
        assert_eq!(written(Value::Int(7), Numbers::String), json!("7"));
        assert_eq!(written(Value::Int(7), Numbers::Number), json!(7));
        assert_eq!(written(Value::Decimal("1.50".into()), Numbers::String), json!("1.50"));
        assert_eq!(written(Value::Decimal("1.50".into()), Numbers::Number), json!(1.5));
        assert_eq!(written(Value::Decimal("NaN".into()), Numbers::Number), json!("NaN"));
    }

    #[test]
    fn what_json_cannot_hold_travels_as_text() {
        for (float, text) in
            [(f64::INFINITY, "Infinity"), (f64::NEG_INFINITY, "-Infinity"), (f64::NAN, "NaN")]
        {
            assert_eq!(written(Value::Float(float), Numbers::Number), json!(text));
        }
        assert_eq!(written(Value::Bytes(vec![1, 2, 255]), Numbers::String), json!("AQL/"));
        assert_eq!(written(raw("interval", "P1DT2H"), Numbers::String), json!("P1DT2H"));
        assert_eq!(written(raw("timestamptz", "-infinity"), Numbers::String), json!("-infinity"));
    }

    #[test]
    fn days_and_times_travel_in_iso_form_with_six_digits() {
        let instant: jiff::Timestamp = "2026-01-31T12:00:00.123456789+01:00".parse().unwrap();
        let local: jiff::civil::DateTime = "2026-01-31T12:00:00".parse().unwrap();
        let id: uuid::Uuid = "67E55044-10B1-426F-9247-BB680E5FE0C8".parse().unwrap();
        let list = Value::Array(vec![
            instant.into(),
            local.into(),
            local.date().into(),
            local.time().into(),
            id.into(),
            Value::Null,
        ]);
        let expected = json!([
            "2026-01-31T11:00:00.123456Z",
            "2026-01-31T12:00:00.000000",
            "2026-01-31",
            "12:00:00.000000",
            "67e55044-10b1-426f-9247-bb680e5fe0c8",
            null
        ]);
        assert_eq!(written(list, Numbers::String), expected);
    }

    #[test]
    fn arrays_nest_and_keep_their_nulls() {
        let list = Value::Array(vec![Value::Array(vec![1.into(), Value::Null]), Value::Array(vec![])]);
        assert_eq!(written(list, Numbers::String), json!([["1", null], []]));
    }
}
