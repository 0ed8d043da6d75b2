//! What a setting is when it is left out, in code and as data.

use std::time::Duration;

use backstop_sql::seen;

pub(super) fn pool_size() -> usize {
    10
}

pub(super) fn max_overflow() -> usize {
    5
}

pub(super) fn acquire_timeout() -> Duration {
    Duration::from_secs(30)
}

pub(super) fn connect_timeout() -> Duration {
    Duration::from_secs(5)
}

pub(super) fn verify_after() -> Duration {
    Duration::from_secs(1)
}

pub(super) fn max_lifetime() -> Duration {
    Duration::from_secs(30 * 60)
}

pub(super) fn idle_timeout() -> Duration {
    Duration::from_secs(10 * 60)
}

pub(super) fn keepalive() -> Duration {
    Duration::from_secs(30)
}

pub(super) fn stream_idle() -> Duration {
    Duration::from_secs(30)
}

pub(super) fn statement_cache() -> usize {
    256
}

pub(super) fn rows_max() -> usize {
    10_000
}

pub(super) fn bytes_max() -> usize {
    16 << 20
}

pub(super) fn slow_query_threshold() -> Duration {
    seen::SLOW_QUERY_THRESHOLD
}

pub(super) fn leak_after() -> Duration {
    seen::LEAK_AFTER
}
