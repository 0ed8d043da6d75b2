//! Whether the path still leads to the file that was opened.
//!
//! A file that is removed or replaced while it is open takes writes that nobody will ever find again, and
//! SQLite does not look in WAL mode. So we do: one `stat` per group of writes, about a microsecond.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// The identity of a file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Looks at the file behind a path; `None` when there is none.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(path).ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// The identity of the two files that hold what a database has committed and not yet taken in.
///
/// SQLite finds them by name alone: it would apply the log of a file that was replaced to the new one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogId([Option<FileId>; 2]);

impl LogId {
    /// Looks at the log of the database at a path.
    pub(crate) fn of(path: &Path) -> Self {
        Self(["-wal", "-shm"].map(|end| FileId::of(&beside(path, end))))
    }

    /// Says whether a file of this log is still in its place.
    pub(crate) fn is_left(self, path: &Path) -> bool {
        let Self(now) = Self::of(path);
        self.0.iter().zip(now).any(|(was, now)| was.is_some() && *was == now)
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(end);
    name.into()
}
