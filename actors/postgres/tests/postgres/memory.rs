//! How much memory this process takes.

use std::fs;

/// The most that was in use since it began. Other tests of this process count too, and need little.
pub(crate) struct Peak(u64);

impl Peak {
    pub(crate) fn begin() -> Self {
        // Linux forgets the peak of before
        fs::write("/proc/self/clear_refs", "5").unwrap();
        Self(status("VmRSS:"))
    }

    /// Bytes above those at the beginning.
    pub(crate) fn grown(&self) -> u64 {
        status("VmHWM:").saturating_sub(self.0)
    }
}

fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
