//! Logs on stderr, off unless asked for: they would tear the live view apart.

use std::io;

use tracing_subscriber::EnvFilter;

/// The environment variable that turns logs on, such as `backstop=debug`.
const FILTER: &str = "BACKSTOP_LOG";

/// Starts logging.
pub(crate) fn init() {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing_subscriber::filter::LevelFilter::OFF.into())
        .with_env_var(FILTER)
        .from_env_lossy();
    // an error means that there is a subscriber already
    let _ =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).try_init();
}
