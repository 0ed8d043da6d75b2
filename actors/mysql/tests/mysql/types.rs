//! Values there and back, type by type.

use backstop_core::error::{Executed, FailureKind};
use backstop_mysql::sql::{Execute, Query, QueryAs, RawValue, Value};

use crate::support::{Db, assert_failed, lane};

fn raw(db_type: &str, text: &str) -> Value {
    Value::Raw(Box::new(RawValue { db_type: db_type.into(), text: text.to_owned() }))
}

/// The type of the column, what is written, what comes back, and the type that the reply names.
fn matrix() -> Vec<(&'static str, Value, Value, &'static str)> {
    let same = |column, value: Value, name| (column, value.clone(), value, name);
    vec![
        ("TINYINT(1)", Value::Bool(true), Value::Int(1), "tinyint"),
        same("TINYINT", Value::Int(-128), "tinyint"),
        same("TINYINT UNSIGNED", Value::Int(255), "tinyint unsigned"),
        same("SMALLINT", Value::Int(-32_768), "smallint"),
        same("SMALLINT UNSIGNED", Value::Int(65_535), "smallint unsigned"),
        same("MEDIUMINT", Value::Int(-8_388_608), "mediumint"),
        same("INT", Value::Int(i64::from(i32::MIN)), "int"),
        same("INT UNSIGNED", Value::Int(i64::from(u32::MAX)), "int unsigned"),
        same("BIGINT", Value::Int(i64::MIN), "bigint"),
        same("BIGINT", Value::Int(9_007_199_254_740_993), "bigint"),
        same("BIGINT UNSIGNED", Value::UInt(u64::MAX), "bigint unsigned"),
        ("BIGINT UNSIGNED", Value::Int(7), Value::UInt(7), "bigint unsigned"),
        same(
            "DECIMAL(40,10)",
            Value::Decimal("-123456789012345678901234567890.0123456789".into()),
            "decimal",
        ),
        same("DECIMAL(10,2)", Value::Decimal("99.90".into()), "decimal"),
        same("DOUBLE", Value::Float(0.1), "double"),
        same("DOUBLE", Value::Float(-1.797_693_134_862_315_7e308), "double"),
        same("FLOAT", Value::Float(0.5), "float"),
        same("VARCHAR(20)", Value::Text("grüße 🦀 \\ ' \" ?".into()), "varchar"),
        same("CHAR(5)", Value::Text("a b".into()), "char"),
        same("TEXT", Value::Text(String::new()), "text"),
        same("LONGTEXT", Value::Text("x".repeat(100_000)), "text"),
        (
            "JSON",
            Value::from(serde_json::json!({"a": [1, "ß"]})),
            Value::Text("{\"a\":[1,\"ß\"]}".into()),
            "text",
        ),
        same("BLOB", Value::Bytes(vec![0, 255, 39, 92, 0x80]), "blob"),
        same("VARBINARY(10)", Value::Bytes(vec![0, 1, 2]), "varbinary"),
        same("BINARY(2)", Value::Bytes(vec![1, 0]), "binary"),
        same("LONGBLOB", Value::Bytes(vec![7; 100_000]), "blob"),
        same("BIT(1)", Value::Bool(true), "bit"),
        same("BIT(64)", Value::UInt(u64::MAX), "bit"),
        ("BIT(12)", Value::Int(0x0abc), Value::UInt(0x0abc), "bit"),
        same("DATE", Value::Date("2026-02-28".parse().unwrap()), "date"),
        same("DATE", Value::Date("9999-12-31".parse().unwrap()), "date"),
        ("DATE", raw("date", "0000-00-00"), raw("date", "0000-00-00"), "date"),
        same("TIME(6)", Value::Time("23:59:59.999999".parse().unwrap()), "time"),
        same("TIME", Value::Time("00:00:00".parse().unwrap()), "time"),
        same("TIME(6)", raw("time", "-838:59:58.000001"), "time"),
        same("TIME", raw("time", "25:00:00"), "time"),
        same("DATETIME(6)", Value::DateTime("2026-02-28T01:02:03.000004".parse().unwrap()), "datetime"),
        same("DATETIME", Value::DateTime("1000-01-01T00:00:00".parse().unwrap()), "datetime"),
        same("TIMESTAMP(6)", Value::Timestamp("2026-10-25T00:30:00.123456Z".parse().unwrap()), "timestamp"),
        same("YEAR", Value::Int(2026), "year"),
        ("ENUM('a','b')", Value::Text("b".into()), Value::Text("b".into()), "enum"),
        ("SET('a','b')", Value::Text("a,b".into()), Value::Text("a,b".into()), "set"),
        (
            "UUID",
            Value::Uuid("67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap()),
            Value::Text("67e55044-10b1-426f-9247-bb680e5fe0c8".into()),
            "char",
        ),
        ("INT", Value::Null, Value::Null, "int"),
        ("BLOB", Value::Null, Value::Null, "blob"),
    ]
}

#[test]
fn every_type_comes_back_as_it_was_written() {
    lane(async {
        let db = Db::new().await;
        for (at, (column, written, expected, name)) in matrix().into_iter().enumerate() {
            db.database.sql(&format!("CREATE TABLE t{at} (v {column} NULL) CHARACTER SET utf8mb4;")).unwrap();
            let place = format!("{column} {written:?}");
            let insert = Execute::new(format!("INSERT INTO t{at} VALUES (?)")).bind(written);
            db.ask(insert).await.unwrap_or_else(|end| panic!("{place}: {end:?}"));
            let rows = db.ask(Query::new(format!("SELECT v FROM t{at}"))).await.unwrap();
            assert_eq!(rows.get(0).unwrap()[0], expected, "{place}");
            assert_eq!(rows.columns()[0].db_type.as_deref(), Some(name), "{place}");
        }
    });
}

#[test]
fn a_truth_value_is_one_where_a_typed_row_asks_for_it() {
    lane(async {
        let db = Db::new().await;
        db.run("CREATE TABLE t (b BOOLEAN)").await;
        db.run("INSERT INTO t VALUES (TRUE)").await;
        assert_eq!(db.ask(QueryAs::<bool>::new("SELECT b FROM t")).await.unwrap(), [true]);
    });
}

#[test]
fn what_a_column_cannot_hold_is_refused_and_not_cut() {
    lane(async {
        let db = Db::new().await;
        db.run("CREATE TABLE t (a TINYINT, b VARCHAR(3), c INT UNSIGNED, d DATE)").await;
        for (column, value) in [
            ("a", Value::Int(1_000)),
            ("b", Value::Text("abcd".into())),
            ("c", Value::Int(-1)),
            ("d", Value::Text("no day".into())),
        ] {
            let insert = Execute::new(format!("INSERT INTO t({column}) VALUES (?)")).bind(value);
            assert_failed(db.ask(insert).await, FailureKind::Refused, Executed::No);
        }
        assert_eq!(db.ask(QueryAs::<i64>::new("SELECT count(*) FROM t")).await.unwrap(), [0]);
    });
}

#[test]
fn an_instant_is_the_same_whatever_the_zone_of_the_server() {
    lane(async {
        let db = Db::new().await;
        db.run("CREATE TABLE t (at TIMESTAMP)").await;
        db.database.sql("SET time_zone = '+05:00'; INSERT INTO t VALUES ('2026-01-01 05:00:00');").unwrap();
        let rows = db.ask(Query::new("SELECT at FROM t")).await.unwrap();
        assert_eq!(rows.get(0).unwrap()[0], Value::Timestamp("2026-01-01T00:00:00Z".parse().unwrap()));
    });
}

#[test]
fn every_style_of_placeholder_binds_what_it_names() {
    lane(async {
        let db = Db::new().await;
        let twice = QueryAs::<(String, String, String)>::new("SELECT $2, $1, $2").bind("a").bind("b");
        assert_eq!(db.ask(twice).await.unwrap(), [("b".into(), "a".into(), "b".into())]);
        let named =
            QueryAs::<(i64, i64, i64)>::new("SELECT :x, :y, :x").bind_named("x", 1).bind_named("y", 2);
        assert_eq!(db.ask(named).await.unwrap(), [(1, 2, 1)]);
        let inside = QueryAs::<(String, i64)>::new("SELECT 'it''s \\' :a ? # $1', ? -- :b ?\n").bind(5);
        assert_eq!(db.ask(inside).await.unwrap(), [("it's ' :a ? # $1".into(), 5)]);
    });
}

#[test]
fn a_text_that_the_driver_reads_otherwise_is_refused_before_it_runs() {
    lane(async {
        let db = Db::with_table().await;
        // the driver loses a quote behind a minus, and takes the string for a named parameter
        let insert = Execute::new("INSERT INTO t VALUES (1-':a', ?)").bind(1);
        let failure = db.ask(insert).await.unwrap_err().failure();
        assert_eq!((failure.kind(), failure.executed()), (FailureKind::Refused, Executed::No), "{failure}");
        assert!(db.ids().await.is_empty());
    });
}
