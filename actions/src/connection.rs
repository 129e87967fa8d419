//! Why a connection cannot be used, as an error of the step that named it.

use host::connection::NoConnection;
use model::{ErrorKind, StepError};

/// The error of a step whose connection cannot be used.
pub(crate) fn no_connection(error: &NoConnection) -> StepError {
    let kind = match error {
        NoConnection::Unknown { .. } => ErrorKind::NotFound,
        NoConnection::NotGranted { .. } | NoConnection::NotLent { .. } => ErrorKind::Denied,
        NoConnection::Misfit { .. } | NoConnection::Outside { .. } => ErrorKind::InvalidParameters,
        NoConnection::Credentials { .. } => ErrorKind::Unauthenticated,
    };
    StepError::new(kind, error.to_string())
}
