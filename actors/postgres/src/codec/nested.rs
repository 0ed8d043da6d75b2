//! Types made of other types that are text with a name: ranges, records, `hstore`.

use backstop_sql::{RawValue, Value};
use tokio_postgres::types::{Field, Kind, Type};

use super::{
    decode,
    error::{CellError, Fault},
    literal,
    reader::Reader,
};

/// A value as text with the name of its type.
pub(super) fn raw(ty: &Type, text: String) -> Value {
    Value::Raw(Box::new(RawValue { db_type: ty.name().into(), text }))
}

/// A range, such as `[1,5)`.
pub(super) fn range(ty: &Type, member: &Type, bytes: &[u8], depth: u8) -> Result<Value, CellError> {
    range_text(ty, member, bytes, depth).map(|text| raw(ty, text))
}

/// Several ranges, such as `{[1,5),[7,9)}`.
pub(super) fn multirange(ty: &Type, member: &Type, bytes: &[u8], depth: u8) -> Result<Value, CellError> {
    let named = |fault: Fault| fault.of(ty);
    let inner = match member.kind() {
        Kind::Range(inner) => inner,
        _ => member,
    };
    let mut reader = Reader::new(bytes);
    let count = reader.count(5).map_err(named)?;
    let mut text = String::from("{");
    for at in 0..count {
        let range =
            reader.item().and_then(|range| range.ok_or(Fault::Bytes("a range is null"))).map_err(named)?;
        text.push_str(if at == 0 { "" } else { "," });
        text.push_str(&range_text(ty, inner, range, depth)?);
    }
    reader.end().map_err(named)?;
    text.push('}');
    Ok(raw(ty, text))
}

fn range_text(ty: &Type, member: &Type, bytes: &[u8], depth: u8) -> Result<String, CellError> {
    const EMPTY: u8 = 0x01;
    const LOWER_INCLUDED: u8 = 0x02;
    const UPPER_INCLUDED: u8 = 0x04;
    const LOWER_INFINITE: u8 = 0x08;
    const UPPER_INFINITE: u8 = 0x10;
    let named = |fault: Fault| fault.of(ty);
    let mut reader = Reader::new(bytes);
    let flags = reader.u8().map_err(named)?;
    if flags & EMPTY != 0 {
        reader.end().map_err(named)?;
        return Ok("empty".to_owned());
    }
    let mut text = String::from(if flags & LOWER_INCLUDED == 0 { "(" } else { "[" });
    for (infinite, separator) in [(LOWER_INFINITE, ","), (UPPER_INFINITE, "")] {
        if flags & infinite == 0 {
            let bound = reader.item().and_then(|bound| bound.ok_or(Fault::Bytes("a bound is null")));
            let bound = decode::inner(member, bound.map_err(named)?, depth)?;
            push_quoted(&mut text, &literal::display(&bound), "()[],\"\\");
        }
        text.push_str(separator);
    }
    reader.end().map_err(named)?;
    text.push(if flags & UPPER_INCLUDED == 0 { ')' } else { ']' });
    Ok(text)
}

/// A record, such as `(1,"a b",)`; null is nothing between the commas.
pub(super) fn composite(ty: &Type, fields: &[Field], bytes: &[u8], depth: u8) -> Result<Value, CellError> {
    let named = |fault: Fault| fault.of(ty);
    let mut reader = Reader::new(bytes);
    let count = reader.count(8).map_err(named)?;
    let mut text = String::from("(");
    for at in 0..count {
        text.push_str(if at == 0 { "" } else { "," });
        let oid = reader.u32().map_err(named)?;
        let Some(item) = reader.item().map_err(named)? else { continue };
        let known = fields.get(at).map(|field| field.type_().clone());
        let known = known.filter(|known| super::base(known).oid() == oid || known.oid() == oid);
        let Some(member) = known.or_else(|| Type::from_oid(oid)) else {
            return Err(CellError::Unknown(ty.name().to_owned(), "the type of a field is not known"));
        };
        let value = decode::inner(&member, item, depth)?;
        push_quoted(&mut text, &literal::display(&value), "(),\"\\");
    }
    reader.end().map_err(named)?;
    text.push(')');
    Ok(raw(ty, text))
}

/// Appends text that the server reads as one part, quoted where it must be.
fn push_quoted(out: &mut String, text: &str, special: &str) {
    let plain = |character: char| !special.contains(character) && !character.is_whitespace();
    if !text.is_empty() && text.chars().all(plain) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push(character);
        }
        out.push(character);
    }
    out.push('"');
}

/// Pairs, such as `"a"=>"1", "b"=>NULL`.
pub(super) fn hstore(mut reader: Reader<'_>) -> Result<String, Fault> {
    let count = reader.count(8)?;
    let mut text = String::new();
    for at in 0..count {
        text.push_str(if at == 0 { "" } else { ", " });
        let key = reader.item()?.ok_or(Fault::Bytes("a key is null"))?;
        literal::push_string(&mut text, &decode::text(key)?);
        text.push_str("=>");
        match reader.item()? {
            Some(value) => literal::push_string(&mut text, &decode::text(value)?),
            None => text.push_str("NULL"),
        }
    }
    reader.end()?;
    Ok(text)
}
