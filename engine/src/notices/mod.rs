//! The engine tells of itself: events on which rules can act.
//!
//! What goes well, or happens often and is found elsewhere anyway (ends of executions, errors of
//! rules, packs that became active), is told only where an active rule asks for it; the rest
//! always. A notice carries the execution that caused it, and its depth: where executions have
//! caused one another too often, the notice is refused and `tripline.loop_detected` told instead.
//! That one's own consequences are deeper than the bound, and what is refused of those is told no
//! more, so telling of loops cannot loop.

mod kinds;

use model::event::MAX_DEPTH;
use model::fact::ExecutionRequested;
use model::source::Emitter;
use model::{
    Cause, Envelope, ErrorKind, Event, EventKey, EventSource, ExecutionId, ExecutionState, Fact,
    Hash, Map, Outcome, PackName, RuleRef, StepError, TraceContext, TriggerType, Value,
};
use sensors::{LeftOut, SensorState};
use serde_json::json;

pub(crate) use kinds::trigger_types;

use crate::core::Core;
use crate::packs::{Generation, Pack, Subscription};
use crate::random;

/// A longer message is cut.
const MESSAGE_CHARS: usize = 1_000;

/// What a fact of an execution makes the engine tell: to be stored with the fact.
pub(crate) fn of_execution(
    core: &Core,
    generation: &Generation,
    id: &ExecutionId,
    request: &ExecutionRequested,
    fact: &Fact,
) -> Vec<Event> {
    let (kinds, data) = match fact {
        Fact::ExecutionFinished { outcome, at } => {
            let failed = matches!(outcome.state, ExecutionState::Failed | ExecutionState::TimedOut);
            let mut kinds = vec![kinds::FINISHED];
            kinds.extend(failed.then_some(kinds::FAILED));
            kinds.retain(|kind| is_heard(generation, kind));
            if kinds.is_empty() {
                return Vec::new();
            }
            (kinds, ended(id, request, outcome, *at))
        }
        Fact::AttentionNeeded { path, error, .. } => {
            let mut data = about(id, request);
            data.extend(path.as_ref().map(|path| ("step".to_owned(), path.to_string().into())));
            data.insert("error".to_owned(), said(error));
            (vec![kinds::NEEDS_ATTENTION], data)
        }
        _ => return Vec::new(),
    };
    if request.depth >= MAX_DEPTH {
        return loop_detected(core, id, request, kinds[0]).into_iter().collect();
    }
    let cause = Cause { execution: id.clone(), depth: request.depth + 1 };
    let from = (Some(cause), Some(request.trace(id)));
    let notices = kinds.into_iter().map(|kind| {
        let event_id = match fact {
            Fact::ExecutionFinished { .. } => id.to_string(),
            // It may need a person several times.
            _ => format!("{id}/{}", random::name()),
        };
        let data = Value::Object(data.clone());
        notice(core, kind, event_id, id.to_string(), data, from.clone())
    });
    notices.collect()
}

/// Told once where the depth reaches its bound: what is deeper is the consequence of telling it.
pub(crate) fn loop_detected(
    core: &Core,
    id: &ExecutionId,
    request: &ExecutionRequested,
    refused: &str,
) -> Option<Event> {
    tracing::warn!(execution = %id, refused, depth = request.depth, "executions cause one another: a loop is cut");
    if request.depth > MAX_DEPTH {
        return None;
    }
    let mut data = about(id, request);
    data.retain(|name, _| matches!(name.as_str(), "execution" | "action" | "rule"));
    data.insert("type".to_owned(), refused.into());
    data.insert("depth".to_owned(), request.depth.into());
    let cause = Cause { execution: id.clone(), depth: MAX_DEPTH + 1 };
    let from = (Some(cause), Some(request.trace(id)));
    let event_id = format!("{id}/{}", random::name());
    let data = Value::Object(data);
    Some(notice(core, kinds::LOOP_DETECTED, event_id, id.to_string(), data, from))
}

/// That a rule failed on an event; none where nobody listens, or the event tells that itself.
pub(crate) fn rule_error(
    core: &Core,
    generation: &Generation,
    event: &Event,
    rule: &RuleRef,
    error: &str,
) -> Option<Event> {
    let kind = &event.envelope.kind;
    if kind.as_str() == kinds::RULE_ERROR || !is_heard(generation, kinds::RULE_ERROR) {
        return None;
    }
    let key = event.key();
    let data = json!({
        "rule": rule.to_string(), "error": error, "event": key.as_str(), "type": kind.as_str(),
    });
    let id = format!("{key}/{rule}");
    let from = (event.envelope.cause.clone(), Some(event.envelope.trace()));
    Some(notice(core, kinds::RULE_ERROR, id, rule.to_string(), data, from))
}

/// That an event cannot go on; once for each reason, whatever is started anew.
pub(crate) async fn event_stuck(core: &Core, event: &EventKey, error: &str) -> Event {
    // What the store does not answer now is left out rather than the notice.
    let row = core.store.event(event).await.ok().flatten();
    let mut data = json!({ "event": event.as_str(), "error": brief_text(error) });
    if let Some(row) = &row {
        data["type"] = row.envelope.kind.as_str().into();
    }
    let id = format!("{event}/{}", Hash::of(error.as_bytes()));
    let from = row.map(|row| (row.envelope.cause.clone(), Some(row.envelope.trace())));
    let subject = event.to_string();
    notice(core, kinds::EVENT_STUCK, id, subject, data, from.unwrap_or_default())
}

/// That a sensor fails.
pub(crate) fn sensor_failing(
    core: &Core,
    sensor: &Subscription,
    error: &str,
    next_try: model::Timestamp,
) -> Event {
    let data = json!({
        "sensor": sensor.id, "type": sensor.kind, "error": brief_text(error),
        "next_try": next_try.to_string(),
    });
    let id = format!("{}/{}", sensor.id, random::name());
    notice(core, kinds::SENSOR_FAILING, id, sensor.id.clone(), data, (None, None))
}

/// That a sensor tells nothing of so many deletions until a person says that they are right.
pub(crate) fn sensor_needs_confirmation(
    core: &Core,
    sensor: &Subscription,
    (missing, of): (usize, usize),
    state: &SensorState,
) -> Event {
    let data = json!({
        "sensor": sensor.address(), "type": sensor.kind, "missing": missing, "of": of,
        "message": state.message(),
    });
    let id = format!("{}/{}", sensor.id, random::name());
    let kind = kinds::SENSOR_NEEDS_CONFIRMATION;
    notice(core, kind, id, sensor.id.clone(), data, (None, None))
}

/// That a sensor saw something of which it can tell no rule, or not all.
pub(crate) fn sensor_left_out(core: &Core, sensor: &Subscription, left: &LeftOut) -> Event {
    let data = json!({
        "sensor": sensor.address(), "type": sensor.kind, "subject": left.subject,
        "operation": left.operation, "reason": left.reason,
    });
    let id = format!("{}/{}", sensor.id, left.id);
    let subject = left.subject.clone();
    notice(core, kinds::SENSOR_LEFT_OUT, id, subject, data, (None, None))
}

/// That a sensor works again.
pub(crate) fn sensor_recovered(core: &Core, sensor: &Subscription) -> Event {
    let data = json!({ "sensor": sensor.id, "type": sensor.kind });
    let id = format!("{}/{}", sensor.id, random::name());
    notice(core, kinds::SENSOR_RECOVERED, id, sensor.id.clone(), data, (None, None))
}

/// That a pack's content became active, or is again what its files say; none where nobody listens.
pub(crate) fn pack_activated(core: &Core, generation: &Generation, pack: &Pack) -> Option<Event> {
    if !is_heard(generation, kinds::PACK_ACTIVATED) {
        return None;
    }
    let hash: Hash = pack.hash;
    let data = json!({
        "pack": pack.name.as_str(), "version": pack.version, "hash": hash.to_string(),
    });
    let id = format!("{}/{}", pack.name, random::name());
    Some(notice(core, kinds::PACK_ACTIVATED, id, pack.name.to_string(), data, (None, None)))
}

/// That a pack's files were refused.
pub(crate) fn pack_rejected(core: &Core, pack: &PackName, error: &str) -> Event {
    let data = json!({ "pack": pack.as_str(), "error": brief_text(error) });
    let id = format!("{pack}/{}", random::name());
    notice(core, kinds::PACK_REJECTED, id, pack.to_string(), data, (None, None))
}

/// Why a chain may not emit an event: the loop it is part of.
pub(crate) fn too_deep(request: &ExecutionRequested) -> Option<StepError> {
    let message = format!("`emit`: {MAX_DEPTH} executions have caused one another: a loop");
    (request.depth >= MAX_DEPTH).then(|| StepError::new(ErrorKind::Rejected, message))
}

fn ended(
    id: &ExecutionId,
    request: &ExecutionRequested,
    outcome: &Outcome,
    at: model::Timestamp,
) -> Map {
    let mut data = about(id, request);
    data.insert("outcome".to_owned(), outcome.state.as_str().into());
    data.extend(outcome.error.as_ref().map(|error| ("error".to_owned(), said(error))));
    data.insert("requested_at".to_owned(), request.at.to_string().into());
    data.insert("finished_at".to_owned(), at.to_string().into());
    data
}

/// What there is to say of an execution.
fn about(id: &ExecutionId, request: &ExecutionRequested) -> Map {
    let parent = id.parent().map(|(parent, _)| parent.to_string());
    let some = [
        ("execution", Some(id.to_string())),
        ("action", Some(request.action.to_string())),
        ("rule", request.origin.rule().map(ToString::to_string)),
        ("event", request.origin.event().map(ToString::to_string)),
        ("parent", parent),
    ];
    some.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))).collect()
}

fn said(error: &StepError) -> Value {
    let mut said = json!({ "message": brief_text(&error.message), "kind": error.kind.as_str() });
    if let Some(action) = &error.action {
        said["action"] = action.as_str().into();
    }
    said
}

fn brief_text(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Whether an active rule names this type.
fn is_heard(generation: &Generation, kind: &str) -> bool {
    generation.rules.names(&own(kind))
}

/// A type of the engine's own.
fn own(kind: &str) -> TriggerType {
    // Constants that have the form of a trigger type.
    kind.parse().unwrap_or_else(|error| unreachable!("{error}"))
}

fn notice(
    core: &Core,
    kind: &str,
    id: String,
    subject: String,
    data: Value,
    (cause, from): (Option<Cause>, Option<TraceContext>),
) -> Event {
    let source = EventSource { installation: core.installation.clone(), emitter: Emitter::Engine };
    let (traceparent, tracestate) = TraceContext::split(from);
    let envelope = Envelope {
        // Several types may tell of one thing.
        id: format!("{kind}/{id}"),
        source: source.to_string(),
        kind: own(kind),
        time: core.now(),
        subject: Some(subject),
        cause,
        traceparent,
        tracestate,
    };
    Event { envelope, data }
}
