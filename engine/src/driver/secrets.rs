//! Secrets in an execution: what it may use is journaled, opened while it is active, and looked for
//! in everything that comes back.

use std::collections::BTreeMap;
use std::sync::Arc;

use actions::secrets::Recipe;
use model::fact::{Grant, StepResult};
use model::{Actor, Call, ErrorKind, Fact, StepError, StepPath, Stream, Timestamp, Token, Value};
use serde_json::json;
use store::{Appended, Encoded, Sealing, Write};

use super::ask::Intention;
use super::handing::Holder;
use super::page::Page;
use super::run::Run;
use crate::core::Trouble;
use crate::pages::Sides;
use crate::random;
use crate::secrets::{Fresh, Granted, Opened, Plain, SecretError, Setting};

/// What a secrets' step comes to.
struct Served {
    value: Value,
    tokens: BTreeMap<Token, Grant>,
    sealing: Vec<Sealing>,
    setting: Option<Setting>,
}

impl Served {
    fn token(token: Token, grant: Grant, sealing: Vec<Sealing>) -> Self {
        let value = Value::from(token.as_str());
        Self { value, tokens: BTreeMap::from([(token, grant)]), sealing, setting: None }
    }
}

impl Run {
    /// The values of the execution's tokens; none costs nothing.
    pub(super) async fn opened(&mut self) -> Result<Arc<Opened>, Trouble> {
        if let Some(unknown) = self.opened.unknown_of(&self.journal.tokens) {
            let opened = self.core.open(&unknown).await?;
            self.opened = Arc::new(self.opened.joined(opened, &self.journal.tokens));
        }
        // One that was deleted meanwhile is used no more.
        let deleted = |grant: &Grant| match grant {
            Grant::Named { path, version } => !self.core.vault.has(path, *version),
            Grant::Kept { .. } => false,
        };
        let lost = self.journal.tokens.iter().filter(|(_, grant)| deleted(grant));
        if let Some(opened) = self.opened.without(lost) {
            self.opened = Arc::new(opened);
        }
        Ok(self.opened.clone())
    }

    /// Notes that new values are the execution's, and answers what it is granted: stored with the page,
    /// before what is noted after this.
    pub(super) fn grant_fresh(
        &mut self,
        page: &mut Page,
        fresh: &[Fresh],
        at: Timestamp,
    ) -> Result<BTreeMap<Token, Grant>, Trouble> {
        let mut all = BTreeMap::new();
        if fresh.is_empty() {
            return Ok(all);
        }
        let granted = self.core.keep_all(&self.id, fresh, at).map_err(trouble)?;
        self.opened = Arc::new(self.opened.with(fresh));
        for Granted { tokens, sealing } in granted {
            all.extend(tokens.clone());
            let sides = Sides { writes: Vec::new(), sealing };
            self.note_with(page, Fact::TokensGranted { tokens, at }, sides);
        }
        Ok(all)
    }

    /// The same call, refused where there is no key for the secrets among its parameters.
    pub(super) fn keepable(&self, intention: Intention, fresh: &mut Vec<Fresh>) -> Intention {
        let error = (!fresh.is_empty()).then(|| self.keyless()).flatten();
        let Some(error) = error else { return intention };
        fresh.clear();
        match intention {
            Intention::Call(call) | Intention::Datastore(call) | Intention::Secrets(call) => {
                Intention::refusing(call, error)
            }
            refused @ Intention::Refused(..) => refused,
        }
    }

    /// Why nothing can be encrypted; asked before something is done whose result may have to be.
    pub(super) fn keyless(&self) -> Option<StepError> {
        let error = self.core.vault.ready().err()?;
        Some(StepError::new(ErrorKind::Unavailable, error.to_string()))
    }

    /// Notes what another execution hands over: a child, by its result.
    pub(super) fn grant(&mut self, page: &mut Page, tokens: BTreeMap<Token, Grant>, at: Timestamp) {
        let new = |token: &Token| !self.journal.tokens.contains_key(token);
        let tokens: BTreeMap<_, _> = tokens.into_iter().filter(|(token, _)| new(token)).collect();
        if !tokens.is_empty() {
            self.note(page, Fact::TokensGranted { tokens, at });
        }
    }

    /// What its steps may use and hand over of its secrets.
    pub(super) fn holder(&self) -> Holder<'_> {
        Holder {
            granted: &self.journal.tokens,
            caller: self.caller(),
            pinned: self.pinned.as_ref(),
            rights: self.rights(),
        }
    }

    /// The same call, and what it hands over to a child: nothing is asked where there is no secret.
    pub(super) fn handing(&self, intention: Intention) -> (Intention, BTreeMap<Token, Grant>) {
        match self.journal.tokens.is_empty() {
            true => (intention, BTreeMap::new()),
            false => self.holder().handing(intention),
        }
    }

    /// Performs a step of `secrets.*`: step, records and facts in one commit.
    pub(super) async fn secret_step(
        &mut self,
        path: &StepPath,
        call: &Call,
    ) -> Result<(), Trouble> {
        let core = self.core.clone();
        // Versions of named secrets are given one after the other.
        let _one = core.vault.changing.lock().await;
        loop {
            let at = core.now();
            let served = self.serve(call, at).await?;
            let mut facts = vec![Fact::StepIntended { path: path.clone(), call: call.clone(), at }];
            let (mut writes, mut sealing, mut setting) = (Vec::<Write>::new(), Vec::new(), None);
            let result = match served {
                Ok(served) => {
                    facts.push(Fact::TokensGranted { tokens: served.tokens, at });
                    sealing = served.sealing;
                    writes.extend(served.setting.as_ref().map(|setting| setting.write.clone()));
                    setting = served.setting;
                    StepResult::Done(served.value)
                }
                Err(mut error) => {
                    error.action = call.action().cloned();
                    error.attempts = 1;
                    StepResult::Failed(error)
                }
            };
            facts.push(Fact::StepFinished { path: path.clone(), result, attempts: 1, at });
            let stored = facts.iter().cloned().map(Encoded::from).collect();
            match self.append_sealing(writes, stored, Actor::engine(), sealing).await? {
                Appended::Committed { .. } => {
                    self.take_in(&facts);
                    if let Some(setting) = setting {
                        core.was_set(setting);
                    }
                    return Ok(());
                }
                Appended::Conflict { stream: Stream::Secret(_), .. } => {}
                Appended::Conflict { stream, actual } => {
                    return Err(Trouble::Overtaken { stream, actual });
                }
            }
        }
    }

    async fn serve(
        &mut self,
        call: &Call,
        at: Timestamp,
    ) -> Result<Result<Served, StepError>, Trouble> {
        let (Some(action), Some(parameters)) = (call.action(), call.parameters()) else {
            return Ok(Err(StepError::new(ErrorKind::Internal, "not a secrets' action")));
        };
        match action.name() {
            "generate" => Ok(self.generate(parameters, at)),
            "get" => Ok(self.get(parameters)),
            _ => {
                let parameters = match self.opened().await?.reveal(parameters.clone()) {
                    Ok(parameters) => parameters,
                    Err(error) => return Ok(Err(error)),
                };
                Ok(self.put(&parameters).await)
            }
        }
    }

    fn generate(&self, parameters: &Value, at: Timestamp) -> Result<Served, StepError> {
        let value = Recipe::of(parameters)?.choose(random::numbers());
        let value = value.ok_or_else(|| StepError::new(ErrorKind::Internal, "no randomness"))?;
        let fresh = Fresh { token: random::token(), value: Plain::new(value) };
        let kept = self.core.keep(&self.id, std::slice::from_ref(&fresh), at);
        let Granted { mut tokens, sealing } = kept.map_err(failed)?;
        match tokens.pop_first() {
            Some((token, grant)) => Ok(Served::token(token, grant, sealing)),
            None => Err(StepError::new(ErrorKind::Internal, "nothing was kept")),
        }
    }

    fn get(&self, parameters: &Value) -> Result<Served, StepError> {
        let path = parameters["path"].as_str().unwrap_or_default().to_owned();
        self.may_use(&path)?;
        let version = self.core.vault.version(&path).map_err(failed)?;
        let grant = Grant::Named { path, version };
        // The same version has the same token as long as the execution lasts.
        let known = self.journal.tokens.iter().find(|(_, known)| **known == grant);
        let token = known.map_or_else(random::token, |(token, _)| token.clone());
        Ok(Served::token(token, grant, Vec::new()))
    }

    async fn put(&self, parameters: &Value) -> Result<Served, StepError> {
        let path = parameters["path"].as_str().unwrap_or_default();
        let value = Plain::new(parameters["value"].as_str().unwrap_or_default());
        if model::token::is_in(value.expose()) {
            let message = "`value` is a token that was not granted to this execution: what it stands for is not its to store";
            return Err(StepError::new(ErrorKind::Rejected, message));
        }
        self.may_use(path)?;
        let same = self.core.vault.value(path).is_ok_and(|now| now == value);
        let setting = match same {
            true => None,
            false => Some(self.core.setting(path, &value).await.map_err(failed)?),
        };
        let version = match &setting {
            Some(setting) => setting.version(),
            None => self.core.vault.version(path).map_err(failed)?,
        };
        let token = random::token();
        let value = json!({ "path": path, "version": version, "token": token.as_str() });
        let grant = Grant::Named { path: path.to_owned(), version };
        let sealing = setting.as_ref().map(|s| s.sealing.clone()).unwrap_or_default();
        Ok(Served { value, tokens: BTreeMap::from([(token, grant)]), sealing, setting })
    }

    /// Whether the pack on whose behalf the execution runs may use the secret `path`.
    fn may_use(&self, path: &str) -> Result<(), StepError> {
        self.rights().secret(path)
    }
}

fn failed(error: SecretError) -> StepError {
    let kind = match &error {
        SecretError::Missing(_) => ErrorKind::NotFound,
        SecretError::BadPath(_) | SecretError::Short(_) | SecretError::Long(_) => {
            ErrorKind::InvalidParameters
        }
        SecretError::Store(_) => ErrorKind::Unavailable,
        SecretError::Key(_) | SecretError::Sealed { .. } => ErrorKind::Internal,
    };
    StepError::new(kind, error.to_string())
}

pub(super) fn trouble(error: SecretError) -> Trouble {
    Trouble::Store(store::StoreError::Io(error.to_string()))
}
