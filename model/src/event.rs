//! Something that happened: a CloudEvents 1.0 envelope and its data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Body, EventKey, ExecutionId, Timestamp, TraceContext, TraceParent, TraceState, TriggerType,
    Value,
};

/// How many executions may have caused one another before a loop is assumed.
pub const MAX_DEPTH: u32 = 16;

/// Most bytes of an event's id that a sender chooses.
pub const MAX_ID: usize = 256;

/// An event as sensors emit it and rules see it.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Event {
    /// Who, what, when.
    pub envelope: Envelope,
    /// What a rule sees as `trigger`.
    pub data: Value,
}

/// An event without its data: the attributes of CloudEvents, with ours as an extension.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Envelope {
    /// Identifies the happening within its source.
    pub id: String,
    /// Where it comes from; see [`crate::EventSource`].
    pub source: String,
    /// The trigger type.
    #[serde(rename = "type")]
    pub kind: TriggerType,
    /// When it happened.
    pub time: Timestamp,
    /// What it happened to, such as a git ref.
    pub subject: Option<String>,
    /// The execution that made it happen, where one did.
    pub cause: Option<Cause>,
    /// The place in a trace that it was told from, where it was (CloudEvents' extension for
    /// distributed tracing).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<TraceParent>,
    /// What tracing systems know of that trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<TraceState>,
}

/// What made an event happen.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Cause {
    /// The execution.
    pub execution: ExecutionId,
    /// How many executions in a row: refused above [`MAX_DEPTH`].
    pub depth: u32,
}

impl Envelope {
    /// The event's identity in the store.
    pub fn key(&self) -> EventKey {
        EventKey::derive(&self.source, &self.id)
    }

    /// Its own span: in the trace that it was told from, else the first of a trace.
    pub fn span(&self) -> TraceParent {
        let key = self.key();
        self.traceparent
            .map_or_else(|| TraceParent::root(key.as_str()), |from| from.within(key.as_str()))
    }

    /// What follows from it goes on there.
    pub fn trace(&self) -> TraceContext {
        TraceContext { parent: self.span(), state: self.tracestate.clone() }
    }

    /// The depth of an execution that this event causes.
    pub fn depth(&self) -> u32 {
        self.cause.as_ref().map_or(0, |cause| cause.depth)
    }
}

impl Event {
    /// The event's identity in the store.
    pub fn key(&self) -> EventKey {
        self.envelope.key()
    }
}

/// An event as the log keeps it: large data lies in a blob.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct StoredEvent {
    /// Who, what, when.
    pub envelope: Envelope,
    /// The data, or where it lies.
    pub data: Body,
}
