//! Why what people and programs ask of a running engine is not done.

use model::{ExecutionId, Violation};
use store::StoreError;

use crate::core::Trouble;
use crate::driver::Refused;
use crate::intake::IntakeError;
use crate::secrets::SecretError;

/// Why something asked for is not done.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It names something that is not there.
    #[error("{0}")]
    NotFound(String),
    /// There is no such execution.
    #[error("there is no execution `{0}`")]
    NoExecution(ExecutionId),
    /// What was given does not fit.
    #[error("{}", violations(.0))]
    Invalid(Vec<Violation>),
    /// It is not possible as things stand.
    #[error("{0}")]
    Conflict(String),
    /// It has ended, and went on as another one.
    #[error("{0}")]
    WentOn(String),
    /// It is to be decided about what waits for no decision.
    #[error("{0}")]
    NothingToDecide(String),
    /// What is to be stored is too large.
    #[error("{0}")]
    TooLarge(String),
    /// The engine or its store is in trouble.
    #[error("{0}")]
    Unavailable(String),
}

impl AskError {
    /// What to do, where the error itself does not say.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoExecution(_) => Some(
                "`tripline execution list` shows those that there are; what has ended is forgotten after a while, by `retention.executions`",
            ),
            Self::WentOn(_) => Some(
                "name that one; `tripline execution cancel --latest` and `pause --latest` find it themselves",
            ),
            Self::NothingToDecide(_) => Some(
                "`tripline execution list --states needs_attention` shows what waits for one; to begin anew what has ended: `tripline execution rerun`",
            ),
            _ => None,
        }
    }

    /// There is no `what` with this name; the hint is the known one that was probably meant.
    pub(crate) fn unknown<'a>(
        what: &str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self::NotFound(model::diagnostic::unknown(what, name, known))
    }
}

fn violations(all: &[Violation]) -> String {
    let told = all.iter().map(|violation| match &violation.hint {
        Some(hint) => format!("{} ({hint})", violation.message),
        None => violation.message.clone(),
    });
    told.collect::<Vec<_>>().join("; ")
}

impl From<StoreError> for AskError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(_) => Self::TooLarge(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<SecretError> for AskError {
    fn from(error: SecretError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<Trouble> for AskError {
    fn from(error: Trouble) -> Self {
        match error {
            Trouble::Store(error) => error.into(),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<IntakeError> for AskError {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::TooLarge(_) => Self::TooLarge(error.to_string()),
            IntakeError::TooDeep => Self::Invalid(vec![Violation {
                path: "data".to_owned(),
                message: error.to_string(),
                hint: Some("send what is deeper as text".to_owned()),
            }]),
            IntakeError::Trouble(trouble) => trouble.into(),
        }
    }
}

impl From<Refused> for AskError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown(id) => Self::NoExecution(id),
            Refused::WentOn { .. } => Self::WentOn(refused.to_string()),
            Refused::NothingToResolve(_) => Self::NothingToDecide(refused.to_string()),
            Refused::Stopping | Refused::Store(_) => Self::Unavailable(refused.to_string()),
            _ => Self::Conflict(refused.to_string()),
        }
    }
}
