//! The port: what every action can do.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use host::guard::HostPattern;
use host::redact::Redactor;
use model::{
    ActionRef, Effect, IdempotencyKey, Performance, Plan, Schema, StepError, TraceContext, Value,
};
use tokio_util::sync::CancellationToken;

/// What there is to know of an action without performing it.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// Its reference, such as `http.request`.
    pub reference: ActionRef,
    /// What it does, in a sentence.
    pub description: String,
    /// What it takes.
    pub parameters: Schema,
    /// What it returns; a result is checked against it where it is not empty.
    pub result: Schema,
    /// Its effect class, or `None` where that depends on the parameters.
    pub effect: Option<Effect>,
    /// Longest time of one attempt, where the caller says nothing.
    pub timeout: Option<model::Duration>,
}

/// One attempt at a step.
pub struct Performing {
    /// The parameters: they fit the schema and hold its defaults.
    pub parameters: Value,
    /// The same for every attempt.
    pub key: IdempotencyKey,
    /// From 1.
    pub attempt: u32,
    /// Counts what is begun anew, from 1. An attempt that takes up what the engine's own end cut off
    /// is of the same run as the one before.
    pub run: u32,
    /// Whether an earlier process may have begun this run.
    pub resumed: bool,
    /// The longest time of the attempt: `cancel` fires after it.
    pub timeout: Option<model::Duration>,
    /// The pack that owns the calling chain, for what is looked up by name; none for manual runs.
    pub pack: Option<model::PackName>,
    /// The hosts that it may reach over HTTP, besides those of its connection.
    pub hosts: Vec<HostPattern>,
    /// A folder that holds what this step logs; it may not exist yet.
    pub log: PathBuf,
    /// Finds values of secrets in what is logged: nothing is written that did not pass it.
    pub redactor: Arc<Redactor>,
    /// The place of this attempt in a trace: what it sends or runs goes on there.
    pub trace: Option<TraceContext>,
    /// Fires when the performance should end: on cancel and at the end of a shutdown's grace.
    pub cancel: CancellationToken,
    /// Fired already where the server is what ends: what goes on elsewhere is left to go on.
    pub stopping: CancellationToken,
}

/// Something that can be performed.
///
/// The caller applies the attempt's timeout by firing `cancel` and waiting for the answer: an
/// action must come back soon after (a program gets SIGTERM, and SIGKILL 5 s later).
pub trait Action: Send + Sync {
    /// What there is to know of it.
    fn metadata(&self) -> &Metadata;
    /// What performing it twice with these parameters would do.
    fn effect(&self, parameters: &Value) -> Effect;
    /// What it answers where it is performed with these parameters, and what of that is secret.
    fn result(&self, _parameters: &Value) -> Cow<'_, Schema> {
        Cow::Borrowed(&self.metadata().result)
    }
    /// What performing it would do, without doing it. Tokens of secrets stay tokens.
    ///
    /// Errors: it would certainly fail, and why.
    fn plan<'a>(&'a self, planned: &'a Performing) -> BoxFuture<'a, Result<Plan, StepError>>;
    /// Whether performing it again finds what an earlier performance of the same run began, so that
    /// what the engine's own end cuts off is taken up again, whatever its effect.
    fn resumes(&self) -> bool {
        false
    }
    /// Performs it once.
    fn perform(&self, performing: Performing) -> BoxFuture<'_, Performance>;
}

/// An action that several owners share.
pub type SharedAction = Arc<dyn Action>;
