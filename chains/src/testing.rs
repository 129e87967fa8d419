//! Plays the driver for a chain in memory: stores what it asks, feeds answers in any order.

use std::collections::{BTreeMap, BTreeSet};

use model::fact::StepResult;
use model::value::brief;
use model::{
    Call, Duration, Effect, ErrorKind, ExecutionId, Fact, Journal, Outcome, Policy, StepError,
    StepPath, Timestamp, UndoReason, Value,
};

use crate::{Advance, Ask, Evaluator, Input, Next, Program, Source, Step};

/// One execution of a chain, without a store and without actions.
pub struct Trial {
    /// The program.
    pub program: Program,
    /// What the chain is given.
    pub input: Input,
    /// Everything stored so far.
    pub facts: Vec<Fact>,
    /// The same, folded.
    pub journal: Journal,
    /// The latest answer of the evaluator.
    pub latest: Option<Next>,
    /// The time that the chain sees.
    pub now: Timestamp,
    evaluator: Evaluator,
}

impl Trial {
    /// A chain of this text. Panics where it does not compile: this is for tests.
    pub fn of(text: &str) -> Self {
        Self::with_libs(text, &[])
    }

    /// A chain that can import these libraries.
    pub fn with_libs(text: &str, libs: &[(&str, &str)]) -> Self {
        let libs: BTreeMap<String, String> =
            libs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let source = Source { file: "chain.rhai".to_owned(), text: text.to_owned(), libs };
        let program = match Program::compile(source) {
            Ok(program) => program,
            Err(wrong) => {
                let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
                panic!("{}", wrong.join("\n"))
            }
        };
        let input = Input {
            execution: ExecutionId::random(&[0; 32]),
            parameters: Value::Object(model::Map::new()),
            config: Value::Object(model::Map::new()),
            context: Value::Object(model::Map::new()),
        };
        Self {
            program,
            input,
            facts: Vec::new(),
            journal: Journal::default(),
            latest: None,
            now: Timestamp::UNIX_EPOCH,
            evaluator: Evaluator::new(),
        }
    }

    /// The same chain with these parameters.
    #[must_use]
    pub fn params(mut self, parameters: Value) -> Self {
        self.input.parameters = parameters;
        self
    }

    /// The same execution, its program changed.
    #[must_use]
    pub fn changed_to(mut self, text: &str) -> Self {
        self.program = Self::of(text).program;
        self
    }

    /// Stores a fact.
    pub fn store(&mut self, fact: Fact) -> &mut Self {
        self.journal.apply(&fact);
        self.facts.push(fact);
        self
    }

    /// Evaluates without storing anything.
    pub fn evaluate(&mut self) -> Advance {
        self.evaluator.advance(&self.program, &self.input, &self.journal, self.now)
    }

    /// Evaluates, stores records and intents, and begins undo where it is asked for, as the driver
    /// does.
    pub fn advance(&mut self) -> &mut Self {
        loop {
            let advance = self.evaluate();
            if !self.take(advance) {
                return self;
            }
        }
    }

    /// Stores what an evaluation said, as the driver does; whether it is to be made again at once.
    pub fn take(&mut self, Advance { records, next }: Advance) -> bool {
        let at = self.now;
        for (path, record) in records {
            self.store(Fact::StepRecorded { path, record, at });
        }
        self.latest = Some(next.clone());
        match next {
            Next::Undo(reason) => {
                self.undo(reason);
                true
            }
            Next::Pending(steps) => {
                self.intend(steps);
                false
            }
            Next::Finished(_) | Next::Continued(..) | Next::Broken(_) => false,
        }
    }

    /// Begins undo, as a cancel or a deadline does.
    pub fn undo(&mut self, reason: UndoReason) -> &mut Self {
        let (position, at) = (self.journal.length, self.now);
        self.store(Fact::UndoBegan { position, reason, at })
    }

    fn intend(&mut self, steps: Vec<Step>) -> &mut Self {
        for Step { path, ask, .. } in steps {
            if !self.journal.entries.contains_key(&path) {
                let at = self.now;
                self.store(Fact::StepIntended { path, call: call(ask), at });
            }
        }
        self
    }

    /// Ends a step with a value.
    pub fn done(&mut self, path: &str, value: Value) -> &mut Self {
        self.finish(path, StepResult::Done(value))
    }

    /// Ends a step with an error.
    pub fn failed(&mut self, path: &str, kind: ErrorKind, message: &str) -> &mut Self {
        let mut error = StepError::new(kind, message);
        error.action = self.journal.entries[&at(path)].call.action().cloned();
        error.attempts = 1;
        self.finish(path, StepResult::Failed(error))
    }

    fn finish(&mut self, path: &str, result: StepResult) -> &mut Self {
        let path = at(path);
        assert!(self.journal.entries.contains_key(&path), "no call at {path}");
        let at = self.now;
        self.store(Fact::StepFinished { path, result, attempts: 1, at })
    }

    /// Gives a poll an answer.
    pub fn answered(&mut self, path: &str, value: Value) -> &mut Self {
        let path = at(path);
        let answer = self.journal.entries[&path].answer.as_ref().map_or(1, |a| a.number + 1);
        let (now, next_at) = (self.now, Duration::from_secs(10).after(self.now));
        self.store(Fact::PollAnswered {
            path,
            answer,
            value,
            own: BTreeSet::new(),
            next_at,
            at: now,
        })
    }

    /// How it stands, one line each: the calls that wait, or the end.
    pub fn shown(&self) -> String {
        match &self.latest {
            None => "not begun".to_owned(),
            Some(Next::Pending(steps)) => {
                steps.iter().map(shown_step).collect::<Vec<_>>().join("\n")
            }
            Some(Next::Undo(reason)) => format!("undo: {reason:?}"),
            Some(Next::Broken(error)) => format!("broken: {error}"),
            Some(Next::Finished(outcome)) => shown_outcome(outcome),
            Some(Next::Continued(outcome, parameters)) => {
                format!("{}\ncontinued with {parameters}", shown_outcome(outcome))
            }
        }
    }

    /// The end, if it is reached.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.latest {
            Some(Next::Finished(outcome) | Next::Continued(outcome, _)) => Some(outcome),
            _ => None,
        }
    }

    /// The paths that wait for an answer.
    pub fn waiting(&self) -> Vec<String> {
        match &self.latest {
            Some(Next::Pending(steps)) => steps.iter().map(|step| step.path.to_string()).collect(),
            _ => Vec::new(),
        }
    }
}

/// The call that a driver would store for `ask`.
pub fn call(ask: Ask) -> Call {
    match ask {
        Ask::Sleep { until } => Call::Sleep { until },
        Ask::Poll { action, parameters, options } => Call::Poll {
            action,
            parameters,
            version: None,
            every: options.every,
            timeout: options.timeout,
            deadline: None,
        },
        Ask::Run { action, parameters, options } => {
            let retry = options.retry.unwrap_or_default();
            let policy = Policy {
                attempts: retry.attempts.unwrap_or(1),
                backoff: retry.backoff,
                only: retry.only,
                timeout: options.timeout,
                deadline: None,
            };
            Call::Run { action, parameters, effect: Effect::Idempotent, version: None, policy }
        }
    }
}

fn at(path: &str) -> StepPath {
    path.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn shown_step(step: &Step) -> String {
    let asked = match &step.ask {
        Ask::Sleep { until } => format!("sleep until {until}"),
        Ask::Run { action, parameters, .. } => format!("run {action} {}", brief(parameters, 100)),
        Ask::Poll { action, parameters, .. } => format!("poll {action} {}", brief(parameters, 100)),
    };
    format!("{}: {asked}", step.path)
}

fn shown_outcome(outcome: &Outcome) -> String {
    let result = outcome.result.as_ref().map(|result| format!(" {result}")).unwrap_or_default();
    let error = outcome.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    let handlers: Vec<String> = outcome
        .handler_errors
        .iter()
        .map(|failed| format!("\nhandler {}: {}", failed.path, failed.error))
        .collect();
    format!("{}{result}{error}{}", outcome.state, handlers.concat())
}
