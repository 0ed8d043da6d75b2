//! Opening a connection with safe defaults.

use std::{path::Path, sync::Arc};

use rusqlite::{Connection, OpenFlags, config::DbConfig, hooks::Action, limits::Limit};

use crate::{
    options::{Place, SqliteOptions},
    watch::{STEPS, Watch},
};

/// The page cache of a connection in KiB; readers are many and their pages are in the system's cache too.
const WRITER_CACHE_KIB: u32 = 16_384;
const READER_CACHE_KIB: u32 = 4_096;

/// The log is cut back to two thirds of its limit once it is used anew, so that one that is kept is never over it.
fn wal_kept_bytes(options: &SqliteOptions) -> usize {
    options.wal_limit / 3 * 2
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Writes; creates the file where that is allowed.
    Writer {
        /// Whether a missing file is created.
        create: bool,
    },
    /// Reads alone.
    Reader,
}

/// Opens a connection. No extension, no ATTACH, no trusted schema, no URI.
pub(crate) fn open(options: &SqliteOptions, role: Role, watch: &Arc<Watch>) -> rusqlite::Result<Connection> {
    let path = match &options.place {
        Place::Memory => Path::new(":memory:"),
        Place::File(path) => path,
    };
    let mut connection = Connection::open_with_flags(path, flags(role))?;
    guard(&mut connection, watch)?;
    connection.set_prepared_statement_cache_capacity(options.statement_cache);
    match role {
        Role::Writer { .. } => {
            crate::lock::install(&mut connection)?;
            let (synchronous, wal_kept_bytes) = (options.synchronous.word(), wal_kept_bytes(options));
            // the last one reads the database, and with that the log is in its place
            connection.execute_batch(&format!(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}; PRAGMA cache_size=-{WRITER_CACHE_KIB};
                 PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit={wal_kept_bytes}; PRAGMA foreign_keys=ON;
                 PRAGMA schema_version;"
            ))?;
            #[cfg(test)]
            if let Some(pages) = options.planted.pages_max {
                connection.execute_batch(&format!("PRAGMA max_page_count={pages}"))?;
            }
            let watch = Arc::clone(watch);
            connection.update_hook(Some(move |action: Action, _: &str, _: &str, _: i64| {
                if action == Action::SQLITE_INSERT {
                    watch.note_insert();
                }
            }))?;
        }
        Role::Reader => {
            connection.busy_timeout(std::time::Duration::ZERO)?;
            connection.execute_batch(&format!(
                "PRAGMA query_only=ON; PRAGMA cache_size=-{READER_CACHE_KIB}; PRAGMA temp_store=MEMORY;"
            ))?;
            // one value may not be larger than the whole reply
            let longest = i32::try_from(options.bytes_max.max(1 << 20)).unwrap_or(i32::MAX);
            connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, longest)?;
        }
    }
    Ok(connection)
}

fn flags(role: Role) -> OpenFlags {
    let common = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    match role {
        Role::Writer { create: true } => {
            common | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
        }
        Role::Writer { create: false } => common | OpenFlags::SQLITE_OPEN_READ_WRITE,
        Role::Reader => common | OpenFlags::SQLITE_OPEN_READ_ONLY,
    }
}

fn guard(connection: &mut Connection, watch: &Arc<Watch>) -> rusqlite::Result<()> {
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    let watch = Arc::clone(watch);
    let steps = i32::try_from(STEPS).unwrap_or(i32::MAX);
    connection.progress_handler(steps, Some(move || watch.interrupts()))
}

/// Runs VACUUM, which needs to attach a file of its own for a moment.
pub(crate) fn with_attach<T>(connection: &Connection, run: impl FnOnce() -> T) -> rusqlite::Result<T> {
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1)?;
    let result = run();
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    Ok(result)
}
