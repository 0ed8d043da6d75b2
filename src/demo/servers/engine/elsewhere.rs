//! Where there are no private servers: they are found and ended through `/proc`.

use crate::demo::Role;

/// A server that cannot be.
#[derive(Debug)]
pub(in crate::demo) enum Engine {}

impl Engine {
    pub(in crate::demo) fn start(_: Role) -> Result<Self, String> {
        Err("servers of the demo's own need Linux".to_owned())
    }

    pub(in crate::demo) fn url(&self) -> String {
        match *self {}
    }

    pub(in crate::demo) fn kill(&self) -> Result<(), String> {
        match *self {}
    }

    pub(in crate::demo) fn restart(&self) -> Result<(), String> {
        match *self {}
    }

    pub(in crate::demo) fn pause(&self) -> Result<(), String> {
        match *self {}
    }

    pub(in crate::demo) fn resume(&self) -> Result<(), String> {
        match *self {}
    }

    pub(in crate::demo) fn sql(&self, _: &str) -> Result<String, String> {
        match *self {}
    }
}
