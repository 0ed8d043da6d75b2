//! What a setting is when it is left out, in code and as data.

use std::time::Duration;

use backstop_sql::seen;

pub(super) fn create() -> bool {
    true
}

pub(super) fn readers() -> usize {
    2
}

pub(super) fn busy_timeout() -> Duration {
    Duration::from_secs(5)
}

pub(super) fn statement_cache() -> usize {
    256
}

pub(super) fn group_max() -> usize {
    512
}

pub(super) fn rows_max() -> usize {
    10_000
}

pub(super) fn bytes_max() -> usize {
    16 << 20
}

pub(super) fn inline_steps() -> u32 {
    20_000
}

pub(super) fn transaction_idle() -> Duration {
    Duration::from_secs(1)
}

pub(super) fn read_window() -> Duration {
    Duration::from_millis(1)
}

pub(super) fn stream_idle() -> Duration {
    Duration::from_secs(30)
}

pub(super) fn slow_query_threshold() -> Duration {
    seen::SLOW_QUERY_THRESHOLD
}

pub(super) fn leak_after() -> Duration {
    seen::LEAK_AFTER
}

pub(super) fn wal_limit() -> usize {
    96 << 20
}

pub(super) fn wal_hold() -> Duration {
    Duration::from_millis(250)
}
