//! Numbers from their source text: exact, or refused.
//!
//! JSON readers turn a fraction into the nearest binary float, and an integer beyond 64 bits too. Here a bare
//! number is read from its own digits: an integer is kept or refused, and a fraction becomes a float only where
//! the float, written out again, has the very same digits.

use super::Value;
use crate::StatementError;

/// Reads a bare number of JSON.
pub(super) fn bare(text: &str) -> Result<Value, StatementError> {
    if !text.contains(['.', 'e', 'E']) {
        return text.parse().map(Value::Int).map_err(|_| {
            wrong(format!(
                "a bare whole number must fit into 64 bits with a sign, `{}` does not; send it as type `decimal`, \
                 or `uint8` up to {}",
                super::read::clip(text),
                u64::MAX
            ))
        });
    }
    exact_float(text).map(Value::Float).ok_or_else(|| {
        wrong(format!(
            "`{}` has digits that a float would lose; send it as type `decimal` to keep them, or `float8` to round",
            super::read::clip(text)
        ))
    })
}

/// Reads a number as a float that stands for exactly these digits; `None` where there is none.
pub(crate) fn exact_float(text: &str) -> Option<f64> {
    let float: f64 = text.parse().ok()?;
    let digits = Digits::of(text)?;
    (float.is_finite() && Digits::of(&format!("{float:e}"))? == digits).then_some(float)
}

/// Reads a decimal as a whole number, where it is one.
pub(crate) fn whole(text: &str) -> Option<i128> {
    match text.split_once('.') {
        None => text.parse().ok(),
        Some((whole, fraction)) => {
            fraction.bytes().all(|byte| byte == b'0').then(|| whole.parse().ok()).flatten()
        }
    }
}

/// Says whether a text is an exact decimal: digits, a point, a sign; or `NaN`.
pub(super) fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    text == "NaN"
        || !(whole.is_empty() && fraction.is_empty())
            && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())
}

/// A number without the freedom of writing: `1.50`, `15e-1` and `+1.5` are one.
#[derive(Debug, PartialEq, Eq)]
struct Digits {
    is_negative: bool,
    /// Without zeros at either end; empty for 0.
    digits: Vec<u8>,
    /// The power of ten of the last digit.
    exponent: i64,
}

impl Digits {
    fn of(text: &str) -> Option<Self> {
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let power: i64 = power.parse().ok()?;
        let is_negative = mantissa.starts_with('-');
        let mantissa = mantissa.trim_start_matches(['-', '+']);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> =
            whole.bytes().chain(fraction.bytes()).skip_while(|byte| *byte == b'0').collect();
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let mut exponent = power.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        while digits.last() == Some(&b'0') {
            digits.pop();
            exponent = exponent.checked_add(1)?;
        }
        if digits.is_empty() {
            return Some(Self { is_negative: false, digits, exponent: 0 });
        }
        Some(Self { is_negative, digits, exponent })
    }
}

/// Checks that a JSON text may pass through a reader that keeps fractions as floats and integers in 64 bits,
/// without the loss of a digit. For interfaces that parse a whole body before they know its parameters.
///
/// ```
/// use backstop_sql::value::check_numbers;
///
/// check_numbers(r#"{"params": [0.1, 18446744073709551615, "0.12345678901234567890"]}"#)?;
/// check_numbers(r#"{"params": [0.12345678901234567890]}"#).unwrap_err();
/// check_numbers(r#"{"params": [18446744073709551616]}"#).unwrap_err();
/// # Ok::<_, backstop_sql::StatementError>(())
/// ```
///
/// # Errors
/// [`StatementError::Value`] names the first number that would change. What is no JSON passes; its reader says
/// what is wrong with it.
pub fn check_numbers(json: &str) -> Result<(), StatementError> {
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at + 1),
            b'-' | b'0'..=b'9' => {
                let more = bytes[at..].iter().position(|byte| !is_part(*byte)).unwrap_or(bytes.len() - at);
                // a number is ASCII, so these are the bounds of characters
                let text = json.get(at..at + more).unwrap_or_default();
                if text.parse::<u64>().is_err() {
                    bare(text)?;
                }
                at += more;
            }
            _ => at += 1,
        }
    }
    Ok(())
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
}

fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn wrong(message: String) -> StatementError {
    StatementError::Value(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_is_a_float_only_where_no_digit_is_lost() {
        for text in
            ["0.1", "-1.50", "1e300", "1E-7", "0.30000000000000004", "-0.0", "0e9999", "2251799813685249.5"]
        {
            assert_eq!(bare(text), Ok(Value::Float(text.parse().unwrap())), "{text}");
        }
        for text in
            ["0.1234567890123456789", "9007199254740993.5", "1e400", "1e-400", "1e99999999999999999999"]
        {
            assert!(matches!(bare(text), Err(StatementError::Value(_))), "{text}");
        }
    }

    #[test]
    fn any_float_survives_its_own_text_and_any_other_digit_is_noticed() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..30_000 {
            let float = f64::from_bits(random.u64(..));
            if !float.is_finite() {
                continue;
            }
            for text in [format!("{float:e}"), format!("{float:?}")] {
                let read = exact_float(&text).map(f64::to_bits);
                assert_eq!(read, Some(float.to_bits()), "{text}");
            }
            // a digit far behind is never part of what a float stands for
            let shortest = format!("{float:e}");
            let (mantissa, power) = shortest.split_once('e').unwrap();
            let point = if mantissa.contains('.') { "" } else { "." };
            let longer = format!("{mantissa}{point}{:0>30}e{power}", 1);
            assert_eq!(exact_float(&longer), None, "{longer}");
        }
    }

    #[test]
    fn whole_numbers_are_exact_to_the_last_bit_or_refused() {
        let mut random = fastrand::Rng::with_seed(8);
        let extremes = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
        for value in extremes.into_iter().chain((0..10_000).map(|_| random.i64(..))) {
            assert_eq!(bare(&value.to_string()), Ok(Value::Int(value)));
            assert_eq!(whole(&format!("{value}.000")), Some(value.into()));
        }
        for text in ["9223372036854775808", "-9223372036854775809", "18446744073709551616"] {
            let error = bare(text).unwrap_err().to_string();
            assert!(error.contains("`decimal`") && error.contains(text), "{error}");
        }
        assert_eq!((whole("1.5"), whole("x"), whole("-0.0")), (None, None, Some(0)));
    }

    #[test]
    fn a_body_is_checked_outside_its_strings_and_never_panics() {
        for good in [
            "",
            "[1, -2.5e3, true]",
            r#"{"a\\": "\"9.99999999999999999999", "b": 0.5}"#,
            "\"1.0000000000000000001",
        ] {
            assert_eq!(check_numbers(good), Ok(()), "{good}");
        }
        for bad in ["[1, 0.1000000000000000055]", r#"{"a": -9223372036854775809}"#, r#"["\\", 1e999]"#] {
            check_numbers(bad).expect_err(bad);
        }
        let mut random = fastrand::Rng::with_seed(9);
        for _ in 0..50_000 {
            let characters: Vec<char> = "\"\\-+.eE019é{[, ".chars().collect();
            let length = random.usize(..20);
            let text: String = (0..length).filter_map(|_| random.choice(&characters)).collect();
            // whatever it says
            drop(check_numbers(&text));
        }
    }
}
