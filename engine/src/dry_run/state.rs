//! What a dry run remembers in place of what would have been stored: keys, secrets, time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use actions::datastore::{self, Change as KeyChange, Entry, entry_key};
use actions::secrets::Recipe;
use model::fact::Grant;
use model::{
    ActionRef, Call, Change, ErrorKind, PackName, Plan, StepError, Timestamp, Token, Value,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::token;
use crate::core::Core;
use crate::permissions::Rights;
use crate::random;
use crate::secrets::{Fresh, Opened, Plain, Read, SecretError, SecretSettingsOf};

/// Most steps of one dry run, its children's included.
const MAX_STEPS: usize = 2_000;

/// Shared by a chain and its children.
pub(super) struct State {
    pub(super) core: Arc<Core>,
    /// What tokens stand for.
    pub(super) opened: Arc<Opened>,
    /// Fires when what is performed should end.
    pub(super) cancel: CancellationToken,
    /// The time that the chain sees: sleeps move it.
    pub(super) now: Timestamp,
    /// Whether something was planned: what is waited for may be its doing.
    pub(super) changed: bool,
    /// Results that were given, by path.
    pub(super) assumed: BTreeMap<String, Value>,
    /// Entries that would have changed; none: deleted.
    keys: BTreeMap<String, Option<Entry>>,
    /// The token of each named secret that was asked for, and what it takes to use it.
    named: BTreeMap<String, (Token, Grant)>,
    steps: usize,
    until: Instant,
}

/// What a step that the engine performs itself would do, and its result.
pub(super) type Served = Result<Plan, StepError>;

/// Tokens that a chain may use from now on.
pub(super) type Granted = BTreeMap<Token, Grant>;

impl State {
    pub(super) fn new(core: Arc<Core>, assumed: BTreeMap<String, Value>, until: Instant) -> Self {
        Self {
            opened: Arc::default(),
            cancel: token(&core),
            now: core.now(),
            changed: false,
            assumed,
            keys: BTreeMap::new(),
            named: BTreeMap::new(),
            steps: 0,
            until,
            core,
        }
    }

    /// Why there may be no more steps.
    pub(super) fn exhausted(&mut self) -> Option<String> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Some(format!("a dry run follows at most {MAX_STEPS} calls"));
        }
        (Instant::now() > self.until)
            .then(|| "the dry run took too long: what it reads answers slowly".to_owned())
    }

    /// How long what is performed may take yet.
    pub(super) fn left(&self) -> std::time::Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Takes note of new values.
    pub(super) fn learn(&mut self, fresh: &[Fresh]) {
        if !fresh.is_empty() {
            self.opened = Arc::new(self.opened.with(fresh));
        }
    }

    /// What `settings` stand for: tokens by their places, those of named secrets, and new values.
    pub(super) fn read_settings(&mut self, settings: &SecretSettingsOf) -> Result<Read, StepError> {
        let Read { mut places, named, fresh } = self.core.read_settings(settings)?;
        let mut granted = Granted::new();
        for (token, grant) in named {
            let Grant::Named { path, .. } = grant else { continue };
            let (known, grant) = self.named_token(&path)?;
            places.values_mut().filter(|own| **own == token).for_each(|own| *own = known.clone());
            granted.insert(known, grant);
        }
        Ok(Read { places, named: granted, fresh })
    }

    /// `plan` without values of secrets.
    pub(super) fn clean(&self, plan: Plan) -> Plan {
        let redactor = self.opened.redactor();
        if redactor.is_empty() {
            return plan;
        }
        let text = |text: String| redactor.text(&text).into_owned();
        let value = |value: Value| redactor.value(value);
        let changes = plan.changes.into_iter().map(|change| Change {
            what: text(change.what),
            before: change.before.map(value),
            after: change.after.map(value),
            diff: change.diff.map(text),
        });
        Plan {
            summary: text(plan.summary),
            changes: changes.collect(),
            result: plan.result.map(value),
        }
    }

    /// What a step of `datastore.*` would do.
    pub(super) async fn datastore(&mut self, call: &Call, pack: Option<&PackName>) -> Served {
        let (action, parameters) = asked(call)?;
        let key = entry_key(action, pack.map_or("", PackName::as_str), parameters)?;
        let (current, listed) = match action.name() {
            "list" => (None, self.listed(&key).await?),
            _ => (self.entry(&key).await?, Vec::new()),
        };
        let before = current.as_ref().map(|entry| entry.value.clone());
        let planned = datastore::plan(action, parameters, current.as_ref(), listed, self.now);
        let result = planned.result?;
        let Some(change) = planned.change else {
            return Ok(Plan::new("changes no key").answering(result));
        };
        let (summary, entry) = match change {
            KeyChange::Set { value, expires_at } => {
                let entry = Entry { key: key.clone(), value, expires_at };
                (format!("sets the key {key}"), Some(entry))
            }
            KeyChange::Delete => (format!("deletes the key {key}"), None),
        };
        let after = entry.as_ref().map(|entry| entry.value.clone());
        self.keys.insert(key.clone(), entry);
        let change = Change { what: key, before, after, diff: None };
        Ok(Plan::new(summary).with(change).answering(result))
    }

    async fn entry(&self, key: &str) -> Result<Option<Entry>, StepError> {
        if let Some(changed) = self.keys.get(key) {
            return Ok(changed.clone());
        }
        let row = self.core.store.key(key, self.core.now()).await.map_err(unread)?;
        Ok(row.map(entry))
    }

    async fn listed(&self, prefix: &str) -> Result<Vec<Entry>, StepError> {
        let rows = self.core.store.keys(prefix, "", self.core.now(), datastore::MAX_LISTED).await;
        let stored = rows.map_err(unread)?.into_iter().map(entry);
        let mut all: BTreeMap<String, Option<Entry>> =
            stored.map(|entry| (entry.key.clone(), Some(entry))).collect();
        let changed = self.keys.iter().filter(|(key, _)| key.starts_with(prefix));
        all.extend(changed.map(|(key, entry)| (key.clone(), entry.clone())));
        Ok(all.into_values().flatten().collect())
    }

    /// What a step of `secrets.*` would do for a chain that may use what is `opened`, and the tokens
    /// that it answers: they hold for this dry run alone.
    pub(super) fn secrets(
        &mut self,
        call: &Call,
        rights: &Rights,
        opened: &Opened,
    ) -> Result<(Plan, Granted), StepError> {
        let (action, parameters) = asked(call)?;
        let path = parameters["path"].as_str().unwrap_or_default();
        match action.name() {
            "generate" => {
                let recipe = Recipe::of(parameters)?;
                let value = recipe.choose(random::numbers());
                let value = value.ok_or_else(|| failed(ErrorKind::Internal, "no randomness"))?;
                let token = self.token(Plain::new(value));
                let summary = format!("makes a random value of {} characters", recipe.length);
                let plan = Plan::new(summary).answering(token.as_str().into());
                Ok((plan, Granted::from([(token, Grant::Kept { by: random::execution() })])))
            }
            "get" => {
                rights.secret(path)?;
                let (token, grant) = self.named_token(path)?;
                let plan = Plan::new(format!("reads the secret {path}"));
                Ok((plan.answering(token.as_str().into()), Granted::from([(token, grant)])))
            }
            _ => self.store_secret(path, rights, opened.reveal(parameters.clone())?),
        }
    }

    fn named_token(&mut self, path: &str) -> Result<(Token, Grant), StepError> {
        if let Some(known) = self.named.get(path) {
            return Ok(known.clone());
        }
        let value = self.core.vault.value(path).map_err(|error| of_secret(&error))?;
        let version = self.core.vault.version(path).map_err(|error| of_secret(&error))?;
        Ok(self.name(path, version, value))
    }

    /// From here on `path` has this value.
    fn name(&mut self, path: &str, version: u64, value: Plain) -> (Token, Grant) {
        let named = (self.token(value), Grant::Named { path: path.to_owned(), version });
        self.named.insert(path.to_owned(), named.clone());
        named
    }

    fn store_secret(
        &mut self,
        path: &str,
        rights: &Rights,
        revealed: Value,
    ) -> Result<(Plan, Granted), StepError> {
        rights.secret(path)?;
        let value = Plain::new(revealed["value"].as_str().unwrap_or_default());
        let known = self.core.vault.version(path).unwrap_or(0);
        let same = self.core.vault.value(path).is_ok_and(|now| now == value);
        let version = if same { known } else { known + 1 };
        let (token, grant) = self.name(path, version, value);
        let answer = json!({ "path": path, "version": version, "token": token.as_str() });
        let granted = Granted::from([(token, grant)]);
        if same {
            let summary = format!("nothing: the secret {path} has this value already");
            return Ok((Plan::new(summary).answering(answer), granted));
        }
        let change = Change::to(format!("secret {path}"), json!({ "version": version }));
        let before = (known > 0).then(|| json!({ "version": known }));
        let summary = format!("gives the secret {path} a new value");
        Ok((Plan::new(summary).with(change.from(before)).answering(answer), granted))
    }

    fn token(&mut self, value: Plain) -> Token {
        let token = random::token();
        self.learn(&[Fresh { token: token.clone(), value }]);
        token
    }
}

fn asked(call: &Call) -> Result<(&ActionRef, &Value), StepError> {
    let asked = call.action().zip(call.parameters());
    asked.ok_or_else(|| failed(ErrorKind::Internal, "the call is of no action"))
}

fn entry(row: store::KeyRow) -> Entry {
    Entry { key: row.key, value: row.value, expires_at: row.expires_at }
}

fn unread(error: store::StoreError) -> StepError {
    failed(ErrorKind::Unavailable, error.to_string())
}

fn failed(kind: ErrorKind, message: impl Into<String>) -> StepError {
    StepError::new(kind, message)
}

fn of_secret(error: &SecretError) -> StepError {
    let kind = match error {
        SecretError::Missing(_) => ErrorKind::NotFound,
        _ => ErrorKind::InvalidParameters,
    };
    failed(kind, error.to_string())
}
