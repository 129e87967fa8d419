//! One attempt at a step, outside of the execution's own task.

use std::sync::Arc;
use std::time::Instant;

use actions::{Performing, SharedAction};
use host::Clock;
use host::connection::used;
use model::{Effect, ErrorKind, Performance, StepError, StepPath, TraceParent, Value};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::result;
use crate::core::Core;
use crate::fair::Permit;
use crate::packs::{OnUnknown, Reader, is_reserved};
use crate::retry::death;
use crate::secrets::{Fresh, Opened};
use crate::spans;

/// How long an action may take to come back once it was told to end: a program gets 5 s between
/// SIGTERM and SIGKILL.
const COMING_BACK: model::Duration = model::Duration::from_secs(15);

/// What is to be attempted.
pub(super) struct Job {
    pub(super) path: StepPath,
    pub(super) action: SharedAction,
    pub(super) performing: Performing,
    pub(super) timeout: Option<model::Duration>,
    pub(super) effect: Effect,
    pub(super) on_unknown: OnUnknown,
    /// Asked whether an unsafe step whose outcome is unknown was done.
    pub(super) verify: Option<Result<Reader, StepError>>,
    /// Whether it runs a program on this machine: there are fewer places for these.
    pub(super) program: bool,
    /// Whether what it answers is held against what its file declares.
    pub(super) declared: bool,
    /// Only ask: the attempt itself was made before the engine's death.
    pub(super) only_verify: Option<StepError>,
    /// The span of the step, where spans are sent.
    pub(super) step_span: Option<TraceParent>,
    /// What tokens stand for.
    pub(super) opened: Arc<Opened>,
    /// Whether tokens in its parameters stay text.
    pub(super) plain: bool,
}

impl Job {
    /// What is told of the attempt that was made before the engine's death, and that this one only looks
    /// after: whatever keeps this one from beginning, that one is not known to have failed.
    fn made_before(&self) -> Option<StepError> {
        let resumed = || self.performing.resumed.then(|| death(self.performing.attempt));
        self.only_verify.clone().or_else(resumed)
    }
}

/// How it went.
pub(super) enum Report {
    /// It was attempted. What it answered holds no values of secrets; these are new ones, with the
    /// tokens that stand for them now.
    Performed(StepPath, Performance, OnUnknown, Vec<Fresh>),
    /// The engine stopped before it could begin: certainly no effect.
    NotBegun(StepPath),
    /// The engine stopped before it could learn how an attempt went that may have begun or goes on
    /// elsewhere: the next start does.
    LeftOpen(StepPath),
}

impl Report {
    pub(super) fn path(&self) -> &StepPath {
        match self {
            Self::Performed(path, ..) | Self::NotBegun(path) | Self::LeftOpen(path) => path,
        }
    }
}

/// Performs in its place, which is free again afterwards, and while a connection's turn is awaited.
pub(super) async fn perform(core: Arc<Core>, job: Job, place: Permit) -> Report {
    if core.stopping.is_cancelled() {
        return match job.made_before() {
            None => Report::NotBegun(job.path),
            Some(_) => Report::LeftOpen(job.path),
        };
    }
    if job.performing.cancel.is_cancelled() {
        let cancelled = || StepError::new(ErrorKind::Cancelled, "cancelled before it began");
        let performance = job
            .made_before()
            .map_or_else(|| Performance::Failed(cancelled()), Performance::Unknown);
        return Report::Performed(job.path, performance, job.on_unknown, Vec::new());
    }
    let (path, on_unknown) = (job.path.clone(), job.on_unknown);
    let (opened, action) = (job.opened.clone(), job.action.clone());
    let log = job.declared.then(|| job.performing.log.join("stderr.log"));
    let (begun, from) = (Instant::now(), core.now());
    let trace = job.performing.trace.clone();
    let (number, span) = (job.performing.attempt, job.step_span.zip(trace));
    let connection = connection_of(&core, &action, &job.performing.parameters);
    let schema = action.result(&job.performing.parameters);
    let performance = place.around(attempt(&core.clock, job)).await;
    if goes_on(&core, action.as_ref(), &performance) {
        return Report::LeftOpen(path);
    }
    let reference = &action.metadata().reference;
    core.metrics.performed(reference, connection.as_deref(), &performance, begun.elapsed());
    if let Some(places) = span {
        let times = (from, core.now());
        core.spans.end(spans::of_attempt(places, reference, number, &performance, times));
    }
    let (performance, fresh) = opened.receive(performance, &schema);
    if let (Some(log), Performance::Done(value)) = (log, &performance)
        && let Some(lines) = result::misfits(action.metadata(), value)
    {
        host::process::note(&log, &lines).await;
    }
    Report::Performed(path, performance, on_unknown, fresh)
}

/// The connection that a built-in action goes by, if there is one of this name: metrics name no others.
fn connection_of(core: &Core, action: &SharedAction, parameters: &Value) -> Option<String> {
    let pack = action.metadata().reference.pack();
    let named = parameters.get("connection").and_then(Value::as_str);
    match named {
        None => used(action.metadata().reference.as_str(), None).map(ToOwned::to_owned),
        Some(name) if pack.parse().is_ok_and(|pack| is_reserved(&pack)) => {
            core.connections.get(name).map(|_| name.to_owned())
        }
        Some(_) => None,
    }
}

/// Whether what the engine's end cut off here goes on elsewhere, to be taken up by the next start.
fn goes_on(core: &Core, action: &dyn actions::Action, performance: &Performance) -> bool {
    let cut_off =
        matches!(performance, Performance::Unknown(error) if error.kind == ErrorKind::Cancelled);
    cut_off && action.resumes() && core.stopping.is_cancelled()
}

async fn attempt(clock: &Clock, job: Job) -> Performance {
    let made_before = job.made_before();
    let Job { action, mut performing, timeout, effect, verify, only_verify, opened, plain, .. } =
        job;
    if !plain {
        performing.parameters = match opened.reveal(performing.parameters) {
            Ok(parameters) => parameters,
            Err(denied) => {
                return match made_before {
                    Some(error) => Performance::Unknown(unasked(error, &denied)),
                    None => Performance::Failed(denied),
                };
            }
        };
    }
    let question = json!({ "parameters": &performing.parameters, "key": performing.key.as_str() });
    let asking = Performing {
        parameters: question,
        key: performing.key.clone(),
        attempt: performing.attempt,
        run: performing.run,
        resumed: false,
        timeout: None,
        pack: performing.pack.clone(),
        hosts: performing.hosts.clone(),
        log: performing.log.clone(),
        redactor: performing.redactor.clone(),
        trace: performing.trace.clone(),
        cancel: performing.cancel.clone(),
        stopping: performing.stopping.clone(),
    };
    let performance = match only_verify {
        Some(error) => Performance::Unknown(error),
        None => within(clock, timeout, action.as_ref(), performing).await,
    };
    match (performance, verify) {
        (Performance::Unknown(error), Some(Err(denied))) if effect == Effect::Unsafe => {
            Performance::Unknown(unasked(error, &denied))
        }
        (Performance::Unknown(error), Some(Ok(verify))) if effect == Effect::Unsafe => {
            let Reader { action, pack, hosts } = verify;
            let timeout = action.metadata().timeout;
            let asking = Performing { timeout, pack: Some(pack), hosts, ..asking };
            let answer = within(clock, timeout, action.as_ref(), asking).await;
            verified(error, answer)
        }
        (performance, _) => performance,
    }
}

/// The outcome stays unknown, as nobody may be asked about it.
fn unasked(error: StepError, denied: &StepError) -> StepError {
    let message = format!("{}; it was not verified: {}", error.message, denied.message);
    StepError { message, ..error }
}

/// What a verify action's answer, `{ outcome: done | failed | unknown, result? }`, makes of an
/// unknown outcome.
fn verified(error: StepError, answer: Performance) -> Performance {
    let Performance::Done(answer) = answer else { return Performance::Unknown(error) };
    match answer.get("outcome").and_then(Value::as_str) {
        Some("done") => Performance::Done(answer.get("result").cloned().unwrap_or(Value::Null)),
        Some("failed") => Performance::Failed(error),
        _ => Performance::Unknown(error),
    }
}

/// Performs within `timeout`; an action that does not come back is left behind, outcome unknown.
pub(crate) async fn within(
    clock: &Clock,
    timeout: Option<model::Duration>,
    action: &dyn actions::Action,
    mut performing: Performing,
) -> Performance {
    let expired = CancellationToken::new();
    let outer = performing.cancel.clone();
    performing.cancel = outer.child_token();
    let inner = performing.cancel.clone();
    let limit = async {
        match timeout {
            Some(timeout) => clock.sleep(timeout).await,
            None => std::future::pending().await,
        }
        expired.cancel();
        inner.cancel();
    };
    let mut performed = action.perform(performing);
    let performance = tokio::select! {
        biased;
        performance = &mut performed => Some(performance),
        () = limit => None,
        () = outer.cancelled() => None,
    };
    if let Some(performance) = performance {
        return performance;
    }
    let performance = tokio::select! {
        biased;
        performance = performed => Some(performance),
        () = clock.sleep(COMING_BACK) => None,
    };
    match performance {
        Some(done @ Performance::Done(_)) => done,
        Some(Performance::Failed(error) | Performance::Unknown(error)) => {
            Performance::Unknown(told_to_end(&expired, timeout, error.details))
        }
        None => Performance::Unknown(told_to_end(&expired, timeout, Value::Null)),
    }
}

fn told_to_end(
    expired: &CancellationToken,
    timeout: Option<model::Duration>,
    details: Value,
) -> StepError {
    let (kind, message) = match timeout {
        Some(timeout) if expired.is_cancelled() => {
            (ErrorKind::Timeout, format!("the attempt took longer than its timeout of {timeout}"))
        }
        _ => {
            (ErrorKind::Cancelled, "the attempt was told to end while it was under way".to_owned())
        }
    };
    StepError::new(kind, message).with_details(details)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use actions::{Action, Metadata};
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use model::fact::Grant;
    use model::{IdempotencyKey, Plan, Schema};

    use super::*;

    /// Answers, and notes on whose behalf it was performed.
    struct Noting {
        metadata: Metadata,
        answer: Performance,
        pack: Mutex<Option<String>>,
    }

    impl Noting {
        fn new(answer: Performance) -> Arc<Self> {
            let metadata = Metadata {
                reference: "q.any".parse().unwrap(),
                description: String::new(),
                parameters: Schema::empty(),
                result: Schema::empty(),
                effect: None,
                timeout: None,
            };
            Arc::new(Self { metadata, answer, pack: Mutex::default() })
        }

        fn asked_by(&self) -> Option<String> {
            self.pack.lock().unwrap().clone()
        }
    }

    impl Action for Noting {
        fn metadata(&self) -> &Metadata {
            &self.metadata
        }

        fn effect(&self, _: &Value) -> Effect {
            Effect::Unsafe
        }

        fn plan<'a>(&'a self, _: &'a Performing) -> BoxFuture<'a, Result<Plan, StepError>> {
            async { Ok(Plan::new("nothing")) }.boxed()
        }

        fn perform(&self, performing: Performing) -> BoxFuture<'_, Performance> {
            let hosts = performing.hosts.iter().map(ToString::to_string);
            let hosts: Vec<String> = hosts.collect();
            let pack = performing.pack.map(|pack| pack.to_string()).unwrap_or_default();
            *self.pack.lock().unwrap() = Some(format!("{pack} {}", hosts.join(" ")));
            let answer = self.answer.clone();
            async move { answer }.boxed()
        }
    }

    fn hosts(name: &str) -> Vec<host::guard::HostPattern> {
        vec![name.parse().unwrap()]
    }

    fn performing(parameters: Value) -> Performing {
        Performing {
            parameters,
            key: IdempotencyKey::new(&crate::random::execution(), &StepPath::top(1)),
            attempt: 1,
            run: 1,
            resumed: false,
            timeout: None,
            pack: Some("caller".parse().unwrap()),
            hosts: hosts("callers.example"),
            log: std::path::PathBuf::new(),
            redactor: Arc::default(),
            trace: None,
            cancel: CancellationToken::new(),
            stopping: CancellationToken::new(),
        }
    }

    fn job(action: &Arc<Noting>, verify: Option<Reader>, performing: Performing) -> Job {
        Job {
            path: StepPath::top(1),
            action: action.clone(),
            performing,
            timeout: None,
            effect: Effect::Unsafe,
            on_unknown: OnUnknown::Ask,
            verify: verify.map(Ok),
            program: true,
            declared: true,
            only_verify: None,
            step_span: None,
            opened: Arc::default(),
            plain: false,
        }
    }

    #[tokio::test]
    async fn a_step_is_performed_for_its_caller_and_verified_for_the_pack_that_says_how() {
        let lost = StepError::new(ErrorKind::Timeout, "lost");
        let action = Noting::new(Performance::Unknown(lost));
        let verify = Noting::new(Performance::Done(json!({ "outcome": "done", "result": 7 })));
        let reader = Reader {
            action: verify.clone(),
            pack: "q".parse().unwrap(),
            hosts: hosts("own.example"),
        };
        let job = job(&action, Some(reader), performing(json!({})));
        assert_eq!(attempt(&Clock::System, job).await, Performance::Done(json!(7)));
        assert_eq!(action.asked_by().as_deref(), Some("caller callers.example"));
        assert_eq!(verify.asked_by().as_deref(), Some("q own.example"));
    }
    #[tokio::test]
    async fn what_was_begun_before_has_not_failed_where_its_parameters_cannot_be_had() {
        let token = crate::random::token();
        let gone = [(token.clone(), Err("the secret is gone".to_owned()))];
        let granted = [(token.clone(), Grant::Named { path: "p/admin".to_owned(), version: 1 })];
        let opened = Opened::default().joined(gone.into(), &granted.into());
        let opened = Arc::new(opened);
        for (resumed, lost) in [(true, false), (false, true), (false, false)] {
            let action = Noting::new(Performance::Done(Value::Null));
            let performing = Performing { resumed, ..performing(json!({ "a": token.as_str() })) };
            let only_verify = lost.then(|| death(1));
            let job = Job { opened: opened.clone(), only_verify, ..job(&action, None, performing) };
            let told = attempt(&Clock::System, job).await;
            assert_eq!(matches!(told, Performance::Unknown(_)), resumed || lost, "{told:?}");
            assert!(format!("{told:?}").contains("the secret is gone"), "{told:?}");
            assert_eq!(action.asked_by(), None, "nothing is begun");
        }
    }
}
