//! What actions answer in a test: read from its `mocks`, and standing in for the actions.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actions::{Action, Metadata, Performing, SharedAction};
use futures::FutureExt;
use futures::future::BoxFuture;
use host::Clock;
use model::{
    ActionRef, BlobRef, Diagnostic, Effect, ErrorKind, Map, Performance, Plan, Schema, StepError,
    Value,
};
use syntax::{Entry, Fields, Node};

use super::case::{Fault, Mock, Says};
use super::file::{Context, error_kind, length, violated};
use super::matching::misfits;
use super::templates::{check_templates, holds_template, render};
use crate::packs::Resolved;

/// The mocks of a test, in the order in which they are asked.
pub(super) fn parse(node: &Node, context: &Context<'_>) -> Result<Vec<Mock>, Vec<Diagnostic>> {
    let Some(entries) = node.as_map() else {
        let finding = node.error(format!("expected a map of actions, found {}", node.describe()));
        return Err(vec![finding.with_hint("such as `http.request: { result: { status: 200 } }`")]);
    };
    let mut findings = Vec::new();
    let mut mocks = Vec::new();
    for entry in entries {
        match of_action(entry, context) {
            Ok(several) => mocks.extend(several),
            Err(wrong) => findings.extend(wrong),
        }
    }
    if findings.is_empty() { Ok(mocks) } else { Err(findings) }
}

fn of_action(entry: &Entry, context: &Context<'_>) -> Result<Vec<Mock>, Vec<Diagnostic>> {
    let action = context.action(entry.key.name(), |message| entry.key.error(message))?;
    let resolved = context.library.resolve(context.generation, None, &action);
    let real = matches!(&resolved, Ok(Resolved::Datastore(_)));
    let one = std::slice::from_ref(&entry.value);
    let answers = entry.value.as_list().unwrap_or(one);
    let mut findings = Vec::new();
    let mut mocks = Vec::new();
    for answer in answers {
        match mock(answer, &action, resolved.as_ref().ok()) {
            Ok(mock) if real && !matches!(mock.says, Says::Failed(_)) => {
                let message =
                    format!("`{action}` answers by itself: tests have a datastore of their own");
                let hint = "say with `keys:` what it holds; `fails: { … }` makes it fail";
                findings.push(answer.error(message).with_hint(hint));
            }
            Ok(mock) => mocks.push(mock),
            Err(wrong) => findings.extend(wrong),
        }
    }
    if findings.is_empty() { Ok(mocks) } else { Err(findings) }
}

const KNOWN: [&str; 7] = ["with", "result", "fails", "unknown", "real", "times", "takes"];

fn mock(
    node: &Node,
    action: &ActionRef,
    resolved: Option<&Resolved>,
) -> Result<Mock, Vec<Diagnostic>> {
    let fields = Fields::new(node, &KNOWN, &[]);
    let with = fields.optional("with").node();
    if let (Some(with), Some(resolved)) = (with, resolved) {
        names_exist(&fields, with, resolved);
    }
    let times = fields.optional("times").integer(1, 1_000_000).and_then(|n| u32::try_from(n).ok());
    let says = fields.part(says(&fields, resolved));
    let mock = says.map(|says| Mock {
        action: action.clone(),
        at: node.location(),
        with: with.map(Node::to_value),
        says,
        times,
        takes: length(&fields, "takes"),
    });
    fields.finish(mock)
}

/// Tells names under `with` that the action has no parameter for.
pub(super) fn names_exist(fields: &Fields<'_>, with: &Node, resolved: &Resolved) {
    if with.as_map().is_none() {
        fields.report(with.error(format!("expected a map, found {}", with.describe())));
        return;
    }
    let unknown = resolved.parameters().violations_of_part(&with.to_value());
    for violation in unknown.iter().filter(|violation| !violation.path.contains('.')) {
        if !resolved.parameters().properties().contains_key(&violation.path) {
            fields.report(violated(with, violation));
        }
    }
}

fn says(fields: &Fields<'_>, resolved: Option<&Resolved>) -> Result<Says, Vec<Diagnostic>> {
    let given = ["result", "fails", "unknown", "real"].map(|name| fields.node().entry(name));
    let mut given = given.into_iter().flatten();
    let (first, second) = (given.next(), given.next());
    if let (Some(first), Some(second)) = (first, second) {
        let message = format!("`{}` says already what it answers", first.key.name());
        return Err(vec![second.key.error(message).with_hint("make a list of two answers of it")]);
    }
    let Some(answer) = first else { return Ok(Says::Done(Value::Object(Map::new()))) };
    match answer.key.name() {
        "result" => done(&answer.value, resolved).map(Says::Done),
        "real" => real(&answer.value, resolved),
        "fails" => fault(&answer.value, resolved, ErrorKind::Failed).map(Says::Failed),
        _ => fault(&answer.value, resolved, ErrorKind::Timeout).map(Says::Unknown),
    }
}

/// `real: true`, of a program that runs on this machine.
fn real(node: &Node, resolved: Option<&Resolved>) -> Result<Says, Vec<Diagnostic>> {
    let wrong = |message: String, hint: &str| Err(vec![node.error(message).with_hint(hint)]);
    match resolved {
        _ if node.to_value() != Value::Bool(true) => {
            wrong(format!("expected `true`, found {}", node.describe()), "leave it out for a mock")
        }
        Some(resolved) if !resolved.is_local_program() => {
            let hint = "say what it answers: `result: { … }`, `fails: { … }`";
            wrong(format!("`{}` is no program of a pack", resolved.metadata().reference), hint)
        }
        _ => Ok(Says::Real),
    }
}

fn done(node: &Node, resolved: Option<&Resolved>) -> Result<Value, Vec<Diagnostic>> {
    let mut wrong = Vec::new();
    check_templates(node, &mut wrong);
    let value = node.to_value();
    if let Some(schema) = resolved.map(|resolved| &resolved.metadata().result)
        && !schema.properties().is_empty()
        && !holds_template(&value)
        && !is_too_large(&value)
    {
        let misfits = schema.violations_of_part(&value);
        wrong.extend(misfits.iter().map(|violation| {
            let mut violation = violation.clone();
            violation.message = violation.message.replace("unknown parameter", "the result has no");
            violated(node, &violation)
        }));
    }
    if wrong.is_empty() { Ok(value) } else { Err(wrong) }
}

/// What stands for any result that a chain cannot hold.
fn is_too_large(result: &Value) -> bool {
    let parts = result.as_object().map_or(0, Map::len);
    parts == 3 && serde_json::from_value::<BlobRef>(result.clone()).is_ok()
}

fn fault(
    node: &Node,
    resolved: Option<&Resolved>,
    default: ErrorKind,
) -> Result<Fault, Vec<Diagnostic>> {
    let default = match resolved {
        Some(Resolved::Chain { .. }) => ErrorKind::ChildFailed,
        _ => default,
    };
    if let Some(message) = node.as_str() {
        return Ok(Fault { kind: default, message: message.to_owned(), details: Value::Null });
    }
    let fields = Fields::new(node, &["kind", "message", "details"], &[]);
    let kind = error_kind(&fields, "kind").unwrap_or(default);
    let message = fields.optional("message").string().unwrap_or_else(|| kind.to_string());
    let details = fields.optional("details").value().unwrap_or_default();
    fields.finish(Some(Fault { kind, message, details }))
}

/// What happens to calls while a test runs.
#[derive(Debug, Default)]
pub(super) struct Scene {
    mocks: Vec<(Mock, u32)>,
    unmocked: Vec<Unmocked>,
    /// Programs that are running.
    running: usize,
}

/// A program that is running, until this is dropped.
struct Running(SharedScene);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}

/// A call that no mock fits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unmocked {
    pub(super) action: ActionRef,
    pub(super) parameters: Value,
    /// The mocks of this action, in what each does not fit.
    pub(super) nearest: Vec<String>,
}

/// The scene of one test; its actions share it.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedScene(Arc<Mutex<Scene>>);

impl SharedScene {
    pub(super) fn new(mocks: &[Mock]) -> Self {
        let mocks = mocks.iter().map(|mock| (mock.clone(), 0)).collect();
        Self(Arc::new(Mutex::new(Scene { mocks, ..Scene::default() })))
    }

    fn run(&self) -> Running {
        self.lock().running += 1;
        Running(self.clone())
    }

    /// Whether a program is running: the clock waits for it.
    pub(super) fn is_running(&self) -> bool {
        self.lock().running > 0
    }

    fn lock(&self) -> MutexGuard<'_, Scene> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls that no mock fitted.
    pub(super) fn unmocked(&self) -> Vec<Unmocked> {
        self.lock().unmocked.clone()
    }

    /// Whether a mock stands for this action.
    pub(super) fn mocks(&self, action: &ActionRef) -> bool {
        self.lock().mocks.iter().any(|(mock, _)| mock.action == *action)
    }

    /// Why this call of the datastore fails, where a mock says so; others are real.
    pub(super) fn fault(&self, action: &ActionRef, parameters: &Value) -> Option<StepError> {
        match self.lock().answer(action, parameters)?.says {
            Says::Failed(fault) => Some(fault.error()),
            Says::Done(_) | Says::Unknown(_) | Says::Real => None,
        }
    }

    /// The mock that answers this call, which is one attempt less for it.
    fn take(&self, action: &ActionRef, parameters: &Value) -> Option<Mock> {
        let mut scene = self.lock();
        if let Some(mock) = scene.answer(action, parameters) {
            return Some(mock);
        }
        let of_action = scene.mocks.iter().filter(|(mock, _)| mock.action == *action);
        let nearest = of_action.map(|(mock, used)| near(mock, *used, parameters)).collect();
        let unmocked = Unmocked { action: action.clone(), parameters: parameters.clone(), nearest };
        if !scene.unmocked.contains(&unmocked) {
            scene.unmocked.push(unmocked);
        }
        None
    }
}

impl Scene {
    /// The first mock that fits and is not used up; it is now, by one attempt.
    fn answer(&mut self, action: &ActionRef, parameters: &Value) -> Option<Mock> {
        let fits = |mock: &Mock| {
            mock.action == *action
                && mock.with.as_ref().is_none_or(|with| misfits(with, parameters).is_empty())
        };
        let left = |mock: &Mock, used: u32| mock.times.is_none_or(|times| used < times);
        let mut mocks = self.mocks.iter_mut();
        let (mock, used) = mocks.find(|(mock, used)| fits(mock) && left(mock, *used))?;
        *used += 1;
        Some(mock.clone())
    }
}

impl Fault {
    fn error(self) -> StepError {
        StepError::new(self.kind, self.message).with_details(self.details)
    }
}

/// Why `mock` does not answer.
fn near(mock: &Mock, used: u32, parameters: &Value) -> String {
    let misfits = mock.with.as_ref().map(|with| misfits(with, parameters)).unwrap_or_default();
    match mock.times {
        Some(times) if misfits.is_empty() && used >= times => {
            format!("the mock at {} answers {times} times only", mock.at)
        }
        _ => format!("the mock at {} differs: {}", mock.at, misfits.join("; ")),
    }
}

/// Stands in for an action.
pub(super) struct Stand {
    pub(super) inner: Inner,
    pub(super) scene: SharedScene,
    pub(super) clock: Clock,
}

/// What is stood in for.
pub(super) enum Inner {
    /// Something that performs itself.
    Action(SharedAction),
    /// A chain.
    Chain(Arc<Metadata>),
}

impl Action for Stand {
    fn metadata(&self) -> &Metadata {
        match &self.inner {
            Inner::Action(action) => action.metadata(),
            Inner::Chain(metadata) => metadata,
        }
    }

    fn effect(&self, parameters: &Value) -> Effect {
        match &self.inner {
            Inner::Action(action) => action.effect(parameters),
            Inner::Chain(_) => Effect::Unsafe,
        }
    }

    fn result(&self, parameters: &Value) -> Cow<'_, Schema> {
        match &self.inner {
            Inner::Action(action) => action.result(parameters),
            Inner::Chain(metadata) => Cow::Borrowed(&metadata.result),
        }
    }

    fn plan<'a>(&'a self, planned: &'a Performing) -> BoxFuture<'a, Result<Plan, StepError>> {
        match &self.inner {
            Inner::Action(action) => action.plan(planned),
            Inner::Chain(metadata) => {
                std::future::ready(Ok(Plan::new(format!("runs {}", metadata.reference)))).boxed()
            }
        }
    }

    fn perform(&self, performing: Performing) -> BoxFuture<'_, Performance> {
        let reference = &self.metadata().reference;
        match &self.inner {
            // These touch nothing, so they need no mock.
            Inner::Action(action)
                if matches!(reference.pack(), "core" | "template")
                    && !self.scene.mocks(reference) =>
            {
                action.perform(performing)
            }
            _ => self.answer(performing).boxed(),
        }
    }
}

impl Stand {
    async fn answer(&self, performing: Performing) -> Performance {
        let action = &self.metadata().reference;
        let Some(mock) = self.scene.take(action, &performing.parameters) else {
            let message = format!("no mock fits this call of `{action}`");
            return Performance::Failed(StepError::new(ErrorKind::Rejected, message));
        };
        if let Some(takes) = mock.takes {
            tokio::select! {
                biased;
                () = self.clock.sleep(takes) => {}
                () = performing.cancel.cancelled() => {
                    return Performance::Unknown(StepError::new(ErrorKind::Cancelled, "cut short"));
                }
            }
        }
        match mock.says {
            Says::Done(value) => match render(&value, &performing) {
                Ok(value) => Performance::Done(value),
                Err(message) => {
                    let message = format!("the mock at {}: {message}", mock.at);
                    Performance::Failed(StepError::new(ErrorKind::Internal, message))
                }
            },
            Says::Failed(fault) => Performance::Failed(fault.error()),
            Says::Unknown(fault) => Performance::Unknown(fault.error()),
            Says::Real => self.run(performing).await,
        }
    }

    /// Runs the program. The test's clock stands still meanwhile: its timeout is one of the machine's.
    async fn run(&self, performing: Performing) -> Performance {
        let Inner::Action(program) = &self.inner else {
            let message = "only programs can be run";
            return Performance::Failed(StepError::new(ErrorKind::Internal, message));
        };
        let _running = self.scene.run();
        let (limit, cancel) = (performing.timeout.unwrap_or(LONGEST), performing.cancel.clone());
        let mut performed = program.perform(performing);
        tokio::select! {
            performance = &mut performed => return performance,
            () = tokio::time::sleep(limit.to_std()) => cancel.cancel(),
        }
        performed.await
    }
}

/// How long a program may run whose file says nothing.
const LONGEST: model::Duration = model::Duration::from_secs(600);
