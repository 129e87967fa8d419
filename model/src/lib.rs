//! The shared nouns of Tripline as plain values: events, rules' and actions' names, executions,
//! steps, facts and the journal they fold into.
//!
//! This crate owns *what is stored and spoken of*: every type here that is written to the store is
//! versioned (see [`fact`]) and has golden files under `model/tests/golden/`. It knows no IO, no
//! clock, no randomness: who needs the time or random bytes passes them in.
//!
//! ```
//! use model::{EventKey, ExecutionId, RuleRef};
//! let event = EventKey::derive("tripline:demo/app/push", "refs/heads/main#1");
//! let rule: RuleRef = "app.release".parse().unwrap();
//! // The same happening and the same rule give the same execution, however often they are told.
//! assert_eq!(ExecutionId::for_rule(&event, &rule, None), ExecutionId::for_rule(&event, &rule, None));
//! ```

pub mod access;
pub mod blob;
mod derive;
pub mod diagnostic;
pub mod duration;
pub mod error;
pub mod event;
pub mod execution;
pub mod exported;
pub mod fact;
pub mod foreseen;
pub mod id;
pub mod journal;
pub mod json;
pub mod keys;
pub mod name;
pub mod path;
pub mod plan;
pub mod reach;
pub mod schema;
mod secret_places;
pub mod size;
pub mod source;
pub mod step;
pub mod stream;
mod text;
pub mod token;
pub mod trace;
mod trace_state;
pub mod value;
pub mod wildcard;

pub use access::{Grant, PackPattern, Role};
pub use blob::{BlobRef, Body, Hash};
pub use diagnostic::{Diagnostic, Location, Severity};
pub use duration::Duration;
pub use error::{ErrorKind, StepError};
pub use event::{Cause, Envelope, Event};
pub use execution::{ExecutionState, Origin, Outcome, UndoReason};
pub use exported::Exported;
pub use fact::Fact;
pub use foreseen::Foreseen;
pub use id::{BatchId, EventKey, ExecutionId, IdempotencyKey};
pub use jiff::Timestamp;
pub use journal::{Entry, Journal, Sequence};
pub use name::{ActionRef, Actor, Name, PackName, RuleRef, SensorRef, TriggerType};
pub use path::StepPath;
pub use plan::{Change, Plan};
pub use schema::{Schema, Violation};
pub use size::Size;
pub use source::EventSource;
pub use step::{Backoff, Call, Effect, Performance, Policy, Record, Resolution};
pub use stream::{Stream, Version};
pub use token::Token;
pub use trace::TraceParent;
pub use trace_state::{BadTraceState, TraceContext, TraceState};

/// A JSON value: what travels between rules, chains, actions and the store.
pub type Value = serde_json::Value;
/// A JSON object.
pub type Map = serde_json::Map<String, Value>;
