//! Numbers as people read them.

use std::time::Duration;

/// Writes a duration with two or three digits that matter.
pub(in crate::demo) fn duration_in_words(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    match micros {
        _ if duration.is_zero() => "-".into(),
        micros if micros < 1e3 => format!("{micros:.0} us"),
        micros if micros < 1e5 => format!("{:.1} ms", micros / 1e3),
        micros if micros < 1e6 => format!("{:.0} ms", micros / 1e3),
        micros => format!("{:.1} s", micros / 1e6),
    }
}

/// Writes a count with a space between thousands.
pub(in crate::demo) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_that_fits() {
        for (micros, text) in [
            (0, "-"),
            (250, "250 us"),
            (2_340, "2.3 ms"),
            (99_000, "99.0 ms"),
            (450_000, "450 ms"),
            (2_500_000, "2.5 s"),
        ] {
            assert_eq!(duration_in_words(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn thousands_stand_apart() {
        for (count, text) in [(0, "0"), (999, "999"), (1_000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(grouped(count), text);
        }
    }
}
