//! What a chain's `emit` becomes: an event, or the reason why it cannot be one.

use model::fact::ExecutionRequested;
use model::source::Emitter;
use model::{
    Cause, Envelope, ErrorKind, Event, EventSource, ExecutionId, StepError, StepPath, Timestamp,
    TriggerType, Value,
};

use crate::core::Core;
use crate::notices;
use crate::packs::{Generation, Pack};
use crate::permissions::Rights;

/// Why this event may not be emitted: it is part of a loop, no pack declares its type, the chain's
/// pack does not ask for it, or its data does not fit. The types of the chain's own pack are those of
/// the content it pins.
pub(crate) fn refusal(
    generation: &Generation,
    (pinned, rights): (Option<&Pack>, &Rights),
    request: &ExecutionRequested,
    kind: &TriggerType,
    data: &Value,
) -> Option<StepError> {
    if let Some(error) = notices::too_deep(request) {
        return Some(error);
    }
    let own = pinned.and_then(|pack| pack.triggers.values().find(|spec| spec.kind == *kind));
    let known = generation.triggers.get(kind).map(|info| &info.payload);
    let Some(payload) = own.map(|spec| &spec.payload).or(known) else {
        let names = generation.triggers.keys().map(TriggerType::as_str);
        let hint = model::diagnostic::suggest(kind.as_str(), names);
        let hint = hint.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
        let message = format!("`emit`: there is no trigger type `{kind}`{hint}");
        return Some(StepError::new(ErrorKind::Rejected, message));
    };
    if let Err(denied) = rights.event(kind) {
        return Some(denied);
    }
    let violation = payload.violations(data).into_iter().next()?;
    let hint = violation.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    let message = format!("`emit`: the data of `{kind}` doesn't fit: {}{hint}", violation.message);
    Some(StepError::new(ErrorKind::InvalidParameters, message))
}

/// The event that the call of `emit` at `path` makes.
pub(crate) fn event(
    core: &Core,
    id: &ExecutionId,
    request: &ExecutionRequested,
    path: &StepPath,
    (kind, data): (TriggerType, Value),
    at: Timestamp,
) -> Event {
    let source =
        EventSource { installation: core.installation.clone(), emitter: Emitter::Execution };
    let envelope = Envelope {
        id: format!("{id}/{path}"),
        source: source.to_string(),
        kind,
        time: at,
        subject: None,
        cause: Some(Cause { execution: id.clone(), depth: request.depth + 1 }),
        traceparent: Some(request.span(id)),
        tracestate: request.tracestate.clone(),
    };
    Event { envelope, data }
}
