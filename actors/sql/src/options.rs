//! What the recipes of the SQL backends share: plain setters, and the bounds of numbers.

use std::ops::RangeInclusive;

use backstop_core::error::ConfigError;

/// Checks that a number lies in its range; [`duration::check`](backstop_core::policy::duration::check) is the one
/// for durations.
///
/// # Errors
/// Names the setting, its range and its value.
pub fn in_range(setting: &str, value: usize, range: RangeInclusive<usize>) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = range.into_inner();
    Err(ConfigError::new(setting, format!("must be from {least} to {most}, is {value}")))
}

/// Checks the bounds that every SQL backend has: `statement_cache` from 1 to 10,000, `rows_max` from 1 to 10,000,000,
/// and `bytes_max` from 1 KiB to 1 GB.
///
/// # Errors
/// As [`in_range`].
pub fn check_bounds(statement_cache: usize, rows_max: usize, bytes_max: usize) -> Result<(), ConfigError> {
    in_range("statement_cache", statement_cache, 1..=10_000)?;
    in_range("rows_max", rows_max, 1..=10_000_000)?;
    in_range("bytes_max", bytes_max, 1 << 10..=1_000_000_000)
}

/// One setter a setting, for fields that a recipe takes as they are; the comment says range and default.
#[doc(hidden)]
#[macro_export]
macro_rules! setters {
    ($($(#[$doc:meta])+ $name:ident: $type:ty),+ $(,)?) => {$(
        $(#[$doc])+
        #[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.$name = $name;
            self
        }
    )+};
}
