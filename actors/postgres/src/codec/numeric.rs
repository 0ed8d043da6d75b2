//! `numeric` to and from decimal text: every digit and the scale are kept.

use bytes::{BufMut, BytesMut};

use super::{error::Fault, reader::Reader};

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;

/// The server's limits: digits before and after the point.
const WHOLE_MAX: usize = 131_072;
const SCALE_MAX: usize = 16_383;

/// Reads the binary form.
pub(super) fn read(raw: &[u8]) -> Result<String, Fault> {
    let mut reader = Reader::new(raw);
    let count = usize::from(reader.u16()?);
    let weight = i32::from(reader.i16()?);
    let sign = reader.u16()?;
    let scale = usize::from(reader.u16()?);
    match sign {
        NAN => return Ok("NaN".to_owned()),
        INFINITY => return Ok("Infinity".to_owned()),
        MINUS_INFINITY => return Ok("-Infinity".to_owned()),
        POSITIVE | NEGATIVE if scale <= SCALE_MAX => {}
        _ => return Err(Fault::Bytes("sign or scale is none")),
    }
    let groups = groups(&mut reader, count)?;
    reader.end()?;
    let mut text = String::with_capacity(count * 4 + scale + 3);
    if sign == NEGATIVE {
        text.push('-');
    }
    push_whole(&mut text, &groups, weight);
    push_fraction(&mut text, &groups, weight, scale);
    Ok(text)
}

/// Reads digits to the base of 10,000.
fn groups(reader: &mut Reader<'_>, count: usize) -> Result<Vec<u16>, Fault> {
    if count * 2 != reader.left() {
        return Err(Fault::Bytes("the count of digits is wrong"));
    }
    let digits = std::iter::repeat_with(|| match reader.u16()? {
        digit @ 0..=9999 => Ok(digit),
        _ => Err(Fault::Bytes("a digit is none")),
    });
    digits.take(count).collect()
}

/// The group with the weight `at`; those that are not sent are zero.
fn group(groups: &[u16], weight: i32, at: i32) -> u16 {
    usize::try_from(weight - at).ok().and_then(|index| groups.get(index)).copied().unwrap_or(0)
}

fn push_whole(text: &mut String, groups: &[u16], weight: i32) {
    let start = text.len();
    for at in (0..=weight).rev() {
        push_group(text, group(groups, weight, at));
    }
    let zeros = text[start..].bytes().take_while(|byte| *byte == b'0').count();
    text.replace_range(start..start + zeros, "");
    if text.len() == start {
        text.push('0');
    }
}

fn push_fraction(text: &mut String, groups: &[u16], weight: i32, scale: usize) {
    if scale == 0 {
        return;
    }
    text.push('.');
    let end = text.len() + scale;
    let mut at = -1;
    while text.len() < end {
        push_group(text, group(groups, weight, at));
        at -= 1;
    }
    text.truncate(end);
}

fn push_group(text: &mut String, group: u16) {
    for unit in [1000, 100, 10, 1] {
        // at most 9
        text.push(char::from(b'0' + u8::try_from(group / unit % 10).unwrap_or(0)));
    }
}

/// A decimal number taken apart: its digits without the point, and how many of them follow it.
struct Digits {
    negative: bool,
    digits: Vec<u8>,
    scale: usize,
}

/// Writes the binary form; `None` when the text is no number or beyond the server's limits.
pub(super) fn write(text: &str, out: &mut BytesMut) -> Option<()> {
    let text = text.trim();
    if let Some(sign) = special(text) {
        for word in [0, 0, sign, 0] {
            out.put_u16(word);
        }
        return Some(());
    }
    let Digits { negative, digits, scale } = take_apart(text)?;
    // whole groups on both sides of the point
    let whole = digits.len() - scale;
    let mut padded = vec![0; (4 - whole % 4) % 4];
    let weight = (padded.len() + whole) / 4;
    padded.extend(digits);
    padded.resize(padded.len().next_multiple_of(4), 0);
    let groups =
        padded.chunks_exact(4).map(|four| four.iter().fold(0_u16, |sum, digit| sum * 10 + u16::from(*digit)));
    let groups: Vec<u16> = groups.collect();
    let first = groups.iter().position(|group| *group != 0).unwrap_or(groups.len());
    let last = groups.iter().rposition(|group| *group != 0).map_or(first, |last| last + 1);
    let kept = &groups[first..last];
    out.put_u16(u16::try_from(kept.len()).ok()?);
    out.put_i16(if kept.is_empty() {
        0
    } else {
        i16::try_from(weight.cast_signed() - 1 - first.cast_signed()).ok()?
    });
    out.put_u16(if negative && !kept.is_empty() { NEGATIVE } else { POSITIVE });
    out.put_u16(u16::try_from(scale).ok()?);
    kept.iter().for_each(|group| out.put_u16(*group));
    Some(())
}

fn special(text: &str) -> Option<u16> {
    let (negative, name) = match text.strip_prefix('-') {
        Some(name) => (true, name),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let infinite = name.eq_ignore_ascii_case("infinity") || name.eq_ignore_ascii_case("inf");
    match (infinite, negative) {
        (true, true) => Some(MINUS_INFINITY),
        (true, false) => Some(INFINITY),
        (false, _) => text.eq_ignore_ascii_case("nan").then_some(NAN),
    }
}

fn take_apart(text: &str) -> Option<Digits> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let negative = mantissa.starts_with('-');
    let unsigned = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digit = |byte: u8| byte.is_ascii_digit().then(|| byte - b'0');
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(digit).collect::<Option<_>>()?;
    let scale = i64::try_from(fraction.len()).ok()? - i64::from(exponent);
    if scale < 0 {
        let zeros = usize::try_from(-scale).ok().filter(|zeros| *zeros <= WHOLE_MAX)?;
        digits.resize(digits.len() + zeros, 0);
    }
    let scale = usize::try_from(scale.max(0)).ok().filter(|scale| *scale <= SCALE_MAX)?;
    if digits.len() < scale {
        digits.splice(0..0, std::iter::repeat_n(0, scale - digits.len()));
    }
    let leading = digits.iter().take(digits.len() - scale).take_while(|digit| **digit == 0).count();
    digits.drain(..leading);
    (digits.len() - scale <= WHOLE_MAX).then_some(Digits { negative, digits, scale })
}

/// Reads a whole number out of decimal text; `None` when it has a fraction or does not fit.
pub(super) fn whole(text: &str) -> Option<i128> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let Digits { negative, digits, scale } = take_apart(text)?;
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if fraction.iter().any(|digit| *digit != 0) {
        return None;
    }
    let number =
        whole.iter().try_fold(0_i128, |sum, digit| sum.checked_mul(10)?.checked_add(i128::from(*digit)));
    number.map(|number| if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(text: &str) -> Option<String> {
        let mut out = BytesMut::new();
        write(text, &mut out)?;
        Some(read(&out).unwrap())
    }

    #[test]
    fn every_digit_and_the_scale_survive() {
        for text in [
            "0",
            "0.00",
            "1",
            "-1.50",
            "99.90",
            "10000",
            "0.0001",
            "0.00010000",
            "123456789.123456789",
            "100000000",
            "NaN",
            "Infinity",
            "-Infinity",
            "0.1234567890123456789012345678901234567890",
            "-99999999999999999999999999999999999999.000",
            "1000000000000.00000000000001",
        ] {
            assert_eq!(turned(text).as_deref(), Some(text));
        }
        let long = format!("{}.{}", "9".repeat(WHOLE_MAX), "1".repeat(SCALE_MAX));
        assert_eq!(turned(&long).as_ref(), Some(&long));
    }

    #[test]
    fn other_ways_to_write_a_number_are_understood() {
        for (text, meant) in [
            ("1e3", "1000"),
            ("1.5E-3", "0.0015"),
            ("-0", "0"),
            ("+7", "7"),
            (".5", "0.5"),
            ("5.", "5"),
            ("007", "7"),
            (" 8 ", "8"),
            ("0e5", "0"),
            ("inf", "Infinity"),
            ("12.5e1", "125"),
        ] {
            assert_eq!(turned(text).as_deref(), Some(meant), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_or_beyond_the_limits_is_refused() {
        for text in
            ["", "-", ".", "1.2.3", "abc", "1e", "1e999999999999", "1e200000", "1e-20000", "--1", "1_0"]
        {
            assert_eq!(turned(text), None, "{text}");
        }
    }

    #[test]
    fn whole_numbers_have_no_fraction() {
        assert_eq!((whole("12.00"), whole("1e3"), whole("-7")), (Some(12), Some(1000), Some(-7)));
        assert_eq!((whole("12.01"), whole(""), whole("x"), whole(&"9".repeat(60))), (None, None, None, None));
    }
}
