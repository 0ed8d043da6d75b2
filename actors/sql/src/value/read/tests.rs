use serde_json::json;

use super::*;
use crate::{Numbers, value::JsonValue};

fn from_text(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn typed(kind: &str, value: &str) -> Result<Value, String> {
    from_text(&format!(r#"{{"type":"{kind}","value":{value}}}"#))
}

#[test]
fn bare_values_are_what_they_look_like() {
    for (text, value) in [
        ("null", Value::Null),
        ("true", true.into()),
        ("7", 7.into()),
        ("0.5", 0.5.into()),
        (r#""a\"b""#, "a\"b".into()),
        ("[1, [null, \"x\"]]", Value::Array(vec![1.into(), Value::Array(vec![Value::Null, "x".into()])])),
    ] {
        assert_eq!(from_text(text).as_ref(), Ok(&value), "{text}");
        assert_eq!(Value::from_json(serde_json::from_str(text).unwrap()).as_ref(), Ok(&value), "{text}");
    }
}

#[test]
fn every_tag_is_read_exactly() {
    let raw = |db_type: &str, text: &str| raw_value(db_type, text.to_owned());
    let date = jiff::civil::date(2026, 1, 31);
    let at: jiff::Timestamp = "2026-01-31T11:00:00.123456Z".parse().unwrap();
    for (kind, value, expected) in [
        ("bool", "true", true.into()),
        ("int2", "-32768", (-32_768).into()),
        ("int4", "\"2147483647\"", 2_147_483_647.into()),
        ("int8", "\"9007199254740993\"", 9_007_199_254_740_993_i64.into()),
        ("int8", "9223372036854775807", i64::MAX.into()),
        ("uint8", "18446744073709551615", Value::UInt(u64::MAX)),
        ("uint8", "\"7\"", 7.into()),
        ("decimal", "\"99.90\"", Value::Decimal("99.90".into())),
        ("decimal", "0.12345678901234567890", Value::Decimal("0.12345678901234567890".into())),
        ("decimal", "18446744073709551616", Value::Decimal("18446744073709551616".into())),
        ("decimal", "\"NaN\"", Value::Decimal("NaN".into())),
        ("float8", "0.1000000000000000055", 0.1.into()),
        ("float8", "\"-Infinity\"", f64::NEG_INFINITY.into()),
        ("text", "\"t\"", "t".into()),
        ("enum", "\"red\"", "red".into()),
        ("bytes", "\"AQL/\"", vec![1, 2, 255].into()),
        ("json", "[1]", json!([1]).into()),
        ("json", "null", json!(null).into()),
        (
            "uuid",
            "\"67E55044-10B1-426F-9247-BB680E5FE0C8\"",
            Value::Uuid("67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap()),
        ),
        ("date", "\"2026-01-31\"", date.into()),
        ("date", "\"-infinity\"", raw("date", "-infinity")),
        ("time", "\"12:00:00.1234567\"", date.at(12, 0, 0, 123_456_000).time().into()),
        ("timestamp", "\"2026-01-31 12:00:00\"", date.at(12, 0, 0, 0).into()),
        ("timestamptz", "\"2026-01-31T12:00:00.123456789+01:00\"", at.into()),
        ("timestamptz", "\"infinity\"", raw("timestamptz", "infinity")),
        ("interval", "\"P1DT2H\"", raw("interval", "P1DT2H")),
        ("inet", "\"10.0.0.1\"", raw("inet", "10.0.0.1")),
    ] {
        assert_eq!(typed(kind, value).as_ref(), Ok(&expected), "{kind} {value}");
    }
    let cidr = from_text(r#"{"type":"raw","as":"cidr","value":"10.0.0.0/8"}"#);
    assert_eq!(cidr, Ok(raw("cidr", "10.0.0.0/8")));
}

#[test]
fn null_is_a_value_of_every_type_that_there_is() {
    for kind in ["bool", "int8", "uuid", "bytes", "timestamptz", "interval"] {
        assert_eq!(typed(kind, "null"), Ok(Value::Null), "{kind}");
    }
    assert_eq!(from_text(r#"{"type":"array","of":"int8","value":null}"#), Ok(Value::Null));
    assert_eq!(from_text(r#"{"type":"raw","as":"cidr","value":null}"#), Ok(Value::Null));
    typed("money", "null").unwrap_err();
    from_text(r#"{"type":"array","of":"money","value":null}"#).unwrap_err();
}

#[test]
fn arrays_have_one_type_nest_and_keep_nulls() {
    let nested = from_text(r#"{"type":"array","of":"int8","value":[["1",2],[null,"4"]]}"#).unwrap();
    let row = |items: [Value; 2]| Value::Array(items.into());
    assert_eq!(nested, Value::Array(vec![row([1.into(), 2.into()]), row([Value::Null, 4.into()])]));
    let documents = from_text(r#"{"type":"array","of":"json","value":[[1],{"a":2}]}"#).unwrap();
    assert_eq!(documents, Value::Array(vec![json!([1]).into(), json!({"a": 2}).into()]));
    for bad in [
        r#"{"type":"array","value":[1]}"#,
        r#"{"type":"array","of":"array","value":[[1]]}"#,
        r#"{"type":"array","of":"int8","value":1}"#,
        r#"{"type":"array","of":"int8","value":["x"]}"#,
        r#"{"type":"array","of":"int8","value":[[[[[[[1]]]]]]]}"#,
        "[[[[[[[1]]]]]]]",
        r#"[{"type":"int8","value":1}]"#,
    ] {
        from_text(bad).expect_err(bad);
    }
}

#[test]
fn what_would_have_to_be_guessed_or_dropped_is_refused() {
    for (kind, value) in [
        ("int2", "32768"),
        ("int4", "-2147483649"),
        ("int8", "1.5"),
        ("int8", "1e2"),
        ("uint8", "-1"),
        ("uint8", "18446744073709551616"),
        ("decimal", "\"1e\""),
        ("decimal", "\".\""),
        ("decimal", "1e5"),
        ("float4", "1e39"),
        ("float8", "1e999"),
        ("float8", "\"inf\""),
        ("text", "7"),
        ("bytes", "\"%\""),
        ("uuid", "\"67e5\""),
        ("date", "\"2026-02-30\""),
        ("date", "\"2026-01-31T12:00:00\""),
        ("time", "\"infinity\""),
        ("time", "\"12:00:00Z\""),
        ("timestamp", "\"2026-01-31T12:00:00Z\""),
        ("timestamp", "\"2026-01-31T12:00:00+01:00\""),
        ("timestamp", "\"2026-01-31\""),
        ("timestamptz", "\"2026-01-31T12:00:00\""),
        ("money", "\"1\""),
        ("raw", "\"1\""),
    ] {
        typed(kind, value).expect_err(&format!("{kind} {value}"));
    }
    for bad in [
        r#"{"a":1}"#,
        r#"{"type":"int8"}"#,
        r#"{"type":"int8","value":1,"unit":"m"}"#,
        r#"{"type":"int8","value":1,"value":2}"#,
        r#"{"type":"int8","as":"int8","value":1}"#,
        "18446744073709551615",
        "0.12345678901234567890",
    ] {
        from_text(bad).expect_err(bad);
    }
    // by now it is a float
    assert!(Value::from_json(serde_json::from_str("18446744073709551616").unwrap()).is_err());
    assert!(Value::from_json(json!(u64::MAX)).is_err());
}

#[test]
fn an_error_shows_no_value() {
    let error = typed("int8", "\"hunter2\"").unwrap_err();
    assert!(error.contains("`int8`") && !error.contains("hunter2"), "{error}");
}

#[test]
fn what_is_written_is_read_back_as_it_was() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..5_000 {
        let scale = random.usize(0..30);
        let digits: String = (0..=scale + 5).map(|_| random.digit(10)).collect();
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let at =
            jiff::Timestamp::from_microsecond(random.i64(-60_000_000_000_000_000..250_000_000_000_000_000));
        let at = at.unwrap();
        let local = at.to_zoned(jiff::tz::TimeZone::UTC).datetime();
        for value in [
            Value::Int(random.i64(..)),
            Value::UInt(random.u64(1 << 63..)),
            Value::Decimal(format!("{whole}.{fraction}")),
            Value::Float(f64::from(random.f32()) * 1e10),
            Value::Uuid(uuid::Uuid::from_u128(random.u128(..))),
            Value::Bytes((0..9).map(|_| random.u8(..)).collect()),
            Value::Timestamp(at),
            Value::DateTime(local),
            Value::Date(local.date()),
            Value::Time(local.time()),
        ] {
            let out = serde_json::to_string(&JsonValue(&value, Numbers::String)).unwrap();
            assert_eq!(typed(value.type_name(), &out).as_ref(), Ok(&value), "{out}");
        }
    }
}
