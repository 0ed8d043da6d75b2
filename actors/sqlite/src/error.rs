//! The engine's errors as failures: what they are, whether the work was done, what they say of the backend.

use backstop_core::{
    error::{Executed, Failure, FailureKind, Phase},
    outcome::Outcome,
};
use backstop_sql::StatementError;
use rusqlite::{Error, ErrorCode, ffi};

/// What was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum During {
    /// Opening a connection.
    Open,
    /// A statement whose effects are undone: a read, or one inside a transaction.
    Statement,
    /// A statement that commits by itself.
    Autocommit,
    /// COMMIT.
    Commit,
}

/// Why a statement did not end well.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The engine refused it.
    Engine(Error),
    /// We did, or its reply cannot be used.
    Ours(Failure),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<StatementError> for Fault {
    fn from(error: StatementError) -> Self {
        Self::Ours(error.into())
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Ours(failure)
    }
}

impl Fault {
    pub(crate) fn into_failure(self, during: During) -> Failure {
        match self {
            Self::Engine(error) => failure(error, during),
            Self::Ours(failure) => failure,
        }
    }

    /// Says whether another connection holds the lock.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Engine(error) if is_busy(error))
    }

    pub(crate) fn is_interrupt(&self) -> bool {
        matches!(self, Self::Engine(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted))
    }
}

pub(crate) fn is_busy(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Says whether COMMIT found a foreign key that stayed broken.
pub(crate) fn is_constraint(error: &Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

/// Turns an error of the engine into a failure.
pub(crate) fn failure(error: Error, during: During) -> Failure {
    match error {
        Error::SqliteFailure(code, message) => {
            let text = message.unwrap_or_else(|| ffi::code_to_str(code.extended_code).to_owned());
            of_code(code, text, during)
        }
        // its own Display would show the statement, and with it whatever literals it holds
        Error::SqlInputError { error, msg, offset, .. } => {
            let text = if offset < 0 { msg } else { format!("{msg} (at byte {offset})") };
            of_code(error, text, during)
        }
        other => Failure::refused(other.to_string()).counts_as(Outcome::NotCounted),
    }
}

fn of_code(error: ffi::Error, text: String, during: During) -> Failure {
    // once COMMIT has written, an I/O error (of a sync, say) no longer tells whether the log keeps the commit
    let unproved = match during {
        During::Autocommit | During::Commit => Executed::Unknown,
        During::Open | During::Statement => Executed::No,
    };
    let undone = |kind| Failure::new(kind, text.as_str()).executed_is(Executed::No);
    let failure = match error.code {
        ErrorCode::ConstraintViolation => undone(FailureKind::Conflict),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            undone(FailureKind::Aborted)
        }
        ErrorCode::SchemaChanged | ErrorCode::OperationAborted => undone(FailureKind::Aborted),
        // retrying soon does not make room
        ErrorCode::DiskFull => undone(FailureKind::Server).transient(false),
        // the frame that commits is written last: when a write failed, it is not there to be recovered
        ErrorCode::SystemIoFailure if error.extended_code == ffi::SQLITE_IOERR_WRITE => {
            undone(FailureKind::Server)
        }
        ErrorCode::SystemIoFailure => undone(FailureKind::Server).executed_is(unproved),
        ErrorCode::DatabaseCorrupt => undone(FailureKind::Corrupt).executed_is(unproved),
        ErrorCode::NotADatabase => undone(FailureKind::Corrupt),
        ErrorCode::OperationInterrupted => undone(FailureKind::Timeout),
        // writes reach the writer alone, which asked for the right to write: it is the file that denies it
        ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            Failure::unavailable(text.as_str())
        }
        ErrorCode::TooBig => undone(FailureKind::TooLarge),
        ErrorCode::OutOfMemory => undone(FailureKind::Overloaded),
        ErrorCode::InternalMalfunction | ErrorCode::ApiMisuse | ErrorCode::NoLargeFileSupport => {
            undone(FailureKind::Server).executed_is(unproved).transient(false)
        }
        _ => undone(FailureKind::Refused),
    };
    let failure = if during == During::Open { failure.in_phase(Phase::Connect) } else { failure };
    failure.with_code(error.extended_code.to_string())
}

/// The deadline passed before the job was begun.
pub(crate) fn expired() -> Failure {
    Failure::new(FailureKind::Timeout, "the deadline passed while the call waited for its turn")
        .in_phase(Phase::Queue)
        .executed_is(Executed::No)
}

/// The path leads to another file than before, beside which the log of the old one lies.
pub(crate) fn replaced() -> Failure {
    Failure::unavailable(
        "the database file was replaced while its write-ahead log is still there, which would damage the new \
         file: put the old one back, or remove the files `-wal` and `-shm` of the old one",
    )
}

/// Another process kept the lock.
pub(crate) fn busy() -> Failure {
    Failure::new(FailureKind::Aborted, "another process holds the lock of the database")
        .in_phase(Phase::Acquire)
        .executed_is(Executed::No)
        .with_code(ffi::SQLITE_BUSY.to_string())
}

/// The thread of a job panicked while it held the job.
pub(crate) fn panicked(executed: Executed) -> Failure {
    Failure::new(FailureKind::Panicked, "the thread that ran the statement panicked").executed_is(executed)
}

/// The thread of a job ended without an answer.
pub(crate) fn lost() -> Failure {
    panicked(Executed::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_holds() {
        use Executed::{No, Unknown};
        use FailureKind::{
            Aborted, Conflict, Corrupt, Overloaded, Refused, Server, Timeout, TooLarge, Unavailable,
        };
        let rows = [
            (ffi::SQLITE_CONSTRAINT_UNIQUE, During::Statement, Conflict, No, Outcome::Success, false),
            (ffi::SQLITE_CONSTRAINT_FOREIGNKEY, During::Commit, Conflict, No, Outcome::Success, false),
            (ffi::SQLITE_BUSY, During::Autocommit, Aborted, No, Outcome::Success, true),
            (ffi::SQLITE_BUSY_SNAPSHOT, During::Statement, Aborted, No, Outcome::Success, true),
            (ffi::SQLITE_LOCKED, During::Statement, Aborted, No, Outcome::Success, true),
            (ffi::SQLITE_PROTOCOL, During::Statement, Aborted, No, Outcome::Success, true),
            (ffi::SQLITE_SCHEMA, During::Statement, Aborted, No, Outcome::Success, true),
            (ffi::SQLITE_FULL, During::Commit, Server, No, Outcome::Failure, false),
            (ffi::SQLITE_IOERR_WRITE, During::Statement, Server, No, Outcome::Failure, true),
            (ffi::SQLITE_IOERR_WRITE, During::Commit, Server, No, Outcome::Failure, true),
            (ffi::SQLITE_IOERR_FSYNC, During::Commit, Server, Unknown, Outcome::Failure, true),
            (ffi::SQLITE_IOERR_FSYNC, During::Autocommit, Server, Unknown, Outcome::Failure, true),
            (ffi::SQLITE_CORRUPT, During::Statement, Corrupt, No, Outcome::Failure, false),
            (ffi::SQLITE_NOTADB, During::Open, Corrupt, No, Outcome::Failure, false),
            (ffi::SQLITE_INTERRUPT, During::Autocommit, Timeout, No, Outcome::Failure, true),
            (ffi::SQLITE_READONLY, During::Statement, Unavailable, No, Outcome::Failure, true),
            (ffi::SQLITE_READONLY_DIRECTORY, During::Open, Unavailable, No, Outcome::Failure, true),
            (ffi::SQLITE_READONLY_DBMOVED, During::Statement, Unavailable, No, Outcome::Failure, true),
            (ffi::SQLITE_CANTOPEN, During::Open, Unavailable, No, Outcome::Failure, true),
            (ffi::SQLITE_PERM, During::Open, Unavailable, No, Outcome::Failure, true),
            (ffi::SQLITE_TOOBIG, During::Statement, TooLarge, No, Outcome::Success, false),
            (ffi::SQLITE_NOMEM, During::Statement, Overloaded, No, Outcome::Overload, true),
            (ffi::SQLITE_AUTH, During::Statement, Refused, No, Outcome::Success, false),
            (ffi::SQLITE_MISMATCH, During::Statement, Refused, No, Outcome::Success, false),
            (ffi::SQLITE_ERROR, During::Statement, Refused, No, Outcome::Success, false),
        ];
        for (code, during, kind, executed, outcome, transient) in rows {
            let failure = failure(Error::SqliteFailure(ffi::Error::new(code), None), during);
            let found = (failure.kind(), failure.executed(), failure.outcome(), failure.is_transient());
            assert_eq!(found, (kind, executed, outcome, transient), "code {code} during {during:?}");
            assert_eq!(failure.code(), Some(code.to_string().as_str()));
        }
    }

    #[test]
    fn a_syntax_error_shows_no_literal_of_its_statement() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let error = connection.prepare("SELECT 'hunter2' FROM nowhere").unwrap_err();
        let failure = failure(error, During::Statement);
        assert_eq!(failure.kind(), FailureKind::Refused);
        assert!(!format!("{failure} {failure:?}").contains("hunter2"), "{failure}");
    }
}
