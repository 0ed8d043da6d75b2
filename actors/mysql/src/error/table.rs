//! The server's errors as data; each row is a test.

use backstop_core::{error::FailureKind as Kind, outcome::Outcome};
use mysql_async::ServerError;

use super::After::{self, Close, Evict, Keep, Lost};

/// What one error of the server means.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own in a table")]
pub(super) struct Entry {
    pub(super) code: u16,
    pub(super) kind: Kind,
    pub(super) after: After,
    /// As the answer to COMMIT it proves nothing.
    pub(super) commit_unknown: bool,
    /// It tells that the connection ended, not that the statement did.
    pub(super) silent: bool,
    /// The transaction is gone, or must not go on.
    pub(super) dooms: bool,
    pub(super) outcome: Option<Outcome>,
    pub(super) transient: Option<bool>,
}

const fn row(code: u16, kind: Kind, after: After) -> Entry {
    Entry {
        code,
        kind,
        after,
        commit_unknown: false,
        silent: false,
        dooms: !matches!(after, Keep),
        outcome: None,
        transient: None,
    }
}

impl Entry {
    const fn commit_unknown(mut self) -> Self {
        self.commit_unknown = true;
        self
    }

    const fn silent(mut self) -> Self {
        self.silent = true;
        self
    }

    const fn dooms(mut self) -> Self {
        self.dooms = true;
        self
    }

    const fn counts_as(mut self, outcome: Outcome) -> Self {
        self.outcome = Some(outcome);
        self
    }

    const fn transient(mut self, transient: bool) -> Self {
        self.transient = Some(transient);
        self
    }
}

/// By the error references of MySQL 8.4 and of MariaDB 11.
pub(super) const TABLE: &[Entry] = &[
    // no connection is to be had
    row(1040, Kind::Overloaded, Close), // too many connections
    row(1203, Kind::Overloaded, Close), // … of this user
    row(1226, Kind::Overloaded, Close), // a resource of this user
    row(1135, Kind::Overloaded, Close), // no thread for a connection
    row(1129, Kind::Unavailable, Close).transient(false), // this host is blocked after many errors
    row(1130, Kind::Auth, Close),       // this host may not connect
    row(1045, Kind::Auth, Close),
    row(1698, Kind::Auth, Close),
    row(1251, Kind::Auth, Close),
    row(1820, Kind::Auth, Close), // the password has expired
    row(1862, Kind::Auth, Close),
    row(1047, Kind::Unavailable, Close), // a Galera node that is not ready
    row(1053, Kind::Unavailable, Lost).commit_unknown(), // the server shuts down
    row(1077, Kind::Unavailable, Lost).commit_unknown(),
    row(1079, Kind::Unavailable, Lost).commit_unknown(),
    // the connection was lost, and this is what is left of it
    row(1152, Kind::Lost, Lost).silent(),
    row(1158, Kind::Lost, Lost).silent(),
    row(1159, Kind::Lost, Lost).silent(),
    row(1160, Kind::Lost, Lost).silent(),
    row(1161, Kind::Lost, Lost).silent(),
    row(1184, Kind::Lost, Lost).silent(),
    row(2006, Kind::Lost, Lost).silent(),
    row(2013, Kind::Lost, Lost).silent(),
    row(4031, Kind::Lost, Lost).silent(),         // idle for too long
    row(1927, Kind::Lost, Lost).commit_unknown(), // MariaDB: killed while it ran, and undone
    // a definite abort; run it again
    row(1205, Kind::Aborted, Keep).dooms(), // a lock: this statement alone was undone
    row(1213, Kind::Aborted, Keep).dooms(), // a deadlock: the whole transaction was
    row(1020, Kind::Aborted, Keep).dooms(), // MariaDB: the row changed since the snapshot
    row(3572, Kind::Aborted, Keep).dooms(), // NOWAIT
    row(3101, Kind::Aborted, Keep).dooms(), // group replication rolled it back
    row(1412, Kind::Aborted, Keep).dooms(), // the table's definition changed
    row(1637, Kind::Overloaded, Keep).dooms(), // too many transactions
    row(1206, Kind::Overloaded, Keep).dooms(), // the lock table is full
    // the statement must be prepared anew; a new connection does it
    row(1615, Kind::Aborted, Close),
    row(1243, Kind::Aborted, Close),
    row(1461, Kind::Overloaded, Close), // max_prepared_stmt_count
    // its time was over
    row(1317, Kind::Timeout, Keep).commit_unknown().dooms().transient(false),
    row(3024, Kind::Timeout, Keep).dooms().transient(false), // MySQL's max_execution_time, which ends reads alone
    row(1969, Kind::Timeout, Keep).commit_unknown().dooms().transient(false), // MariaDB's max_statement_time
    // this server must not be written to
    row(1290, Kind::Unavailable, Evict),
    row(1836, Kind::Unavailable, Evict),
    row(1792, Kind::Refused, Keep).counts_as(Outcome::NotCounted), // it is we who made the session read-only
    // the data says no
    row(1022, Kind::Conflict, Keep),
    row(1048, Kind::Conflict, Keep),
    row(1062, Kind::Conflict, Keep),
    row(1169, Kind::Conflict, Keep),
    row(1216, Kind::Conflict, Keep),
    row(1217, Kind::Conflict, Keep),
    row(1451, Kind::Conflict, Keep),
    row(1452, Kind::Conflict, Keep),
    row(1557, Kind::Conflict, Keep),
    row(1586, Kind::Conflict, Keep),
    row(1761, Kind::Conflict, Keep),
    row(1762, Kind::Conflict, Keep),
    row(3819, Kind::Conflict, Keep), // CHECK of MySQL
    row(4025, Kind::Conflict, Keep), // CHECK of MariaDB
    // the statement is wrong, and stays so
    row(1044, Kind::Refused, Keep),
    row(1049, Kind::Refused, Keep), // no such database, in a statement that names one
    row(1054, Kind::Refused, Keep),
    row(1064, Kind::Refused, Keep),
    row(1142, Kind::Refused, Keep),
    row(1146, Kind::Refused, Keep),
    row(1295, Kind::Refused, Keep), // not for prepared statements
    // sizes and resources
    row(1153, Kind::TooLarge, Close),
    row(1301, Kind::TooLarge, Keep),
    row(1037, Kind::Overloaded, Keep),
    row(1038, Kind::Overloaded, Keep),
    row(1041, Kind::Overloaded, Keep),
    row(1021, Kind::Server, Keep).transient(false), // the disk is full
    row(1114, Kind::Server, Keep).transient(false), // … or the table
    row(1180, Kind::Server, Close).commit_unknown(), // an error during COMMIT
    row(1181, Kind::Server, Close).commit_unknown(), // … or ROLLBACK
    row(1156, Kind::Protocol, Close).silent(),
    // damage
    row(1034, Kind::Corrupt, Keep),
    row(1194, Kind::Corrupt, Keep),
    row(1195, Kind::Corrupt, Keep),
    row(1712, Kind::Corrupt, Keep),
];

const CONNECTION: Entry = row(0, Kind::Lost, Lost).silent();
const ABORT: Entry = row(0, Kind::Aborted, Keep).dooms();
const CONFLICT: Entry = row(0, Kind::Conflict, Keep);
const OTHER: Entry = row(0, Kind::Refused, Keep);

/// Finds what an error means: by its code, else by the class of its state.
pub(super) fn entry_of(error: &ServerError) -> &'static Entry {
    if let Some(entry) = TABLE.iter().find(|entry| entry.code == error.code) {
        return entry;
    }
    match error.state.get(..2) {
        Some("08") => &CONNECTION,
        Some("40") => &ABORT,
        Some("23") => &CONFLICT,
        _ => &OTHER,
    }
}
