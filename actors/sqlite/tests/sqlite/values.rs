//! What SQLite has no type for is stored as text that sorts, or refused by name; nothing is rounded.

use backstop_core::error::{Executed, FailureKind};
use backstop_sqlite::sql::{Execute, Query, QueryAs, RawValue, Value};

use crate::support::{Db, assert_failed, lane};

#[test]
fn days_times_and_uuids_are_stored_as_iso_text_and_read_back_typed() {
    lane(async {
        let db = Db::new().await;
        db.run("CREATE TABLE e(id, day, at_time, local, instant)").await;
        let id: uuid::Uuid = "67E55044-10B1-426F-9247-BB680E5FE0C8".parse().unwrap();
        let local: jiff::civil::DateTime = "2026-01-31T12:00:00.000001".parse().unwrap();
        let instant: jiff::Timestamp = "2026-01-31T12:00:00+01:00".parse().unwrap();
        let insert = Execute::new("INSERT INTO e VALUES (?, ?, ?, ?, ?)");
        let insert = insert.bind(id).bind(local.date()).bind(local.time()).bind(local).bind(instant);
        db.ask(insert).await.unwrap();
        let rows = db.ask(Query::new("SELECT * FROM e")).await.unwrap();
        let texts: Vec<_> = rows.get(0).unwrap().values().iter().filter_map(Value::as_text).collect();
        let expected = [
            "67e55044-10b1-426f-9247-bb680e5fe0c8",
            "2026-01-31",
            "12:00:00.000001",
            "2026-01-31T12:00:00.000001",
            "2026-01-31T11:00:00.000000Z",
        ];
        assert_eq!(texts, expected);
        type Typed =
            (uuid::Uuid, jiff::civil::Date, jiff::civil::Time, jiff::civil::DateTime, jiff::Timestamp);
        let typed = db.ask(QueryAs::<Typed>::new("SELECT * FROM e")).await.unwrap();
        assert_eq!(typed, [(id, local.date(), local.time(), local, instant)]);
        // the engine's own functions understand the texts
        let months = "SELECT strftime('%m', day), strftime('%H', instant), unixepoch(local) FROM e";
        let read = db.ask(QueryAs::<(String, String, i64)>::new(months)).await.unwrap();
        assert_eq!(read, [("01".to_owned(), "11".to_owned(), 1_769_860_800)]);
    });
}

#[test]
fn whole_numbers_are_exact_to_their_last_bit_and_refused_beyond() {
    lane(async {
        let db = Db::with_table().await;
        for v in [i64::MIN, -1, i64::MAX - 1, i64::MAX] {
            db.ask(Execute::new("INSERT INTO t(v) VALUES (?)").bind(v)).await.unwrap();
        }
        assert_eq!(db.values().await, [i64::MIN, -1, i64::MAX - 1, i64::MAX]);
        let fits = Query::new("SELECT ?").bind(Value::UInt(7));
        assert_eq!(db.ask(fits).await.unwrap().get(0).unwrap()[0], Value::Int(7));
        for v in [1_u64 << 63, u64::MAX] {
            let refused = db.ask(Execute::new("INSERT INTO t(v) VALUES (?)").bind(v)).await;
            let failure = assert_failed(refused, FailureKind::Refused, Executed::No);
            assert!(failure.message().contains("$1") && failure.message().contains("uint8"), "{failure}");
        }
        assert_eq!(db.count("t").await, 4);
    });
}

#[test]
fn what_sqlite_cannot_hold_is_refused_with_what_to_send() {
    lane(async {
        let db = Db::with_table().await;
        let raw = RawValue { db_type: "interval".into(), text: "P1D".into() };
        for (value, hint) in [
            (Value::Array(vec![1.into()]), "`json`"),
            (Value::Raw(Box::new(raw)), "`interval`"),
            (Value::Float(f64::NAN), "NULL"),
        ] {
            let refused = db.ask(Execute::new("INSERT INTO t(v) VALUES (?)").bind(value)).await;
            let failure = assert_failed(refused, FailureKind::Refused, Executed::No);
            assert_eq!(failure.code(), Some("invalid_value"));
            assert!(failure.message().contains(hint), "{failure}");
        }
        assert_eq!(db.count("t").await, 0);
    });
}
