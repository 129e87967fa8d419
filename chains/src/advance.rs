//! What goes into one evaluation of a chain and what comes out.

use model::{
    ActionRef, ExecutionId, Location, Outcome, Record, StepError, StepPath, Timestamp, UndoReason,
    Value,
};

use crate::{PollOptions, StepOptions};

/// What a chain is given, the same in every evaluation of one execution.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The execution.
    pub execution: ExecutionId,
    /// `params` in the chain.
    pub parameters: Value,
    /// `config` in the chain.
    pub config: Value,
    /// `execution` in the chain.
    pub context: Value,
}

/// The outcome of one evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Advance {
    /// Calls that the chain answered itself, to be stored before what `next` asks for.
    pub records: Vec<(StepPath, Record)>,
    /// How it goes on.
    pub next: Next,
}

/// How a chain goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Every call that is not answered yet, in the order of paths: new ones, which the journal has
    /// no entry for, and those already intended. A poll that is no longer among them has got the
    /// answer it waited for and must not be asked again.
    Pending(Vec<Step>),
    /// The chain failed and registered handlers. The caller stores `UndoBegan` with the position
    /// after this evaluation's records, and advances again.
    Undo(UndoReason),
    /// The end, handlers included.
    Finished(Outcome),
    /// The end, by `continue_as`: a new run of the chain goes on with these parameters.
    Continued(Outcome, Value),
    /// The journal does not fit the program; neither is to blame for certain, so a person decides.
    Broken(StepError),
}

/// One call that waits for its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its place.
    pub path: StepPath,
    /// What it asks for.
    pub ask: Ask,
    /// Where in the chain's text it stands.
    pub position: Option<Location>,
}

/// What a call asks for. A step's intent must store the action and the parameters as they are
/// asked; parameters that are absent may be added from defaults.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// `run(…)`.
    Run {
        /// The action or chain.
        action: ActionRef,
        /// Its parameters, a map.
        parameters: Value,
        /// How it may be repeated and how long it may take.
        options: StepOptions,
    },
    /// `sleep(…)` and `sleep_until(…)`.
    Sleep {
        /// The end of the sleep.
        until: Timestamp,
    },
    /// `poll(…)`.
    Poll {
        /// The action, which must be one that reads.
        action: ActionRef,
        /// Its parameters, a map.
        parameters: Value,
        /// How often and how long to ask.
        options: PollOptions,
    },
}

impl Ask {
    /// The function in the chain that asks so.
    pub const fn function(&self) -> &'static str {
        match self {
            Self::Run { .. } => "run",
            Self::Sleep { .. } => "sleep",
            Self::Poll { .. } => "poll",
        }
    }
}
