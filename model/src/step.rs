//! One call of a chain: what it asks for, how it may be repeated, how it went.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ActionRef, Duration, ErrorKind, Hash, StepError, Timestamp, TriggerType, Value};

/// What performing an action twice would do: decides what recovery may do by itself.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It changes nothing.
    Read,
    /// With the same key its effect happens once.
    Idempotent,
    /// Each performance may have an effect of its own.
    Unsafe,
}

impl Effect {
    /// Its name in pack files and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Idempotent => "idempotent",
            Self::Unsafe => "unsafe",
        }
    }

    /// The effect class that has this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Read, Self::Idempotent, Self::Unsafe].into_iter().find(|e| e.as_str() == name)
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How one performance of an action went.
#[derive(Debug, Clone, PartialEq)]
pub enum Performance {
    /// It was done.
    Done(Value),
    /// It failed, certainly without effect.
    Failed(StepError),
    /// It may or may not have had its effect: a timeout, a lost answer, a kill.
    Unknown(StepError),
}

/// How long to wait between attempts.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Backoff {
    /// Before the second attempt.
    pub delay: Duration,
    /// Factor from one delay to the next, at least 1.
    pub factor: f64,
    /// No delay is longer.
    pub max_delay: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { delay: Duration::from_secs(1), factor: 2.0, max_delay: Duration::from_secs(60) }
    }
}

impl Backoff {
    /// The delay after the failure of attempt `attempt` (from 1).
    pub fn after(&self, attempt: u32) -> Duration {
        let factor = self.factor.powi(attempt.saturating_sub(1).min(1_000) as i32);
        let millis =
            (self.delay.as_millis() as f64 * factor).min(self.max_delay.as_millis() as f64);
        Duration::from_millis(millis as u64)
    }
}

/// How a step may be repeated and how long it may take; fixed when its intent is stored.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Policy {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// Delays between them.
    pub backoff: Backoff,
    /// Only these kinds are tried again; none named: all.
    pub only: Vec<ErrorKind>,
    /// Longest time of one attempt.
    pub timeout: Option<Duration>,
    /// All attempts and delays end by then.
    pub deadline: Option<Timestamp>,
}

/// A call that something outside the chain must answer, as it is stored before it is performed.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// An action is performed.
    Run {
        /// The action.
        action: ActionRef,
        /// Its parameters.
        parameters: Value,
        /// Its effect class when the intent was stored: recovery uses this one.
        effect: Effect,
        /// The content it was resolved to: its pack's hash; none for what is built in.
        version: Option<Hash>,
        /// Repetition and time limits.
        policy: Policy,
    },
    /// A chain runs as a child execution.
    Child {
        /// The chain.
        action: ActionRef,
        /// Its parameters.
        parameters: Value,
        /// Its pack's content hash.
        version: Hash,
        /// The child is cancelled, and the step fails, at this time.
        deadline: Option<Timestamp>,
    },
    /// Nothing happens until a time.
    Sleep {
        /// That time.
        until: Timestamp,
    },
    /// A read action is performed again and again until its answer satisfies the chain.
    Poll {
        /// The action.
        action: ActionRef,
        /// Its parameters.
        parameters: Value,
        /// The content it was resolved to.
        version: Option<Hash>,
        /// Time between answers, and how it grows.
        every: Backoff,
        /// Longest time of one attempt.
        timeout: Option<Duration>,
        /// The step fails at this time.
        deadline: Option<Timestamp>,
    },
}

impl Call {
    /// The action it names, if any.
    pub fn action(&self) -> Option<&ActionRef> {
        match self {
            Self::Run { action, .. } | Self::Child { action, .. } | Self::Poll { action, .. } => {
                Some(action)
            }
            Self::Sleep { .. } => None,
        }
    }

    /// The content of the pack that its action was found in, where that is kept for it.
    pub fn version(&self) -> Option<&Hash> {
        match self {
            Self::Run { version, .. } | Self::Poll { version, .. } => version.as_ref(),
            Self::Child { version, .. } => Some(version),
            Self::Sleep { .. } => None,
        }
    }

    /// The parameters it passes, if any.
    pub fn parameters(&self) -> Option<&Value> {
        match self {
            Self::Run { parameters, .. }
            | Self::Child { parameters, .. }
            | Self::Poll { parameters, .. } => Some(parameters),
            Self::Sleep { .. } => None,
        }
    }
}

/// A call that the chain answers itself, once: replays read the answer.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// `now()`.
    Now(Timestamp),
    /// `uuid()`. Journals of earlier versions don't hold it: it follows from execution and path.
    Uuid(String),
    /// `log(…)`.
    Log(String),
    /// `emit(type, data)`.
    Emit {
        /// The event's type.
        kind: TriggerType,
        /// Its data.
        data: Value,
    },
    /// `emit(type, data)` of an event that cannot be: the chain gets the error.
    EmitRefused {
        /// The event's type.
        kind: TriggerType,
        /// Why.
        error: StepError,
    },
    /// `undo(|error| …)`.
    Undo,
    /// `on_exit(|outcome| …)`.
    OnExit,
}

impl Record {
    /// The function in the chain that makes such a record.
    pub const fn function(&self) -> &'static str {
        match self {
            Self::Now(_) => "now",
            Self::Uuid(_) => "uuid",
            Self::Log(_) => "log",
            Self::Emit { .. } | Self::EmitRefused { .. } => "emit",
            Self::Undo => "undo",
            Self::OnExit => "on_exit",
        }
    }
}

/// What a person says of a step whose outcome is unknown.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// It was done, with this result.
    Done(Value),
    /// Perform it again.
    Retry,
    /// It failed.
    Fail(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_their_bound() {
        let backoff = Backoff::default();
        let delays: Vec<u64> = [1, 2, 3, 7, u32::MAX].map(|n| backoff.after(n).as_millis()).into();
        assert_eq!(delays, [1_000, 2_000, 4_000, 60_000, 60_000]);
    }
}
