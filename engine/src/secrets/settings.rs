//! Secrets among a pack's settings: the environment says where each of them lies, the pack's
//! content is pinned with that, and whoever uses one gets a token.
//!
//! In a pack's configuration a *stand-in* takes each one's place: a token that nothing is granted
//! for, and that is never stored. An execution has tokens of its own instead, for what the settings
//! stood for when it began; so has a request in whose parameters a rule puts one.

use std::collections::BTreeMap;
use std::path::Path;

use host::secret::SecretRef;
use model::fact::Grant;
use model::token::{self, Token};
use model::{ActionRef, ErrorKind, Map, PackName, Schema, StepError, Value};
use serde_json::json;

use super::opened::passed_on;
use super::{Fresh, Plain, check_path, check_value};
use crate::core::Core;
use crate::packs::{Generation, Pack};
use crate::permissions::Rights;
use crate::random;

/// What stands in the place of a secret where people look.
const SHOWN: &str = "(secret)";

/// A setting that is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSetting {
    /// Where its value lies.
    pub reference: SecretRef,
    /// What takes its place in the pack's configuration.
    stand_in: Token,
}

/// A pack's settings that are secret, by their places in its configuration: JSON Pointers.
pub type SecretSettingsOf = BTreeMap<String, SecretSetting>;

/// What stands at a secret place, or within.
pub(crate) enum Written {
    /// Where the value lies.
    Reference(SecretRef),
    /// A path that no secret can have, and so may be the value itself.
    BadPath,
    /// What may be the value itself.
    Plain,
}

/// Calls `visit` for each value in `config` that `schema` calls secret, with its place.
pub(crate) fn each(
    config: &mut Value,
    schema: &Schema,
    visit: &mut dyn FnMut(&str, &mut Value, Written),
) {
    schema.secret_places(config, &mut |place, value| within(place, value, visit));
}

fn within(place: &str, value: &mut Value, visit: &mut dyn FnMut(&str, &mut Value, Written)) {
    // A text alone is short for a path elsewhere; here it may be the value.
    let reference = SecretRef::read(value).filter(|_| value.is_object());
    match (reference, value) {
        (Some(SecretRef::Stored(path)), value) => match check_path(&path) {
            Ok(()) => visit(place, value, Written::Reference(SecretRef::Stored(path))),
            Err(_) => visit(place, value, Written::BadPath),
        },
        (Some(reference), value) => visit(place, value, Written::Reference(reference)),
        (None, Value::Array(items)) => {
            for (n, item) in items.iter_mut().enumerate() {
                within(&below(place, &n.to_string()), item, visit);
            }
        }
        (None, Value::Object(map)) => {
            for (name, item) in map {
                within(&below(place, name), item, visit);
            }
        }
        (None, value @ (Value::String(_) | Value::Number(_))) => {
            visit(place, value, Written::Plain);
        }
        (None, Value::Null | Value::Bool(_)) => {}
    }
}

/// Puts stand-ins where `config` says that a secret lies elsewhere. Anything else was stored by a
/// version that took it, and stays.
pub(crate) fn take(config: &mut Value, schema: &Schema) -> SecretSettingsOf {
    let mut taken = BTreeMap::new();
    each(config, schema, &mut |place, value, written| {
        let Written::Reference(reference) = written else { return };
        let stand_in = random::token();
        *value = Value::from(stand_in.as_str());
        taken.insert(place.to_owned(), SecretSetting { reference, stand_in });
    });
    taken
}

/// A place as messages name it.
pub(crate) fn shown(place: &str) -> String {
    let parts = place.trim_start_matches('/').split('/');
    parts.map(|part| part.replace("~1", "/").replace("~0", "~")).collect::<Vec<_>>().join(".")
}

/// What secret settings stand for at a time.
#[derive(Default)]
pub(crate) struct Read {
    /// The token at each place.
    pub(crate) places: BTreeMap<String, Token>,
    /// Versions of named secrets.
    pub(crate) named: BTreeMap<Token, Grant>,
    /// Values that are not in the store.
    pub(crate) fresh: Vec<Fresh>,
}

impl Pack {
    /// Its configuration as an execution sees it that has these tokens for its settings.
    pub(crate) fn config_with(&self, tokens: &BTreeMap<String, Token>) -> Value {
        let own = self.settings.iter().filter_map(|(place, setting)| {
            Some((setting.stand_in.clone(), tokens.get(place)?.clone()))
        });
        let own: BTreeMap<Token, Token> = own.collect();
        match own.is_empty() {
            true => (*self.config).clone(),
            false => replaced((*self.config).clone(), &own),
        }
    }

    /// Its configuration for people: of what is secret, where it lies and not what it is.
    pub fn shown_config(&self) -> Value {
        let mut config = (*self.config).clone();
        self.config_schema.secret_places(&mut config, &mut |place, value| {
            mask(&self.settings, place, value);
        });
        config
    }
}

fn mask(settings: &SecretSettingsOf, place: &str, value: &mut Value) {
    match (settings.get(place), value) {
        (Some(setting), value) => *value = setting.reference.to_string().into(),
        (None, Value::Array(items)) => {
            for (n, item) in items.iter_mut().enumerate() {
                mask(settings, &below(place, &n.to_string()), item);
            }
        }
        (None, Value::Object(map)) => {
            map.iter_mut().for_each(|(name, item)| mask(settings, &below(place, name), item));
        }
        (None, Value::Null) => {}
        (None, value) => *value = SHOWN.into(),
    }
}

/// The JSON Pointer of what `name` stands for in what stands at `place`.
fn below(place: &str, name: &str) -> String {
    format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"))
}

impl Core {
    /// What `settings` stand for now; or which of them cannot be had, and why.
    pub(crate) fn read_settings<'a>(
        &self,
        settings: impl IntoIterator<Item = (&'a String, &'a SecretSetting)>,
    ) -> Result<Read, StepError> {
        let mut read = Read::default();
        for (place, setting) in settings {
            let token = random::token();
            match self.read_setting(&setting.reference) {
                Ok(Source::Named(grant)) => _ = read.named.insert(token.clone(), grant),
                Ok(Source::Fresh(value)) => {
                    read.fresh.push(Fresh { token: token.clone(), value });
                }
                Err(why) => {
                    let message = format!("the setting `{}` has no value: {why}", shown(place));
                    return Err(StepError::new(ErrorKind::NotFound, message));
                }
            }
            read.places.insert(place.clone(), token);
        }
        Ok(read)
    }

    fn read_setting(&self, reference: &SecretRef) -> Result<Source, String> {
        if let SecretRef::Stored(path) = reference {
            let version = self.vault.version(path).map_err(|error| error.to_string())?;
            return Ok(Source::Named(Grant::Named { path: path.clone(), version }));
        }
        let environment = self.environment.load_full();
        let file = environment.file.as_deref().map(Path::new);
        let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
        let variable = |name: &str| std::env::var(name).ok();
        let value = reference.resolve_from(folder, variable, |_| Err(String::new()))?;
        check_value(value.expose()).map_err(|error| error.to_string())?;
        Ok(Source::Fresh(Plain::new(value.expose())))
    }

    /// Puts tokens of their own where a rule of `pack` put stand-ins into `parameters`. What goes to
    /// a chain of another pack, which may not use a named secret, stands for nothing.
    pub(crate) fn settings_passed_on(
        &self,
        generation: &std::sync::Arc<Generation>,
        pack: &PackName,
        chain_of: Option<&PackName>,
        parameters: &mut Value,
    ) -> Result<Read, StepError> {
        let settings = generation.packs.get(pack).map(|pack| &pack.settings);
        let Some(settings) = settings.filter(|settings| !settings.is_empty()) else {
            return Ok(Read::default());
        };
        let used = token::within(parameters);
        let passed = settings.iter().filter(|(_, setting)| used.contains(&setting.stand_in));
        let mut read = self.read_settings(passed)?;
        let own = read.places.iter().filter_map(|(place, token)| {
            Some((settings.get(place)?.stand_in.clone(), token.clone()))
        });
        let own: BTreeMap<Token, Token> = own.collect();
        *parameters = replaced(parameters.take(), &own);
        if let Some(other) = chain_of {
            let environment = self.environment.load_full();
            let rights = Rights::of(generation.clone(), environment, Some(other), None);
            read.named.retain(|_, grant| may_hold(grant, &rights, generation, Some(other)));
        }
        Ok(read)
    }
}

enum Source {
    Named(Grant),
    Fresh(Plain),
}

/// What the chain `action` gets of the `granted` tokens of who runs it: those in its `parameters`.
/// A named secret that its pack may not use itself is an error: there its token would stand for
/// nothing, and be taken for the value.
pub(crate) fn handed_to(
    action: &ActionRef,
    parameters: &Value,
    granted: &BTreeMap<Token, Grant>,
    generation: &Generation,
    rights: impl FnOnce(Option<&PackName>) -> Rights,
) -> Result<BTreeMap<Token, Grant>, StepError> {
    let tokens = passed_on(parameters, granted);
    if tokens.is_empty() {
        return Ok(tokens);
    }
    let pack = action.pack().parse::<PackName>().ok();
    let rights = rights(pack.as_ref());
    let kept = |grant: &&Grant| !may_hold(grant, &rights, generation, pack.as_ref());
    match tokens.values().find(kept) {
        Some(Grant::Named { path, .. }) => Err(not_handed(path, action)),
        _ => Ok(tokens),
    }
}

fn not_handed(path: &str, action: &ActionRef) -> StepError {
    let pack = action.pack();
    let message = format!(
        "the secret `{path}` is not handed to `{action}`: its pack `{pack}` may not use it (`permissions.secrets` in its pack.yaml); use it in a step of this chain instead"
    );
    let details = json!({ "pack": pack, "permission": "secrets", "asked": path });
    StepError::new(ErrorKind::Denied, message).with_details(details)
}

/// Whether a step that is made with these `rights` may use what the `granted` tokens in its `parameters`
/// stand for: not, where it is a named secret that they allow no more, and that is no setting of one of
/// the `packs`.
pub(crate) fn usable(
    parameters: &Value,
    granted: &BTreeMap<Token, Grant>,
    rights: &Rights,
    packs: &[&Pack],
) -> Result<(), StepError> {
    let is_setting = |path: &str| packs.iter().any(|pack| has_setting(pack, path));
    for grant in passed_on(parameters, granted).values() {
        if let Grant::Named { path, .. } = grant
            && !is_setting(path)
        {
            rights.secret(path)?;
        }
    }
    Ok(())
}

/// Whether a setting of the pack lies at this path of the secret store.
fn has_setting(pack: &Pack, path: &str) -> bool {
    let is_that = |setting: &SecretSetting| matches!(&setting.reference, SecretRef::Stored(own) if own == path);
    pack.settings.values().any(is_that)
}

/// Whether a chain of `pack` may be handed what `grant` says: what its pack may use by itself, or
/// has among its settings.
fn may_hold(
    grant: &Grant,
    rights: &Rights,
    generation: &Generation,
    pack: Option<&PackName>,
) -> bool {
    let Grant::Named { path, .. } = grant else { return true };
    let pack = pack.and_then(|name| generation.packs.get(name));
    rights.secret(path).is_ok() || pack.is_some_and(|pack| has_setting(pack, path))
}

/// `value` with other tokens in the place of those in `by`.
fn replaced(value: Value, by: &BTreeMap<Token, Token>) -> Value {
    let other = |token: &Token| by.get(token).map(ToString::to_string);
    let text = |text: String| token::substitute(&text, &other).unwrap_or(text);
    match value {
        Value::String(plain) => Value::String(text(plain)),
        Value::Array(items) => items.into_iter().map(|item| replaced(item, by)).collect(),
        Value::Object(map) => {
            let item = |(name, item)| (text(name), replaced(item, by));
            Value::Object(map.into_iter().map(item).collect::<Map>())
        }
        other => other,
    }
}
