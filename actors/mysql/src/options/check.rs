//! The bounds of the settings.

use std::time::Duration;

use backstop_core::error::ConfigError;

use super::MySqlOptions;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Refuses what cannot work, and names it.
pub(super) fn settings(options: &MySqlOptions) -> Result<(), ConfigError> {
    let milli = Duration::from_millis(1);
    count("pool_size", options.pool_size, 1, 1_000)?;
    count("max_overflow", options.max_overflow, 0, 1_000)?;
    count("statement_cache", options.statement_cache, 1, 10_000)?;
    count("rows_max", options.rows_max, 1, 10_000_000)?;
    count("bytes_max", options.bytes_max, 1 << 10, 1_000_000_000)?;
    time("acquire_timeout", options.acquire_timeout, milli, MINUTE)?;
    time("connect_timeout", options.connect_timeout, milli, MINUTE)?;
    time("verify_after", options.verify_after, Duration::ZERO, HOUR)?;
    time("max_lifetime", options.max_lifetime, SECOND, 24 * HOUR)?;
    time("idle_timeout", options.idle_timeout, SECOND, 24 * HOUR)?;
    time("keepalive", options.keepalive, SECOND, 2 * HOUR)?;
    time("stream_idle", options.stream_idle, milli, HOUR)
}

fn count(setting: &str, value: usize, min: usize, max: usize) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::new(setting, format!("must be {min} to {max}, it is {value}")))
}

fn time(setting: &str, value: Duration, min: Duration, max: Duration) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::new(setting, format!("must be {min:?} to {max:?}, it is {value:?}")))
}
