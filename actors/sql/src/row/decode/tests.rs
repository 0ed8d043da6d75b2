use serde::Deserialize;

use crate::{Column, Rows, Value};

fn rows(names: &[&str], cells: impl IntoIterator<Item = Value>) -> Rows {
    let columns = names.iter().map(|name| Column { name: (*name).into(), db_type: None });
    let mut rows = Rows::new(columns.collect());
    cells.into_iter().for_each(|cell| rows.push_cell(cell));
    rows
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Colour {
    Red,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Everything {
    flag: bool,
    small: u8,
    big: u64,
    real: f64,
    whole_real: f32,
    text: String,
    bytes: Vec<u8>,
    none: Option<i64>,
    colour: Colour,
}

#[test]
fn a_struct_is_read_by_column_name_in_any_order() {
    let names = ["colour", "none", "bytes", "text", "whole_real", "real", "big", "small", "flag", "extra"];
    let cells: [Value; 10] = [
        "red".into(),
        Value::Null,
        vec![1, 2].into(),
        "t".into(),
        2.into(),
        0.5.into(),
        i64::MAX.into(),
        255.into(),
        1.into(),
        "ignored".into(),
    ];
    let typed = rows(&names, cells).into_typed::<Everything>().unwrap();
    assert_eq!(typed[0].big, i64::MAX.unsigned_abs());
    assert_eq!((typed[0].flag, typed[0].small, typed[0].none), (true, 255, None));
    assert_eq!((&typed[0].bytes[..], &typed[0].colour), (&[1, 2][..], &Colour::Red));
}

#[test]
fn tuples_go_by_position_and_a_single_column_is_a_value() {
    let pairs = rows(&["a", "b"], [1.into(), "x".into(), 2.into(), Value::Null]);
    assert_eq!(pairs.into_typed::<(i64, Option<String>)>().unwrap(), [(1, Some("x".into())), (2, None)]);
    assert_eq!(rows(&["a"], [1.into(), 2.into()]).into_typed::<u32>().unwrap(), [1, 2]);
    assert_eq!(rows(&["a"], [Value::Null]).into_typed::<Option<String>>().unwrap(), [None]);
    let error = rows(&["a", "b"], [1.into(), 2.into()]).into_typed::<i64>().unwrap_err();
    assert!(error.to_string().contains("one column"), "{error}");
}

#[test]
fn a_wrong_type_names_row_and_column() {
    #[derive(Debug, Deserialize)]
    struct One {
        #[allow(dead_code, reason = "read by serde alone")]
        id: u8,
    }
    let error = rows(&["id"], [1.into(), 300.into()]).into_typed::<One>().unwrap_err();
    assert_eq!((error.row(), error.column()), (1, Some("id")));
    let error = rows(&["id"], [Value::Null]).into_typed::<One>().unwrap_err();
    assert_eq!(error.column(), Some("id"));
    let error = rows(&["other"], [1.into()]).into_typed::<One>().unwrap_err();
    assert!(error.to_string().contains("missing field `id`"), "{error}");
}

#[test]
fn unread_columns_do_not_shift_the_next_row() {
    let unread = rows(&["a", "b"], [1.into(), 2.into(), 3.into(), 4.into()]);
    assert_eq!(unread.into_typed::<()>().unwrap().len(), 2);
}

#[test]
fn the_envelope_has_the_same_fields_for_every_reply() {
    let json = serde_json::to_value(rows(&["a"], [1.into()])).unwrap();
    assert_eq!(
        json,
        serde_json::json!({"columns": [{"name": "a", "db_type": null}], "rows": [["1"]], "affected": 0,
            "last_insert_id": null, "truncated": false})
    );
}

fn one<T: serde::de::DeserializeOwned>(cell: impl Into<Value>) -> Result<T, String> {
    let typed = rows(&["a"], [cell.into()]).into_typed::<(T,)>();
    typed.map(|mut typed| typed.remove(0).0).map_err(|error| error.to_string())
}

#[test]
fn whole_numbers_are_exact_in_every_width_or_refused() {
    for value in [0, 1, i64::MAX.unsigned_abs(), 1 << 63, u64::MAX] {
        assert_eq!(one::<u64>(value), Ok(value));
        assert_eq!(one::<u64>(Value::UInt(value)), Ok(value));
        assert_eq!(one::<u128>(Value::UInt(value)), Ok(value.into()));
        assert_eq!(one::<i64>(Value::UInt(value)).ok(), i64::try_from(value).ok());
    }
    for value in [i64::MIN, -1, 0, i64::MAX] {
        assert_eq!(one::<i64>(value), Ok(value));
        assert_eq!(one::<i128>(value), Ok(value.into()));
        assert_eq!(one::<u64>(value).ok(), u64::try_from(value).ok());
        assert_eq!(one::<i32>(value).ok(), i32::try_from(value).ok());
    }
    assert_eq!(one::<bool>(Value::UInt(1)), Ok(true));
}

#[test]
fn decimals_become_numbers_where_nothing_is_lost() {
    let decimal = |text: &str| Value::Decimal(text.to_owned());
    assert_eq!(one::<i64>(decimal("9223372036854775807.00")), Ok(i64::MAX));
    assert_eq!(one::<u64>(decimal("18446744073709551615")), Ok(u64::MAX));
    assert_eq!(one::<i128>(decimal("-18446744073709551616")), Ok(-18_446_744_073_709_551_616));
    assert_eq!(one::<f64>(decimal("99.90")), Ok(99.9));
    assert_eq!(one::<String>(decimal("99.90")), Ok("99.90".to_owned()));
    one::<i64>(decimal("1.5")).unwrap_err();
    one::<i64>(decimal("9223372036854775808")).unwrap_err();
    one::<f64>(decimal("0.12345678901234567890")).unwrap_err();
    one::<f64>(decimal("NaN")).unwrap_err();
}

#[test]
fn days_times_and_uuids_become_their_types_from_cells_and_from_text() {
    let id = uuid::Uuid::from_u128(0x67e5_5044_10b1_426f_9247_bb68_0e5f_e0c8);
    assert_eq!(one::<uuid::Uuid>(id), Ok(id));
    assert_eq!(one::<uuid::Uuid>(id.to_string()), Ok(id));
    assert_eq!(one::<uuid::Uuid>(id.as_bytes().to_vec()), Ok(id));
    let local = jiff::civil::date(2026, 1, 31).at(12, 0, 0, 1_000);
    let at: jiff::Timestamp = "2026-01-31T12:00:00.000001Z".parse().unwrap();
    assert_eq!(one::<jiff::civil::DateTime>(local), Ok(local));
    assert_eq!(one::<jiff::civil::DateTime>("2026-01-31 12:00:00.000001"), Ok(local));
    assert_eq!(one::<jiff::civil::Date>(local.date()), Ok(local.date()));
    assert_eq!(one::<jiff::civil::Time>(local.time()), Ok(local.time()));
    assert_eq!(one::<jiff::Timestamp>(at), Ok(at));
    let error = one::<jiff::Timestamp>("2026-01-31 12:00:00").unwrap_err();
    assert!(error.contains("column `a`"), "{error}");
}

#[test]
fn arrays_become_vectors_of_their_type() {
    let list = |items: &[Value]| Value::Array(items.to_vec());
    assert_eq!(one::<Vec<u64>>(list(&[1.into(), Value::UInt(u64::MAX)])), Ok(vec![1, u64::MAX]));
    assert_eq!(
        one::<Vec<Option<String>>>(list(&["a".into(), Value::Null])),
        Ok(vec![Some("a".into()), None])
    );
    let nested = list(&[list(&[1.into()]), list(&[])]);
    assert_eq!(one::<Vec<Vec<i32>>>(nested), Ok(vec![vec![1], vec![]]));
    assert_eq!(one::<(i64, String)>(list(&[1.into(), "a".into()])), Ok((1, "a".into())));
    let error = one::<Vec<i64>>(list(&[1.into(), Value::Null])).unwrap_err();
    assert!(error.contains("column `a`"), "{error}");
    assert_eq!(one::<Vec<Colour>>(list(&["red".into()])), Ok(vec![Colour::Red]));
}

#[test]
fn any_cell_becomes_json() {
    use serde_json::{Value as Json, json};
    let raw = crate::RawValue { db_type: "interval".into(), text: "P1D".into() };
    let at: jiff::Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
    for (cell, expected) in [
        (Value::Null, json!(null)),
        (true.into(), json!(true)),
        (i64::MIN.into(), json!(i64::MIN)),
        (Value::UInt(u64::MAX), json!(u64::MAX)),
        (0.5.into(), json!(0.5)),
        (f64::NAN.into(), json!("NaN")),
        (f64::NEG_INFINITY.into(), json!("-Infinity")),
        (Value::Decimal("1.50".into()), json!("1.50")),
        ("a".into(), json!("a")),
        (vec![1, 2, 255].into(), json!("AQL/")),
        (json!({"a": [1]}).into(), json!({"a": [1]})),
        (uuid::Uuid::nil().into(), json!("00000000-0000-0000-0000-000000000000")),
        (at.into(), json!("2026-01-31T12:00:00.000000Z")),
        (Value::Array(vec![1.into(), Value::Null]), json!([1, null])),
        (Value::Raw(Box::new(raw)), json!("P1D")),
    ] {
        assert_eq!(one::<Json>(cell.clone()), Ok(expected), "{cell:?}");
        assert_eq!(one::<Option<Json>>(cell.clone()).unwrap().is_none(), cell.is_null());
    }
}
