//! Another connection's write lock on the database, taken outside the runtime.

use std::{path::Path, sync::mpsc, time::Duration};

use rusqlite::Connection;
use tokio::task::JoinHandle;

/// How long the lock is waited for; the runtime's own writes are short.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest time that it is held, if nobody releases it.
const HELD_MAX: Duration = Duration::from_secs(600);

/// A held lock; dropping it releases it soon.
#[derive(Debug)]
pub(super) struct FileLock {
    release: mpsc::Sender<()>,
    thread: JoinHandle<Result<(), String>>,
}

impl FileLock {
    /// Takes the lock, on a thread of its own.
    ///
    /// # Errors
    /// What the engine said.
    pub(super) async fn take(path: &Path) -> Result<Self, String> {
        let path = path.to_owned();
        let (release, released) = mpsc::channel();
        let (taken, is_taken) = tokio::sync::oneshot::channel();
        let thread = tokio::task::spawn_blocking(move || {
            let connection = locked(&path).map_err(|error| format!("cannot lock the database: {error}"))?;
            let _ = taken.send(());
            // both ends of the wait mean the same: let go
            let _ = released.recv_timeout(HELD_MAX);
            connection
                .execute_batch("ROLLBACK")
                .map_err(|error| format!("cannot unlock the database: {error}"))
        });
        let lock = Self { release, thread };
        if is_taken.await.is_ok() { Ok(lock) } else { Err(lock.release().await.err().unwrap_or_default()) }
    }

    /// Releases the lock and waits until it is gone.
    ///
    /// # Errors
    /// What the engine said.
    pub(super) async fn release(self) -> Result<(), String> {
        let _ = self.release.send(());
        self.thread.await.map_err(|error| format!("the thread that held the lock failed: {error}"))?
    }
}

fn locked(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.execute_batch("BEGIN EXCLUSIVE")?;
    Ok(connection)
}
