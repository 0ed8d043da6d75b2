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
