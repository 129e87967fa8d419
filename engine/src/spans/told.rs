//! What is told of an event, an execution, a step and an attempt.

use model::fact::{EventAccepted, ExecutionRequested, StepResult};
use model::{
    ActionRef, Call, ErrorKind, ExecutionId, ExecutionState, Outcome, Performance, StepError,
    StepPath, Timestamp, TraceContext, TraceParent,
};
use opentelemetry::trace::SpanKind;
use opentelemetry::{Array, KeyValue, StringValue, Value};

use super::{Span, attribute};

/// Most rules that an event's span names.
const NAMED_RULES: usize = 20;

/// The span of the step with this idempotency key, in the execution of this span.
pub(crate) fn step_place(execution: TraceParent, id: &ExecutionId, path: &StepPath) -> TraceParent {
    execution.within(&format!("step {id}/{path}"))
}

/// The span of an attempt at the step of this span.
pub(crate) fn attempt_place(step: TraceParent, attempt: u32) -> TraceParent {
    step.within(&format!("attempt {attempt} of {:016x}", step.span))
}

/// An event that was accepted, stored between `begun` and `now`; and what the rules made of it.
pub(crate) fn of_event(accepted: &EventAccepted, begun: Timestamp, now: Timestamp) -> [Span; 2] {
    let envelope = &accepted.event.envelope;
    let (place, key) = (envelope.span(), envelope.key());
    let rules = accepted.matched.iter().take(NAMED_RULES);
    let rules: Vec<StringValue> = rules.map(|(rule, _)| rule.to_string().into()).collect();
    let event = Span {
        place,
        parent: envelope.traceparent,
        state: envelope.tracestate.clone(),
        kind: SpanKind::Consumer,
        name: format!("event {}", envelope.kind).into(),
        from: accepted.accepted_at,
        to: now,
        error: None,
        attributes: vec![
            KeyValue::new("tripline.event", key.to_string()),
            KeyValue::new("tripline.event.type", envelope.kind.to_string()),
            KeyValue::new("tripline.event.source", envelope.source.clone()),
        ],
    };
    let matching = Span {
        place: place.within(&format!("rules {key}")),
        parent: Some(place),
        state: envelope.tracestate.clone(),
        kind: SpanKind::Internal,
        name: "rules".into(),
        from: accepted.accepted_at,
        to: begun,
        error: None,
        attributes: vec![
            KeyValue::new("tripline.rules.matched", accepted.matched.len() as i64),
            KeyValue::new("tripline.rules", Value::Array(Array::String(rules))),
        ],
    };
    [event, matching]
}

/// An execution that has ended.
pub(crate) fn of_execution(
    id: &ExecutionId,
    request: &ExecutionRequested,
    started: Option<Timestamp>,
    outcome: &Outcome,
    at: Timestamp,
) -> Span {
    let queued = started.map(|started| started.duration_since(request.at).as_millis());
    let failed = matches!(outcome.state, ExecutionState::Failed | ExecutionState::TimedOut);
    let kind = outcome.error.as_ref().map_or(outcome.state.as_str(), |error| error.kind.as_str());
    let attributes = [
        Some(KeyValue::new("tripline.execution", id.to_string())),
        Some(KeyValue::new("tripline.action", request.action.to_string())),
        Some(KeyValue::new("tripline.outcome", outcome.state.as_str())),
        attribute("tripline.rule", request.origin.rule().map(ToString::to_string)),
        attribute("tripline.event", request.origin.event().map(ToString::to_string)),
        attribute("tripline.pack.hash", request.pack.map(|hash| hash.to_string())),
        attribute("tripline.queued_ms", queued.map(|queued| queued as i64)),
    ];
    Span {
        place: request.span(id),
        parent: request.asked_from(),
        state: request.tracestate.clone(),
        kind: SpanKind::Internal,
        name: format!("execution {}", request.action).into(),
        from: request.at,
        to: at,
        error: failed.then_some(kind),
        attributes: attributes.into_iter().flatten().collect(),
    }
}

/// A step that is over.
pub(crate) struct Step<'a> {
    pub(crate) id: &'a ExecutionId,
    pub(crate) path: &'a StepPath,
    pub(crate) call: &'a Call,
    pub(crate) result: &'a StepResult,
    pub(crate) attempts: u32,
}

/// A step of the execution of this span.
pub(crate) fn of_step(
    execution: TraceContext,
    step: &Step<'_>,
    from: Timestamp,
    to: Timestamp,
) -> Span {
    let Step { id, path, call, result, attempts } = step;
    let effect = match call {
        Call::Run { effect, .. } => Some(effect.to_string()),
        Call::Child { .. } | Call::Sleep { .. } | Call::Poll { .. } => None,
    };
    let error = match result {
        StepResult::Done(_) => None,
        StepResult::Failed(error) => Some(error.kind.as_str()),
    };
    let attributes = [
        Some(KeyValue::new("tripline.execution", id.to_string())),
        Some(KeyValue::new("tripline.step", path.to_string())),
        Some(KeyValue::new("tripline.attempts", i64::from(*attempts))),
        attribute("tripline.action", call.action().map(ToString::to_string)),
        attribute("tripline.effect", effect),
    ];
    Span {
        place: step_place(execution.parent, id, path),
        parent: Some(execution.parent),
        state: execution.state,
        kind: SpanKind::Internal,
        name: call.action().map_or("sleep".into(), |action| format!("step {action}").into()),
        from,
        to,
        error,
        attributes: attributes.into_iter().flatten().collect(),
    }
}

/// An attempt at the step of the span `step`, and where that attempt stands.
pub(crate) fn of_attempt(
    (step, own): (TraceParent, TraceContext),
    action: &ActionRef,
    attempt: u32,
    performance: &Performance,
    (from, to): (Timestamp, Timestamp),
) -> Span {
    let kind = |error: &StepError| -> &'static str { ErrorKind::as_str(error.kind) };
    let (outcome, error) = match performance {
        Performance::Done(_) => ("done", None),
        Performance::Failed(error) => ("failed", Some(kind(error))),
        Performance::Unknown(error) => ("unknown", Some(kind(error))),
    };
    Span {
        place: own.parent,
        parent: Some(step),
        state: own.state,
        kind: SpanKind::Client,
        name: format!("attempt {action}").into(),
        from,
        to,
        error,
        attributes: vec![
            KeyValue::new("tripline.action", action.to_string()),
            KeyValue::new("tripline.attempt", i64::from(attempt)),
            KeyValue::new("tripline.outcome", outcome),
        ],
    }
}
