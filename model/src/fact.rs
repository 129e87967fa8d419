//! Facts: everything that must survive, appended to the log.
//!
//! A fact is stored as JSON under [`VERSION`]. Old bytes stay readable: a change that would break
//! them raises the version and [`Fact::decode`] learns to read both; `model/tests/golden/` holds
//! every fact of every version.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::access::{self, TokenCreated};
use crate::event::StoredEvent;
use crate::{
    ActionRef, Actor, Call, Duration, ErrorKind, EventKey, ExecutionId, ExecutionState, Hash, Name,
    Origin, Outcome, PackName, Record, Resolution, RuleRef, Sequence, StepError, StepPath,
    Timestamp, Token, TraceContext, TraceParent, TraceState, UndoReason, Value,
};

/// The version under which facts are written now.
pub const VERSION: u32 = 1;

/// A stored fact that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BadFact {
    /// Written by a newer Tripline.
    #[error(
        "the fact has schema version {0}; this version of Tripline reads up to {VERSION}: use a newer one"
    )]
    Newer(u32),
    /// Damaged.
    #[error("the fact cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}

/// Something that happened in Tripline and must survive.
#[expect(missing_docs, reason = "each variant's sentence says what its fields hold")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Fact {
    // -- the installation ------------------------------------------------------------------
    /// The installation got its name, which stands in the source of its events.
    InstallationNamed { name: Name },
    /// These packs' contents are active from here on.
    GenerationActivated { generation: u64, packs: BTreeMap<PackName, Hash> },
    /// The state was restored from a backup: what was done after `taken_at`, nobody wrote down.
    StateRestored { taken_at: Timestamp, at: Timestamp },
    /// Somebody took a backup.
    BackupTaken { at: Timestamp },
    /// Somebody asked what running an action would do: what only reads was performed.
    DryRunMade { action: ActionRef, at: Timestamp },
    /// Somebody had a sensor started again, named by its address.
    SensorRestarted { sensor: String, at: Timestamp },
    /// Somebody told a sensor that what it found is right.
    SensorConfirmed { sensor: String, at: Timestamp },
    /// Somebody had the packs' files read again.
    PacksReloaded { at: Timestamp },
    /// A pack's content was loaded.
    PackActivated { version: String, hash: Hash },
    /// A pack's content was refused; its last good one stays.
    PackRejected { error: String },
    /// A rule was enabled or disabled by command; `None`: its file decides again.
    RuleSwitched { enabled: Option<bool> },

    // -- tokens ----------------------------------------------------------------------------
    /// A token opens the API from here on.
    TokenCreated(TokenCreated),
    /// The token with this hash opens nothing any more; what it allowed, and until when it would have.
    TokenRevoked {
        hash: Hash,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant: Option<access::Grant>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
        at: Timestamp,
    },
    /// Requests of one and the same were refused.
    RequestsRefused(RequestsRefused),

    // -- events ----------------------------------------------------------------------------
    /// An event was accepted, with what the rules made of it.
    EventAccepted(EventAccepted),
    /// The same event was told again.
    EventRepeated { at: Timestamp },
    /// The same event was told again with other data; the first stands.
    DuplicateDiffers { payload: Hash, at: Timestamp },
    /// More rules selected the event than fit its commit: these of them have been requested since.
    MoreMatched { matched: Vec<(RuleRef, ExecutionId)>, at: Timestamp },
    /// What else the rules made of the event is to be stored, page by page: each blob is one.
    PagesDeferred { pages: Vec<Hash> },
    /// So many pages are stored.
    PageStored { page: u32, of: u32 },
    /// Somebody gave up a page that cannot be read, for this reason: nothing of it is requested.
    PageGivenUp { page: u32, of: u32, error: String, at: Timestamp },
    /// A rule's condition or template failed on the event.
    RuleFailed { rule: RuleRef, error: String },
    /// A sensor's cursor moved. `behind`: what it tells may have been told before, by a server that was
    /// lost before a restore; the sensor has not caught up yet.
    CursorMoved {
        cursor: Value,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        behind: bool,
    },
    /// A sensor saw an object, of which it remembers this.
    ObjectSeen { entry: Value },
    /// An object that a sensor saw is not there any more.
    ObjectGone,

    // -- executions ------------------------------------------------------------------------
    /// An action is to be run.
    ExecutionRequested(ExecutionRequested),
    /// The chain called this, and it may be performed from now on: attempt 1.
    StepIntended { path: StepPath, call: Call, at: Timestamp },
    /// The chain called this, and the answer is part of the fact.
    StepRecorded { path: StepPath, record: Record, at: Timestamp },
    /// An attempt did not succeed; the next one is due at `next_at`.
    AttemptFailed {
        path: StepPath,
        attempt: u32,
        error: StepError,
        next_at: Timestamp,
        at: Timestamp,
    },
    /// A later attempt begins; `cut_off` of the earlier ones ended with the engine's own death.
    AttemptStarted { path: StepPath, attempt: u32, cut_off: u32, at: Timestamp },
    /// The engine's own death ended the latest attempt, as it did `cut_off` attempts in all; what
    /// became of it is to be found out.
    AttemptCutOff { path: StepPath, cut_off: u32, at: Timestamp },
    /// A poll got an answer, which replaces the one before; the next is due at `next_at`.
    /// `own`: tokens that were granted with it or with answers before it, and go with the next one
    /// that does not hold them; those of the last answer are forgotten where they are not among them.
    PollAnswered {
        path: StepPath,
        answer: u32,
        value: Value,
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        own: BTreeSet<Token>,
        next_at: Timestamp,
        at: Timestamp,
    },
    /// A call is over.
    StepFinished { path: StepPath, result: StepResult, attempts: u32, at: Timestamp },
    /// A step's outcome is unknown and nothing but a person can tell.
    AttentionNeeded { path: Option<StepPath>, error: StepError, at: Timestamp },
    /// A person told.
    StepResolved { path: Option<StepPath>, resolution: Resolution, at: Timestamp },
    /// Somebody asked for the end.
    CancelRequested { reason: Option<String>, at: Timestamp },
    /// Somebody holds it, or (`with_parent`) the execution that runs it: nothing new begins until
    /// it is resumed.
    ExecutionPaused {
        reason: Option<String>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        with_parent: bool,
        at: Timestamp,
    },
    /// It goes on.
    ExecutionResumed { at: Timestamp },
    /// The steps that follow were made by `of`, which this execution repeats from `before` on; that
    /// one's chain saw `context` as `execution`.
    /// `forced`: whatever speaks against it.
    JournalInherited {
        of: ExecutionId,
        before: StepPath,
        context: Value,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        forced: bool,
        at: Timestamp,
    },
    /// It goes on where `of`, a run of the same chain, ended; `in_a_row`: so many runs before it went on
    /// one after the other without time between, the last `idle` of them without a step. `by`: who
    /// asked for the first of all.
    ExecutionContinues {
        of: ExecutionId,
        #[serde(default, skip_serializing_if = "is_zero")]
        in_a_row: u32,
        #[serde(default, skip_serializing_if = "is_zero")]
        idle: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Actor>,
        at: Timestamp,
    },
    /// From here on the chain replays against entries up to `position`, then its handlers run.
    UndoBegan { position: Sequence, reason: UndoReason, at: Timestamp },
    /// Nothing is being performed; the execution goes on at `until`, or when what it waits for ends.
    ExecutionParked { until: Option<Timestamp>, at: Timestamp },
    /// The end.
    ExecutionFinished { outcome: Outcome, at: Timestamp },

    /// From here on the execution may use these tokens.
    TokensGranted { tokens: BTreeMap<Token, Grant>, at: Timestamp },
    /// From here on these tokens stand in the configuration that the chain sees, each at its place
    /// (a JSON Pointer): the settings of its pack that are secret.
    SettingsRead { tokens: BTreeMap<String, Token>, at: Timestamp },

    // -- secrets ---------------------------------------------------------------------------
    /// A named secret has a new version; its value lies encrypted beside the log.
    SecretSet { version: u64 },
    /// These versions of a named secret are gone: others followed them long ago.
    SecretVersionsDropped { versions: Vec<u64> },
    /// A named secret is gone, all its versions.
    SecretDeleted,
    /// So many records are encrypted with the key of this public half from here on.
    SecretsRekeyed { key: String, records: u64 },

    // -- datastore -------------------------------------------------------------------------
    /// A datastore entry has this value.
    KeySet { value: Value, expires_at: Option<Timestamp> },
    /// A datastore entry is gone.
    KeyDeleted,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What a token stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// One version of a named secret.
    Named {
        /// Its path.
        path: String,
        /// Its version: a later one has another token.
        version: u64,
    },
    /// A value of its own, kept for as long as this execution, which has no parent.
    Kept {
        /// The execution.
        by: ExecutionId,
    },
}

/// How a call ended, in the words of the journal.
#[derive(Debug, Clone, PartialEq, schemars::JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// With this value.
    Done(Value),
    /// With this error.
    Failed(StepError),
}

/// An event and what the rules of `generation` made of it at `accepted_at`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventAccepted {
    /// The event.
    pub event: StoredEvent,
    /// The hash of its data, by which a repetition with other data is known.
    pub payload: Hash,
    /// What rules saw as `now`.
    pub accepted_at: Timestamp,
    /// The generation of packs whose rules saw it.
    pub generation: u64,
    /// The rules that selected it, and the executions they asked for.
    pub matched: Vec<(RuleRef, ExecutionId)>,
    /// The event that this one repeats on request.
    pub reemit_of: Option<EventKey>,
    /// Whether a server that was lost before a restore may have told it too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retold: bool,
}

/// Requests to the API that were refused: the first of a minute, or those that followed it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestsRefused {
    /// Why: `unauthenticated`, `denied` or `rate_limited`.
    pub reason: ErrorKind,
    /// The method of the latest one.
    pub method: String,
    /// Its path.
    pub path: String,
    /// How many there were.
    pub times: u64,
    /// When the first of the minute was sent.
    pub since: Timestamp,
    /// When this was written down.
    pub at: Timestamp,
}

/// A request to run an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutionRequested {
    /// The action.
    pub action: ActionRef,
    /// Its parameters, with defaults filled in.
    pub parameters: Value,
    /// Who asked.
    pub origin: Origin,
    /// The content of the action's pack that the execution pins; none for what is built in.
    pub pack: Option<Hash>,
    /// How many executions caused one another before this one.
    pub depth: u32,
    /// Longest time from start to end, undo apart.
    pub deadline: Option<Duration>,
    /// When it was asked for.
    pub at: Timestamp,
    /// The place in a trace that it was asked from, where that does not follow from its origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<TraceParent>,
    /// What tracing systems know of that trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<TraceState>,
    /// What among its parameters other packs passed on, where chains of theirs run it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed: Vec<Passed>,
    /// Whether a server that was lost before a restore may have been asked for it too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doubted: bool,
}

/// Names of actions and connections that a pack passed on to a chain of another one: they are used on
/// its behalf too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// The pack.
    pub pack: PackName,
    /// The names.
    pub names: BTreeSet<String>,
}

impl ExecutionRequested {
    /// The span from which the execution was asked for; none: it begins a trace.
    pub fn asked_from(&self) -> Option<TraceParent> {
        self.traceparent.or_else(|| {
            // An event without a place of another's has one of its own.
            self.origin.event().map(|event| TraceParent::root(event.as_str()))
        })
    }

    /// What follows from the execution `id` that this asks for goes on there.
    pub fn trace(&self, id: &ExecutionId) -> TraceContext {
        TraceContext { parent: self.span(id), state: self.tracestate.clone() }
    }

    /// The span of the execution `id` that this asks for.
    pub fn span(&self, id: &ExecutionId) -> TraceParent {
        let id = id.as_str();
        self.asked_from().map_or_else(|| TraceParent::root(id), |from| from.within(id))
    }
}

/// Names facts after their variants.
macro_rules! named {
    ($($variant:ident),* $(,)?) => {
        impl Fact {
            /// Every fact's name.
            pub const NAMES: &[&'static str] = &[$(stringify!($variant)),*];

            /// The fact's name: what the log's index and the audit call it.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => stringify!($variant),)*
                }
            }
        }
    };
}

named! {
    InstallationNamed,
    GenerationActivated,
    StateRestored,
    BackupTaken,
    DryRunMade,
    SensorRestarted,
    SensorConfirmed,
    PacksReloaded,
    PackActivated,
    PackRejected,
    RuleSwitched,
    TokenCreated,
    TokenRevoked,
    RequestsRefused,
    EventAccepted,
    EventRepeated,
    DuplicateDiffers,
    MoreMatched,
    PagesDeferred,
    PageStored,
    PageGivenUp,
    RuleFailed,
    CursorMoved,
    ObjectSeen,
    ObjectGone,
    ExecutionRequested,
    StepIntended,
    StepRecorded,
    AttemptFailed,
    AttemptStarted,
    AttemptCutOff,
    PollAnswered,
    StepFinished,
    AttentionNeeded,
    StepResolved,
    CancelRequested,
    ExecutionPaused,
    ExecutionResumed,
    JournalInherited,
    ExecutionContinues,
    UndoBegan,
    ExecutionParked,
    ExecutionFinished,
    TokensGranted,
    SettingsRead,
    SecretSet,
    SecretVersionsDropped,
    SecretDeleted,
    SecretsRekeyed,
    KeySet,
    KeyDeleted,
}

impl Fact {
    /// When an execution had begun to which this happens, if it tells so: it calls something, or its chain
    /// came to an end before it did.
    pub fn begun_at(&self) -> Option<Timestamp> {
        match self {
            Self::StepIntended { at, .. } | Self::StepRecorded { at, .. } => Some(*at),
            Self::ExecutionFinished { outcome, at } => {
                matches!(outcome.state, ExecutionState::Succeeded | ExecutionState::Failed)
                    .then_some(*at)
            }
            _ => None,
        }
    }

    /// The bytes to store under [`VERSION`].
    pub fn encode(&self) -> Vec<u8> {
        // Facts hold JSON values, strings and numbers only: nothing that JSON refuses.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The fact that `bytes` hold, written under `version`.
    pub fn decode(version: u32, bytes: &[u8]) -> Result<Self, BadFact> {
        match version {
            1 => Ok(serde_json::from_slice(bytes)?),
            newer => Err(BadFact::Newer(newer)),
        }
    }
}
