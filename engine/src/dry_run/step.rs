//! One call of a dry run: performed if it only reads, planned if not.

use actions::{Performing, SharedAction};
use chains::{Ask, Step};
use host::guard::HostPattern;
use model::value::fits;
use model::{
    BlobRef, Call, Duration, Effect, ErrorKind, Fact, IdempotencyKey, PackName, Performance, Plan,
    StepError, StepPath, Value,
};

use super::report::{DryStep, End, How};
use super::state::{Granted, State};
use super::walk::{Asked, Walk};
use crate::driver::ask::{Intention, Lookup};
use crate::driver::handing::Holder;
use crate::driver::within;
use crate::packs::Performer;
use crate::secrets::Opened;

/// Reads that wait: not performed once something was planned that they may wait for.
const WAITING: [&str; 1] = ["kubernetes.wait"];

/// What became of a call: its result, where anybody knows it.
type Ended = Result<Option<Value>, StepError>;

impl Walk {
    /// Follows one call.
    pub(super) async fn step(&mut self, step: Step, state: &mut State) {
        let Step { path, ask, position } = step;
        let mut told = DryStep::new(path.clone(), ask.function(), How::Planned);
        told.at = position.map(|at| at.to_string());
        let (intention, handed) = self.intention(ask, state);
        match intention {
            Intention::Call(Call::Sleep { until }) => {
                told.how = How::Noted;
                told.plan = Some(Plan::new(format!("waits until {until}")));
                state.now = state.now.max(until);
                self.end(told, Call::Sleep { until }, Ok(Some(Value::Null)), state);
            }
            Intention::Refused(call, error) => {
                told.how = How::Refused;
                self.end(told, call, Err(error), state);
            }
            Intention::Datastore(call) => {
                let plan = state.datastore(&call, self.owner()).await;
                let ended = served(&mut told, &call, plan, state);
                self.end(told, call, ended, state);
            }
            Intention::Secrets(call) => {
                let opened = self.opened(state);
                let ended = match state.secrets(&call, &self.rights(), &opened) {
                    Ok((plan, granted)) => {
                        self.grant(granted, state);
                        served(&mut told, &call, Ok(plan), state)
                    }
                    Err(error) => served(&mut told, &call, Err(error), state),
                };
                self.end(told, call, ended, state);
            }
            Intention::Call(call) => {
                let ended = match &call {
                    Call::Child { .. } => self.run_child(&mut told, &call, handed, state).await,
                    _ => self.run(&mut told, &call, state).await,
                };
                self.end(told, call, ended, state);
            }
        }
    }

    /// What becomes of `ask`, and what it hands over to a child.
    fn intention(&mut self, ask: Ask, state: &mut State) -> (Intention, Granted) {
        let lookup = Lookup {
            library: &self.core.library,
            generation: &self.generation,
            pinned: self.pack.as_ref(),
            rights: self.rights(),
            now: state.now,
            bound: None,
            opened: &self.opened(state),
        };
        let (intention, fresh) = lookup.intention(ask);
        self.learn(&fresh, state);
        self.holder().handing(intention)
    }

    /// What its steps may use and hand over of its secrets.
    fn holder(&self) -> Holder<'_> {
        Holder {
            granted: &self.journal.tokens,
            caller: self.owner().cloned(),
            pinned: self.pack.as_ref(),
            rights: self.rights(),
        }
    }

    /// Takes a call and what became of it in.
    fn end(&mut self, mut told: DryStep, call: Call, ended: Ended, state: &State) {
        let path = told.path.clone();
        told.action = call.action().cloned();
        told.parameters = call.parameters().cloned();
        let ended = ended.map_err(|mut error| {
            error.action = call.action().cloned();
            error
        });
        match &ended {
            Ok(value) => told.result = value.clone().filter(|_| call.action().is_some()),
            Err(error) => told.error = Some(error.clone()),
        }
        self.steps.push(told);
        let poll = matches!(call, Call::Poll { .. });
        self.intend(&path, call, state);
        match ended {
            // Whether that is the answer it waits for, the chain's condition says.
            Ok(Some(value)) if poll => {
                let at = state.now;
                self.apply(&Fact::PollAnswered {
                    path,
                    answer: 1,
                    value,
                    own: std::collections::BTreeSet::new(),
                    next_at: at,
                    at,
                });
            }
            ended => self.finish(&path, ended, state),
        }
    }

    async fn run_child(
        &mut self,
        told: &mut DryStep,
        call: &Call,
        handed: Granted,
        state: &mut State,
    ) -> Ended {
        let (Some(action), parameters) = (call.action().cloned(), parameters(call)) else {
            return Ok(None);
        };
        let prefix = format!("{}{}/", self.asked.prefix, told.path);
        let passed = self.passing().on(&self.request, &action, &parameters);
        let asked = Asked { action, parameters, prefix, passed };
        let child = self.child(asked, handed, state).await?;
        let error = child.error.clone().map(|error| {
            let details = error.details.clone();
            StepError::new(ErrorKind::ChildFailed, error.message).with_details(details)
        });
        let (end, known, result) = (child.end, child.result_known, child.result.clone());
        told.child = Some(Box::new(child));
        match (end, error) {
            (End::Failed, Some(error)) => Err(error),
            (End::Complete, _) if known => Ok(Some(result.unwrap_or_default())),
            _ => Ok(self.assumed(told, state)),
        }
    }

    async fn run(&mut self, told: &mut DryStep, call: &Call, state: &mut State) -> Ended {
        let (action, version, effect, timeout) = match call {
            Call::Run { action, version, effect, policy, .. } => {
                (action, *version, *effect, policy.timeout)
            }
            Call::Poll { action, version, timeout, .. } => {
                (action, *version, Effect::Read, *timeout)
            }
            Call::Child { .. } | Call::Sleep { .. } => return Ok(None),
        };
        told.effect = Some(effect);
        let performer = self.core.library.performer(&self.core, action, version).await;
        let performer = performer.ok_or_else(|| {
            StepError::new(
                ErrorKind::NotFound,
                "the action's content is gone from the state folder",
            )
        })?;
        if state.changed && WAITING.contains(&action.as_str()) {
            told.plan = Some(Plan::new("waits for what comes of the steps before it"));
            return Ok(self.assumed(told, state));
        }
        if effect == Effect::Read {
            told.how = How::Performed;
            let asked = (performer.action, performer.program);
            let performed = self.perform(&told.path, asked, None, parameters(call), timeout, state);
            return performed.await.map(Some);
        }
        let plan = self.plan(&told.path, &performer, call, state).await?;
        state.changed = true;
        let result = self.received(&performer, plan.result.clone(), state);
        told.plan = Some(state.clean(Plan { result: None, ..plan }));
        Ok(result.or_else(|| self.assumed(told, state)))
    }

    /// The result that was given for this step.
    fn assumed(&self, told: &mut DryStep, state: &mut State) -> Option<Value> {
        let given = state.assumed.remove(&format!("{}{}", self.asked.prefix, told.path))?;
        told.how = How::Assumed;
        Some(given)
    }

    /// The plan of a program is what its `plan` action answers, where it has one.
    async fn plan(
        &mut self,
        path: &StepPath,
        performer: &Performer,
        call: &Call,
        state: &mut State,
    ) -> Result<Plan, StepError> {
        let parameters = parameters(call);
        let Some(planner) = performer.plan.clone().transpose()? else {
            let (planned, _log) = self.performing(path, parameters, &state.opened, state)?;
            return performer.action.plan(&planned).await;
        };
        let name = planner.action.metadata().reference.clone();
        let question = serde_json::json!({ "parameters": parameters });
        let behalf = Some((planner.pack, planner.hosts));
        let asked = (planner.action, performer.program);
        let answer = self.perform(path, asked, behalf, question, None, state).await?;
        Plan::read(answer).map_err(|why| {
            StepError::new(ErrorKind::Program, format!("what `{name}` answers is no plan: {why}"))
        })
    }

    /// Performs an action that reads, maybe a program; on behalf of another pack than the chain's, if one
    /// is named.
    async fn perform(
        &mut self,
        path: &StepPath,
        (action, program): (SharedAction, bool),
        behalf: Option<(PackName, Vec<HostPattern>)>,
        parameters: Value,
        timeout: Option<Duration>,
        state: &mut State,
    ) -> Result<Value, StepError> {
        let plain = matches!(action.metadata().reference.pack(), "core" | "template");
        let schema = action.result(&parameters).into_owned();
        let opened = self.opened(state).deriving(&parameters);
        let parameters = if plain { parameters } else { opened.reveal(parameters)? };
        let (mut performing, _log) = self.performing(path, parameters, &opened, state)?;
        if let Some((pack, hosts)) = behalf {
            (performing.pack, performing.hosts) = (Some(pack), hosts);
        }
        let permits = if program { &self.core.programs } else { &self.core.steps };
        let place = permits.ask(&None).await;
        let left = u64::try_from(state.left().as_millis()).unwrap_or(0).max(1);
        let timeout = timeout.into_iter().chain([Duration::from_millis(left)]).min();
        let performed = within(&self.core.clock, timeout, action.as_ref(), performing);
        let performance = match place {
            Ok(place) => place.around(performed).await,
            Err(_) => performed.await,
        };
        let (performance, fresh) = opened.receive(performance, &schema);
        self.learn(&fresh, state);
        match performance {
            Performance::Done(value) => Ok(bounded(value)),
            Performance::Failed(error) | Performance::Unknown(error) => Err(error),
        }
    }

    /// A planned result with tokens where its schema says that there are secrets.
    fn received(
        &mut self,
        performer: &Performer,
        result: Option<Value>,
        state: &mut State,
    ) -> Option<Value> {
        let schema = &performer.action.metadata().result;
        let (performance, fresh) = self.opened(state).receive(Performance::Done(result?), schema);
        self.learn(&fresh, state);
        match performance {
            Performance::Done(value) => Some(value),
            Performance::Failed(_) | Performance::Unknown(_) => None,
        }
    }

    /// What an action gets; its log goes with the folder.
    fn performing(
        &self,
        path: &StepPath,
        parameters: Value,
        opened: &Opened,
        state: &State,
    ) -> Result<(Performing, tempfile::TempDir), StepError> {
        let log = self.core.library.context().programs.folder().map_err(|error| {
            let message = format!("a temporary folder cannot be made: {error}");
            StepError::new(ErrorKind::Unavailable, message)
        })?;
        let performing = Performing {
            parameters,
            key: IdempotencyKey::new(&self.id, path),
            attempt: 1,
            run: 1,
            resumed: false,
            timeout: None,
            pack: self.owner().cloned(),
            hosts: self.rights().hosts(),
            log: log.path().to_owned(),
            redactor: opened.redactor().clone(),
            trace: None,
            cancel: state.cancel.child_token(),
            stopping: self.core.stopping.clone(),
        };
        Ok((performing, log))
    }
}

/// What the engine would do itself.
fn served(
    told: &mut DryStep,
    call: &Call,
    served: Result<Plan, StepError>,
    state: &State,
) -> Ended {
    told.effect = effect(call);
    if told.effect == Some(Effect::Read) {
        told.how = How::Performed;
    }
    let plan = served?;
    let result = plan.result.clone();
    // What was read says what there is to say.
    told.plan = (told.how == How::Planned).then(|| state.clean(Plan { result: None, ..plan }));
    Ok(result)
}

/// `value` as a chain would see it: a large one by what names it. It is kept nowhere.
fn bounded(value: Value) -> Value {
    match fits(&value) {
        Ok(()) => value,
        Err(_) => BlobRef::of(value.to_string().as_bytes()).to_value(),
    }
}

fn parameters(call: &Call) -> Value {
    call.parameters().cloned().unwrap_or_default()
}

const fn effect(call: &Call) -> Option<Effect> {
    match call {
        Call::Run { effect, .. } => Some(*effect),
        Call::Poll { .. } => Some(Effect::Read),
        Call::Child { .. } | Call::Sleep { .. } => None,
    }
}
