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
    #[cfg(feature = "postgres")]
    "postgres",
    #[cfg(feature = "mysql")]
    "mysql",
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
        "sqlite" => Ok(Connector::new(read::<backstop_sqlite::SqliteOptions>("sqlite", settings)?)),
        #[cfg(feature = "postgres")]
        "postgres" => Ok(Connector::new(read::<backstop_postgres::PostgresOptions>("postgres", settings)?)),
        #[cfg(feature = "mysql")]
        "mysql" => Ok(Connector::new(read::<backstop_mysql::MySqlOptions>("mysql", settings)?)),
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

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql", feature = "http"))]
fn read<T: serde::de::DeserializeOwned>(kind: &'static str, settings: Value) -> Result<T, RuntimeError> {
    serde_json::from_value(settings).map_err(|error| {
        let error = backstop_core::error::ConfigError::new("settings", error.to_string());
        RuntimeError::Settings { kind, error }
    })
}
