//! `backstop demo` as a user runs it: the binary, its exit codes, and what it prints.

mod bugs;
mod program;
mod runs;
mod usage;
