//! The server's and the driver's errors as failures: what they are, whether the work was done, what they say of the
//! backend and of the connection.

mod table;
#[cfg(test)]
mod tests;

use std::io;

use backstop_core::error::{Executed, Failure, FailureKind, Phase};
use mysql_async::{DriverError, Error, IoError, ServerError};

use self::table::{Entry, entry_of};

/// What was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum During {
    /// Opening a connection, or preparing a statement: nothing can have been done.
    Connect,
    /// A statement whose effects are undone when it fails or its connection ends: a read, or one inside of a
    /// transaction.
    Statement,
    /// A statement that commits by itself.
    Autocommit,
    /// COMMIT.
    Commit,
}

/// What an error means for connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// This one can serve on.
    Keep,
    /// This one cannot.
    Close,
    /// This one is gone, and the others may be.
    Lost,
    /// The server must not be written to: all of them go, and new ones find the one that can.
    Evict,
}

/// Says what an error means for connections.
pub(crate) fn after(error: &Error) -> After {
    match error {
        Error::Server(error) => entry_of(error).after,
        Error::Io(_) | Error::Driver(DriverError::ConnectionClosed) => After::Lost,
        _ => After::Close,
    }
}

/// Says whether an error ends the whole transaction, or leaves it in a state in which it must not commit.
pub(crate) fn dooms(error: &Error) -> bool {
    match error {
        Error::Server(error) => entry_of(error).dooms,
        _ => true,
    }
}

/// Turns an error into a failure.
pub(crate) fn failure(error: &Error, during: During) -> Failure {
    match error {
        Error::Server(error) => of_server(error, during),
        Error::Io(IoError::Io(error)) if is_nonsense(error) => {
            unproved(FailureKind::Protocol, format!("the server broke the protocol: {error}"), during)
        }
        Error::Io(error) => lost(&error.to_string(), during),
        Error::Driver(error) => of_driver(error, during),
        other => unproved(FailureKind::Protocol, other.to_string(), during),
    }
}

fn is_nonsense(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::Other | io::ErrorKind::InvalidInput)
}

fn of_server(error: &ServerError, during: During) -> Failure {
    let Entry { kind, commit_unknown, silent, outcome, transient, .. } = *entry_of(error);
    // an error is the answer to a statement, which was then undone; COMMIT is the exception
    let is_unknown = silent && matches!(during, During::Autocommit | During::Commit)
        || commit_unknown && during == During::Commit;
    let executed = if is_unknown { Executed::Unknown } else { Executed::No };
    let mut failure = Failure::new(kind, error.message.as_str())
        .executed_is(executed)
        .with_code(format!("{}/{}", error.code, error.state));
    if let Some(outcome) = outcome {
        failure = failure.counts_as(outcome);
    }
    if let Some(transient) = transient {
        failure = failure.transient(transient);
    }
    failure
}

fn of_driver(error: &DriverError, during: During) -> Failure {
    match error {
        DriverError::ConnectionClosed => lost("the connection is closed", during),
        DriverError::PacketTooLarge => unproved(FailureKind::TooLarge, error.to_string(), during),
        DriverError::LocalInfile(_) => {
            unproved(FailureKind::Protocol, "the server asked for a file of this machine".to_owned(), during)
        }
        DriverError::Params(_)
        | DriverError::MixedParams
        | DriverError::StmtParamsMismatch { .. }
        | DriverError::StmtParamsNumberExceedsLimit { .. } => {
            Failure::refused(error.to_string()).with_code("invalid_parameters")
        }
        DriverError::UnknownAuthPlugin { .. }
        | DriverError::MysqlOldPasswordDisabled
        | DriverError::CleartextPluginDisabled => {
            Failure::new(FailureKind::Auth, error.to_string()).executed_is(Executed::No)
        }
        DriverError::NoClientSslFlagFromServer => {
            Failure::unavailable("the server does not offer TLS, which `tls` asks for").transient(false)
        }
        // its text would show bytes of the server
        DriverError::UnexpectedPacket { .. } => {
            unproved(FailureKind::Protocol, "the server sent a packet out of place".to_owned(), during)
        }
        other => unproved(FailureKind::Protocol, other.to_string(), during),
    }
}

/// The connection is gone: before anything was sent that is nothing but an outage.
fn lost(text: &str, during: During) -> Failure {
    if during == During::Connect {
        return Failure::unavailable(text).in_phase(Phase::Connect);
    }
    unproved(FailureKind::Lost, format!("the connection was lost: {text}"), during)
}

fn unproved(kind: FailureKind, text: String, during: During) -> Failure {
    let executed = match during {
        During::Autocommit | During::Commit => Executed::Unknown,
        During::Connect | During::Statement => Executed::No,
    };
    Failure::new(kind, text).executed_is(executed)
}
