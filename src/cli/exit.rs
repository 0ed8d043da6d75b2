//! Exit codes, the same for every sub-command; `--help` explains them.

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All is well.
    Ok = 0,
    /// A check failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Something could not be started.
    NotStarted = 3,
}

impl Exit {
    /// All of them.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 4] = [Self::Ok, Self::Failed, Self::Usage, Self::NotStarted];
}

/// Prints what clap has to say; asking for help or the version is no error.
pub(crate) fn of_usage(error: &clap::Error) -> Exit {
    // nothing can be done where the text cannot be written
    let _ = error.print();
    if error.use_stderr() { Exit::Usage } else { Exit::Ok }
}
