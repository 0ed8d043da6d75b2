//! From the name of a kind and its settings as data to a recipe; the only file that names every backend.
//!
//! ```
//! use backstop::catalog;
//! use serde_json::json;
//!
//! let error = catalog::connector("slqite", json!({})).unwrap_err();
//! assert!(error.to_string().contains("slqite"));
//! # #[cfg(feature = "sqlite")]
//! assert_eq!(catalog::connector("sqlite", json!({"path": ":memory:", "readers": 4})).unwrap().kind(), "sqlite");
//! ```

use serde_json::Value;

use super::{Connector, RuntimeError};
use crate::orchestrator::near;

/// The kinds of this build.
pub const KINDS: &[&str] = &[
    #[cfg(feature = "sqlite")]
    "sqlite",
    #[cfg(feature = "http")]
    "http",
];

/// Makes the recipe of a backend of this kind.
///
/// # Errors
/// [`RuntimeError::UnknownKind`] lists near kinds; [`RuntimeError::Settings`] names what is unknown, missing or
/// malformed. Values out of their range are found when the backend is started.
pub fn connector(kind: &str, settings: Value) -> Result<Connector, RuntimeError> {
    match kind {
        #[cfg(feature = "sqlite")]
        "sqlite" => Ok(Connector::new(read::<sqlite::Settings>("sqlite", settings)?.options())),
        #[cfg(feature = "http")]
        "http" => Ok(Connector::new(read::<backstop_http::HttpOptions>("http", settings)?)),
        _ => {
            drop(settings);
            let near = near(kind, KINDS.iter().copied());
            Err(RuntimeError::UnknownKind {
                kind: kind.chars().take(64).collect(),
                near,
                known: KINDS.to_vec(),
            })
        }
    }
}

#[cfg(any(feature = "sqlite", feature = "http"))]
fn read<T: serde::de::DeserializeOwned>(kind: &'static str, settings: Value) -> Result<T, RuntimeError> {
    serde_json::from_value(settings).map_err(|error| {
        let error = backstop_core::error::ConfigError::new("settings", error.to_string());
        RuntimeError::Settings { kind, error }
    })
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::{path::PathBuf, time::Duration};

    use backstop_core::policy::duration;
    use backstop_sqlite::{SqliteOptions, Synchronous};
    use serde::Deserialize;

    /// [`SqliteOptions`] as data; what is left out has the default of the setter of the same name.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Settings {
        path: PathBuf,
        create: Option<bool>,
        readers: Option<usize>,
        synchronous: Option<Sync>,
        #[serde(default, with = "duration::option")]
        busy_timeout: Option<Duration>,
        statement_cache: Option<usize>,
        group_max: Option<usize>,
        rows_max: Option<usize>,
        bytes_max: Option<usize>,
        inline_steps: Option<u32>,
        #[serde(default, with = "duration::option")]
        transaction_idle: Option<Duration>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Sync {
        Full,
        Normal,
    }

    impl Settings {
        pub(super) fn options(self) -> SqliteOptions {
            let synchronous = self.synchronous.map(|sync| match sync {
                Sync::Full => Synchronous::Full,
                Sync::Normal => Synchronous::Normal,
            });
            let mut options = SqliteOptions::file(self.path);
            options = set(options, self.create, SqliteOptions::create);
            options = set(options, self.readers, SqliteOptions::readers);
            options = set(options, synchronous, SqliteOptions::synchronous);
            options = set(options, self.busy_timeout, SqliteOptions::busy_timeout);
            options = set(options, self.statement_cache, SqliteOptions::statement_cache);
            options = set(options, self.group_max, SqliteOptions::group_max);
            options = set(options, self.rows_max, SqliteOptions::rows_max);
            options = set(options, self.bytes_max, SqliteOptions::bytes_max);
            options = set(options, self.inline_steps, SqliteOptions::inline_steps);
            set(options, self.transaction_idle, SqliteOptions::transaction_idle)
        }
    }

    fn set<T>(
        options: SqliteOptions,
        value: Option<T>,
        to: fn(SqliteOptions, T) -> SqliteOptions,
    ) -> SqliteOptions {
        match value {
            Some(value) => to(options, value),
            None => options,
        }
    }
}
