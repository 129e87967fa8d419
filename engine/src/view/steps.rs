//! The steps of an execution, as its facts tell of them.

use model::fact::StepResult;
use model::{
    ActionRef, Actor, Call, Effect, ExecutionId, Fact, Journal, Resolution, StepError, StepPath,
    Timestamp, Value,
};
use schemars::JsonSchema;
use serde::Serialize;
use store::Recorded;

/// One call of a chain.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct StepView {
    /// Where it stands.
    pub path: StepPath,
    /// What it is: `run`, `child`, `sleep`, `poll`, or the function of a record.
    pub kind: &'static str,
    /// The action, where it names one.
    pub action: Option<ActionRef>,
    /// What it was given.
    pub parameters: Option<Value>,
    /// Its effect class, where it has one.
    pub effect: Option<Effect>,
    /// How it stands.
    pub state: StepState,
    /// Attempts begun.
    pub attempts: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When it goes on, where it waits for a time.
    pub next_at: Option<Timestamp>,
    /// What it returned.
    pub result: Option<Value>,
    /// What it failed with, or what its latest attempt did.
    pub error: Option<StepError>,
    /// The child execution it runs as; of one that went on by `continue_as`, the last run.
    pub child: Option<ExecutionId>,
    /// What a person decided about it last, where nobody knew whether it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved: Option<ResolvedView>,
}

/// What a person decided about a step whose outcome was unknown.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ResolvedView {
    /// `done`, `retry` or `fail`.
    #[serde(rename = "as")]
    pub decision: &'static str,
    /// Who decided.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
}

impl ResolvedView {
    /// The last decision about the step at `path` that these facts hold.
    fn of(facts: &[Recorded], path: &StepPath) -> Option<Self> {
        facts.iter().rev().find_map(|recorded| match &recorded.fact {
            Fact::StepResolved { path: Some(about), resolution, .. } if about == path => {
                let decision = match resolution {
                    Resolution::Done(_) => "done",
                    Resolution::Retry => "retry",
                    Resolution::Fail(_) => "fail",
                };
                Some(Self { decision, by: recorded.actor.clone(), at: recorded.at })
            }
            _ => None,
        })
    }
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Being performed, or about to be.
    Running,
    /// Waiting for a time.
    Waiting,
    /// A person must decide.
    NeedsAttention,
    /// Over, with a result.
    Done,
    /// Over, with an error.
    Failed,
}

/// The steps that these facts of one execution tell of, in the order in which they began.
pub fn steps(id: &ExecutionId, facts: &[Recorded]) -> Vec<StepView> {
    let journal = Journal::of(facts.iter().map(|recorded| &recorded.fact));
    let began = facts.iter().filter_map(|recorded| match &recorded.fact {
        Fact::StepIntended { path, .. } => step(id, &journal, path)
            .map(|step| StepView { resolved: ResolvedView::of(facts, path), ..step }),
        Fact::StepRecorded { path, record, at } => Some(StepView {
            path: path.clone(),
            kind: record.function(),
            action: None,
            parameters: None,
            effect: None,
            state: StepState::Done,
            attempts: 0,
            started_at: *at,
            finished_at: Some(*at),
            next_at: None,
            result: recorded_value(record),
            error: None,
            child: None,
            resolved: None,
        }),
        _ => None,
    });
    began.collect()
}

fn recorded_value(record: &model::Record) -> Option<Value> {
    match record {
        model::Record::Now(at) => Some(Value::from(at.to_string())),
        model::Record::Uuid(uuid) => Some(Value::from(uuid.as_str())),
        model::Record::Log(message) => Some(Value::from(message.as_str())),
        model::Record::Emit { kind, data } => {
            Some(serde_json::json!({ "type": kind.as_str(), "data": data }))
        }
        model::Record::EmitRefused { kind, .. } => {
            Some(serde_json::json!({ "type": kind.as_str() }))
        }
        model::Record::Undo | model::Record::OnExit => None,
    }
}

fn step(id: &ExecutionId, journal: &Journal, path: &StepPath) -> Option<StepView> {
    let entry = journal.entries.get(path)?;
    let asked = journal.attention.as_ref().filter(|(at, _)| at.as_ref() == Some(path));
    let (kind, effect) = match &entry.call {
        Call::Run { effect, .. } => ("run", Some(*effect)),
        Call::Child { .. } => ("child", None),
        Call::Sleep { .. } => ("sleep", None),
        Call::Poll { .. } => ("poll", Some(Effect::Read)),
    };
    let next_at = match (&entry.call, &entry.progress.failed, &entry.answer) {
        _ if entry.finished.is_some() => None,
        (Call::Sleep { until }, ..) => Some(*until),
        (_, Some((_, at)), _) => Some(*at),
        (_, None, Some(answer)) => Some(answer.next_at),
        _ => None,
    };
    let finished = entry.finished.as_ref();
    let (state, result, error) = match (finished.map(|finished| &finished.result), asked) {
        (Some(StepResult::Done(value)), _) => (StepState::Done, Some(value.clone()), None),
        (Some(StepResult::Failed(error)), _) => (StepState::Failed, None, Some(error.clone())),
        (None, Some((_, error))) => (StepState::NeedsAttention, None, Some(error.clone())),
        (None, None) => {
            let state = if next_at.is_some() { StepState::Waiting } else { StepState::Running };
            let answer = entry.answer.as_ref().map(|answer| answer.value.clone());
            (state, answer, entry.progress.failed.as_ref().map(|(error, _)| error.clone()))
        }
    };
    Some(StepView {
        path: path.clone(),
        kind,
        action: entry.call.action().cloned(),
        parameters: entry.call.parameters().cloned(),
        effect,
        state,
        attempts: finished.map_or(entry.progress.attempt, |finished| finished.attempts),
        started_at: entry.at,
        finished_at: finished.map(|finished| finished.at),
        next_at,
        result,
        error,
        child: matches!(entry.call, Call::Child { .. })
            .then(|| journal.maker(id, path).child(path)),
        resolved: None,
    })
}
