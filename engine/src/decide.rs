//! What the rules make of an event, as it is stored: requests, failures, and the engine's own
//! events about these.

use std::collections::VecDeque;
use std::slice;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use model::event::StoredEvent;
use model::fact::{EventAccepted, ExecutionRequested};
use model::value::{INLINE_EVENT_BYTES, INLINE_VALUE_BYTES, brief, fits};
use model::{
    Body, ErrorKind, Event, EventKey, ExecutionId, Fact, Hash, Origin, RuleRef, Schema, Stream,
    Timestamp, Value, Version, json, token,
};
use rules::{Decision, Selected};
use store::{Encoded, Sealing, Write};

use crate::arrival::Arrival;
use crate::core::{Core, Trouble};
use crate::evaluators::{Panicked, Workbench};
use crate::notices;
use crate::packs::Generation;
use crate::pages::{Consequence, Room, Sides, defer, next_part};
use crate::secrets::{Fresh, Granted, Opened, Read, SecretError, misfit, too_long};

/// Parameters of all executions that one event asks for: beyond it, large ones become blobs.
const INLINE_REQUESTS_BYTES: usize = 1024 * 1024;
/// A parameter that is kept inline whatever its event asks for besides.
const SMALL_PARAMETER_BYTES: usize = 1024;
/// A rule's error is told up to so many characters.
const ERROR_CHARS: usize = 4_000;

/// An event with what the rules made of it, ready to be stored.
pub(crate) struct Decided {
    /// The event's key.
    pub(crate) key: EventKey,
    /// The hash of its data.
    pub(crate) payload: Hash,
    /// What is stored, in one commit: the event first.
    pub(crate) writes: Vec<Write>,
    /// The encrypted records that belong to it: values of `secret: true` parameters, those of
    /// requests in later commits too.
    pub(crate) sealing: Vec<Sealing>,
    /// The executions asked for, those of later commits too.
    pub(crate) executions: Vec<ExecutionId>,
}

impl Decided {
    /// Its facts, and their bytes: what it weighs in a batch.
    pub(crate) fn weight(&self) -> (usize, usize) {
        let facts = || self.writes.iter().flat_map(|write| &write.facts);
        (facts().count(), facts().map(|fact| fact.bytes().len()).sum())
    }

    /// Its parts that go beside the facts of whoever tells it.
    pub(crate) fn into_sides(self) -> Sides {
        Sides { writes: self.writes, sealing: self.sealing }
    }
}

/// Lets the active rules see `event`.
pub(crate) async fn decide(
    core: &Core,
    event: impl Into<Arrival>,
    reemit_of: Option<EventKey>,
) -> Result<Decided, Trouble> {
    let generation = core.generation.load_full();
    decide_under(core, &generation, event, reemit_of, Room::COMMIT).await
}

/// The same of several, which the rules are shown together: handing them over costs more than a look.
pub(crate) async fn decide_together(
    core: &Core,
    events: Vec<Arrival>,
) -> Result<Vec<Decided>, Trouble> {
    let generation = core.generation.load_full();
    let shown: Vec<Shown> = events.into_iter().map(|event| Shown::new(core, event)).collect();
    let decisions = ask_rules(core, &generation, &shown).await;
    let mut decided = Vec::with_capacity(shown.len());
    for (one, decision) in shown.into_iter().zip(decisions) {
        decided.push(conclude(core, &generation, one, decision, (None, Room::COMMIT)).await?);
    }
    Ok(decided)
}

/// Lets the rules of `generation` see `event`; at most `room` goes into its own commit.
pub(crate) fn decide_under<'a>(
    core: &'a Core,
    generation: &'a Arc<Generation>,
    event: impl Into<Arrival>,
    reemit_of: Option<EventKey>,
    room: Room,
) -> BoxFuture<'a, Result<Decided, Trouble>> {
    let shown = Shown::new(core, event.into());
    async move {
        let decision = ask_rules(core, generation, slice::from_ref(&shown)).await.pop();
        conclude(core, generation, shown, decision.unwrap_or_default(), (reemit_of, room)).await
    }
    .boxed()
}

/// An event as the rules see it, and what came with it.
struct Shown {
    event: Arc<Event>,
    accepted_at: Timestamp,
    payload: Hash,
    bytes: usize,
    /// What the tokens in its data stand for.
    fresh: Vec<Fresh>,
    /// Whether a server that was lost may have told it too.
    retold: bool,
}

impl Shown {
    fn new(core: &Core, arrival: Arrival) -> Self {
        let Arrival { mut event, payload, bytes, fresh, retold } = arrival;
        if event.envelope.traceparent.is_none() {
            event.envelope.traceparent = core.spans.left_out(event.key().as_str());
        }
        Self { event: Arc::new(event), accepted_at: core.now(), payload, bytes, fresh, retold }
    }
}

/// What is stored of an event, next to what the rules decided; at most `room` goes into its own commit.
async fn conclude(
    core: &Core,
    generation: &Arc<Generation>,
    shown: Shown,
    decision: Decision,
    (reemit_of, room): (Option<EventKey>, Room),
) -> Result<Decided, Trouble> {
    let mut bounds = Bounds { inline: 0, secrets: room.secrets() };
    let (made, sealing) = consequences(core, generation, &shown, decision, &mut bounds).await?;
    let executions = made.iter().filter_map(|one| match one {
        Consequence::Request(_, id, _) => Some(id.clone()),
        Consequence::Failure(_) | Consequence::Told(_) => None,
    });
    let executions = executions.collect();
    let Shown { event, accepted_at, payload, bytes, retold, .. } = shown;
    let key = event.key();
    let mut left: VecDeque<Consequence> = made.into();
    let part = next_part(&mut left, room);
    let deferred = defer(core, &key, left, accepted_at).await?;
    let Event { envelope, data } = Arc::unwrap_or_clone(event);
    let data = body(core, data, bytes, &part.matched).await?;
    let accepted = Fact::EventAccepted(EventAccepted {
        event: StoredEvent { envelope, data },
        payload,
        accepted_at,
        generation: generation.number,
        matched: part.matched,
        reemit_of,
        retold,
    });
    let facts = std::iter::once(accepted.into()).chain(part.failures);
    let own = Write::new(Stream::Event(key.clone()), Some(Version::NONE), facts);
    let writes = std::iter::once(own).chain(part.writes).chain(deferred).collect();
    Ok(Decided { key, payload, writes, sealing, executions })
}

/// What an event's requests have room for together.
struct Bounds {
    /// Bytes of parameters that are inline so far.
    inline: usize,
    /// Encrypted records that still fit into its commit.
    secrets: usize,
}

/// Everything that the rules make of the event, requests first, and the encrypted records of it.
async fn consequences(
    core: &Core,
    generation: &Arc<Generation>,
    shown: &Shown,
    decision: Decision,
    bounds: &mut Bounds,
) -> Result<(Vec<Consequence>, Vec<Sealing>), Trouble> {
    let event = &shown.event;
    let (mut made, mut sealing) = (Vec::new(), Vec::new());
    let mut failed: Vec<(RuleRef, String)> =
        decision.failed.into_iter().map(|failure| (failure.rule, failure.error)).collect();
    for selected in decision.selected {
        let rule = selected.rule.clone();
        let id = ExecutionId::for_rule(&event.key(), &rule, None);
        match request(core, generation, shown, (&id, selected), bounds).await? {
            Ok((facts, sealed)) => {
                made.push(Consequence::Request(rule, id, facts));
                sealing.extend(sealed);
            }
            Err(error) => failed.push((rule, error)),
        }
    }
    for (rule, error) in failed {
        let error = shortened(error);
        if let Some(notice) = notices::rule_error(core, generation, event, &rule, &error) {
            let room = Room::SHARE.with_secrets(bounds.secrets);
            let told = decide_under(core, generation, notice, None, room).await?;
            bounds.secrets -= told.sealing.len();
            sealing.extend(told.sealing);
            made.push(Consequence::Told(told.writes));
        }
        made.push(Consequence::Failure(Fact::RuleFailed { rule, error }.into()));
    }
    Ok((made, sealing))
}

/// What the rules decide of each.
async fn ask_rules(core: &Core, generation: &Generation, shown: &[Shown]) -> Vec<Decision> {
    if let Ok(decisions) = ask_together(core, generation, shown).await {
        return decisions;
    }
    // One of them ended the evaluation of all.
    let mut decisions = Vec::with_capacity(shown.len());
    for one in shown {
        let asked = ask_together(core, generation, slice::from_ref(one)).await;
        let panicked = |error: Panicked| Decision {
            failed: vec![rules::RuleFailure { rule: unknown_rule(), error: error.to_string() }],
            ..Decision::default()
        };
        decisions.extend(asked.unwrap_or_else(|error| vec![panicked(error)]));
    }
    decisions
}

async fn ask_together(
    core: &Core,
    generation: &Generation,
    shown: &[Shown],
) -> Result<Vec<Decision>, Panicked> {
    let rules = generation.rules.clone();
    let seen: Vec<_> = shown.iter().map(|one| (one.event.clone(), one.accepted_at)).collect();
    let decide = move |bench: &mut Workbench| {
        let decide = |(event, at): (Arc<Event>, _)| rules.decide(&mut bench.rules, &event, at);
        seen.into_iter().map(decide).collect()
    };
    core.evaluators.call(decide).await
}

/// The rule that a failure without a rule is told under.
fn unknown_rule() -> RuleRef {
    // A constant that has the form of a reference.
    "engine.rules".parse().unwrap_or_else(|error| unreachable!("{error}"))
}

fn shortened(error: String) -> String {
    match error.char_indices().nth(ERROR_CHARS) {
        Some((end, _)) => format!("{}…", &error[..end]),
        None => error,
    }
}

/// The facts of the request that a rule makes, with the encrypted records that they need; or what
/// is wrong with it.
async fn request(
    core: &Core,
    generation: &Arc<Generation>,
    shown: &Shown,
    (id, selected): (&ExecutionId, Selected),
    bounds: &mut Bounds,
) -> Result<Result<(Vec<Encoded>, Vec<Sealing>), String>, Trouble> {
    let Shown { event, accepted_at: at, fresh, retold, .. } = shown;
    let at = *at;
    let resolved = match core.library.resolve(generation, None, &selected.action) {
        Ok(resolved) => resolved,
        Err(error) => return Ok(Err(error.message)),
    };
    let mut parameters = selected.parameters;
    resolved.parameters().fill(&mut parameters);
    let mut given = Value::Object(parameters);
    let chain_of = resolved.chain_of();
    let passed = core.settings_passed_on(generation, &selected.rule.pack, chain_of, &mut given);
    let passed = match passed {
        Ok(passed) => passed,
        Err(error) => return Ok(Err(error.message)),
    };
    let misfit = |why: String| format!("the parameters of `{}` don't fit: {why}", selected.action);
    if let Some(violation) = resolved.parameters().violations(&given).into_iter().next() {
        return Ok(Err(misfit(violation.message)));
    }
    let schema = resolved.parameters();
    let secret = (schema, passed, fresh.as_slice());
    let (granted, sealing) = match sealed(core, id, &mut given, secret, at, bounds) {
        Ok(sealed) => sealed,
        Err(why) => return Ok(Err(misfit(why))),
    };
    let parameters = match stored(core, given, &mut bounds.inline).await? {
        Ok(parameters) => parameters,
        Err(error) => return Ok(Err(error)),
    };
    bounds.secrets -= sealing.len();
    let requested = Fact::ExecutionRequested(ExecutionRequested {
        parameters,
        origin: Origin::Rule { rule: selected.rule, event: event.key() },
        pack: resolved.version(),
        depth: event.envelope.depth(),
        deadline: resolved.deadline(),
        action: selected.action,
        at,
        traceparent: event.envelope.traceparent.map(|_| event.envelope.span()),
        tracestate: event.envelope.tracestate.clone(),
        passed: Vec::new(),
        doubted: *retold,
    });
    let facts = std::iter::once(requested).chain(granted).map(Encoded::from);
    Ok(Ok((facts.collect(), sealing)))
}

/// Puts tokens where `schema` says `secret: true`: the fact that grants them to the execution `id`,
/// and the encrypted records of what they stand for; with settings and with what the event `told` that
/// are passed on.
fn sealed(
    core: &Core,
    id: &ExecutionId,
    parameters: &mut Value,
    (schema, settings, told): (&Schema, Read, &[Fresh]),
    at: Timestamp,
    bounds: &Bounds,
) -> Result<(Option<Fact>, Vec<Sealing>), String> {
    let mut fresh = Opened::default().tokenise(parameters, schema);
    fresh.extend(settings.fresh);
    if let Some(why) = misfit(&fresh) {
        return Err(why);
    }
    fresh.extend(passed_fresh(parameters, told));
    if let Some(why) = too_long(&fresh) {
        return Err(why);
    }
    if fresh.is_empty() && settings.named.is_empty() {
        return Ok((None, Vec::new()));
    }
    if fresh.len() > bounds.secrets {
        return Err(format!(
            "the rules that selected this event pass on more secrets than its commit has room for ({} more here, room for {})",
            fresh.len(),
            bounds.secrets
        ));
    }
    let Granted { mut tokens, sealing } =
        core.keep(id, &fresh, at).map_err(|error: SecretError| error.to_string())?;
    tokens.extend(settings.named);
    Ok((Some(Fact::TokensGranted { tokens, at }), sealing))
}

/// Those that the event told and whose tokens stand in `parameters`.
fn passed_fresh(parameters: &Value, told: &[Fresh]) -> Vec<Fresh> {
    if told.is_empty() {
        return Vec::new();
    }
    let used = token::within(parameters);
    told.iter().filter(|one| used.contains(&one.token)).cloned().collect()
}

/// Parameters as they are stored: large ones lie in blobs.
async fn stored(
    core: &Core,
    parameters: Value,
    inline: &mut usize,
) -> Result<Result<Value, String>, Trouble> {
    let Value::Object(mut parameters) = parameters else {
        return Ok(Err(ErrorKind::Internal.to_string()));
    };
    for (name, value) in &mut parameters {
        // What lies in a blob is handed on as it is: a token there would stay one.
        if let (true, Err(why)) = (token::is_within(value), fits(value)) {
            return Ok(Err(format!(
                "the parameter `{name}` holds a secret, and so must fit into the journal: {why}"
            )));
        }
        *value = core.bounded(value.take()).await?;
    }
    let mut parameters = Value::Object(parameters);
    let mut bytes = json::length(&parameters);
    if *inline + bytes > INLINE_REQUESTS_BYTES || bytes > INLINE_VALUE_BYTES {
        lighten(core, &mut parameters).await?;
        bytes = json::length(&parameters);
    }
    *inline += bytes;
    if bytes > INLINE_VALUE_BYTES {
        let shown = brief(&parameters, 100);
        return Ok(Err(format!(
            "the parameters have {bytes} bytes of JSON text, more than {INLINE_VALUE_BYTES}: {shown}"
        )));
    }
    Ok(Ok(parameters))
}

/// Puts each parameter that is neither small nor holds a secret into a blob.
async fn lighten(core: &Core, parameters: &mut Value) -> Result<(), Trouble> {
    let Value::Object(parameters) = parameters else { return Ok(()) };
    for value in parameters.values_mut() {
        if json::length(value) > SMALL_PARAMETER_BYTES && !token::is_within(value) {
            *value = core.blob(value).await?.to_value();
        }
    }
    Ok(())
}

/// The data, of so many bytes, or where it lies if the fact that holds it would grow too large.
async fn body(
    core: &Core,
    data: Value,
    bytes: usize,
    matched: &[(RuleRef, ExecutionId)],
) -> Result<Body, Trouble> {
    let names = matched.iter().map(|(rule, id)| rule.to_string().len() + id.as_str().len() + 8);
    if bytes + names.sum::<usize>() > INLINE_EVENT_BYTES {
        return Ok(Body::Blob(core.blob(&data).await?));
    }
    Ok(Body::Inline(data))
}
