//! Cells of a reply, by the type of their column.

use backstop_sql::{Column, Columns, RawValue, Value};
use jiff::{civil, tz::Offset};
use mysql_async::{
    Column as Described, Value as Wire,
    consts::{ColumnFlags, ColumnType as Type},
};

/// The character set of bytes.
const BINARY: u16 = 63;

/// Describes the columns of a reply.
pub(crate) fn columns_of(described: &[Described]) -> Columns {
    described
        .iter()
        .map(|column| Column {
            name: column.name_str().as_ref().into(),
            db_type: Some(type_name(column).into()),
        })
        .collect()
}

/// Turns a cell into ours; `None` where its text is not UTF-8.
pub(crate) fn cell(column: &Described, value: Wire) -> Option<Value> {
    Some(match value {
        Wire::NULL => Value::Null,
        Wire::Int(value) => whole(column, value),
        Wire::UInt(value) => whole_unsigned(column, value),
        Wire::Float(value) => Value::Float(value.into()),
        Wire::Double(value) => Value::Float(value),
        Wire::Bytes(bytes) => return of_bytes(column, bytes),
        Wire::Date(year, month, day, hour, minute, second, micros) => {
            moment(column, (year, month, day), (hour, minute, second), micros)
        }
        Wire::Time(negative, days, hour, minute, second, micros) => {
            span(negative, days, (hour, minute, second), micros)
        }
    })
}

/// A column of `BIGINT UNSIGNED` is always unsigned, so that its type does not depend on its values.
fn is_wide_unsigned(column: &Described) -> bool {
    column.column_type() == Type::MYSQL_TYPE_LONGLONG && column.flags().contains(ColumnFlags::UNSIGNED_FLAG)
}

fn whole(column: &Described, value: i64) -> Value {
    match u64::try_from(value) {
        Ok(value) if is_wide_unsigned(column) => Value::UInt(value),
        _ => Value::Int(value),
    }
}

fn whole_unsigned(column: &Described, value: u64) -> Value {
    match i64::try_from(value) {
        Ok(value) if !is_wide_unsigned(column) => Value::Int(value),
        _ => Value::UInt(value),
    }
}

fn of_bytes(column: &Described, bytes: Vec<u8>) -> Option<Value> {
    let text = |bytes| String::from_utf8(bytes).ok();
    match column.column_type() {
        Type::MYSQL_TYPE_DECIMAL | Type::MYSQL_TYPE_NEWDECIMAL => text(bytes).map(Value::Decimal),
        Type::MYSQL_TYPE_BIT => Some(bits(column, &bytes)),
        Type::MYSQL_TYPE_JSON => {
            let text = text(bytes)?;
            Some(match serde_json::from_str::<serde_json::Value>(&text) {
                Ok(json) => Value::from(json),
                Err(_) => raw("json", text),
            })
        }
        Type::MYSQL_TYPE_GEOMETRY | Type::MYSQL_TYPE_VECTOR => Some(Value::Bytes(bytes)),
        _ if column.character_set() == BINARY => Some(Value::Bytes(bytes)),
        _ => text(bytes).map(Value::Text),
    }
}

/// `BIT(1)` is a truth value, wider ones are numbers; the first byte is the highest.
fn bits(column: &Described, bytes: &[u8]) -> Value {
    let number = bytes.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    if column.column_length() == 1 { Value::Bool(number != 0) } else { Value::UInt(number) }
}

fn moment(column: &Described, day: (u16, u8, u8), at: (u8, u8, u8), micros: u32) -> Value {
    let small = |part: u8| i8::try_from(part).unwrap_or(-1);
    let year = i16::try_from(day.0).unwrap_or(-1);
    let date = civil::Date::new(year, small(day.1), small(day.2));
    let nanos = i32::try_from(micros).unwrap_or(-1).saturating_mul(1_000);
    let time = civil::Time::new(small(at.0), small(at.1), small(at.2), nanos);
    match (column.column_type(), date, time) {
        (Type::MYSQL_TYPE_DATE | Type::MYSQL_TYPE_NEWDATE, Ok(date), _) => Value::Date(date),
        (Type::MYSQL_TYPE_TIMESTAMP | Type::MYSQL_TYPE_TIMESTAMP2, Ok(date), Ok(time)) => {
            match Offset::UTC.to_timestamp(date.to_datetime(time)) {
                Ok(instant) => Value::Timestamp(instant),
                Err(_) => raw("timestamp", format!("{}", date.to_datetime(time))),
            }
        }
        (_, Ok(date), Ok(time)) => Value::DateTime(date.to_datetime(time)),
        // `0000-00-00` and days with a part of zero, which old tables hold
        _ => {
            let mut text = format!("{:04}-{:02}-{:02}", day.0, day.1, day.2);
            if column.column_type() != Type::MYSQL_TYPE_DATE {
                text.push_str(&format!(" {:02}:{:02}:{:02}", at.0, at.1, at.2));
                if micros != 0 {
                    text.push_str(&format!(".{micros:06}"));
                }
            }
            raw(type_name(column), text)
        }
    }
}

/// `TIME` is a span of up to 838 hours either way; one within a day is a time of day.
fn span(negative: bool, days: u32, at: (u8, u8, u8), micros: u32) -> Value {
    let small = |part: u8| i8::try_from(part).unwrap_or(-1);
    let nanos = i32::try_from(micros).unwrap_or(-1).saturating_mul(1_000);
    if !negative
        && days == 0
        && let Ok(time) = civil::Time::new(small(at.0), small(at.1), small(at.2), nanos)
    {
        return Value::Time(time);
    }
    let hours = u64::from(days) * 24 + u64::from(at.0);
    let sign = if negative { "-" } else { "" };
    let mut text = format!("{sign}{hours:02}:{:02}:{:02}", at.1, at.2);
    if micros != 0 {
        text.push_str(&format!(".{micros:06}"));
    }
    raw("time", text)
}

fn raw(db_type: &str, text: String) -> Value {
    Value::Raw(Box::new(RawValue { db_type: db_type.into(), text }))
}

/// Names a type as the server's `CREATE TABLE` does.
fn type_name(column: &Described) -> &'static str {
    let unsigned = column.flags().contains(ColumnFlags::UNSIGNED_FLAG);
    let binary = column.character_set() == BINARY;
    let flags = column.flags();
    match column.column_type() {
        Type::MYSQL_TYPE_TINY => {
            if unsigned {
                "tinyint unsigned"
            } else {
                "tinyint"
            }
        }
        Type::MYSQL_TYPE_SHORT => {
            if unsigned {
                "smallint unsigned"
            } else {
                "smallint"
            }
        }
        Type::MYSQL_TYPE_INT24 => {
            if unsigned {
                "mediumint unsigned"
            } else {
                "mediumint"
            }
        }
        Type::MYSQL_TYPE_LONG => {
            if unsigned {
                "int unsigned"
            } else {
                "int"
            }
        }
        Type::MYSQL_TYPE_LONGLONG => {
            if unsigned {
                "bigint unsigned"
            } else {
                "bigint"
            }
        }
        Type::MYSQL_TYPE_DECIMAL | Type::MYSQL_TYPE_NEWDECIMAL => "decimal",
        Type::MYSQL_TYPE_FLOAT => "float",
        Type::MYSQL_TYPE_DOUBLE => "double",
        Type::MYSQL_TYPE_NULL => "null",
        Type::MYSQL_TYPE_TIMESTAMP | Type::MYSQL_TYPE_TIMESTAMP2 => "timestamp",
        Type::MYSQL_TYPE_DATE | Type::MYSQL_TYPE_NEWDATE => "date",
        Type::MYSQL_TYPE_TIME | Type::MYSQL_TYPE_TIME2 => "time",
        Type::MYSQL_TYPE_DATETIME | Type::MYSQL_TYPE_DATETIME2 => "datetime",
        Type::MYSQL_TYPE_YEAR => "year",
        Type::MYSQL_TYPE_BIT => "bit",
        Type::MYSQL_TYPE_JSON => "json",
        Type::MYSQL_TYPE_GEOMETRY => "geometry",
        Type::MYSQL_TYPE_VECTOR => "vector",
        _ if flags.contains(ColumnFlags::ENUM_FLAG) => "enum",
        _ if flags.contains(ColumnFlags::SET_FLAG) => "set",
        Type::MYSQL_TYPE_ENUM => "enum",
        Type::MYSQL_TYPE_SET => "set",
        Type::MYSQL_TYPE_TINY_BLOB
        | Type::MYSQL_TYPE_MEDIUM_BLOB
        | Type::MYSQL_TYPE_LONG_BLOB
        | Type::MYSQL_TYPE_BLOB => {
            if binary {
                "blob"
            } else {
                "text"
            }
        }
        Type::MYSQL_TYPE_STRING => {
            if binary {
                "binary"
            } else {
                "char"
            }
        }
        _ => {
            if binary {
                "varbinary"
            } else {
                "varchar"
            }
        }
    }
}
