//! What a dry run answers.

use model::{ActionRef, Effect, Plan, StepError, StepPath, Value};
use schemars::JsonSchema;
use serde::Serialize;

/// What an action would do.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DryRun {
    /// The action.
    pub action: ActionRef,
    /// What it would get, defaults included.
    pub parameters: Value,
    /// How far it got.
    pub end: End,
    /// Its calls, in the order in which they were met.
    pub steps: Vec<DryStep>,
    /// What it would return, as far as that can be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Whether all of the result is known.
    pub result_known: bool,
    /// Why it would fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
    /// Why it could not be followed further.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stopped: Vec<Stopped>,
}

/// How far a dry run got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// To the end.
    Complete,
    /// To where it needs what only performing would give.
    Stopped,
    /// To where it would fail; handlers are followed.
    Failed,
}

/// One call.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DryStep {
    /// Its place in the chain.
    pub path: StepPath,
    /// The function that makes it.
    pub call: &'static str,
    /// What it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionRef>,
    /// With what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
    /// What performing it twice would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// Where in the chain's text it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What the dry run did about it.
    pub how: How,
    /// What it would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// What it answered, or would answer; absent where nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it failed, or would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
    /// The dry run of the chain that it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub child: Option<Box<DryRun>>,
}

/// What a dry run does about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It only reads, so it was performed.
    Performed,
    /// It was asked what it would do.
    Planned,
    /// Its result was given by who asked for the dry run.
    Assumed,
    /// The chain's own doing.
    Noted,
    /// It could not be made at all.
    Refused,
}

/// Where a dry run cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Stopped {
    /// The step whose result would be needed; the first of a child's has its step's path before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Where in the chain's text that step's call stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Why.
    pub why: String,
}

impl DryStep {
    /// A call of which nothing is known but that it was made.
    pub(super) fn new(path: StepPath, call: &'static str, how: How) -> Self {
        Self {
            path,
            call,
            how,
            action: None,
            parameters: None,
            effect: None,
            at: None,
            plan: None,
            result: None,
            error: None,
            child: None,
        }
    }
}
