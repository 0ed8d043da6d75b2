//! Who takes part: one row for each backend of the demo.
//!
//! The first three need nothing but this program. The servers take part where their programs are on this machine.

use serde::{Serialize, Serializer};

/// A backend of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Keeps orders in a SQLite file.
    Orders,
    /// An HTTP API that can be made to fail.
    Pricing,
    /// Code of our own that can panic.
    Worker,
    /// Keeps accounts in PostgreSQL.
    Payments,
    /// Keeps accounts in MariaDB.
    Savings,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
struct Member {
    role: Role,
    name: &'static str,
    kind: &'static str,
    place: &'static str,
}

const CAST: [Member; 5] = [
    Member { role: Role::Orders, name: "orders", kind: "sqlite", place: "a temporary file" },
    Member { role: Role::Pricing, name: "pricing", kind: "http", place: "a service on a free loopback port" },
    Member { role: Role::Worker, name: "worker", kind: "worker", place: "this process" },
    Member { role: Role::Payments, name: "payments", kind: "postgres", place: "a private PostgreSQL" },
    Member { role: Role::Savings, name: "savings", kind: "mysql", place: "a private MariaDB" },
];

impl Role {
    /// All of them, in the order in which they start.
    pub const ALL: [Self; CAST.len()] =
        [Self::Orders, Self::Pricing, Self::Worker, Self::Payments, Self::Savings];

    /// Those that are servers, which may be left out.
    pub const SERVERS: [Self; 2] = [Self::Payments, Self::Savings];

    /// Says whether it is a server, which may be left out.
    #[must_use]
    pub fn is_server(self) -> bool {
        Self::SERVERS.contains(&self)
    }

    /// The name of the backend.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.member().name
    }

    /// The kind of the backend.
    #[must_use]
    pub fn kind(self) -> &'static str {
        self.member().kind
    }

    /// Where it is.
    #[must_use]
    pub fn place(self) -> &'static str {
        self.member().place
    }

    /// The server by its own name; for others, where they are.
    pub(crate) fn server(self) -> &'static str {
        self.place().trim_start_matches("a private ")
    }

    /// Finds a backend by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        CAST.iter().find(|member| member.name == name).map(|member| member.role)
    }

    /// Its position in [`Self::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    fn member(self) -> &'static Member {
        &CAST[self.index()]
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_is_in_its_own_row() {
        for (index, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!((role.index(), role.member().role), (index, role));
            assert_eq!(Role::named(role.name()), Some(role));
        }
        assert_eq!(Role::named("nobody"), None);
    }
}
