//! The values of the tokens that an execution may use: held while it is active, in memory only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use host::redact::{Redactor, known};
use host::secret::MIN_CHARACTERS;
use model::fact::Grant;
use model::token::{self, Token};
use model::{ErrorKind, ExecutionId, Fact, Map, Performance, Schema, StepError, Timestamp, Value};
use store::{Sealing, StoreError, of_execution};

use super::vault::record;
use super::{MAX_KEPT_BYTES, Plain, SecretError};
use crate::core::{Core, Trouble};
use crate::random;

/// A value that got a token just now, and is not stored yet.
#[derive(Debug, Clone)]
pub(crate) struct Fresh {
    pub(crate) token: Token,
    pub(crate) value: Plain,
}

impl Fresh {
    /// Whether a record has room for it.
    pub(crate) fn can_be_kept(&self) -> bool {
        self.value.expose().len() <= MAX_KEPT_BYTES
    }
}

/// Tokens that are granted in one fact, with the records that their values lie in: as many as go into a
/// commit beside what else belongs there.
const GRANTED_AT_ONCE: usize = 100;

/// Tokens that an execution may use from a commit on, and the encrypted records that this takes.
#[derive(Debug, Default)]
pub(crate) struct Granted {
    pub(crate) tokens: BTreeMap<Token, Grant>,
    pub(crate) sealing: Vec<Sealing>,
}

impl Granted {
    /// The fact that says so; none if there is no token.
    pub(crate) fn fact(tokens: BTreeMap<Token, Grant>, at: Timestamp) -> Option<Fact> {
        (!tokens.is_empty()).then_some(Fact::TokensGranted { tokens, at })
    }
}

/// What each token stands for, or why that cannot be had.
pub(crate) type Values = BTreeMap<Token, Result<Plain, String>>;

/// The values of an execution's tokens.
#[derive(Default)]
pub(crate) struct Opened {
    values: Values,
    /// What is looked for in output, by what stands for it: every value that there was, also one
    /// that is gone by now, and what is derived from them.
    seen: BTreeMap<String, Plain>,
    redactor: Arc<Redactor>,
}

/// The execution that nobody runs as a step, above `id`: what it keeps goes with it.
pub(crate) fn root(id: &ExecutionId) -> ExecutionId {
    let mut root = id.clone();
    while let Some((parent, _)) = root.parent() {
        root = parent;
    }
    root
}

/// The record of a token's own value.
pub(crate) fn kept(by: &ExecutionId, token: &Token) -> String {
    format!("{}{token}", of_execution(by))
}

impl Core {
    /// Opens what `tokens` stand for. What cannot be opened is an error where it is used, not here.
    pub(crate) async fn open(&self, tokens: &BTreeMap<Token, Grant>) -> Result<Values, Trouble> {
        let mut values = BTreeMap::new();
        for (token, grant) in tokens {
            let name = match grant {
                Grant::Named { path, version } => record(path, *version),
                Grant::Kept { by } => kept(by, token),
            };
            let value = match self.store.sealed(&name).await? {
                Some(sealed) => {
                    self.vault.unseal(&name, &sealed).map_err(|error| error.to_string())
                }
                None => Err(gone(grant)),
            };
            values.insert(token.clone(), value);
        }
        Ok(values)
    }

    /// What it takes to keep `fresh` values for the execution `id` and those above it.
    pub(crate) fn keep(
        &self,
        id: &ExecutionId,
        fresh: &[Fresh],
        at: Timestamp,
    ) -> Result<Granted, SecretError> {
        let by = root(id);
        let mut granted = Granted::default();
        for Fresh { token, value } in fresh {
            let name = kept(&by, token);
            let sealed = self.vault.seal(&name, value, at)?;
            granted.sealing.push(Sealing::Put(name, sealed));
            granted.tokens.insert(token.clone(), Grant::Kept { by: by.clone() });
        }
        Ok(granted)
    }

    /// The same, however many there are: each part of it for a commit.
    pub(crate) fn keep_all(
        &self,
        id: &ExecutionId,
        fresh: &[Fresh],
        at: Timestamp,
    ) -> Result<Vec<Granted>, SecretError> {
        fresh.chunks(GRANTED_AT_ONCE).map(|some| self.keep(id, some, at)).collect()
    }
}

impl Core {
    /// What the execution `id`, which repeats another one or goes on from it, needs to use that one's
    /// `tokens`: values that are kept for that one go with it, so that this one keeps them too, unless both
    /// have the same root. Each part of it is for a commit, and the same however often this is asked.
    pub(crate) async fn take_over(
        &self,
        tokens: BTreeMap<Token, Grant>,
        id: &ExecutionId,
        at: Timestamp,
    ) -> Result<Vec<Granted>, Trouble> {
        let tokens: Vec<(Token, Grant)> = tokens.into_iter().collect();
        let mut parts = Vec::new();
        for some in tokens.chunks(GRANTED_AT_ONCE) {
            let own = some
                .iter()
                .filter(|(_, grant)| matches!(grant, Grant::Kept { by } if *by != root(id)));
            // What is gone by now is an error where it is used, as it was before.
            let values = self.open(&own.cloned().collect()).await?;
            let fresh = values.into_iter().filter_map(|(token, value)| {
                let value = value.ok()?;
                Some(Fresh { token, value })
            });
            let fresh: Vec<Fresh> = fresh.collect();
            let kept = self.keep(id, &fresh, at);
            let kept = kept.map_err(|error| StoreError::Refused(error.to_string()))?;
            let mut tokens: BTreeMap<_, _> = some.iter().cloned().collect();
            tokens.extend(kept.tokens);
            parts.push(Granted { tokens, sealing: kept.sealing });
        }
        Ok(parts)
    }
}

fn gone(grant: &Grant) -> String {
    match grant {
        Grant::Named { path, version } => {
            format!(
                "version {version} of the secret `{path}` is gone: the secret was deleted, or has had a newer value for long"
            )
        }
        Grant::Kept { .. } => "the value of a token is gone with its execution".to_owned(),
    }
}

impl Opened {
    fn of(values: Values, mut seen: BTreeMap<String, Plain>) -> Self {
        let opened = values.iter().filter_map(|(token, value)| {
            value.as_ref().ok().map(|value| (token.to_string(), value.clone()))
        });
        seen.extend(opened);
        let needles = seen.iter().map(|(label, value)| (value.expose(), label.as_str()));
        let redactor = known().hold(Redactor::new(needles));
        Self { values, seen, redactor }
    }

    /// The same with values that are not stored yet.
    pub(crate) fn with(&self, fresh: &[Fresh]) -> Self {
        let mut values = self.values.clone();
        values.extend(fresh.iter().map(|one| (one.token.clone(), Ok(one.value.clone()))));
        Self::of(values, self.seen.clone())
    }

    /// Those of `granted` that are not known here; none if nothing else is known either.
    pub(crate) fn unknown_of(
        &self,
        granted: &BTreeMap<Token, Grant>,
    ) -> Option<BTreeMap<Token, Grant>> {
        if self.values.keys().eq(granted.keys()) {
            return None;
        }
        let unknown = granted.iter().filter(|(token, _)| !self.values.contains_key(token));
        Some(unknown.map(|(token, grant)| (token.clone(), grant.clone())).collect())
    }

    /// The same with `more`, for those of `granted`. What is known already may not be stored yet, and what is
    /// granted no more may still come back in output: it is looked for all the same.
    pub(crate) fn joined(&self, more: Values, granted: &BTreeMap<Token, Grant>) -> Self {
        let mut values = self.values.clone();
        values.retain(|token, _| granted.contains_key(token));
        values.extend(more);
        Self::of(values, self.seen.clone())
    }

    /// The same, which also looks for what is derived in `parameters`.
    pub(crate) fn deriving(self: Arc<Self>, parameters: &Value) -> Arc<Self> {
        let derived = token::worked_out(parameters, &|token| self.plain(token));
        if derived.is_empty() {
            return self;
        }
        let mut seen = self.seen.clone();
        seen.extend(derived.into_iter().map(|(text, value)| (text, Plain::new(value))));
        Arc::new(Self::of(self.values.clone(), seen))
    }

    /// The same for somebody who may use only these tokens. It looks for all values.
    pub(crate) fn only(&self, granted: &BTreeMap<Token, Grant>) -> Self {
        let values = self.values.iter().filter(|(token, _)| granted.contains_key(token));
        Self {
            values: values.map(|(token, value)| (token.clone(), value.clone())).collect(),
            seen: self.seen.clone(),
            redactor: self.redactor.clone(),
        }
    }

    /// The same with these `lost`, which are looked for in output all the same. None: they were.
    pub(crate) fn without<'a>(
        &self,
        lost: impl Iterator<Item = (&'a Token, &'a Grant)>,
    ) -> Option<Self> {
        let known = |token: &Token| self.values.get(token).is_some_and(Result::is_ok);
        let lost: Vec<_> = lost.filter(|(token, _)| known(token)).collect();
        if lost.is_empty() {
            return None;
        }
        let mut values = self.values.clone();
        values.extend(lost.into_iter().map(|(token, grant)| (token.clone(), Err(gone(grant)))));
        Some(Self { values, seen: self.seen.clone(), redactor: self.redactor.clone() })
    }

    /// Finds the values in what others print.
    pub(crate) fn redactor(&self) -> &Arc<Redactor> {
        &self.redactor
    }

    /// `value` with the tokens that are granted replaced by what they stand for; others stay text.
    pub(crate) fn reveal(&self, value: Value) -> Result<Value, StepError> {
        let used = token::within(&value);
        let lost = used.iter().find_map(|token| self.values.get(token)?.as_ref().err());
        if let Some(why) = lost {
            // What was taken away does not come back by asking again.
            return Err(StepError::new(ErrorKind::Denied, why.clone()));
        }
        Ok(match used.is_empty() {
            true => value,
            false => self.revealed(value),
        })
    }

    fn plain(&self, token: &Token) -> Option<String> {
        Some(self.values.get(token)?.as_ref().ok()?.expose().to_owned())
    }

    fn revealed(&self, value: Value) -> Value {
        let plain = |token: &Token| self.plain(token);
        let text = |text: String| token::substitute(&text, &plain).unwrap_or(text);
        match value {
            Value::String(plain) => Value::String(text(plain)),
            Value::Array(items) => items.into_iter().map(|item| self.revealed(item)).collect(),
            Value::Object(map) => {
                let item = |(name, item)| (text(name), self.revealed(item));
                Value::Object(map.into_iter().map(item).collect::<Map>())
            }
            other => other,
        }
    }

    /// The token of a value that is known already.
    fn token_of(&self, plain: &str) -> Option<&Token> {
        let same =
            |value: &Result<Plain, String>| value.as_ref().is_ok_and(|v| v.expose() == plain);
        self.values.iter().find(|(_, value)| same(value)).map(|(token, _)| token)
    }

    /// What an action answered, without values: those that its result's schema marks get tokens,
    /// and all others are looked for wherever they may stand.
    pub(crate) fn receive(
        &self,
        performance: Performance,
        schema: &Schema,
    ) -> (Performance, Vec<Fresh>) {
        match performance {
            Performance::Done(result) => {
                let (clean, fresh) = self.told(result, schema);
                match too_long(&fresh) {
                    Some(why) => (Performance::Unknown(not_kept(&why)), Vec::new()),
                    None => (Performance::Done(clean), fresh),
                }
            }
            Performance::Failed(error) => (Performance::Failed(self.clean(error)), Vec::new()),
            Performance::Unknown(error) => (Performance::Unknown(self.clean(error)), Vec::new()),
        }
    }

    /// A result without values, and those that got tokens just now.
    pub(crate) fn told(&self, mut result: Value, schema: &Schema) -> (Value, Vec<Fresh>) {
        let fresh = self.tokenise_all(&mut result, schema);
        let clean = match fresh.is_empty() {
            true => self.redactor.value(result),
            false => self.with(&fresh).redactor.value(result),
        };
        (clean, fresh)
    }

    fn clean(&self, error: StepError) -> StepError {
        StepError {
            message: self.redactor.text(&error.message).into_owned(),
            details: self.redactor.value(error.details),
            ..error
        }
    }

    /// Puts tokens where `schema` says `secret: true`. What is shorter than a secret may be is
    /// hidden as well, but cannot be looked for elsewhere.
    pub(crate) fn tokenise(&self, value: &mut Value, schema: &Schema) -> Vec<Fresh> {
        self.tokenised(value, schema, &|text| (!token::is_in(&text)).then_some(text))
    }

    /// The same of what an action answered: beside a token it may tell more that is secret, while what
    /// stands beside one in parameters is a chain's own text.
    pub(crate) fn tokenise_all(&self, value: &mut Value, schema: &Schema) -> Vec<Fresh> {
        let plain = |token: &Token| self.plain(token);
        self.tokenised(value, schema, &|text| match token::is_one(&text) {
            true => None,
            false => Some(token::substitute(&text, &plain).unwrap_or(text)),
        })
    }

    /// `secret`: what of a text at a secret place is to get a token.
    fn tokenised(
        &self,
        value: &mut Value,
        schema: &Schema,
        secret: &dyn Fn(String) -> Option<String>,
    ) -> Vec<Fresh> {
        let mut fresh: Vec<Fresh> = Vec::new();
        schema.secrets(value, &mut |place| {
            let text = match &*place {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let Some(text) = secret(text).filter(|text| !text.is_empty()) else { return };
            let again = fresh.iter().find(|one| one.value.expose() == text).map(|one| &one.token);
            let known = again.or_else(|| self.token_of(&text)).cloned();
            let token = known.unwrap_or_else(|| {
                let token = random::token();
                fresh.push(Fresh { token: token.clone(), value: Plain::new(text) });
                token
            });
            *place = Value::String(token.into());
        });
        fresh
    }
}

/// Why parameters cannot be taken: a value that stands where a secret belongs and is none, or cannot be
/// kept.
pub(crate) fn misfit(fresh: &[Fresh]) -> Option<String> {
    let short =
        fresh.iter().map(|one| one.value.expose().chars().count()).find(|n| *n < MIN_CHARACTERS);
    short.map(|short| SecretError::Short(short).to_string()).or_else(|| too_long(fresh))
}

/// Why these cannot be kept: one is too long.
pub(crate) fn too_long(fresh: &[Fresh]) -> Option<String> {
    let long = fresh.iter().find(|one| !one.can_be_kept())?.value.expose().len();
    Some(format!(
        "a value that is secret has {long} bytes, more than the {MAX_KEPT_BYTES} that can be kept encrypted"
    ))
}

/// What becomes of a step that is done and whose result cannot be stored: nobody may take it for one
/// without effect.
fn not_kept(why: &str) -> StepError {
    let message = format!(
        "the step was performed, and its result cannot be stored: {why}; put large secrets where the step's own system keeps them, and return a reference"
    );
    StepError::new(ErrorKind::TooLarge, message)
}

/// Those of `granted` that stand in `value`.
pub(crate) fn passed_on(value: &Value, granted: &BTreeMap<Token, Grant>) -> BTreeMap<Token, Grant> {
    if granted.is_empty() {
        return BTreeMap::new();
    }
    let used: BTreeSet<Token> = token::within(value);
    used.into_iter()
        .filter_map(|token| granted.get_key_value(&token))
        .map(|(t, g)| (t.clone(), g.clone()))
        .collect()
}
