//! What a step can fail with: a closed list, so that rules and `retry.only` can name it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ActionRef, Value};

/// Why a step failed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The parameters don't fit the action's schema.
    InvalidParameters,
    /// What was asked for is not there.
    NotFound,
    /// Somebody else changed it first.
    Conflict,
    /// Known who asks; not allowed.
    Denied,
    /// Not known who asks.
    Unauthenticated,
    /// Too many requests.
    RateLimited,
    /// The other side cannot be reached or says it is not ready.
    Unavailable,
    /// One attempt took longer than its `timeout`.
    Timeout,
    /// The step took longer than its `deadline`, all attempts together.
    Deadline,
    /// A program ended with a non-zero exit code.
    Program,
    /// The engine or the other side refused the request as such.
    Rejected,
    /// A value is larger than its bound.
    TooLarge,
    /// A cycle of waiters.
    Deadlock,
    /// The execution was cancelled.
    Cancelled,
    /// A chain run as a step failed.
    ChildFailed,
    /// The chain said `fail(message)`, or what was waited for has failed.
    Failed,
    /// A defect of Tripline.
    Internal,
    /// The chain used more than its bounds allow; `catch` does not see it.
    Limit,
    /// The journal does not fit the program; `catch` does not see it.
    JournalMismatch,
}

impl ErrorKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 19] = [
        Self::InvalidParameters,
        Self::NotFound,
        Self::Conflict,
        Self::Denied,
        Self::Unauthenticated,
        Self::RateLimited,
        Self::Unavailable,
        Self::Timeout,
        Self::Deadline,
        Self::Program,
        Self::Rejected,
        Self::TooLarge,
        Self::Deadlock,
        Self::Cancelled,
        Self::ChildFailed,
        Self::Failed,
        Self::Internal,
        Self::Limit,
        Self::JournalMismatch,
    ];

    /// Whether another attempt at the same thing would only meet it again.
    pub const fn lasts(self) -> bool {
        use ErrorKind::{Deadline, Denied, Failed, InvalidParameters, TooLarge};
        matches!(self, InvalidParameters | Denied | TooLarge | Deadline | Failed)
    }

    /// Its name in chains, journals and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidParameters => "invalid_parameters",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Unauthenticated => "unauthenticated",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Deadline => "deadline",
            Self::Program => "program",
            Self::Rejected => "rejected",
            Self::TooLarge => "too_large",
            Self::Deadlock => "deadlock",
            Self::Cancelled => "cancelled",
            Self::ChildFailed => "child_failed",
            Self::Failed => "failed",
            Self::Internal => "internal",
            Self::Limit => "limit",
            Self::JournalMismatch => "journal_mismatch",
        }
    }

    /// Whether a chain's `catch` sees it.
    pub const fn is_catchable(self) -> bool {
        !matches!(self, Self::Limit | Self::JournalMismatch)
    }

    /// The kind that has this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a chain's `catch` gets, and what the journal keeps of a failure.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct StepError {
    /// What was wrong, and what to do about it where that is known.
    pub message: String,
    /// The kind, from the closed list.
    pub kind: ErrorKind,
    /// The action that failed; none where the chain itself did.
    pub action: Option<ActionRef>,
    /// How many attempts were made.
    pub attempts: u32,
    /// What else is known, such as an exit code or the end of stderr.
    pub details: Value,
}

impl StepError {
    /// An error without action, attempts or details, which who knows them adds.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { message: message.into(), kind, action: None, attempts: 0, details: Value::Null }
    }

    /// The same error with `details`.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_name_in_chains_and_in_json() {
        for kind in ErrorKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), Value::from(kind.as_str()));
            assert_eq!(ErrorKind::parse(kind.as_str()), Some(kind));
        }
    }
}
