//! SQLite as a supervised backend of Backstop: one writer with group commit, inline readers.
