//! From what a chain asks to what is stored: resolves the action, checks its parameters, fixes the
//! effect class, the attempts and the time limits.

use std::cell::RefCell;
use std::sync::Arc;

use chains::{Ask, PollOptions, StepOptions};
use model::{
    ActionRef, Backoff, Call, Effect, ErrorKind, Map, Policy, Schema, StepError, Timestamp, Value,
    token,
};

use crate::packs::{Generation, Library, Pack, Resolved};
use crate::permissions::Rights;
use crate::retry::default_attempts;
use crate::secrets::{Fresh, Opened, misfit};

/// A call that can be stored.
pub(crate) enum Intention {
    /// Stored, then performed.
    Call(Call),
    /// Stored together with its failure: it can never be performed.
    Refused(Call, StepError),
    /// Performed by the engine, in the commit that stores it.
    Datastore(Call),
    /// The same, of secrets.
    Secrets(Call),
}

/// Where actions are looked up: the pinned pack's own first, then the active packs'.
pub(crate) struct Lookup<'a> {
    pub(crate) library: &'a Library,
    pub(crate) generation: &'a Generation,
    pub(crate) pinned: Option<&'a Arc<Pack>>,
    /// What may be done.
    pub(crate) rights: Rights,
    /// The execution runs this action itself: a chain that is asked for by its own execution.
    pub(crate) now: Timestamp,
    /// No step may take longer than this: a handler's own limit.
    pub(crate) bound: Option<Timestamp>,
    /// What is known of secrets.
    pub(crate) opened: &'a Opened,
}

impl Lookup<'_> {
    /// What becomes of `ask`, and the values in its parameters that are secret by the schema: the
    /// call holds tokens in their places.
    pub(crate) fn intention(&self, ask: Ask) -> (Intention, Vec<Fresh>) {
        let fresh = RefCell::default();
        let intention = self.intended(ask, &fresh);
        (intention, fresh.into_inner())
    }

    fn intended(&self, ask: Ask, fresh: &RefCell<Vec<Fresh>>) -> Intention {
        match ask {
            Ask::Sleep { until } => Intention::Call(Call::Sleep { until }),
            Ask::Run { action, parameters, options } => {
                self.run(action, parameters, &options, fresh)
            }
            Ask::Poll { action, parameters, options } => {
                self.poll(action, parameters, &options, fresh)
            }
        }
    }

    fn run(
        &self,
        action: ActionRef,
        mut parameters: Value,
        options: &StepOptions,
        fresh: &RefCell<Vec<Fresh>>,
    ) -> Intention {
        let resolved = match self.library.resolve(self.generation, self.pinned, &action) {
            Ok(resolved) => resolved,
            Err(error) => return unknown(action, parameters, error),
        };
        let permitted = self.permitted(&action, &mut parameters, &resolved, fresh);
        let effect = resolved.effect(&parameters);
        if let Err(error) = permitted {
            return refused((action, parameters, effect), error);
        }
        if let Resolved::Chain { pack, deadline, .. } = &resolved {
            let limit = options.deadline.or(*deadline).map(|length| length.after(self.now));
            let deadline = earliest(limit, self.bound);
            return Intention::Call(Call::Child {
                action,
                parameters,
                version: pack.hash,
                deadline,
            });
        }
        let policy = self.policy(options, &resolved, effect);
        let version = resolved.version();
        if let Resolved::Datastore(_) = resolved
            && token::is_within(&parameters)
        {
            return refused((action, parameters, effect), in_the_open());
        }
        let call = Call::Run { action, parameters, effect, version, policy };
        match resolved {
            Resolved::Datastore(_) => Intention::Datastore(call),
            Resolved::Secrets(_) => Intention::Secrets(call),
            _ => Intention::Call(call),
        }
    }

    fn poll(
        &self,
        action: ActionRef,
        mut parameters: Value,
        options: &PollOptions,
        fresh: &RefCell<Vec<Fresh>>,
    ) -> Intention {
        let resolved = match self.library.resolve(self.generation, self.pinned, &action) {
            Ok(resolved) => resolved,
            Err(error) => return unknown(action, parameters, error),
        };
        let permitted = self.permitted(&action, &mut parameters, &resolved, fresh);
        let effect = resolved.effect(&parameters);
        if let Err(error) = permitted {
            return refused((action, parameters, effect), error);
        }
        if effect != Effect::Read || !resolved.is_performed() {
            let message = format!(
                "`poll` repeats an action without end, so it takes only actions that read; `{action}` is {effect}"
            );
            let error = StepError::new(ErrorKind::Rejected, message);
            return refused((action, parameters, effect), error);
        }
        let timeout = options.timeout.or(resolved.timeout());
        let deadline = earliest(options.deadline.map(|length| length.after(self.now)), self.bound);
        let every = options.every.clone();
        Intention::Call(Call::Poll {
            action,
            parameters,
            version: resolved.version(),
            every,
            timeout,
            deadline,
        })
    }

    /// Whether the call may be made, with parameters that fit.
    fn permitted(
        &self,
        action: &ActionRef,
        parameters: &mut Value,
        resolved: &Resolved,
        fresh: &RefCell<Vec<Fresh>>,
    ) -> Result<(), StepError> {
        // First, also for a call that is denied: it is stored as it was asked.
        let fits = self.fit(action, parameters, resolved.parameters(), fresh);
        self.rights.check(action, resolved, parameters)?;
        fits
    }

    /// Fills in defaults, checks the parameters, and puts tokens where they are secret.
    fn fit(
        &self,
        action: &ActionRef,
        parameters: &mut Value,
        schema: &Schema,
        fresh: &RefCell<Vec<Fresh>>,
    ) -> Result<(), StepError> {
        let fits = fit(action, parameters, schema);
        // Also in the parameters of a call that is refused: it is stored as it was asked.
        let new = self.opened.tokenise(parameters, schema);
        let misfit = misfit(&new);
        fresh.borrow_mut().extend(new.into_iter().filter(Fresh::can_be_kept));
        fits?;
        match misfit {
            Some(why) => {
                let message = format!("the parameters of `{action}` don't fit: {why}");
                Err(StepError::new(ErrorKind::InvalidParameters, message))
            }
            None => Ok(()),
        }
    }

    fn policy(&self, options: &StepOptions, resolved: &Resolved, effect: Effect) -> Policy {
        let repeats = resolved.on_unknown().ruled(effect);
        let retry = options.retry.as_ref();
        let limit = options.deadline.or(resolved.deadline()).map(|length| length.after(self.now));
        Policy {
            attempts: retry.and_then(|r| r.attempts).unwrap_or_else(|| default_attempts(repeats)),
            backoff: retry.map_or_else(Backoff::default, |r| r.backoff.clone()),
            only: retry.map(|r| r.only.clone()).unwrap_or_default(),
            timeout: options.timeout.or(resolved.timeout()),
            deadline: earliest(limit, self.bound),
        }
    }
}

/// Fills in defaults and checks `parameters` against the action's schema.
fn fit(action: &ActionRef, parameters: &mut Value, schema: &Schema) -> Result<(), StepError> {
    if parameters.is_null() {
        *parameters = Value::Object(Map::new());
    }
    if let Value::Object(map) = parameters {
        schema.fill(map);
    }
    let violations = schema.violations(parameters);
    let Some(first) = violations.first() else { return Ok(()) };
    let hint = first.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    let message = format!("the parameters of `{action}` don't fit: {}{hint}", first.message);
    let all: Vec<Value> = violations.into_iter().map(|v| Value::from(v.message)).collect();
    let details = serde_json::json!({ "violations": all });
    Err(StepError::new(ErrorKind::InvalidParameters, message).with_details(details))
}

/// Why a secret cannot go into the datastore.
fn in_the_open() -> StepError {
    let message = "the parameters hold a secret's token: the datastore is for everybody to see; `secrets.store` keeps secrets";
    StepError::new(ErrorKind::Rejected, message)
}

impl Intention {
    /// The same call, refused.
    pub(crate) fn refusing(call: Call, error: StepError) -> Self {
        match call {
            Call::Run { action, parameters, effect, .. } => {
                refused((action, parameters, effect), error)
            }
            Call::Poll { action, parameters, .. } => {
                refused((action, parameters, Effect::Read), error)
            }
            Call::Child { action, parameters, .. } => {
                refused((action, parameters, Effect::Unsafe), error)
            }
            sleep @ Call::Sleep { .. } => Self::Call(sleep),
        }
    }
}

/// A call of an action that is not there, so that nobody knows what it would do.
fn unknown(action: ActionRef, parameters: Value, error: StepError) -> Intention {
    refused((action, parameters, Effect::Unsafe), error)
}

/// A call that is journaled as it was asked, with the reason why it cannot be performed.
fn refused(
    (action, parameters, effect): (ActionRef, Value, Effect),
    mut error: StepError,
) -> Intention {
    error.action = Some(action.clone());
    let policy = Policy {
        attempts: 1,
        backoff: Backoff::default(),
        only: Vec::new(),
        timeout: None,
        deadline: None,
    };
    Intention::Refused(Call::Run { action, parameters, effect, version: None, policy }, error)
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    a.into_iter().chain(b).min()
}
