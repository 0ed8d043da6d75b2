//! Values to and from the server's types, exactly or not at all.
//!
//! A parameter is coerced to the type that the server described. Where a type has no form of its own in
//! [`Value`], or where the server's own parser is the authority (intervals, networks, ranges, dates given as
//! text), the parameter travels as text; all else travels in the binary form. Nothing is narrowed in silence.

mod array;
mod decode;
mod encode;
mod error;
mod literal;
mod nested;
mod network;
mod numeric;
mod reader;
mod temporal;

use std::{error::Error, fmt};

use backstop_sql::Value;
use bytes::BytesMut;
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type};

pub(crate) use self::{
    encode::{binary, is_binary, item},
    error::{CellError, ParamError},
};

/// A parameter, coerced to the type that the server described.
#[derive(Clone, Copy)]
pub(crate) struct Param<'a>(pub(crate) &'a Value);

/// Shows the type alone, because the driver logs parameters.
impl fmt::Debug for Param<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.type_name())
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        if self.0.is_null() {
            return Ok(IsNull::Yes);
        }
        if is_binary(self.0, ty) {
            encode::binary(self.0, ty, out)?;
        } else {
            literal::parameter(self.0, ty, out)?;
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(ty, out)
    }

    fn encode_format(&self, ty: &Type) -> Format {
        if self.0.is_null() || is_binary(self.0, ty) { Format::Binary } else { Format::Text }
    }
}

/// One column of many rows as an array, without a copy of its cells.
#[derive(Clone, Copy)]
pub(crate) struct ColumnParam<'a> {
    /// The cells of all rows, row by row.
    pub(crate) cells: &'a [Value],
    /// How many cells a row has; at least 1.
    pub(crate) width: usize,
    /// Which of them is meant.
    pub(crate) at: usize,
}

impl<'a> ColumnParam<'a> {
    fn iter(&self) -> impl ExactSizeIterator<Item = &'a Value> + use<'a> {
        self.cells.get(self.at..).unwrap_or_default().iter().step_by(self.width.max(1))
    }

    fn is_binary(&self, ty: &Type) -> bool {
        match ty.kind() {
            Kind::Array(member) => self.iter().all(|cell| is_binary(cell, member)),
            _ => false,
        }
    }
}

/// Shows the place alone, because the driver logs parameters.
impl fmt::Debug for ColumnParam<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}", self.at)
    }
}

impl ToSql for ColumnParam<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Kind::Array(member) = ty.kind() else {
            return Err(Box::new(ParamError::new(&Value::Array(Vec::new()), ty, "it is no array")));
        };
        if self.is_binary(ty) {
            array::write_column(self.iter(), member, out)?;
        } else {
            literal::write_column(self.iter(), member, out)?;
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(ty, out)
    }

    fn encode_format(&self, ty: &Type) -> Format {
        if self.is_binary(ty) { Format::Binary } else { Format::Text }
    }
}

/// A cell of a reply, whatever its type.
#[derive(Debug)]
pub(crate) struct Cell(pub(crate) Value);

impl<'a> FromSql<'a> for Cell {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(decode::value(ty, raw)?))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Follows domains to the type that holds the values.
pub(crate) fn base(ty: &Type) -> &Type {
    let mut ty = ty;
    while let Kind::Domain(inner) = ty.kind() {
        ty = inner;
    }
    ty
}

#[cfg(test)]
mod tests;
