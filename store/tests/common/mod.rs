//! What the tests say often, said briefly.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

use model::event::StoredEvent;
use model::fact::{EventAccepted, ExecutionRequested, StepResult};
use model::{
    Actor, Backoff, BatchId, Body, Call, Envelope, ErrorKind, EventKey, ExecutionId,
    ExecutionState, Fact, Hash, Origin, Outcome, Policy, StepError, StepPath, Stream, Timestamp,
    Value, Version,
};
use store::{Appended, Batch, Position, Store, Write};

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub fn execution_id(n: u8) -> ExecutionId {
    ExecutionId::random(&[n; 32])
}

pub fn execution(n: u8) -> Stream {
    Stream::Execution(execution_id(n))
}

pub fn sensor(name: &str) -> Stream {
    Stream::Sensor(name.to_owned())
}

pub fn key(name: &str) -> Stream {
    Stream::Key(name.to_owned())
}

pub fn moved(cursor: &str) -> Fact {
    Fact::CursorMoved { cursor: cursor.into(), behind: false }
}

pub fn set(value: &str, expires: Option<i64>) -> Fact {
    Fact::KeySet { value: value.into(), expires_at: expires.map(at) }
}

/// Facts for one stream at whatever version.
pub fn write(stream: Stream, facts: Vec<Fact>) -> Write {
    Write::new(stream, None, facts)
}

/// The same, at this version only.
pub fn expecting(version: Version, mut write: Write) -> Write {
    write.expected = Some(version);
    write
}

pub fn batch(id: &str, writes: Vec<Write>) -> Batch {
    Batch { id: BatchId::new(id), actor: Actor::token("ann"), at: at(100), writes }
}

/// Appends facts to one stream under a batch id of their own; answers the position.
pub async fn put(store: &dyn Store, stream: Stream, facts: Vec<Fact>) -> Position {
    let id = format!("{stream}@{}", store.head().await.unwrap().0);
    match store.append(batch(&id, vec![write(stream, facts)])).await.unwrap() {
        Appended::Committed { position } => position,
        conflict @ Appended::Conflict { .. } => panic!("{conflict:?}"),
    }
}

pub fn requested(origin: Origin) -> ExecutionRequested {
    ExecutionRequested {
        action: "app.deploy".parse().unwrap(),
        parameters: serde_json::json!({ "to": "dev" }),
        origin,
        pack: Some(Hash::of(b"app")),
        depth: 0,
        deadline: None,
        at: at(10),
        traceparent: None,
        tracestate: None,
        passed: Vec::new(),
        doubted: false,
    }
}

pub fn request(origin: Origin) -> Fact {
    Fact::ExecutionRequested(requested(origin))
}

pub fn by_rule(rule: &str) -> Origin {
    Origin::Rule { rule: rule.parse().unwrap(), event: event_key("e1") }
}

pub fn path(text: &str) -> StepPath {
    text.parse().unwrap()
}

pub fn intended(step: &str, second: i64) -> Fact {
    let call = Call::Sleep { until: at(second) };
    Fact::StepIntended { path: path(step), call, at: at(second) }
}

pub fn policy() -> Policy {
    Policy { attempts: 1, backoff: Backoff::default(), only: vec![], timeout: None, deadline: None }
}

pub fn finished(step: &str, second: i64) -> Fact {
    let result = StepResult::Done(Value::Null);
    Fact::StepFinished { path: path(step), result, attempts: 1, at: at(second) }
}

pub fn parked(until: Option<i64>) -> Fact {
    Fact::ExecutionParked { until: until.map(at), at: at(20) }
}

pub fn error(message: &str) -> StepError {
    StepError::new(ErrorKind::Unavailable, message)
}

pub fn ended(state: ExecutionState, second: i64) -> Fact {
    let outcome = match state {
        ExecutionState::Succeeded => Outcome::succeeded(Value::Null),
        _ => Outcome { state, ..Outcome::failed(error("it broke")) },
    };
    Fact::ExecutionFinished { outcome, at: at(second) }
}

const SOURCE: &str = "tripline:demo/app/push";

pub fn event_key(id: &str) -> EventKey {
    EventKey::derive(SOURCE, id)
}

pub fn accepted_event(id: &str, matched: &[(&str, u8)]) -> EventAccepted {
    let data = serde_json::json!({ "ref": id });
    EventAccepted {
        payload: Hash::of_value(&data),
        event: StoredEvent {
            envelope: Envelope {
                id: id.to_owned(),
                source: SOURCE.to_owned(),
                kind: "git.push".parse().unwrap(),
                time: at(1),
                subject: None,
                cause: None,
                traceparent: None,
                tracestate: None,
            },
            data: Body::Inline(data),
        },
        accepted_at: at(5),
        generation: 7,
        matched: matched
            .iter()
            .map(|(rule, n)| (rule.parse().unwrap(), execution_id(*n)))
            .collect(),
        reemit_of: None,
        retold: false,
    }
}

pub fn accepted(id: &str, matched: &[(&str, u8)]) -> Fact {
    Fact::EventAccepted(accepted_event(id, matched))
}
