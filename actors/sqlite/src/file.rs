//! Whether the path still leads to the file that was opened.
//!
//! A file that is removed or replaced while it is open takes writes that nobody will ever find again, and
//! SQLite does not look in WAL mode. So we do: one `stat` per group of writes, about a microsecond.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

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
