//! A test as its file says it: what begins, what actions answer, what is expected.

use model::{
    ActionRef, Duration, ErrorKind, Event, ExecutionState, Exported, Location, Map, Name,
    Timestamp, TriggerType, Value,
};

use super::recorded::compared;

/// One test.
#[derive(Debug)]
pub struct Case {
    /// What it shows, in a sentence.
    pub name: String,
    /// Where it begins.
    pub at: Location,
    pub(super) start: Start,
    /// Configuration of the pack, over the defaults of its schema.
    pub(super) config: Map,
    pub(super) now: Timestamp,
    /// The datastore as the test finds it: `<scope>/<key>`.
    pub(super) keys: Vec<(String, Value)>,
    pub(super) mocks: Vec<Mock>,
    /// Somebody cancels what it began.
    pub(super) cancel: Option<(Cancel, Location)>,
    pub(super) expect: Expect,
}

/// Somebody cancels what a test began.
#[derive(Debug, Clone)]
pub(super) struct Cancel {
    /// So long after it began.
    pub(super) after: Duration,
    pub(super) reason: Option<String>,
}

/// What the test begins with.
#[derive(Debug)]
pub(super) enum Start {
    /// An event, which the pack's rules see.
    Event(Box<Event>),
    /// An action that is run directly.
    Action { reference: ActionRef, parameters: Map },
    /// What a server did, which must go the same today.
    Recorded(Box<Exported>),
}

/// What an action answers.
#[derive(Debug, Clone)]
pub(super) struct Mock {
    pub(super) action: ActionRef,
    pub(super) at: Location,
    /// It answers only calls whose parameters hold this.
    pub(super) with: Option<Value>,
    pub(super) says: Says,
    /// It answers so many attempts; then the next mock is asked.
    pub(super) times: Option<u32>,
    /// How long an attempt takes.
    pub(super) takes: Option<Duration>,
}

/// How an attempt goes.
#[derive(Debug, Clone)]
pub(super) enum Says {
    /// It is done, with this result; texts may hold `${…}`.
    Done(Value),
    /// It failed, certainly without effect.
    Failed(Fault),
    /// Nobody knows whether it was done.
    Unknown(Fault),
    /// What the program says: it is run.
    Real,
}

#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
    pub(super) details: Value,
}

/// What must have happened. What is not named is not looked at.
#[derive(Debug, Default)]
pub(super) struct Expect {
    pub(super) at: Option<Location>,
    /// The rules of the pack that select the event: these and no others.
    pub(super) rules: Option<(Vec<Name>, Location)>,
    /// Rules that fail on the event, and what their error says.
    pub(super) rule_errors: Vec<(Name, String, Location)>,
    /// Of the only execution.
    pub(super) end: End,
    /// By rule.
    pub(super) executions: Vec<(Name, Location, End)>,
    pub(super) emits: Option<(Vec<Emitted>, Location)>,
    pub(super) logs: Option<(Vec<String>, Location)>,
    /// Datastore entries afterwards; null: there is none.
    pub(super) keys: Vec<(String, Value, Location)>,
}

/// How an execution must have gone.
#[derive(Debug, Default)]
pub(super) struct End {
    pub(super) steps: Option<(Vec<Expected>, Location)>,
    pub(super) outcome: Option<(ExecutionState, Location)>,
    pub(super) result: Option<(Value, Location)>,
    pub(super) error: Option<(ExpectedError, Location)>,
}

#[derive(Debug)]
pub(super) struct ExpectedError {
    pub(super) kind: Option<ErrorKind>,
    /// A part of the message.
    pub(super) message: Option<String>,
    pub(super) action: Option<ActionRef>,
}

#[derive(Debug)]
pub(super) struct Emitted {
    pub(super) kind: TriggerType,
    pub(super) data: Option<Value>,
}

/// Steps that must have been called.
#[derive(Debug)]
pub(super) enum Expected {
    /// This one, here.
    One(ExpectedStep),
    /// All of these, in any order.
    Unordered(Vec<ExpectedStep>),
}

#[derive(Debug)]
pub(super) struct ExpectedStep {
    pub(super) action: ActionRef,
    pub(super) with: Option<Value>,
    pub(super) attempts: Option<u32>,
    /// The steps of the chain that it runs.
    pub(super) steps: Option<Vec<Expected>>,
}

impl End {
    /// Where it says the first thing of an execution.
    pub(super) fn place(&self) -> Option<&Location> {
        let places = [
            self.steps.as_ref().map(|(_, at)| at),
            self.outcome.as_ref().map(|(_, at)| at),
            self.result.as_ref().map(|(_, at)| at),
            self.error.as_ref().map(|(_, at)| at),
        ];
        places.into_iter().flatten().min()
    }
}

impl Case {
    /// Whether it runs programs.
    pub(super) fn runs_programs(&self) -> bool {
        self.mocks.iter().any(|mock| matches!(mock.says, Says::Real))
    }

    /// The test that the execution in `file` goes the same today.
    pub(super) fn recorded(file: &str, exported: Exported) -> Self {
        Self {
            name: format!("{} of {} {}", exported.execution, exported.action, compared(&exported)),
            at: Location { file: file.to_owned(), line: 1, column: 0 },
            config: Map::new(),
            now: exported.requested_at,
            keys: Vec::new(),
            mocks: Vec::new(),
            cancel: None,
            expect: Expect::default(),
            start: Start::Recorded(Box::new(exported)),
        }
    }
}
