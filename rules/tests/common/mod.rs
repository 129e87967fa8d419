//! Rules and events in few words.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use model::source::Emitter;
use model::{Diagnostic, Envelope, Event, Timestamp, Value};
use rules::{ActiveRule, Evaluator, Rule, RuleSet};
use serde_json::json;

/// When events of tests are accepted.
pub(crate) fn now() -> Timestamp {
    "2026-01-31T12:00:00Z".parse().unwrap()
}

pub(crate) fn event_from(source: &str, kind: &str, data: Value) -> Event {
    let envelope = Envelope {
        id: "e1".to_owned(),
        source: source.to_owned(),
        kind: kind.parse().unwrap(),
        time: "2026-01-31T11:59:00Z".parse().unwrap(),
        subject: None,
        cause: None,
        traceparent: None,
        tracestate: None,
    };
    Event { envelope, data }
}

/// An event of type `a.b` that somebody emitted through the API.
pub(crate) fn event(data: Value) -> Event {
    event_from("tripline:main/api/admin", "a.b", data)
}

pub(crate) fn parse(text: &str) -> Result<Rule, Vec<Diagnostic>> {
    Rule::parse("r.yaml", text, "app.r".parse().unwrap())
}

/// A rule about `a.b` with this middle part.
pub(crate) fn rule(middle: &str) -> Result<Rule, Vec<Diagnostic>> {
    parse(&format!("trigger: {{ type: a.b }}\n{middle}\naction: {{ ref: core.echo }}\n"))
}

pub(crate) fn active(rule: Rule) -> ActiveRule {
    ActiveRule {
        rule: Arc::new(rule),
        listens: Vec::new(),
        config: Arc::new(json!({ "limit": 5 })),
    }
}

pub(crate) fn listening(name: &str, text: &str, listens: &[Emitter]) -> ActiveRule {
    let rule = Rule::parse("r.yaml", text, name.parse().unwrap()).unwrap();
    ActiveRule { listens: listens.to_vec(), ..active(rule) }
}

/// What the rule set makes of the event: rules with parameters, then rules with errors.
pub(crate) fn decide(set: &RuleSet, event: &Event) -> (Vec<String>, Vec<String>) {
    let decision = set.decide(&mut Evaluator::new(), event, now());
    let selected = decision
        .selected
        .iter()
        .map(|s| format!("{} -> {} {}", s.rule, s.action, Value::Object(s.parameters.clone())));
    let failed = decision.failed.iter().map(|f| format!("{}: {}", f.rule, f.error));
    (selected.collect(), failed.collect())
}

/// Whether one rule with these criteria selects the event.
pub(crate) fn matches(criteria: &str, event: &Event) -> bool {
    let read = rule(&format!("criteria: {criteria}"));
    let read = read.unwrap_or_else(|problems| panic!("{criteria}: {}", problems[0]));
    let set = RuleSet::new(vec![active(read)]);
    let (selected, failed) = decide(&set, event);
    assert!(failed.is_empty(), "{criteria}: {failed:?}");
    !selected.is_empty()
}
