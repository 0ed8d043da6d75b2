//! The bounds of the settings.

use std::time::Duration;

use backstop_core::{error::ConfigError, policy::duration::check};
use backstop_sql::options::{check_bounds, in_range};

use super::MySqlOptions;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Refuses what cannot work, and names it.
pub(super) fn settings(options: &MySqlOptions) -> Result<(), ConfigError> {
    let milli = Duration::from_millis(1);
    in_range("pool_size", options.pool_size, 1..=1_000)?;
    in_range("max_overflow", options.max_overflow, 0..=1_000)?;
    check_bounds(options.statement_cache, options.rows_max, options.bytes_max)?;
    check("acquire_timeout", options.acquire_timeout, milli, MINUTE)?;
    check("connect_timeout", options.connect_timeout, milli, MINUTE)?;
    check("verify_after", options.verify_after, Duration::ZERO, HOUR)?;
    check("max_lifetime", options.max_lifetime, SECOND, 24 * HOUR)?;
    check("idle_timeout", options.idle_timeout, SECOND, 24 * HOUR)?;
    check("keepalive", options.keepalive, SECOND, 2 * HOUR)?;
    check("statement_timeout", options.statement_timeout, Duration::ZERO, 24 * HOUR)?;
    check("idle_in_transaction_timeout", options.idle_in_transaction_timeout, Duration::ZERO, 24 * HOUR)?;
    check("lock_timeout", options.lock_timeout, Duration::ZERO, 24 * HOUR)?;
    check("stream_idle", options.stream_idle, milli, HOUR)
}
