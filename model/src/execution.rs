//! One run of an action: where it comes from, how it stands, how it ended.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EventKey, ExecutionId, Fact, RuleRef, StepError, StepPath, Value};

/// How an execution stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionState {
    /// Requested, not begun.
    Queued,
    /// Being advanced, or a step of it is being performed.
    Running,
    /// Parked until a time, a child's end or something else happens.
    Waiting,
    /// Held by a person.
    Paused,
    /// Undo handlers are running.
    Undoing,
    /// A step's outcome is unknown and a person must say what happened.
    NeedsAttention,
    /// Ended well.
    Succeeded,
    /// Ended by an error.
    Failed,
    /// Ended on request.
    Cancelled,
    /// Ended by its deadline.
    TimedOut,
}

impl ExecutionState {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 10] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Paused,
        Self::Undoing,
        Self::NeedsAttention,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::TimedOut,
    ];

    /// Whether nothing more will happen.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::TimedOut)
    }

    /// How an execution that stood so stands after `fact`, the next of its stream.
    #[must_use]
    pub const fn after(self, fact: &Fact) -> Self {
        match fact {
            Fact::ExecutionRequested(_) => Self::Queued,
            Fact::ExecutionFinished { outcome, .. } => outcome.state,
            Fact::AttentionNeeded { .. } => Self::NeedsAttention,
            Fact::UndoBegan { .. } => Self::Undoing,
            Fact::ExecutionPaused { .. } | Fact::ExecutionResumed { .. }
                if matches!(self, Self::NeedsAttention) =>
            {
                self
            }
            Fact::ExecutionPaused { .. } => Self::Paused,
            Fact::StepResolved { path: Some(path), .. } if path.is_handler() => Self::Undoing,
            Fact::StepResolved { .. } | Fact::ExecutionResumed { .. } => Self::Running,
            // Whatever else happens meanwhile, these stand until one of the facts above.
            _ if matches!(self, Self::NeedsAttention | Self::Undoing | Self::Paused) => self,
            Fact::ExecutionParked { .. } => Self::Waiting,
            Fact::StepIntended { .. }
            | Fact::StepRecorded { .. }
            | Fact::AttemptFailed { .. }
            | Fact::AttemptStarted { .. }
            | Fact::AttemptCutOff { .. }
            | Fact::PollAnswered { .. }
            | Fact::StepFinished { .. } => Self::Running,
            _ => self,
        }
    }

    /// Its name on the command line and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Undoing => "undoing",
            Self::NeedsAttention => "needs_attention",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
        }
    }

    /// The state that has this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl fmt::Display for ExecutionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an execution exists.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A rule selected an event.
    Rule {
        /// The rule.
        rule: RuleRef,
        /// The event.
        event: EventKey,
    },
    /// A person or program asked through the API; the fact's actor says who.
    Manual,
    /// A chain runs it as a step.
    Step {
        /// The execution of that chain.
        parent: ExecutionId,
        /// The step there.
        path: StepPath,
    },
    /// It repeats another one.
    Rerun {
        /// The execution that is repeated.
        of: ExecutionId,
        /// The rule that asked for the first of them, if one did: it is repeated for that rule's
        /// pack, within what that may do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<RuleRef>,
    },
}

impl Origin {
    /// The execution that it repeats, if it does.
    pub const fn repeats(&self) -> Option<&ExecutionId> {
        match self {
            Self::Rerun { of, .. } => Some(of),
            Self::Rule { .. } | Self::Manual | Self::Step { .. } => None,
        }
    }

    /// The rule that asked for it, or for what it repeats, if one did.
    pub fn rule(&self) -> Option<&RuleRef> {
        match self {
            Self::Rule { rule, .. } => Some(rule),
            Self::Rerun { rule, .. } => rule.as_ref(),
            Self::Manual | Self::Step { .. } => None,
        }
    }

    /// The event that caused it, if one did directly.
    pub fn event(&self) -> Option<&EventKey> {
        match self {
            Self::Rule { event, .. } => Some(event),
            Self::Manual | Self::Step { .. } | Self::Rerun { .. } => None,
        }
    }
}

/// Why a chain's undo handlers run.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoReason {
    /// The chain failed.
    Failed(StepError),
    /// Somebody cancelled it.
    Cancelled,
    /// Its deadline passed.
    TimedOut,
}

impl UndoReason {
    /// The state in which an execution ends that was undone for this reason.
    pub const fn end(&self) -> ExecutionState {
        match self {
            Self::Failed(_) => ExecutionState::Failed,
            Self::Cancelled => ExecutionState::Cancelled,
            Self::TimedOut => ExecutionState::TimedOut,
        }
    }
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Outcome {
    /// One of the end states.
    pub state: ExecutionState,
    /// What it returned, where it succeeded.
    pub result: Option<Value>,
    /// Why it did not succeed.
    pub error: Option<StepError>,
    /// The handlers (`undo`, `on_exit`) that failed themselves.
    pub handler_errors: Vec<HandlerError>,
    /// The run that goes on from here with other parameters, where it ended by `continue_as`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continued_as: Option<ExecutionId>,
}

/// An `undo` or `on_exit` handler that failed.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct HandlerError {
    /// Where the handler was registered.
    pub path: StepPath,
    /// What it failed with.
    pub error: StepError,
}

impl Outcome {
    /// An end in `state` of which nothing more is to be said.
    pub const fn of(state: ExecutionState) -> Self {
        Self { state, result: None, error: None, handler_errors: Vec::new(), continued_as: None }
    }

    /// An end with a result.
    pub fn succeeded(result: Value) -> Self {
        let state = ExecutionState::Succeeded;
        Self { result: Some(result), ..Self::of(state) }
    }

    /// An end with an error.
    pub fn failed(error: StepError) -> Self {
        let state = ExecutionState::Failed;
        Self { error: Some(error), ..Self::of(state) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_one_name() {
        for state in ExecutionState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), Value::from(state.as_str()));
            assert_eq!(ExecutionState::parse(state.as_str()), Some(state));
        }
    }
}
