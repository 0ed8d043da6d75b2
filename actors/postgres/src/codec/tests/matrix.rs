//! Each type: what SQL writes is read exactly, and what is read can be bound and comes back the same.

use backstop_sql::{RawValue, Value};
use jiff::civil::{date, time};
use serde_json::json;

use crate::session::{Session, story};

fn raw(db_type: &str, text: &str) -> Value {
    Value::Raw(Box::new(RawValue { db_type: db_type.into(), text: text.to_owned() }))
}

fn decimal(text: &str) -> Value {
    Value::Decimal(text.to_owned())
}

fn list<V: Into<Value>>(items: impl IntoIterator<Item = V>) -> Value {
    Value::Array(items.into_iter().map(Into::into).collect())
}

const SETUP: &str = "CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree;
    CREATE TYPE mood AS ENUM ('sad', 'so so');
    CREATE DOMAIN small AS int4 CHECK (value < 100);
    CREATE DOMAIN smaller AS small; CREATE DOMAIN span AS interval; CREATE DOMAIN tags AS text[];
    CREATE TYPE pair AS (id int8, note text, at timestamptz);";

/// Reads the literal, binds what was read, and reads it again.
async fn check(session: &Session, rows: &[(&str, &str, Value)]) {
    for (ty, literal, expected) in rows {
        let read = session.one(&format!("SELECT {literal}::{ty}"), &[]).await;
        let read = read.unwrap_or_else(|error| panic!("{ty} {literal}: {}", story(&error)));
        assert!(same(&read, expected), "{ty} {literal} was read as {read:?}");
        let bound = session.one(&format!("SELECT $1::{ty}"), std::slice::from_ref(&read)).await;
        let bound = bound.unwrap_or_else(|error| panic!("{ty} {literal} bound: {}", story(&error)));
        assert!(same(&bound, expected), "{ty} {literal} came back as {bound:?}");
    }
}

/// Equal, where NaN is itself.
fn same(left: &Value, right: &Value) -> bool {
    matches!((left, right), (Value::Float(left), Value::Float(right)) if left.to_bits() == right.to_bits())
        || left == right
}

#[tokio::test]
async fn numbers_come_back_with_every_digit() {
    let session = Session::open().await;
    let long = "0.12345678901234567890123456789012345678901234567890";
    check(
        &session,
        &[
            ("bool", "true", true.into()),
            ("int2", "'-32768'", (-32768).into()),
            ("int4", "'-2147483648'", i32::MIN.into()),
            ("int8", "'-9223372036854775808'", i64::MIN.into()),
            ("oid", "4294967295", 4_294_967_295_i64.into()),
            ("xid8", "'18446744073709551615'", Value::UInt(u64::MAX)),
            ("float4", "0.1", Value::Float(0.1)),
            ("float4", "3.4028235e38", Value::Float(3.4028235e38)),
            ("float8", "0.1", Value::Float(0.1)),
            ("float8", "'-0'", Value::Float(-0.0)),
            ("float8", "'NaN'", Value::Float(f64::NAN)),
            ("float8", "'-Infinity'", Value::Float(f64::NEG_INFINITY)),
            ("float8", "5e-324", Value::Float(5e-324)),
            ("numeric", "1.50", decimal("1.50")),
            ("numeric", "-0.000100", decimal("-0.000100")),
            ("numeric", "100000000", decimal("100000000")),
            ("numeric", "10000.00010000", decimal("10000.00010000")),
            ("numeric", long, decimal(long)),
            ("numeric", "'NaN'", decimal("NaN")),
            ("numeric", "'-Infinity'", decimal("-Infinity")),
            ("numeric(10,2)", "0", decimal("0.00")),
        ],
    )
    .await;
    let huge =
        session.one("SELECT (repeat('9', 131072) || '.' || repeat('1', 16383))::numeric", &[]).await.unwrap();
    assert_eq!(huge, Value::Decimal(format!("{}.{}", "9".repeat(131_072), "1".repeat(16_383))));
    let same =
        session.one("SELECT $1 = (repeat('9', 131072) || '.' || repeat('1', 16383))::numeric", &[huge]).await;
    assert_eq!(same.unwrap(), true.into());
}

#[tokio::test]
async fn random_decimals_agree_with_the_servers_text() {
    let session = Session::open().await;
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..300 {
        let digits = |rng: &mut fastrand::Rng, most| {
            (0..rng.usize(0..most)).map(|_| if rng.bool() { '0' } else { rng.digit(10) }).collect::<String>()
        };
        let sign = if rng.bool() { "-" } else { "" };
        let text =
            format!("{sign}{}0{}.{}1", digits(&mut rng, 12), digits(&mut rng, 3), digits(&mut rng, 20));
        let theirs = session.one(&format!("SELECT '{text}'::numeric::text"), &[]).await.unwrap();
        let read = session.one("SELECT $1::numeric", &[decimal(&text)]).await.unwrap();
        assert_eq!(read, Value::Decimal(theirs.as_text().unwrap().to_owned()), "{text}");
    }
}

#[tokio::test]
async fn text_bytes_and_documents_come_back() {
    let session = Session::open().await;
    session.run(SETUP).await;
    check(
        &session,
        &[
            ("text", "'grüße \"\\'", "grüße \"\\".into()),
            ("varchar(3)", "'abc'", "abc".into()),
            ("bpchar(4)", "'ab'", "ab  ".into()),
            ("name", "'pg_class'", "pg_class".into()),
            ("citext", "'Ab'", "Ab".into()),
            ("mood", "'so so'", "so so".into()),
            ("\"char\"", "'x'", raw("char", "x")),
            ("bytea", "'\\x00ff'", Value::Bytes(vec![0, 255])),
            ("bytea", "''", Value::Bytes(Vec::new())),
            (
                "uuid",
                "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
                Value::Uuid("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".parse().unwrap()),
            ),
            ("json", "'{\"a\": [1, null, \"x\"]}'", json!({"a": [1, null, "x"]}).into()),
            ("jsonb", "'[1.5, true]'", json!([1.5, true]).into()),
            (
                "jsonb",
                "'{\"n\": 12345678901234567890.123}'",
                raw("jsonb", "{\"n\": 12345678901234567890.123}"),
            ),
            (
                "json",
                "'{\"n\": \"12345678901234567890.123\"}'",
                json!({"n": "12345678901234567890.123"}).into(),
            ),
            ("jsonb", "'1e-400'", raw("jsonb", &format!("0.{}1", "0".repeat(399)))),
            ("xml", "'<a>1</a>'", raw("xml", "<a>1</a>")),
            ("jsonpath", "'$.\"a\"'", raw("jsonpath", "$.\"a\"")),
            ("ltree", "'a.b'", raw("ltree", "a.b")),
            ("small", "7", 7.into()),
            ("smaller", "8", 8.into()),
            ("span", "'1 day'", raw("interval", "P1D")),
            ("tags", "'{a,b}'", list(["a", "b"])),
        ],
    )
    .await;
    let pairs = session.one("SELECT 'a=>\"x\\\"y\", b=>NULL'::hstore", &[]).await.unwrap();
    assert_eq!(pairs, raw("hstore", "\"a\"=>\"x\\\"y\", \"b\"=>NULL"));
    assert_eq!(session.one("SELECT $1::hstore -> 'a'", &[pairs]).await.unwrap(), "x\"y".into());
}

#[tokio::test]
async fn days_and_times_come_back_to_the_microsecond_and_beyond_the_calendar() {
    let session = Session::open().await;
    session.run("SET TIME ZONE 'Asia/Kathmandu'").await;
    let noon = date(2024, 2, 29).to_datetime(time(23, 59, 59, 999_999_000));
    check(
        &session,
        &[
            ("date", "'2024-02-29'", Value::Date(date(2024, 2, 29))),
            ("date", "'0001-12-31 BC'", Value::Date(date(0, 12, 31))),
            ("date", "'4713-11-24 BC'", Value::Date(date(-4712, 11, 24))),
            ("date", "'infinity'", raw("date", "infinity")),
            ("date", "'5874897-12-31'", raw("date", "5874897-12-31")),
            ("time", "'23:59:59.000001'", Value::Time(time(23, 59, 59, 1_000))),
            ("time", "'24:00'", raw("time", "24:00:00")),
            ("timetz", "'12:30:00.5+05:45'", raw("timetz", "12:30:00.5+05:45")),
            ("timetz", "'12:30:00-08'", raw("timetz", "12:30:00-08")),
            ("timestamp", "'2024-02-29 23:59:59.999999'", Value::DateTime(noon)),
            (
                "timestamp",
                "'1999-12-31 23:59:59.999999'",
                Value::DateTime(date(1999, 12, 31).to_datetime(time(23, 59, 59, 999_999_000))),
            ),
            ("timestamp", "'-infinity'", raw("timestamp", "-infinity")),
            ("timestamp", "'294276-12-31 23:59:59.5'", raw("timestamp", "294276-12-31 23:59:59.5")),
            (
                "timestamptz",
                "'2024-02-29T23:59:59.999999Z'",
                Value::Timestamp("2024-02-29T23:59:59.999999Z".parse().unwrap()),
            ),
            (
                "timestamptz",
                "'1969-12-31T23:59:59.999999Z'",
                Value::Timestamp("1969-12-31T23:59:59.999999Z".parse().unwrap()),
            ),
            (
                "timestamptz",
                "'0044-03-15 12:00:00+00 BC'",
                Value::Timestamp("-000043-03-15T12:00:00Z".parse().unwrap()),
            ),
            ("timestamptz", "'infinity'", raw("timestamptz", "infinity")),
            ("timestamptz", "'10000-01-01 00:00:00+00'", raw("timestamptz", "10000-01-01 00:00:00+00")),
        ],
    )
    .await;
}

#[tokio::test]
async fn intervals_are_the_servers_own_iso_text() {
    let session = Session::open().await;
    session.run("SET intervalstyle = 'iso_8601'").await;
    for text in [
        "0",
        "1 year 2 mons 3 days 04:05:06.789",
        "-1 year -2 mons +3 days -04:05:06.7",
        "-0.5 sec",
        "1 mon -1 day",
        "100 hours",
        "-00:00:00.000001",
        "-00:01:00",
        "178000000 years",
        "1 day -1 sec",
    ] {
        let read = session.one(&format!("SELECT '{text}'::interval"), &[]).await.unwrap();
        let theirs = session.one(&format!("SELECT '{text}'::interval::text"), &[]).await.unwrap();
        assert_eq!(read, raw("interval", theirs.as_text().unwrap()), "{text}");
        assert_eq!(session.one("SELECT $1::interval", std::slice::from_ref(&read)).await.unwrap(), read);
    }
}

#[tokio::test]
async fn named_text_is_the_servers_own_and_can_be_bound() {
    let session = Session::open().await;
    session.run(SETUP).await;
    for (ty, text) in [
        ("inet", "10.0.0.1"),
        ("inet", "10.0.0.1/8"),
        ("inet", "2001:db8::1"),
        ("inet", "::ffff:1.2.3.4"),
        ("cidr", "10.0.0.0/8"),
        ("cidr", "1.2.3.4/32"),
        ("cidr", "2001:db8::/32"),
        ("macaddr", "08:00:2b:01:02:03"),
        ("macaddr8", "08:00:2b:01:02:03:04:05"),
        ("bit(10)", "1010101011"),
        ("varbit", ""),
        ("varbit", "101"),
        ("pg_lsn", "16/B374D848"),
        ("tid", "(7,3)"),
        ("int4range", "[1,5)"),
        ("int4range", "empty"),
        ("int8range", "(,)"),
        ("numrange", "(1.50,2.00]"),
        ("daterange", "[2024-01-01,infinity)"),
        ("tsrange", "[\"2024-01-01 00:00:00\",)"),
        ("int4multirange", "{[1,3),[5,7)}"),
        ("nummultirange", "{}"),
        ("pair", "(1,\"a \"\"b\"\"\",\"2024-01-01 00:00:00+00\")"),
        ("pair", "(,\"\",)"),
        ("pair", "(,,)"),
    ] {
        session.run("SET TIME ZONE 'UTC'").await;
        let name = ty.split('(').next().unwrap();
        let read = session.one(&format!("SELECT '{text}'::{ty}"), &[]).await.unwrap();
        assert_eq!(read, raw(name, text), "{ty}");
        let theirs = session.one(&format!("SELECT format('%s', '{text}'::{ty})"), &[]).await.unwrap();
        assert_eq!(theirs.as_text(), Some(text), "{ty}: the row of this test is not the server's text");
        assert_eq!(session.one(&format!("SELECT $1::{ty}"), &[read]).await.unwrap(), raw(name, text));
        assert_eq!(session.one(&format!("SELECT $1::{ty}"), &[text.into()]).await.unwrap(), raw(name, text));
    }
    let record = session.one("SELECT ROW(1, 'x y', NULL::text, true, 1.50, ROW(2, ''))", &[]).await.unwrap();
    assert_eq!(record, raw("record", "(1,\"x y\",,t,1.50,\"(2,\"\"\"\")\")"));
}

#[tokio::test]
async fn arrays_of_every_type_come_back_nested_and_with_nulls() {
    let session = Session::open().await;
    session.run(SETUP).await;
    let nested = |rows: [[i64; 2]; 2]| list(rows.map(list));
    check(
        &session,
        &[
            ("int4[]", "'{}'", Value::Array(Vec::new())),
            ("int4[]", "'{1,NULL,3}'", Value::Array(vec![1.into(), Value::Null, 3.into()])),
            ("int8[]", "'{{1,2},{3,4}}'", nested([[1, 2], [3, 4]])),
            ("int2[]", "'[5:6]={1,2}'", list([1, 2])),
            ("text[]", "ARRAY['a,b', 'NULL', '', 'q\"\\']", list(["a,b", "NULL", "", "q\"\\"])),
            ("bool[]", "'{t,f}'", list([true, false])),
            ("numeric[]", "'{1.50,NaN}'", Value::Array(vec![decimal("1.50"), decimal("NaN")])),
            ("bytea[]", "ARRAY['\\x00'::bytea]", Value::Array(vec![Value::Bytes(vec![0])])),
            (
                "uuid[]",
                "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'",
                Value::Array(vec![Value::Uuid("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".parse().unwrap())]),
            ),
            (
                "date[]",
                "'{2024-02-29,infinity}'",
                Value::Array(vec![Value::Date(date(2024, 2, 29)), raw("date", "infinity")]),
            ),
            (
                "timestamptz[]",
                "'{2024-02-29T00:00:00Z}'",
                Value::Array(vec![Value::Timestamp("2024-02-29T00:00:00Z".parse().unwrap())]),
            ),
            ("jsonb[]", "ARRAY['{\"a\":1}'::jsonb]", Value::Array(vec![json!({"a": 1}).into()])),
            ("mood[]", "'{sad,\"so so\"}'", list(["sad", "so so"])),
            ("citext[]", "'{A}'", list(["A"])),
            ("small[]", "'{1,2}'", list([1, 2])),
            ("inet[]", "'{10.0.0.1,NULL}'", Value::Array(vec![raw("inet", "10.0.0.1"), Value::Null])),
            ("int4range[]", "ARRAY['[1,5)'::int4range]", Value::Array(vec![raw("int4range", "[1,5)")])),
            ("interval[]", "ARRAY['1 day'::interval]", Value::Array(vec![raw("interval", "P1D")])),
            ("int2vector", "'1 2'", list([1, 2])),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_type_without_an_exact_form_names_itself_and_the_cast() {
    let session = Session::open().await;
    for (ty, literal) in
        [("money", "12.34"), ("tsvector", "'a b'"), ("regclass", "'pg_class'"), ("point", "'(1,2)'")]
    {
        let text = story(&session.one(&format!("SELECT {literal}::{ty}"), &[]).await.unwrap_err());
        assert!(text.contains(&format!("`{ty}`")) && text.contains("::text"), "{text}");
        let cast = session.one(&format!("SELECT ({literal}::{ty})::text"), &[]).await.unwrap();
        let bound =
            session.one(&format!("SELECT ($1::{ty})::text"), std::slice::from_ref(&cast)).await.unwrap();
        assert_eq!(bound, cast, "{ty}");
    }
}
