//! The table of a message, together with the tag that its cached rows carry.

use std::{fmt, sync::Arc};

const PREFIX: &str = "table:";

/// The name of a table; its tag is the name with a prefix, so that both are one text.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Table(Arc<str>);

impl Table {
    pub(super) fn new(name: impl Into<Box<str>>) -> Self {
        let name: Box<str> = name.into();
        Self(format!("{PREFIX}{name}").into())
    }

    pub(super) fn name(&self) -> &str {
        self.0.get(PREFIX.len()..).unwrap_or_default()
    }

    /// The tag of every cached answer that was read from the table.
    pub(super) fn tag(&self) -> &Arc<str> {
        &self.0
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.name(), f)
    }
}
