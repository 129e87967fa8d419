//! What the engine tells of itself: plain values for the API and the command line.

mod steps;

use model::{
    ActionRef, Actor, Diagnostic, Effect, EventKey, ExecutionId, ExecutionState, Hash, Name,
    Outcome, PackPattern, Role, RuleRef, Severity, StepError, StepPath, Timestamp, TriggerType,
    Value,
};
use schemars::JsonSchema;
use serde::Serialize;
use store::{ExecutionRow, Recorded, RuleCount};

pub use self::steps::{ResolvedView, StepState, StepView, steps};
use crate::driver::bounds;
pub use crate::going_on::LatestView;
pub use crate::undecided::{Ending, Undecided, resolve_command};

/// One execution with its journal.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct ExecutionView {
    /// What listings show.
    #[serde(flatten)]
    pub row: ExecutionRow,
    /// Its pack's version, as the pack names it.
    pub pack_version: Option<String>,
    /// Its parameters.
    pub parameters: Value,
    /// What happened, in order.
    pub steps: Vec<StepView>,
    /// The step (none: the chain itself) that a person must decide about, and why.
    pub attention: Option<AttentionView>,
    /// Where it has not ended: what a person must decide before, about it and about what it runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<Undecided>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The run of the same chain that it goes on from, by `continue_as`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continues: Option<ExecutionId>,
    /// The last of the runs that went on from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest: Option<LatestView>,
    /// Why its undo handlers ran.
    pub undo: Option<model::UndoReason>,
    /// Who asked for it, or for the first of the runs that went on as it.
    pub actor: Actor,
    /// How much of its bounds it has used.
    pub size: SizeView,
}

/// How much of its bounds an execution has used.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct SizeView {
    /// Journaled calls.
    pub steps: usize,
    /// Most of them.
    pub max_steps: usize,
    /// Bytes of the journal.
    pub bytes: usize,
    /// Most of them.
    pub max_bytes: usize,
    /// Whether four fifths of either are used.
    pub near_limit: bool,
}

impl SizeView {
    /// The size of the journal that `facts` are.
    pub(crate) fn of(facts: &[Recorded], steps: usize) -> Self {
        let bytes = facts.iter().map(|recorded| model::json::length(&recorded.fact)).sum();
        Self {
            steps,
            max_steps: chains::MAX_STEPS,
            bytes,
            max_bytes: bounds::MAX_JOURNAL_BYTES,
            near_limit: bounds::is_near(steps, bytes),
        }
    }
}

/// Why a person must decide.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct AttentionView {
    /// The step; none: the chain itself.
    pub path: Option<StepPath>,
    /// Why.
    pub error: StepError,
}

/// A rule as listings show it.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct RuleView {
    /// Its reference.
    pub rule: RuleRef,
    /// What it is for.
    pub description: String,
    /// The event type it selects.
    pub trigger: TriggerType,
    /// The action it asks for.
    pub action: ActionRef,
    /// Whether it is enabled now.
    pub enabled: bool,
    /// What a command said, where one did; it wins over the file.
    pub switched: Option<bool>,
    /// What it did so far.
    pub counts: RuleCount,
    /// Its file's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What a rule makes, or made, of an event.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct RuleExplanation {
    /// The rule.
    pub rule: RuleRef,
    /// What was stored with the event; none where today's rules are asked.
    pub recorded: Option<RecordedDecision>,
    /// Each criterion; none where the rule's text of that time is gone, or the rule is disabled.
    pub explanation: Option<rules::Explanation>,
    /// Why there is no explanation.
    pub note: Option<String>,
}

/// A decision that was stored with an event.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedDecision {
    /// It selected the event and asked for this execution.
    Selected(ExecutionId),
    /// Its condition or a template failed.
    Failed(String),
    /// It did not select the event.
    NotSelected,
}

/// A sensor or subscription as listings show it.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct SensorView {
    /// `pack.sensor` or `<type>/<hash of parameters>`.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `running`, `waiting`, `failing`.
    pub state: &'static str,
    /// The reason it waits for, or its error.
    pub message: Option<String>,
    /// When it tries again; none while it is being tried.
    pub next_try: Option<Timestamp>,
    /// Events since the engine started.
    pub events: u64,
    /// What it saw since then and could tell no rule.
    pub left_out: u64,
    /// How often it was started again since then, after it had failed.
    pub restarts: u64,
    /// The rules that listen to it.
    pub rules: Vec<RuleRef>,
    /// Its parameters.
    pub parameters: Value,
    /// Where it stands in its source.
    pub cursor: Option<Value>,
    /// The path a webhook is posted to.
    pub webhook: Option<String>,
}

/// A timer's next firings.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct TimerView {
    /// Its subscription.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its parameters.
    pub parameters: Value,
    /// The rules that listen to it.
    pub rules: Vec<RuleRef>,
    /// The next times it fires, soonest first.
    pub next: Vec<Timestamp>,
}

/// A pack as listings show it.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct PackView {
    /// Its name; where nothing of it could be read, that of its folder.
    pub name: String,
    /// The version of the active content.
    pub version: Option<String>,
    /// The hash of the active content.
    pub hash: Option<Hash>,
    /// What it is for.
    pub description: String,
    /// `active`, `stale` (its files are broken: the last good content stays), `rejected`.
    pub state: &'static str,
    /// Its folder.
    pub folder: String,
    /// Number of rules, actions and sensors.
    pub rules: usize,
    /// Number of actions.
    pub actions: usize,
    /// Number of named sensors.
    pub sensors: usize,
    /// What was found wrong with its files.
    pub findings: Vec<FindingView>,
}

/// A finding about a file.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct FindingView {
    /// `error` or `warning`.
    pub severity: &'static str,
    /// `file:line:column`.
    pub at: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// All of it, as people read it.
    pub text: String,
}

impl From<&Diagnostic> for FindingView {
    fn from(finding: &Diagnostic) -> Self {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        Self {
            severity,
            at: finding.at.to_string(),
            message: finding.message.clone(),
            hint: finding.hint.clone(),
            text: finding.to_string(),
        }
    }
}

/// An action as listings show it.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct ActionView {
    /// Its reference.
    pub action: ActionRef,
    /// What it does.
    pub description: String,
    /// `builtin`, `chain` or `program`.
    pub kind: &'static str,
    /// Its effect class; none where it depends on the parameters or the steps.
    pub effect: Option<Effect>,
    /// What it takes.
    pub parameters: Value,
    /// What it returns.
    pub result: Value,
}

/// A trigger type as listings show it.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct TriggerView {
    /// Its name.
    #[serde(rename = "type")]
    pub kind: TriggerType,
    /// What it means.
    pub description: String,
    /// The parameters a rule gives.
    pub parameters: Value,
    /// What the event's data is.
    pub payload: Value,
    /// The rules that name it.
    pub rules: Vec<RuleRef>,
}

/// How the engine is.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Health {
    /// Whether it takes work.
    pub ready: bool,
    /// Why not.
    pub problem: Option<String>,
    /// Executions in each state.
    pub executions: std::collections::BTreeMap<ExecutionState, u64>,
    /// Executions in memory.
    pub active: usize,
    /// Executions that wait for their turn.
    pub queued: usize,
    /// Events of which not everything could be requested that rules asked for, and why: they are
    /// kept, and tried again every few minutes.
    pub stuck: std::collections::BTreeMap<EventKey, String>,
}

/// A log of one step.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct StepLog {
    /// The step; `result` for what is said of what the execution returned.
    pub path: String,
    /// What it printed to stderr, or logged.
    pub text: String,
}

/// An event accepted through the API.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct EmittedView {
    /// Its key.
    pub event: EventKey,
    /// Whether it was there already.
    pub duplicate: bool,
    /// Whether what is there has other data.
    pub differs: bool,
    /// The executions it caused, this time or the first one.
    pub executions: Vec<ExecutionId>,
}

/// An API token as listings show it.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct TokenView {
    /// Its name: who it acts as.
    pub name: Name,
    /// `active`, `expired`, `revoked`.
    pub state: &'static str,
    /// How much it allows, or did; none if it was revoked by an earlier version, which did not note it.
    pub role: Option<Role>,
    /// Of which packs; empty: of the whole installation.
    pub packs: Vec<PackPattern>,
    /// When it ceases to.
    pub expires_at: Option<Timestamp>,
    /// When it was made, or revoked.
    pub at: Timestamp,
}

/// A token that was just made: the one time it is told.
#[derive(Clone, JsonSchema, Serialize)]
pub struct MadeToken {
    /// Its name.
    pub name: Name,
    /// The token itself.
    pub token: String,
    /// When it ceases to open anything.
    pub expires_at: Option<Timestamp>,
}
