//! Intake: an event is stored, with everything the rules make of it, before its source is told.
//!
//! One commit holds the event, the decisions of the rules, the executions they ask for, and the
//! cursor that the event moved. An event that is there already is counted and dropped; it is
//! never matched again.

use std::iter::Peekable;
use std::sync::Arc;

use model::fact::{EventAccepted, ExecutionRequested};
use model::value::{INLINE_EVENT_BYTES, MAX_EVENT_BYTES};
use model::{
    Actor, BatchId, Body, ErrorKind, Event, EventKey, ExecutionId, Fact, Hash, Origin, RuleRef,
    Stream, Timestamp, Value, Version,
};
use rules::{Decision, Selected};
use store::{Appended, Batch, MAX_BATCH_BYTES, MAX_BATCH_FACTS, Write};

use crate::core::{Core, Trouble};
use crate::driver::Driver;
use crate::fair::Lane;
use crate::packs::Generation;

/// Most executions that one event may ask for: they go into the event's commit.
pub const MAX_REQUESTS: usize = 200;
/// Most failed rules that are told one by one, for the same reason.
const MAX_FAILURES: usize = 200;
/// Parameters of all executions that one event asks for: beyond it, large ones become blobs.
const INLINE_REQUESTS_BYTES: usize = 1024 * 1024;
/// A parameter that is kept inline whatever its event asks for besides.
const SMALL_PARAMETER_BYTES: usize = 1024;

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is new.
    New {
        /// Its key.
        key: EventKey,
        /// The executions it caused.
        executions: Vec<ExecutionId>,
    },
    /// It was there already.
    Duplicate {
        /// Its key.
        key: EventKey,
        /// Whether its data differs from what is stored; the first stands.
        differs: bool,
    },
}

impl Accepted {
    /// The event's key.
    pub const fn key(&self) -> &EventKey {
        match self {
            Self::New { key, .. } | Self::Duplicate { key, .. } => key,
        }
    }
}

/// Why an event is not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IntakeError {
    /// Its data is too large.
    #[error("the event's data has {0} bytes of JSON text, more than {MAX_EVENT_BYTES}")]
    TooLarge(usize),
    /// The store is in trouble.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// An event with what the rules made of it, ready to be stored.
pub struct Decided {
    key: EventKey,
    payload: Hash,
    facts: Vec<Fact>,
    requests: Vec<(ExecutionId, ExecutionRequested)>,
}

impl Decided {
    /// The facts, by stream: the event first.
    pub fn writes(self) -> Vec<Write> {
        let event = Write {
            stream: Stream::Event(self.key),
            expected: Some(Version::NONE),
            facts: self.facts,
        };
        let requests = self.requests.into_iter().map(|(id, request)| Write {
            stream: Stream::Execution(id),
            expected: Some(Version::NONE),
            facts: vec![Fact::ExecutionRequested(request)],
        });
        std::iter::once(event).chain(requests).collect()
    }

    /// Its facts, and their bytes: what it weighs in a batch.
    fn weight(&self) -> (usize, usize) {
        let own: usize = self.facts.iter().map(|fact| fact.encode().len()).sum();
        let asked = self.requests.iter().map(|(_, request)| request.parameters.to_string().len());
        (self.facts.len() + self.requests.len(), own + asked.sum::<usize>())
    }

    /// The executions that storing it brings into being.
    pub fn started(&self) -> Vec<(ExecutionId, Lane)> {
        let lane = |request: &ExecutionRequested| request.origin.rule().cloned();
        self.requests.iter().map(|(id, request)| (id.clone(), lane(request))).collect()
    }
}

/// Lets the active rules see `event`.
pub async fn decide(
    core: &Core,
    event: Event,
    reemit_of: Option<EventKey>,
) -> Result<Decided, Trouble> {
    let accepted_at = core.now();
    let generation = core.generation.load_full();
    let event = Arc::new(event);
    let (rules, seen) = (generation.rules.clone(), event.clone());
    let decision = core
        .evaluators
        .call(move |bench| rules.decide(&mut bench.rules, &seen, accepted_at))
        .await
        .unwrap_or_else(|panicked| Decision {
            selected: Vec::new(),
            failed: vec![rules::RuleFailure { rule: unknown_rule(), error: panicked.to_string() }],
        });
    let key = event.key();
    let payload = Hash::of_value(&event.data);
    let mut failures = failures(&decision);
    let mut requests = Vec::new();
    let mut inline = 0;
    for selected in decision.selected {
        if requests.len() == MAX_REQUESTS {
            let error = format!("more than {MAX_REQUESTS} rules selected the event");
            failures.push(Fact::RuleFailed { rule: selected.rule, error });
            continue;
        }
        let rule = selected.rule.clone();
        let id = ExecutionId::for_rule(&key, &rule, None);
        match request(core, &generation, &event, selected, accepted_at).await? {
            Ok(mut request) => {
                inline += request.parameters.to_string().len();
                if inline > INLINE_REQUESTS_BYTES {
                    lighten(core, &mut request.parameters).await?;
                }
                requests.push((id, request));
            }
            Err(error) => failures.push(Fact::RuleFailed { rule, error }),
        }
    }
    shorten(&mut failures);
    let matched = requests
        .iter()
        .filter_map(|(id, request)| Some((request.origin.rule()?.clone(), id.clone())));
    let matched: Vec<(RuleRef, ExecutionId)> = matched.collect();
    let event = model::event::StoredEvent {
        envelope: event.envelope.clone(),
        data: body(core, &event.data).await?,
    };
    let accepted = EventAccepted {
        event,
        payload,
        accepted_at,
        generation: generation.number,
        matched,
        reemit_of,
    };
    let facts = std::iter::once(Fact::EventAccepted(accepted)).chain(failures).collect();
    Ok(Decided { key, payload, facts, requests })
}

/// The rule that a failure without a rule is told under.
fn unknown_rule() -> RuleRef {
    // A constant that has the form of a reference.
    "engine.rules".parse().unwrap_or_else(|error| unreachable!("{error}"))
}

fn failures(decision: &Decision) -> Vec<Fact> {
    let failed = decision.failed.iter();
    failed.map(|f| Fact::RuleFailed { rule: f.rule.clone(), error: f.error.clone() }).collect()
}

/// Puts each parameter that is not small into a blob.
async fn lighten(core: &Core, parameters: &mut Value) -> Result<(), Trouble> {
    let Value::Object(parameters) = parameters else { return Ok(()) };
    for value in parameters.values_mut() {
        if value.to_string().len() > SMALL_PARAMETER_BYTES {
            *value = core.blob(value).await?.to_value();
        }
    }
    Ok(())
}

/// Tells only so many failures one by one, and how many more there are.
fn shorten(failures: &mut Vec<Fact>) {
    let more = failures.len().saturating_sub(MAX_FAILURES);
    failures.truncate(MAX_FAILURES);
    if let (1.., Some(Fact::RuleFailed { error, .. })) = (more, failures.last_mut()) {
        *error = format!("{error} (and {more} more rules failed on the event)");
    }
}

/// The request that a rule makes, or what is wrong with it.
async fn request(
    core: &Core,
    generation: &Generation,
    event: &Event,
    selected: Selected,
    at: Timestamp,
) -> Result<Result<ExecutionRequested, String>, Trouble> {
    let resolved = match core.library.resolve(generation, None, &selected.action) {
        Ok(resolved) => resolved,
        Err(error) => return Ok(Err(error.message)),
    };
    let mut parameters = selected.parameters;
    resolved.parameters().fill(&mut parameters);
    let given = Value::Object(parameters);
    if let Some(violation) = resolved.parameters().violations(&given).into_iter().next() {
        return Ok(Err(format!(
            "the parameters of `{}` don't fit: {}",
            selected.action, violation.message
        )));
    }
    let Value::Object(mut parameters) = given else {
        return Ok(Err(ErrorKind::Internal.to_string()));
    };
    for value in parameters.values_mut() {
        *value = core.bounded(value.take()).await?;
    }
    Ok(Ok(ExecutionRequested {
        parameters: Value::Object(parameters),
        origin: Origin::Rule { rule: selected.rule, event: event.key() },
        pack: resolved.version(),
        depth: event.envelope.depth(),
        deadline: resolved.deadline(),
        action: selected.action,
        at,
    }))
}

async fn body(core: &Core, data: &Value) -> Result<Body, Trouble> {
    if data.to_string().len() > INLINE_EVENT_BYTES {
        return Ok(Body::Blob(core.blob(data).await?));
    }
    Ok(Body::Inline(data.clone()))
}

/// Stores events, and the cursor that goes with the last of them. Answers for each in order.
pub async fn accept(
    core: &Core,
    driver: &Driver,
    actor: &Actor,
    events: Vec<Event>,
    cursor: Option<(String, Value)>,
) -> Result<Vec<Accepted>, IntakeError> {
    let mut accepted = Vec::new();
    let mut decided = Vec::new();
    for event in events {
        let bytes = event.data.to_string().len();
        if bytes > MAX_EVENT_BYTES {
            return Err(IntakeError::TooLarge(bytes));
        }
        decided.push(decide(core, event, None).await?);
    }
    let mut decided = decided.into_iter().peekable();
    loop {
        let part = next_part(&mut decided);
        let last = decided.peek().is_none();
        let moved = cursor.clone().filter(|_| last);
        accepted.extend(store_part(core, driver, actor, part, moved).await?);
        if last {
            return Ok(accepted);
        }
    }
}

/// As many events from the front as fit into one batch, at least one.
fn next_part(decided: &mut Peekable<impl Iterator<Item = Decided>>) -> Vec<Decided> {
    let mut part: Vec<Decided> = decided.next().into_iter().collect();
    let (mut facts, mut bytes) = part.first().map_or((0, 0), Decided::weight);
    while let Some(next) = decided.peek() {
        let (more_facts, more_bytes) = next.weight();
        facts += more_facts;
        bytes += more_bytes;
        // One fact is the cursor's.
        if facts >= MAX_BATCH_FACTS || bytes > MAX_BATCH_BYTES / 2 {
            break;
        }
        part.extend(decided.next());
    }
    part
}

/// Stores some events in one commit; those that are there already are left out and counted.
async fn store_part(
    core: &Core,
    driver: &Driver,
    actor: &Actor,
    decided: Vec<Decided>,
    cursor: Option<(String, Value)>,
) -> Result<Vec<Accepted>, IntakeError> {
    let mut answers: Vec<Accepted> = Vec::new();
    let mut started = Vec::new();
    let mut payloads = Vec::new();
    let mut writes: Vec<Write> = Vec::new();
    for one in decided {
        let executions: Vec<(ExecutionId, Lane)> = one.started();
        payloads.push(one.payload);
        if let Some(first) = answers.iter().position(|answer| *answer.key() == one.key) {
            let differs = payloads[first] != one.payload;
            answers.push(Accepted::Duplicate { key: one.key, differs });
            continue;
        }
        answers.push(Accepted::New {
            key: one.key.clone(),
            executions: executions.iter().map(|(id, _)| id.clone()).collect(),
        });
        started.extend(executions);
        writes.extend(one.writes());
    }
    if let Some((sensor, cursor)) = cursor {
        let facts = vec![Fact::CursorMoved { cursor }];
        writes.push(Write { stream: Stream::Sensor(sensor), expected: None, facts });
    }
    while !writes.is_empty() {
        let batch =
            Batch { id: batch_id(), actor: actor.clone(), at: core.now(), writes: writes.clone() };
        match core.append(batch).await? {
            Appended::Committed { .. } => break,
            Appended::Conflict { stream, .. } => {
                leave_out(core, &stream, &mut writes, &mut answers, &payloads, &mut started)
                    .await?;
            }
        }
    }
    for (id, lane) in started {
        driver.submit(id, lane);
    }
    Ok(answers)
}

/// Random, so that an event told again is met as a conflict of its stream, not as this batch.
fn batch_id() -> BatchId {
    BatchId::new(format!("intake/{}", crate::random::name()))
}

/// Takes what is there already out of the batch: an execution by itself, an event with its own.
async fn leave_out(
    core: &Core,
    stream: &Stream,
    writes: &mut Vec<Write>,
    answers: &mut [Accepted],
    payloads: &[Hash],
    started: &mut Vec<(ExecutionId, Lane)>,
) -> Result<(), IntakeError> {
    let Stream::Event(key) = stream else {
        writes.retain(|write| write.stream != *stream);
        started.retain(|(id, _)| Stream::Execution(id.clone()) != *stream);
        return Ok(());
    };
    let fresh = |answer: &Accepted| matches!(answer, Accepted::New { key: new, .. } if new == key);
    let Some(at) = answers.iter().position(fresh) else { return Ok(()) };
    let Accepted::New { executions, .. } = answers[at].clone() else { return Ok(()) };
    let stored = core.store.payload(key).await.map_err(Trouble::from)?;
    let differs = stored.is_some_and(|payload| payload != payloads[at]);
    let repeated = match differs {
        true => Fact::DuplicateDiffers { payload: payloads[at], at: core.now() },
        false => Fact::EventRepeated { at: core.now() },
    };
    answers[at] = Accepted::Duplicate { key: key.clone(), differs };
    writes.retain(|write| match &write.stream {
        Stream::Execution(id) => !executions.contains(id),
        stream => *stream != Stream::Event(key.clone()),
    });
    started.retain(|(id, _)| !executions.contains(id));
    writes.push(Write { stream: stream.clone(), expected: None, facts: vec![repeated] });
    Ok(())
}
