//! Coercion by the described type, and what is refused rather than narrowed.

use backstop_sql::Value;
use jiff::civil::date;
use serde_json::json;

use crate::session::{Session, story};

#[tokio::test]
async fn other_values_of_the_same_meaning_are_coerced() {
    let session = Session::open().await;
    let text = |text: &str| Value::from(text);
    let decimal = |text: &str| Value::Decimal(text.to_owned());
    for (ty, bound, shown) in [
        ("int4", text(" 42 "), "42"),
        ("int4", decimal("42.00"), "42"),
        ("int4", Value::Float(42.0), "42"),
        ("int8", Value::UInt(7), "7"),
        ("float8", 3.into(), "3"),
        ("float8", text("Infinity"), "Infinity"),
        ("float4", decimal("0.1"), "0.1"),
        ("numeric", 3.into(), "3"),
        ("numeric", Value::UInt(u64::MAX), "18446744073709551615"),
        ("numeric", text("1e3"), "1000"),
        ("numeric", Value::Float(1.5), "1.5"),
        ("bool", text("yes"), "true"),
        ("text", 5.into(), "5"),
        ("text", true.into(), "t"),
        ("varchar", Value::Date(date(2024, 1, 2)), "2024-01-02"),
        ("uuid", text("A0EEBC999C0B4EF8BB6D6BB9BD380A11"), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("bytea", text("\\x00ff"), "\\x00ff"),
        ("date", text("2024-01-02"), "2024-01-02"),
        ("timestamp", text("2024-01-02T03:04:05"), "2024-01-02 03:04:05"),
        ("timestamp", Value::Date(date(2024, 1, 2)), "2024-01-02 00:00:00"),
        ("timestamptz", text("2024-01-02T03:04:05+02:00"), "2024-01-02 01:04:05+00"),
        ("time", text("03:04"), "03:04:00"),
        ("interval", text("P1DT1S"), "1 day 00:00:01"),
        ("jsonb", text("{\"a\":1}"), "{\"a\": 1}"),
        ("jsonb", 5.into(), "5"),
        ("int4[]", Value::Array(vec![text("1"), 2.into()]), "{1,2}"),
        ("int4[]", text("{3,NULL}"), "{3,NULL}"),
        (
            "date[]",
            Value::Array(vec![text("2024-01-02"), Value::Date(date(2024, 1, 3))]),
            "{2024-01-02,2024-01-03}",
        ),
        ("bytea[]", Value::Array(vec![text("\\x01"), Value::Bytes(vec![2])]), "{\"\\\\x01\",\"\\\\x02\"}"),
        (
            "jsonb[]",
            Value::Array(vec![json!({"a": "\"b\\"}).into()]),
            "{\"{\\\"a\\\": \\\"\\\\\\\"b\\\\\\\\\\\"}\"}",
        ),
        ("money", decimal("12.34"), "$12.34"),
    ] {
        session.run("SET TIME ZONE 'UTC'; SET lc_monetary = 'C'").await;
        let read = session.one(&format!("SELECT ($1::{ty})::text"), std::slice::from_ref(&bound)).await;
        let read = read.unwrap_or_else(|error| panic!("{bound:?} as {ty}: {}", story(&error)));
        assert_eq!(
            read.as_text().map(|text| text.trim_start_matches('$')),
            Some(shown.trim_start_matches('$')),
            "{bound:?} as {ty}"
        );
    }
}

#[tokio::test]
async fn null_fits_every_type() {
    let session = Session::open().await;
    for ty in ["int4", "text", "interval", "jsonb", "int4[]", "inet", "tsvector", "point"] {
        assert_eq!(
            session.one(&format!("SELECT $1::{ty}"), &[Value::Null]).await.unwrap(),
            Value::Null,
            "{ty}"
        );
    }
}

#[tokio::test]
async fn what_would_be_narrowed_or_guessed_is_refused_with_value_and_type() {
    let session = Session::open().await;
    let instant: jiff::Timestamp = "2024-01-02T03:04:05Z".parse().unwrap();
    for (ty, bound, value) in [
        ("int2", Value::Int(32_768), "32768"),
        ("int4", Value::Int(2_147_483_648), "2147483648"),
        ("int8", Value::UInt(u64::MAX), "18446744073709551615"),
        ("oid", Value::Int(-1), "-1"),
        ("int4", Value::Float(1.5), "1.5"),
        ("int4", Value::Decimal("1.5".into()), "1.5"),
        ("int4", "ten".into(), "value"),
        ("int4", true.into(), "true"),
        ("float8", Value::Int(9_007_199_254_740_993), "9007199254740993"),
        ("float4", Value::Float(1e300), "1"),
        ("float8", Value::Decimal("1e999".into()), "1e999"),
        ("numeric", "1.2.3".into(), "value"),
        ("bool", 1.into(), "1"),
        ("bytea", "abc".into(), "value"),
        ("uuid", "abc".into(), "value"),
        ("date", Value::DateTime(date(2024, 1, 2).at(3, 4, 5, 0)), "2024-01-02"),
        ("timestamp", Value::Timestamp(instant), "2024-01-02"),
        ("timestamptz", Value::DateTime(date(2024, 1, 2).at(3, 4, 5, 0)), "2024-01-02"),
        ("interval", 5.into(), "5"),
        ("text", Value::Bytes(vec![1]), "value"),
        ("int4", Value::Array(vec![1.into()]), "value"),
        ("int4[]", 1.into(), "1"),
        ("int4[]", Value::Array(vec![Value::Array(vec![1.into()]), Value::Array(vec![])]), "same length"),
        ("int4[]", Value::Array(vec![1.into(), Value::Array(vec![1.into()])]), "same length"),
        ("date[]", Value::Array(vec!["2024-01-02".into(), Value::Timestamp(instant)]), "2024-01-02"),
    ] {
        let error = session.one(&format!("SELECT $1::{ty}"), std::slice::from_ref(&bound)).await.unwrap_err();
        let text = story(&error);
        let named = ty.trim_end_matches("[]");
        assert!(
            text.contains(value) && text.contains(named) && error.code().is_none(),
            "{bound:?} as {ty}: {text}"
        );
    }
}

#[tokio::test]
async fn the_drivers_log_and_our_errors_show_no_text() {
    let session = Session::open().await;
    let secret = Value::from("hunter2");
    assert_eq!(format!("{:?}", crate::codec::Param(&secret)), "text");
    let text = story(&session.one("SELECT $1::int4", &[secret]).await.unwrap_err());
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn finer_digits_than_microseconds_are_rounded_as_the_server_does() {
    let session = Session::open().await;
    for text in
        ["2024-01-02T03:04:05.0000005Z", "2024-01-02T03:04:05.9999999Z", "1960-01-01T00:00:00.0000014Z"]
    {
        let theirs = session.one(&format!("SELECT '{text}'::timestamptz"), &[]).await.unwrap();
        let bound =
            session.one("SELECT $1::timestamptz", &[Value::Timestamp(text.parse().unwrap())]).await.unwrap();
        let apart = |value: &Value| match value {
            Value::Timestamp(time) => time.as_microsecond(),
            other => panic!("{other:?}"),
        };
        assert!((apart(&theirs) - apart(&bound)).abs() <= 1, "{text}: {theirs:?} {bound:?}");
    }
}
