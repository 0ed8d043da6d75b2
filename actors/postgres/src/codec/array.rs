//! Arrays of any depth, with nulls; lower bounds are dropped.

use backstop_sql::Value;
use bytes::{BufMut, BytesMut};
use tokio_postgres::types::Type;

use super::{
    decode, encode,
    error::{CellError, Fault, ParamError},
    reader::Reader,
};

/// The server's limit.
const DIMENSIONS_MAX: usize = 6;

pub(super) fn read(ty: &Type, member: &Type, bytes: &[u8], depth: u8) -> Result<Value, CellError> {
    let mut reader = Reader::new(bytes);
    let lengths = header(&mut reader).map_err(|fault| fault.of(ty))?;
    let value = if lengths.is_empty() {
        Value::Array(Vec::new())
    } else {
        items(&mut reader, &lengths, (ty, member), depth)?
    };
    reader.end().map_err(|fault| fault.of(ty))?;
    Ok(value)
}

/// Reads the length of each dimension.
fn header(reader: &mut Reader<'_>) -> Result<Vec<usize>, Fault> {
    let dimensions = usize::try_from(reader.i32()?).map_err(|_| Fault::Bytes("a count is negative"))?;
    if dimensions > DIMENSIONS_MAX {
        return Err(Fault::Bytes("it has too many dimensions"));
    }
    let (_has_nulls, _oid) = (reader.i32()?, reader.u32()?);
    if dimensions == 0 {
        return Ok(Vec::new());
    }
    let mut lengths = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        let (length, _lower_bound) = (reader.i32()?, reader.i32()?);
        lengths.push(usize::try_from(length).map_err(|_| Fault::Bytes("a length is negative"))?);
    }
    // every item takes 4 bytes at least, so a length that is a lie is found before anything is kept for it
    let total = lengths.iter().try_fold(1_usize, |total, length| total.checked_mul(*length));
    match total.and_then(|total| total.checked_mul(4)) {
        Some(0) => Ok(Vec::new()),
        Some(least) if least <= reader.left() => Ok(lengths),
        _ => Err(Fault::Bytes("it holds fewer items than it says")),
    }
}

fn items(
    reader: &mut Reader<'_>,
    lengths: &[usize],
    (ty, member): (&Type, &Type),
    depth: u8,
) -> Result<Value, CellError> {
    let Some((length, inner)) = lengths.split_first() else {
        let item = reader.item().map_err(|fault| fault.of(ty))?;
        return item.map_or(Ok(Value::Null), |item| decode::inner(member, item, depth));
    };
    let mut values = Vec::with_capacity(*length);
    for _ in 0..*length {
        values.push(items(reader, inner, (ty, member), depth)?);
    }
    Ok(Value::Array(values))
}

/// Writes the binary form; all items must have one.
pub(super) fn write(value: &Value, ty: &Type, member: &Type, out: &mut BytesMut) -> Result<(), ParamError> {
    let lengths = shape(value, ty)?;
    let total: usize = lengths.iter().product();
    let dimensions = if total == 0 { &[][..] } else { &lengths[..] };
    out.put_i32(i32::try_from(dimensions.len()).map_err(|_| ParamError::range(value, ty))?);
    // the server counts the nulls itself
    out.put_i32(0);
    out.put_u32(member.oid());
    let lower_bound = i32::from(!matches!(*ty, Type::INT2_VECTOR | Type::OID_VECTOR));
    for length in dimensions {
        out.put_i32(i32::try_from(*length).map_err(|_| ParamError::range(value, ty))?);
        out.put_i32(lower_bound);
    }
    if total == 0 { Ok(()) } else { write_items(value, member, lengths.len(), out) }
}

fn write_items(value: &Value, member: &Type, levels: usize, out: &mut BytesMut) -> Result<(), ParamError> {
    match value {
        Value::Array(items) if levels > 0 => {
            items.iter().try_for_each(|item| write_items(item, member, levels - 1, out))
        }
        item => encode::item(item, member, out),
    }
}

/// Writes the cells of one column as an array of one dimension.
pub(super) fn write_column<'a>(
    cells: impl ExactSizeIterator<Item = &'a Value>,
    member: &Type,
    out: &mut BytesMut,
) -> Result<(), ParamError> {
    let length =
        i32::try_from(cells.len()).map_err(|_| ParamError::new(&Value::Null, member, "too many rows"))?;
    out.put_i32(i32::from(length > 0));
    out.put_i32(0);
    out.put_u32(member.oid());
    if length > 0 {
        out.put_i32(length);
        out.put_i32(1);
    }
    cells.into_iter().try_for_each(|cell| encode::item(cell, member, out))
}

/// The length of each dimension; every list of one level must have the same.
pub(super) fn shape(value: &Value, ty: &Type) -> Result<Vec<usize>, ParamError> {
    let mut lengths = Vec::new();
    let mut level = value;
    while let Value::Array(items) = level {
        lengths.push(items.len());
        let Some(first) = items.first() else { break };
        level = first;
    }
    if lengths.is_empty() {
        return Err(ParamError::kind(value, ty));
    }
    if lengths.len() > DIMENSIONS_MAX {
        return Err(ParamError::new(value, ty, "an array has six dimensions at most"));
    }
    if fits(value, &lengths) {
        Ok(lengths)
    } else {
        Err(ParamError::new(value, ty, "the lists of one dimension must have the same length"))
    }
}

fn fits(value: &Value, lengths: &[usize]) -> bool {
    match (value, lengths.split_first()) {
        (Value::Array(items), Some((length, inner))) => {
            items.len() == *length && items.iter().all(|item| fits(item, inner))
        }
        (Value::Array(_), None) => false,
        (_, levels) => levels.is_none(),
    }
}
