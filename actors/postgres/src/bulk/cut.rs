//! Cuts rows into chunks: bounded in bytes and rows, each with the way it is sent.

use std::ops::Range;

use backstop_sql::Value;
use tokio_postgres::types::{Kind, Type};

use crate::codec::{base, is_binary};

/// Bytes of values of a chunk; one row may be larger.
const CHUNK_BYTES: usize = 1 << 20;
/// Rows of a chunk that is not copied.
const CHUNK_ROWS: usize = 1_000;

/// How a chunk is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As binary COPY.
    Copy,
    /// As one array a column.
    Unnest,
    /// Row by row, pipelined.
    Rows,
}

/// Cuts the cells of all rows.
pub(super) fn cut(cells: &[Value], types: &[Type], quickest: Way) -> Vec<(Way, Range<usize>)> {
    let width = types.len().max(1);
    let slow = if cells.len() <= width || types.iter().any(is_taken_apart) { Way::Rows } else { Way::Unnest };
    let (mut chunks, mut start, mut bytes) = (Vec::new(), 0, 0);
    let mut way = quickest;
    for (at, row) in cells.chunks_exact(width).enumerate() {
        let weight = row.iter().map(weight).sum::<usize>();
        let fitting = if quickest == Way::Copy && is_copied(row, types) { Way::Copy } else { slow };
        let full = bytes + weight > CHUNK_BYTES || (way != Way::Copy && at - start >= CHUNK_ROWS);
        if at > start && (full || fitting != way) {
            chunks.push((way, start..at));
            (start, bytes) = (at, 0);
        }
        way = fitting;
        bytes += weight;
    }
    if start * width < cells.len() {
        chunks.push((way, start..cells.len() / width));
    }
    chunks
}

/// Arrays lose their dimensions in unnest, and records become columns.
fn is_taken_apart(ty: &Type) -> bool {
    matches!(base(ty).kind(), Kind::Array(_) | Kind::Composite(_))
}

fn is_copied(row: &[Value], types: &[Type]) -> bool {
    row.iter().zip(types).all(|(value, ty)| value.is_null() || is_binary(value, ty))
}

/// About as many bytes as the value has on the wire.
pub(crate) fn weight(value: &Value) -> usize {
    4 + match value {
        Value::Text(text) | Value::Decimal(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Raw(raw) => raw.text.len(),
        Value::Array(items) => 20 + items.iter().map(weight).sum::<usize>(),
        Value::Json(document) => document_weight(document),
        Value::Null => 0,
        _ => 8,
    }
}

fn document_weight(document: &serde_json::Value) -> usize {
    match document {
        serde_json::Value::String(text) => 2 + text.len(),
        serde_json::Value::Array(items) => {
            2 + items.iter().map(|item| 1 + document_weight(item)).sum::<usize>()
        }
        serde_json::Value::Object(fields) => {
            2 + fields.iter().map(|(name, field)| 4 + name.len() + document_weight(field)).sum::<usize>()
        }
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_every_row_once_and_stay_below_their_limits() {
        let types = [Type::INT8, Type::TEXT];
        let cells: Vec<Value> = (0..5_000_i64)
            .flat_map(|at| [Value::Int(at), Value::Text("x".repeat(usize::try_from(at % 1_000).unwrap()))])
            .collect();
        for way in [Way::Copy, Way::Unnest] {
            let chunks = cut(&cells, &types, way);
            assert!(chunks.len() > 1);
            let mut next = 0;
            for (found, rows) in chunks {
                assert_eq!((found, rows.start), (way, next));
                let bytes: usize = cells[rows.start * 2..rows.end * 2].iter().map(weight).sum();
                assert!(bytes <= CHUNK_BYTES && (way == Way::Copy || rows.len() <= CHUNK_ROWS));
                next = rows.end;
            }
            assert_eq!(next, 5_000);
        }
    }

    #[test]
    fn a_row_larger_than_a_chunk_goes_alone_and_a_row_of_text_goes_by_another_way() {
        let cells = [Value::Int(1), Value::Bytes(vec![0; 2 << 20]), Value::Int(2)];
        let rows: Vec<_> = cut(&cells, &[Type::BYTEA], Way::Copy).into_iter().map(|(_, rows)| rows).collect();
        assert_eq!(rows, [0..1, 1..2, 2..3]);
        let cells = [Value::Null, "2024-01-01".into(), Value::Null];
        let ways: Vec<_> = cut(&cells, &[Type::DATE], Way::Copy).into_iter().map(|(way, _)| way).collect();
        assert_eq!(ways, [Way::Copy, Way::Unnest, Way::Copy]);
        assert_eq!(cut(&[Value::Null, Value::Null], &[Type::INT4_ARRAY], Way::Unnest)[0].0, Way::Rows);
        assert!(cut(&[], &[Type::DATE], Way::Copy).is_empty());
    }
}
