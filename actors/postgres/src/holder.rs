//! Who holds a connection, and since when.

pub(crate) use backstop_sql::seen::{Leases as Holders, Place};
