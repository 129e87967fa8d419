//! What the rules make of an event, as it is stored: requests, failures, and the engine's own
//! events about these.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use model::event::StoredEvent;
use model::fact::{EventAccepted, ExecutionRequested};
use model::value::{INLINE_EVENT_BYTES, INLINE_VALUE_BYTES, brief, fits};
use model::{
    Body, ErrorKind, Event, EventKey, ExecutionId, Fact, Hash, Origin, RuleRef, Schema, Stream,
    Timestamp, Value, Version, token,
};
use rules::{Decision, Selected};
use store::{Sealing, Write};

use crate::arrival::Arrival;
use crate::core::{Core, Trouble};
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
        (facts().count(), facts().map(|fact| fact.encode().len()).sum())
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

/// Lets the rules of `generation` see `event`; at most `room` goes into its own commit.
pub(crate) fn decide_under<'a>(
    core: &'a Core,
    generation: &'a Arc<Generation>,
    event: impl Into<Arrival>,
    reemit_of: Option<EventKey>,
    room: Room,
) -> BoxFuture<'a, Result<Decided, Trouble>> {
    let Arrival { event, payload, fresh, retold } = event.into();
    async move {
        let accepted_at = core.now();
        let event = Arc::new(event);
        let key = event.key();
        let mut bounds = Bounds { inline: 0, secrets: room.secrets() };
        let told = Told { event: &event, fresh: &fresh, retold };
        let (made, sealing) =
            consequences(core, generation, told, accepted_at, &mut bounds).await?;
        let executions = made.iter().filter_map(|one| match one {
            Consequence::Request(_, id, _) => Some(id.clone()),
            Consequence::Failure(_) | Consequence::Told(_) => None,
        });
        let executions = executions.collect();
        let mut left: VecDeque<Consequence> = made.into();
        let part = next_part(&mut left, room);
        let deferred = defer(core, &key, left, accepted_at).await?;
        let envelope = event.envelope.clone();
        let data = body(core, &event.data, &part.matched).await?;
        let accepted = EventAccepted {
            event: StoredEvent { envelope, data },
            payload,
            accepted_at,
            generation: generation.number,
            matched: part.matched,
            reemit_of,
            retold,
        };
        let facts = std::iter::once(Fact::EventAccepted(accepted)).chain(part.failures).collect();
        let stream = Stream::Event(key.clone());
        let own = Write { stream, expected: Some(Version::NONE), facts };
        let writes = std::iter::once(own).chain(part.writes).chain(deferred).collect();
        Ok(Decided { key, payload, writes, sealing, executions })
    }
    .boxed()
}

/// What the rules see.
#[derive(Clone, Copy)]
struct Told<'a> {
    event: &'a Arc<Event>,
    /// What the tokens in its data stand for.
    fresh: &'a [Fresh],
    /// Whether a server that was lost may have told it too.
    retold: bool,
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
    told: Told<'_>,
    at: Timestamp,
    bounds: &mut Bounds,
) -> Result<(Vec<Consequence>, Vec<Sealing>), Trouble> {
    let event = told.event;
    let decision = ask_rules(core, generation, event, at).await;
    let (mut made, mut sealing) = (Vec::new(), Vec::new());
    let mut failed: Vec<(RuleRef, String)> =
        decision.failed.into_iter().map(|failure| (failure.rule, failure.error)).collect();
    for selected in decision.selected {
        let rule = selected.rule.clone();
        let id = ExecutionId::for_rule(&event.key(), &rule, None);
        match request(core, generation, told, (&id, selected), at, bounds).await? {
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
        made.push(Consequence::Failure(Box::new(Fact::RuleFailed { rule, error })));
    }
    Ok((made, sealing))
}

async fn ask_rules(
    core: &Core,
    generation: &Generation,
    event: &Arc<Event>,
    at: Timestamp,
) -> Decision {
    let (rules, seen) = (generation.rules.clone(), event.clone());
    let asked = core.evaluators.call(move |bench| rules.decide(&mut bench.rules, &seen, at));
    asked.await.unwrap_or_else(|panicked| Decision {
        failed: vec![rules::RuleFailure { rule: unknown_rule(), error: panicked.to_string() }],
        ..Decision::default()
    })
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
    Told { event, fresh, retold }: Told<'_>,
    (id, selected): (&ExecutionId, Selected),
    at: Timestamp,
    bounds: &mut Bounds,
) -> Result<Result<(Vec<Fact>, Vec<Sealing>), String>, Trouble> {
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
    let secret = (schema, passed, fresh);
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
        doubted: retold,
    });
    Ok(Ok((std::iter::once(requested).chain(granted).collect(), sealing)))
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
    let mut bytes = parameters.to_string().len();
    if *inline + bytes > INLINE_REQUESTS_BYTES || bytes > INLINE_VALUE_BYTES {
        lighten(core, &mut parameters).await?;
        bytes = parameters.to_string().len();
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
        if value.to_string().len() > SMALL_PARAMETER_BYTES && !token::is_within(value) {
            *value = core.blob(value).await?.to_value();
        }
    }
    Ok(())
}

/// The data, or where it lies if the fact that holds it would grow too large.
async fn body(
    core: &Core,
    data: &Value,
    matched: &[(RuleRef, ExecutionId)],
) -> Result<Body, Trouble> {
    let names = matched.iter().map(|(rule, id)| rule.to_string().len() + id.as_str().len() + 8);
    if data.to_string().len() + names.sum::<usize>() > INLINE_EVENT_BYTES {
        return Ok(Body::Blob(core.blob(data).await?));
    }
    Ok(Body::Inline(data.clone()))
}
