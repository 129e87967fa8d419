//! What is asked and told of executions.

use model::{
    ActionRef, Actor, EventKey, ExecutionId, ExecutionState, Hash, Origin, PackName, RuleRef,
    StepPath, Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Position;

/// What somebody asked of an execution: its end, or that it be held.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Asked {
    /// What it is to do.
    pub to: AskedTo,
    /// Who asked.
    pub by: Actor,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// What an execution was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskedTo {
    /// To end, its undo handlers first.
    Cancel,
    /// To begin nothing new until it is resumed.
    Pause,
}

/// An execution as listings show it.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ExecutionRow {
    /// Its id.
    pub id: ExecutionId,
    /// The action it runs.
    pub action: ActionRef,
    /// How it stands.
    pub state: ExecutionState,
    /// Where it comes from.
    pub origin: Origin,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// When its first step began; where its chain came to an end without one, when that was.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When it goes on by itself, where it waits for a time; of one that was waiting when somebody
    /// asked for its end, the time of that request.
    pub wake_at: Option<Timestamp>,
    /// The message of its error, or of why it needs attention.
    pub message: Option<String>,
    /// That somebody asked for its end, also once it has ended; or that it be held, until it is resumed.
    #[serde(default)]
    pub asked: Option<Asked>,
    /// The pack content it pins.
    pub pack: Option<Hash>,
    /// The position of its request: the cursor of listings.
    pub position: Position,
}

/// Which executions to list.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ExecutionFilter {
    /// Only these states; empty: all.
    pub states: Vec<ExecutionState>,
    /// Only of this rule.
    pub rule: Option<RuleRef>,
    /// Only of this action.
    pub action: Option<ActionRef>,
    /// Only of this pack's actions.
    pub pack: Option<PackName>,
    /// Only because of this event.
    pub event: Option<EventKey>,
    /// Only children of this execution; without it, only executions that are nobody's child
    /// unless `children` is set.
    pub parent: Option<ExecutionId>,
    /// Of these, only runs of the child that it runs at this step.
    pub step: Option<StepPath>,
    /// Of a child that went on, only the run that it is now.
    pub last_runs: bool,
    /// Children too.
    pub children: bool,
    /// Only those that repeat this execution.
    pub repeats: Option<ExecutionId>,
    /// Only those that this one asked for, directly or by an event, and the runs that they went on as.
    pub actor: Option<Actor>,
    /// Only requested at or after this time.
    pub since: Option<Timestamp>,
    /// Only requested before this position.
    pub before: Option<Position>,
    /// At most so many.
    pub limit: usize,
}

/// What recovery needs to know of an execution that has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Unfinished {
    /// Its id.
    pub id: ExecutionId,
    /// The rule that asked for it, for fairness.
    pub rule: Option<RuleRef>,
    /// How it stands.
    pub state: ExecutionState,
    /// When it goes on, where it is parked until a time.
    pub wake_at: Option<Timestamp>,
}
