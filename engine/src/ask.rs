//! What people and programs ask of a running engine.

mod error;

use model::event::MAX_ID;
use model::fact::ExecutionRequested;
use model::value::{Unfit, fits};
use model::{
    ActionRef, Actor, BatchId, Body, Envelope, Event, EventKey, ExecutionId, Fact, Map, Origin,
    Resolution, RuleRef, StepPath, Stream, TraceContext, TriggerType, Value, Version, Violation,
    token,
};
use sensors::SensorState;
use store::{Appended, Batch, EventRow, MAX_SEALED_CHANGES, Write};

use crate::decide::decide;
use crate::engine::Engine;
use crate::intake::{self, Accepted};
use crate::packs::Resolved;
use crate::random;
use crate::secrets::{Fresh, Granted, Opened, misfit};
use crate::sensing::api_source;
use crate::undecided::{Ending, undecided};

pub use self::error::AskError;

/// An event that somebody hands in.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its type.
    pub kind: TriggerType,
    /// Identifies it within what this token emits; random where the sender has none.
    pub id: Option<String>,
    /// What it happened to.
    pub subject: Option<String>,
    /// Its data.
    pub data: Value,
}

impl Engine {
    /// Accepts an event that the holder of the API token `token` hands in.
    pub async fn emit(&self, token: &str, new: NewEvent) -> Result<Accepted, AskError> {
        self.emit_from(None, token, new).await
    }

    /// The same, told from a place in a trace.
    pub async fn emit_from(
        &self,
        from: Option<TraceContext>,
        token: &str,
        new: NewEvent,
    ) -> Result<Accepted, AskError> {
        check_names(&new)?;
        let (traceparent, tracestate) = TraceContext::split(from);
        let generation = self.core.generation.load_full();
        let Some(trigger) = generation.triggers.get(&new.kind) else {
            let known = generation.triggers.keys().map(TriggerType::as_str);
            return Err(AskError::unknown("trigger type", new.kind.as_str(), known));
        };
        let violations = trigger.payload.violations(&new.data);
        if !violations.is_empty() {
            return Err(AskError::Invalid(violations));
        }
        let envelope = Envelope {
            id: new.id.unwrap_or_else(random::name),
            source: api_source(&self.core, token),
            kind: new.kind,
            time: self.core.now(),
            subject: new.subject,
            cause: None,
            traceparent,
            tracestate,
        };
        let event = Event { envelope, data: new.data };
        self.accept_one(Actor::token(token), event).await
    }

    async fn accept_one(&self, actor: Actor, event: Event) -> Result<Accepted, AskError> {
        let key = event.key();
        let Self { core, driver, .. } = self.clone();
        let accepted = self.core.impatient(async move {
            intake::accept(&core, &driver, &actor, vec![event], None).await
        });
        let accepted = accepted.await?.into_iter().next();
        Ok(accepted.unwrap_or(Accepted::Duplicate { key, differs: false }))
    }

    /// Makes a new event of a stored one, which names it as its origin and has its source: the rules
    /// that listen to a sensor see what that sensor told again, and no other's.
    /// Of requests that a token names alike by `name`, the first one makes it.
    pub async fn reemit(
        &self,
        token: &str,
        key: &EventKey,
        name: Option<&str>,
    ) -> Result<Accepted, AskError> {
        let (actor, (row, data)) = (Actor::token(token), self.event(key).await?);
        let envelope = Envelope {
            id: match name {
                Some(name) => format!("{}/{}/{name}", row.key, self.core.tokens.asker(&actor)),
                None => format!("{}/{}", row.key, random::name()),
            },
            time: self.core.now(),
            traceparent: Some(row.envelope.span()),
            ..row.envelope
        };
        let event = Event { envelope, data };
        let decided = decide(&self.core, event, Some(key.clone())).await?;
        let Self { core, driver, .. } = self.clone();
        let accepted = self.core.impatient(async move {
            intake::accept_decided(&core, &driver, &actor, decided).await
        });
        Ok(accepted.await?)
    }

    /// A stored event and its data.
    pub async fn event(&self, key: &EventKey) -> Result<(EventRow, Value), AskError> {
        let row = self.core.store.event(key).await?;
        let row = row.ok_or_else(|| AskError::NotFound(format!("there is no event `{key}`")))?;
        let data = match &row.data {
            Some(Body::Inline(value)) => value.clone(),
            Some(Body::Blob(reference)) => {
                let bytes = self.core.store.blob(reference.blob).await?;
                let bytes = bytes
                    .ok_or_else(|| AskError::NotFound(format!("the data of `{key}` is gone")))?;
                serde_json::from_slice(&bytes).map_err(|e| AskError::Unavailable(e.to_string()))?
            }
            None => Value::Null,
        };
        Ok((row, data))
    }

    /// Runs an action because a person or program asks for it. Of requests that `name` alike, the
    /// first one runs it, and the others are told its id.
    pub async fn run(
        &self,
        actor: Actor,
        action: ActionRef,
        parameters: Map,
        name: Option<&str>,
    ) -> Result<ExecutionId, AskError> {
        self.run_from(None, actor, action, parameters, name).await
    }

    /// The action that somebody asks for, and what it is given: with its defaults, and with tokens
    /// for the values that are secret by its schema.
    pub(crate) fn called(
        &self,
        action: &ActionRef,
        mut parameters: Map,
    ) -> Result<(Resolved, Value, Vec<Fresh>), AskError> {
        let generation = self.core.generation.load_full();
        let resolved = self.core.library.resolve(&generation, None, action);
        let resolved = resolved.map_err(|error| AskError::NotFound(error.message))?;
        let schema = resolved.parameters();
        schema.fill(&mut parameters);
        let mut parameters = Value::Object(parameters);
        handed(&parameters)?;
        let violations = schema.violations(&parameters);
        if !violations.is_empty() {
            return Err(AskError::Invalid(violations));
        }
        let fresh = Opened::default().tokenise(&mut parameters, schema);
        let many = (fresh.len() > MAX_SEALED_CHANGES)
            .then(|| format!("{} values are secret, more than {MAX_SEALED_CHANGES}", fresh.len()));
        if let Some(message) = misfit(&fresh).or(many) {
            let path = "parameters".to_owned();
            return Err(AskError::Invalid(vec![Violation { path, message, hint: None }]));
        }
        Ok((resolved, parameters, fresh))
    }

    /// The same, asked for from a place in a trace.
    pub async fn run_from(
        &self,
        from: Option<TraceContext>,
        actor: Actor,
        action: ActionRef,
        parameters: Map,
        name: Option<&str>,
    ) -> Result<ExecutionId, AskError> {
        let (resolved, parameters, fresh) = self.called(&action, parameters)?;
        let named = name.map(|name| self.requested(&actor, name));
        let id = named.unwrap_or_else(random::execution);
        let (traceparent, tracestate) = TraceContext::split(from);
        let traceparent = traceparent.or_else(|| self.core.spans.left_out(id.as_str()));
        let request = ExecutionRequested {
            parameters,
            origin: Origin::Manual,
            pack: resolved.version(),
            depth: 0,
            deadline: resolved.deadline(),
            at: self.core.now(),
            action,
            traceparent,
            tracestate,
            passed: Vec::new(),
            doubted: false,
        };
        let asked = (request.action.clone(), request.parameters.clone(), fresh.clone());
        let Granted { tokens, sealing } = self.core.keep(&id, &fresh, request.at)?;
        let granted = Granted::fact(tokens, request.at);
        let facts = std::iter::once(Fact::ExecutionRequested(request)).chain(granted);
        let batch = Batch {
            id: BatchId::new(format!("run/{}", random::name())),
            actor,
            at: self.core.now(),
            writes: vec![Write::new(Stream::Execution(id.clone()), Some(Version::NONE), facts)],
        };
        let engine = self.clone();
        let begun = self.core.impatient(async move {
            match engine.core.append_sealing(batch, sealing).await? {
                Appended::Committed { .. } => {}
                Appended::Conflict { .. } => engine.same_request(&id, &asked).await?,
            }
            engine.driver.submit(id.clone(), None);
            Ok(id)
        });
        begun.await
    }

    /// Whether the execution that has this name already was asked for with the same words.
    async fn same_request(
        &self,
        id: &ExecutionId,
        (action, parameters, fresh): &(ActionRef, Value, Vec<Fresh>),
    ) -> Result<(), AskError> {
        let stream = Stream::Execution(id.clone());
        let (facts, _) = self.core.store.read(&stream, Version::NONE).await?;
        let mut facts = facts.into_iter().map(|recorded| recorded.fact);
        match facts.next() {
            Some(Fact::ExecutionRequested(first))
                if first.action == *action
                    && token::stands_for(&first.parameters, parameters)
                    && self
                        .same_values(&first.parameters, facts.next(), parameters, fresh)
                        .await? =>
            {
                Ok(())
            }
            _ => Err(AskError::Conflict(format!(
                "another request had this name: it started `{id}` with another action or other \
                 parameters"
            ))),
        }
    }

    /// Whether what the tokens of the first request stand for, as far as it can still be opened, is what
    /// this one's do.
    async fn same_values(
        &self,
        first: &Value,
        granted: Option<Fact>,
        parameters: &Value,
        fresh: &[Fresh],
    ) -> Result<bool, AskError> {
        let Some(Fact::TokensGranted { tokens, .. }) = granted else { return Ok(true) };
        let kept = self.core.open(&tokens).await?;
        let first = Opened::default().joined(kept, &tokens).reveal(first.clone());
        let now = Opened::default().with(fresh).reveal(parameters.clone());
        Ok(first.is_err() || first == now)
    }

    /// Ends an execution, running its undo handlers; answers what must be decided before.
    pub async fn cancel(
        &self,
        actor: Actor,
        id: &ExecutionId,
        reason: Option<String>,
    ) -> Result<Ending, AskError> {
        self.driver.cancel(id, actor, reason).await?;
        Ok(Ending { waits_for: undecided(&*self.core.store, id).await? })
    }

    /// Holds an execution and its children: steps under way end and are stored, nothing new begins.
    pub async fn pause(
        &self,
        actor: Actor,
        id: &ExecutionId,
        reason: Option<String>,
    ) -> Result<(), AskError> {
        Ok(self.driver.pause(id, actor, reason).await?)
    }

    /// Lets a paused execution and its children go on.
    pub async fn resume(&self, actor: Actor, id: &ExecutionId) -> Result<(), AskError> {
        Ok(self.driver.resume(id, actor).await?)
    }

    /// Decides about a step whose outcome is unknown.
    pub async fn resolve(
        &self,
        actor: Actor,
        id: &ExecutionId,
        path: Option<StepPath>,
        resolution: Resolution,
    ) -> Result<(), AskError> {
        Ok(self.driver.resolve(id, actor, path, resolution).await?)
    }

    /// Enables or disables a rule; `None` lets its file decide again.
    pub async fn switch_rule(
        &self,
        actor: Actor,
        rule: &RuleRef,
        enabled: Option<bool>,
    ) -> Result<(), AskError> {
        let generation = self.core.generation.load_full();
        let known = generation
            .packs
            .get(&rule.pack)
            .is_some_and(|pack| pack.rules.contains_key(&rule.name));
        if !known {
            return Err(AskError::NotFound(format!("there is no rule `{rule}`")));
        }
        let batch = Batch {
            id: BatchId::new(format!("switch/{}", random::name())),
            actor,
            at: self.core.now(),
            writes: vec![Write::new(
                Stream::Rule(rule.clone()),
                None,
                [Fact::RuleSwitched { enabled }],
            )],
        };
        let engine = self.clone();
        let switched = self.core.impatient(async move {
            engine.core.append(batch).await?;
            engine.packs.switched(&engine.core).await?;
            engine.sensing.follow(&engine.core.generation.load());
            Ok(())
        });
        switched.await
    }

    /// Starts a sensor again at once.
    pub fn restart_sensor(&self, name: &str) -> Result<(), AskError> {
        let generation = self.core.generation.load();
        match self.sensing.restart(name, &generation) {
            true => Ok(()),
            false => Err(self.no_sensor(name)),
        }
    }

    /// What people call the sensor that `name` means.
    pub fn sensor_address(&self, name: &str) -> Result<String, AskError> {
        self.sensing.address(name).ok_or_else(|| self.no_sensor(name))
    }

    /// What people call the sensor that `name` means, which waits for somebody to say that what it
    /// found is right, or, of a program after a restore, that it has caught up.
    pub fn sensor_to_confirm(&self, name: &str) -> Result<String, AskError> {
        let address = self.sensor_address(name)?;
        let all = self.sensing.list();
        let found = all.into_iter().find(|(sensor, _)| sensor.address() == address);
        match found.map(|(_, status)| status.state) {
            Some(SensorState::Guarded { .. }) => Ok(address),
            _ if self.sensing.is_behind(name) => Ok(address),
            _ => Err(AskError::Conflict(format!(
                "the sensor `{address}` asks for nothing to be confirmed: it does when very many objects are gone at once, and a program's after a restore"
            ))),
        }
    }

    /// Tells a sensor that waits for it that what it found is right; of a program, that it has caught
    /// up since the state was restored.
    pub async fn confirm_sensor(&self, name: &str) -> Result<(), AskError> {
        match self.sensing.confirm(name).await? {
            true => Ok(()),
            false => Err(self.no_sensor(name)),
        }
    }

    fn no_sensor(&self, name: &str) -> AskError {
        let known = self.sensing.list();
        let known: Vec<String> = known.iter().map(|(sensor, _)| sensor.address()).collect();
        AskError::unknown("sensor", name, known.iter().map(String::as_str))
    }

    /// The newest part of what the program of a sensor printed to stderr; nothing for others.
    pub async fn sensor_log(&self, name: &str) -> Result<String, AskError> {
        let all = self.sensing.list();
        let found = all.iter().find(|(subscription, _)| subscription.is_called(name));
        let known = || all.iter().map(|(subscription, _)| subscription.address());
        let Some((subscription, _)) = found else {
            let known: Vec<String> = known().collect();
            return Err(AskError::unknown("sensor", name, known.iter().map(String::as_str)));
        };
        let file = self.core.folders.sensor_log(&subscription.id);
        let shown = file.display().to_string();
        let unread =
            |error: String| AskError::Unavailable(format!("{shown} cannot be read: {error}"));
        let read = tokio::task::spawn_blocking(move || host::process::service_log(&file)).await;
        read.map_err(|error| unread(error.to_string()))?.map_err(|error| unread(error.to_string()))
    }

    /// Sets or deletes (`None`) the datastore entry `<scope>/<name>`.
    pub async fn set_key(
        &self,
        actor: Actor,
        key: &str,
        value: Option<Value>,
        ttl: Option<model::Duration>,
    ) -> Result<(), AskError> {
        check_key(key)?;
        let now = self.core.now();
        if value.is_none() && self.core.store.key(key, now).await?.is_none() {
            return Err(AskError::NotFound(format!("there is no key `{key}`")));
        }
        let expires_at = ttl.map(|ttl| ttl.after(now));
        let fact = value.map_or(Fact::KeyDeleted, |value| Fact::KeySet { value, expires_at });
        let batch = Batch {
            id: BatchId::new(format!("key/{}", random::name())),
            actor,
            at: now,
            writes: vec![Write::new(Stream::Key(key.to_owned()), None, [fact])],
        };
        let core = self.core.clone();
        self.core.impatient(async move { core.append(batch).await }).await?;
        Ok(())
    }
}

/// Whether an action can be given what a person hands in: no map of a blob instead.
fn handed(parameters: &Value) -> Result<(), AskError> {
    let Err(why) = fits(parameters) else { return Ok(()) };
    let hint = "hand what is large over in a file, and its place as a parameter";
    let message = format!("the parameters cannot be handed over: {why}");
    Err(match why {
        Unfit::Bytes(_) | Unfit::Items(_) | Unfit::TotalItems(_) => {
            AskError::TooLarge(format!("{message}; {hint}"))
        }
        Unfit::Depth | Unfit::Number(_) => {
            let path = "parameters".to_owned();
            AskError::Invalid(vec![Violation { path, message, hint: None }])
        }
    })
}

/// Whether the id and the subject are texts of a length that can be kept.
fn check_names(new: &NewEvent) -> Result<(), AskError> {
    let names = [("id", &new.id), ("subject", &new.subject)];
    let misfits = names.into_iter().filter_map(|(name, text)| {
        let length = text.as_ref()?.len();
        (length == 0 || length > MAX_ID).then(|| Violation {
            path: name.to_owned(),
            message: format!("`{name}` has {length} bytes: expected 1 to {MAX_ID}"),
            hint: Some(format!("leave `{name}` out where there is none")),
        })
    });
    match misfits.collect::<Vec<_>>() {
        none if none.is_empty() => Ok(()),
        misfits => Err(AskError::Invalid(misfits)),
    }
}

/// Whether `key` is `<scope>/<name>` with a name that chains could use.
fn check_key(key: &str) -> Result<(), AskError> {
    let misfit = |message: String| {
        AskError::Invalid(vec![Violation { path: "key".to_owned(), message, hint: None }])
    };
    let (scope, name) =
        key.split_once('/').filter(|(scope, _)| !scope.is_empty()).ok_or_else(|| {
            misfit(format!("`{key}` is not a key: expected `<pack>/<name>` or `global/<name>`"))
        })?;
    let action: ActionRef = "datastore.set".parse().map_err(|_| misfit(String::new()))?;
    let parameters = serde_json::json!({ "key": name });
    let checked = actions::datastore::entry_key(&action, scope, &parameters);
    checked.map(|_| ()).map_err(|error| misfit(error.message))
}
