//! What happened in a test, read from the facts that were stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::fact::StepResult;
use model::{
    ActionRef, Event, EventKey, ExecutionId, ExecutionState, Fact, Journal, Outcome, Record,
    RuleRef, StepError, StepPath, Stream, TriggerType, Value,
};
use rules::{Evaluator, Explanation, RuleSet};
use store::{Position, Recorded};

use super::case::Case;
use super::mocks::{SharedScene, Unmocked};
use super::stage::Unplayed;
use crate::core::{Core, Trouble};

/// What the test began with.
pub(super) enum Began {
    /// With the rules that saw it.
    Event(EventKey, Box<Event>, Arc<RuleSet>),
    Execution(ExecutionId),
}

/// Everything that happened.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The rules that selected the event.
    pub(super) rules: Vec<RuleRef>,
    pub(super) rule_errors: Vec<(RuleRef, String)>,
    /// Why rules that should have selected it did not.
    pub(super) explained: Vec<Explanation>,
    /// In the order of their rules' names.
    pub(super) executions: Vec<Ran>,
    pub(super) emits: Vec<(TriggerType, Value)>,
    pub(super) logs: Vec<String>,
    pub(super) keys: BTreeMap<String, Value>,
    pub(super) unmocked: Vec<Unmocked>,
    /// It had not come to its end when it was cut off.
    pub(super) endless: bool,
}

/// One execution.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) rule: Option<RuleRef>,
    pub(super) state: ExecutionState,
    pub(super) outcome: Option<Outcome>,
    /// Why it needs a person.
    pub(super) attention: Option<StepError>,
    pub(super) steps: Vec<Step>,
    /// Whether somebody cancelled it before it had ended.
    pub(super) cancelled: bool,
}

/// One call of an action.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) action: ActionRef,
    pub(super) parameters: Value,
    pub(super) attempts: u32,
    pub(super) result: Option<StepResult>,
    /// The execution of the chain that it runs, to the end of its last run.
    pub(super) child: Option<Box<Ran>>,
}

/// Reads what happened out of the store.
pub(super) async fn gather(
    core: &Core,
    began: Began,
    case: &Case,
    scene: &SharedScene,
    endless: bool,
) -> Result<Found, Unplayed> {
    let log = core.store.log(Position(0), usize::MAX).await.map_err(Trouble::from)?;
    let mut found = Found { unmocked: scene.unmocked(), endless, ..Found::default() };
    for recorded in &log {
        match &recorded.fact {
            Fact::RuleFailed { rule, error } => {
                found.rule_errors.push((rule.clone(), error.clone()));
            }
            Fact::StepRecorded { record: Record::Emit { kind, data }, .. } => {
                found.emits.push((kind.clone(), data.clone()));
            }
            Fact::StepRecorded { record: Record::Log(text), .. } => found.logs.push(text.clone()),
            _ => {}
        }
    }
    let facts = Facts::of(&log);
    match began {
        Began::Execution(id) => found.executions.extend(facts.ran(&id)),
        Began::Event(key, event, rules) => {
            let row = core.store.event(&key).await.map_err(Trouble::from)?;
            for (rule, id) in row.map(|row| row.matched).unwrap_or_default() {
                found.executions.extend(facts.ran(&id));
                found.rules.push(rule);
            }
            found.explained = explain(case, &found.rules, &rules, &event);
        }
    }
    let keys = core.store.keys("", "", core.now(), usize::MAX).await.map_err(Trouble::from)?;
    found.keys = keys.into_iter().map(|row| (row.key, row.value)).collect();
    Ok(found)
}

/// Why rules that the test expects did not select the event.
fn explain(case: &Case, found: &[RuleRef], rules: &RuleSet, event: &Event) -> Vec<Explanation> {
    let expected = case.expect.rules.iter().flat_map(|(names, _)| names);
    let missed = expected.filter(|name| !found.iter().any(|rule| rule.name == **name));
    let missed = missed.filter_map(|name| {
        let active = rules.rules().iter().find(|active| active.rule.reference.name == *name)?;
        Some(rules::explain(active, &mut Evaluator::new(), event, case.now))
    });
    missed.collect()
}

/// The facts of each execution, in order.
struct Facts<'a>(BTreeMap<&'a ExecutionId, Vec<&'a Fact>>);

impl<'a> Facts<'a> {
    fn of(log: &'a [Recorded]) -> Self {
        let mut facts: BTreeMap<&ExecutionId, Vec<&Fact>> = BTreeMap::new();
        for recorded in log {
            if let Stream::Execution(id) = &recorded.stream {
                facts.entry(id).or_default().push(&recorded.fact);
            }
        }
        Self(facts)
    }

    fn ran(&self, id: &ExecutionId) -> Option<Ran> {
        let facts = self.0.get(id)?;
        let journal = Journal::of(facts.iter().copied());
        let state = facts.iter().fold(ExecutionState::Queued, |state, fact| state.after(fact));
        let intended = facts.iter().filter_map(|fact| match fact {
            Fact::StepIntended { path, .. } => Some(path),
            _ => None,
        });
        let steps = intended.filter_map(|path| self.step(id, path, &journal)).collect();
        Some(Ran {
            rule: journal.request.as_ref().and_then(|r| r.origin.rule().cloned()),
            state,
            cancelled: facts.iter().any(|fact| matches!(fact, Fact::CancelRequested { .. })),
            attention: journal.attention.as_ref().map(|(_, error)| error.clone()),
            outcome: journal.outcome,
            steps,
        })
    }

    /// The call at `path`, unless it names no action: a sleep is none.
    fn step(&self, id: &ExecutionId, path: &StepPath, journal: &Journal) -> Option<Step> {
        let entry = journal.entries.get(path)?;
        let finished = entry.finished.as_ref();
        Some(Step {
            action: entry.call.action()?.clone(),
            parameters: entry.call.parameters()?.clone(),
            attempts: finished.map_or(entry.progress.attempt, |finished| finished.attempts),
            result: finished.map(|finished| finished.result.clone()),
            child: self.child(&id.child(path)).map(Box::new),
        })
    }

    /// What a child did, in all its runs.
    fn child(&self, first: &ExecutionId) -> Option<Ran> {
        let (mut ran, mut next) = (self.ran(first)?, first.continuation());
        while let Some(later) = self.ran(&next) {
            ran.steps.extend(later.steps);
            ran = Ran { steps: ran.steps, ..later };
            next = next.continuation();
        }
        Some(ran)
    }
}
