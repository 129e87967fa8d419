//! All active rules, and what they make of an event.

use std::collections::HashMap;
use std::sync::Arc;

use model::source::Emitter;
use model::{ActionRef, Event, EventSource, Map, RuleRef, Timestamp, TriggerType, Value};

use crate::criteria::Scene;
use crate::evaluator::Evaluator;
use crate::index::{Frequencies, Index};
use crate::path::View;
use crate::rule::Rule;

/// A rule as the engine runs it.
#[derive(Debug, Clone)]
pub struct ActiveRule {
    /// The rule.
    pub rule: Arc<Rule>,
    /// The sensors and subscriptions whose events it may select; none: those of any.
    pub listens: Vec<Emitter>,
    /// The configuration of its pack.
    pub config: Arc<Value>,
}

/// Rules, indexed: an event costs as much as the rules that may select it.
#[derive(Debug, Default)]
pub struct RuleSet {
    /// In the order of their names; the index speaks of positions here.
    rules: Vec<ActiveRule>,
    types: HashMap<TriggerType, TypeIndex>,
}

/// The rules of one trigger type.
#[derive(Debug, Default)]
struct TypeIndex {
    /// Those that listen to one sensor or subscription.
    by_emitter: HashMap<Emitter, Index>,
    /// Those that listen to any.
    anywhere: Index,
    /// Both, for events that no sensor emitted.
    all: Index,
}

/// What the rules make of an event, in the order of their names.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decision {
    /// What is to be run.
    pub selected: Vec<Selected>,
    /// Rules that could not tell.
    pub failed: Vec<RuleFailure>,
    /// How many rules' criteria were looked at: the cost of the decision.
    pub asked: usize,
}

/// A rule selected the event.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected {
    /// The rule.
    pub rule: RuleRef,
    /// What it asks for.
    pub action: ActionRef,
    /// With these parameters.
    pub parameters: Map,
}

/// A rule's condition or template failed on the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFailure {
    /// The rule.
    pub rule: RuleRef,
    /// What was wrong, and where in the rule's file.
    pub error: String,
}

/// What emitted an event; `None` where a person did, which every rule may see. What a chain emits
/// is nothing that a sensor told: no rule that listens to one sees it.
pub(crate) fn emitter_of(event: &Event) -> Option<Emitter> {
    match EventSource::parse(&event.envelope.source)?.emitter {
        Emitter::Api(_) => None,
        emitter => Some(emitter),
    }
}

impl ActiveRule {
    /// Whether it may select events of this emitter.
    pub(crate) fn listens_to(&self, emitter: Option<&Emitter>) -> bool {
        emitter.is_none_or(|emitter| self.listens.is_empty() || self.listens.contains(emitter))
    }
}

impl RuleSet {
    /// The set of these rules, all of them active.
    pub fn new(mut rules: Vec<ActiveRule>) -> Self {
        rules.sort_by(|a, b| a.rule.reference.cmp(&b.rule.reference));
        let frequencies = Frequencies::of(rules.iter().map(|active| &active.rule.criteria));
        let mut types: HashMap<TriggerType, TypeIndex> = HashMap::new();
        for (position, active) in rules.iter().enumerate() {
            let anchors = frequencies.rarest(&active.rule.criteria);
            let index = types.entry(active.rule.trigger.kind.clone()).or_default();
            index.all.insert(position, anchors.as_deref());
            if active.listens.is_empty() {
                index.anywhere.insert(position, anchors.as_deref());
            }
            for emitter in &active.listens {
                let own = index.by_emitter.entry(emitter.clone()).or_default();
                own.insert(position, anchors.as_deref());
            }
        }
        Self { rules, types }
    }

    /// The rules, in the order of their names.
    pub fn rules(&self) -> &[ActiveRule] {
        &self.rules
    }

    /// Whether a rule names this trigger type.
    pub fn names(&self, kind: &TriggerType) -> bool {
        self.types.contains_key(kind)
    }

    /// The rule of this name.
    pub fn get(&self, reference: &RuleRef) -> Option<&ActiveRule> {
        let find = self.rules.binary_search_by(|active| active.rule.reference.cmp(reference));
        find.ok().map(|position| &self.rules[position])
    }

    /// What the rules make of `event`; `now` is `accepted_at` to them. Nothing else counts, so
    /// the same event, time and set give the same decision.
    pub fn decide(
        &self,
        evaluator: &mut Evaluator,
        event: &Event,
        accepted_at: Timestamp,
    ) -> Decision {
        let view = View::new(event);
        let mut decision = Decision::default();
        let mut frame = None;
        for position in self.candidates(event, &view) {
            decision.asked += 1;
            let ActiveRule { rule, config, .. } = &self.rules[position];
            if !rule.criteria.hold(&Scene::new(&view, config, accepted_at)) {
                continue;
            }
            let frame = frame.get_or_insert_with(|| evaluator.frame(&view, accepted_at));
            frame.set("config", config);
            match rule.conclude(evaluator, frame) {
                Ok(Some(parameters)) => decision.selected.push(Selected {
                    rule: rule.reference.clone(),
                    action: rule.action.reference.clone(),
                    parameters,
                }),
                Ok(None) => {}
                Err(failure) => decision
                    .failed
                    .push(RuleFailure { rule: rule.reference.clone(), error: failure.to_string() }),
            }
        }
        decision
    }

    /// Positions of the rules that may select the event, ascending: all that do are among them.
    fn candidates(&self, event: &Event, view: &View<'_>) -> Vec<usize> {
        let mut found = Vec::new();
        let Some(index) = self.types.get(&event.envelope.kind) else { return found };
        match emitter_of(event) {
            Some(emitter) => {
                index.anywhere.collect(view, &mut found);
                if let Some(own) = index.by_emitter.get(&emitter) {
                    own.collect(view, &mut found);
                }
            }
            None => index.all.collect(view, &mut found),
        }
        // A rule may be found by several groups of `any`.
        found.sort_unstable();
        found.dedup();
        found
    }
}
