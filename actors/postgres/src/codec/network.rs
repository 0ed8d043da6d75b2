//! Small types that are text with a name: addresses, bits, positions.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{error::Fault, reader::Reader};

/// The families of `inet` on the wire, whatever the system calls them.
const V4: u8 = 2;
const V6: u8 = 3;

/// `inet` and `cidr`; an `inet` of one host shows no mask.
pub(super) fn address(mut reader: Reader<'_>) -> Result<String, Fault> {
    let (family, mask, is_cidr, length) = (reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?);
    let bytes = reader.rest();
    if usize::from(length) != bytes.len() {
        return Err(Fault::Bytes("the length of the address is wrong"));
    }
    let (host, widest) = match family {
        V4 => (<[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).to_string()), 32),
        V6 => (<[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).to_string()), 128),
        _ => return Err(Fault::Bytes("the family of the address is none")),
    };
    let host = host.map_err(|_| Fault::Bytes("the length of the address is wrong"))?;
    if mask > widest {
        return Err(Fault::Bytes("the mask is too long"));
    }
    Ok(if mask == widest && is_cidr == 0 { host } else { format!("{host}/{mask}") })
}

/// `macaddr` and `macaddr8`.
pub(super) fn hardware(mut reader: Reader<'_>, bytes: usize) -> Result<String, Fault> {
    let parts: Vec<String> = reader.take(bytes)?.iter().map(|byte| format!("{byte:02x}")).collect();
    reader.end()?;
    Ok(parts.join(":"))
}

/// `bit` and `varbit`.
pub(super) fn bits(mut reader: Reader<'_>) -> Result<String, Fault> {
    let count = usize::try_from(reader.i32()?).map_err(|_| Fault::Bytes("a count is negative"))?;
    let bytes = reader.take(count.div_ceil(8))?;
    reader.end()?;
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0);
    Ok((0..count).map(|at| if bit(at) { '1' } else { '0' }).collect())
}

/// A position in the write-ahead log.
pub(super) fn lsn(mut reader: Reader<'_>) -> Result<String, Fault> {
    let (high, low) = (reader.u32()?, reader.u32()?);
    reader.end()?;
    Ok(format!("{high:X}/{low:X}"))
}

/// Where a row lies: block and place.
pub(super) fn tid(mut reader: Reader<'_>) -> Result<String, Fault> {
    let (block, place) = (reader.u32()?, reader.u16()?);
    reader.end()?;
    Ok(format!("({block},{place})"))
}

/// `"char"`: one byte, which need not be a character.
pub(super) fn one_byte(mut reader: Reader<'_>) -> Result<String, Fault> {
    let byte = reader.u8()?;
    reader.end()?;
    let mut text = String::new();
    match byte {
        0 => {}
        1..=127 => text.push(char::from(byte)),
        _ => {
            // writing to a string cannot fail
            let _ = write!(text, "\\{byte:03o}");
        }
    }
    Ok(text)
}
