//! Packs: what users write, loaded, checked and pinned by content.

mod absent;
mod actions_file;
mod assemble;
mod broken;
mod check;
pub mod docs;
mod library;
mod limits;
mod load;
mod manifest;
mod named;
pub mod offline;
mod pin;
pub mod rbac;
mod reached;
mod reload;
mod requires;
mod runner;
mod sensors_file;
pub mod shipped;
mod together;
mod triggers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use ::actions::{Metadata, SharedAction};
use model::{
    ActionRef, Diagnostic, Duration, Effect, Hash, Location, Map, Name, PackName, Schema,
    SensorRef, TriggerType, Value,
};
use rules::{Rule, RuleSet};

use crate::retry::Verdict;
use crate::secrets::SecretSettingsOf;

pub(crate) use absent::absence;
pub use assemble::{activate, is_enabled};
pub use check::{check_packs, check_packs_in, packs_in};
pub(crate) use library::secrets;
pub use library::{Library, Performer, Reader, Resolved};
pub(crate) use load::load_pinned;
pub use load::{LoadContext, load};
pub use manifest::is_reserved;
pub(crate) use pin::altered;
pub use pin::content_hash;
pub use reload::{PackStatus, Packs};
pub use requires::{Required, Versions};
pub use runner::Place;
pub(crate) use together::name_of;
pub use triggers::TriggerInfo;

/// A pack's content, immutable and named by its hash.
#[derive(Clone)]
pub struct Pack {
    /// Its name.
    pub name: PackName,
    /// Where it says so.
    pub at: Location,
    /// The version it claims.
    pub version: String,
    /// What it is for.
    pub description: String,
    /// Who keeps it.
    pub team: Option<String>,
    /// Other packs that it needs.
    pub requires: Vec<Required>,
    /// The hash of every file in it.
    pub hash: Hash,
    /// The hash of those that its programs may look at while they run.
    pub material: Hash,
    /// The folder its files are read from: a pinned copy while the engine runs.
    pub folder: PathBuf,
    /// Its rules.
    pub rules: BTreeMap<Name, Arc<Rule>>,
    /// Its actions, by name.
    pub actions: BTreeMap<String, PackAction>,
    /// Its named sensors.
    pub sensors: BTreeMap<Name, SensorSpec>,
    /// Event types of its own.
    pub triggers: BTreeMap<Name, TriggerSpec>,
    /// Its configuration: what its environment gives, and the schema's defaults.
    pub config: Arc<Value>,
    /// Where the secrets in it lie: for each a token that stands for nothing is in its place.
    pub settings: SecretSettingsOf,
    /// What its configuration may hold.
    pub config_schema: Schema,
    /// What it asks to be allowed.
    pub permissions: Permissions,
    /// The text of its files, by name: diagnostics show the line they speak of.
    pub texts: BTreeMap<String, String>,
}

/// An action of a pack.
#[derive(Clone)]
pub struct PackAction {
    /// What there is to know of it.
    pub metadata: Arc<Metadata>,
    /// What runs.
    pub kind: ActionKind,
    /// What becomes of an unknown outcome.
    pub on_unknown: OnUnknown,
    /// A read action that tells whether it was done, and where it is named.
    pub verify: Option<(ActionRef, Location)>,
    /// A read action that says what it would do, and where it is named.
    pub plan: Option<(ActionRef, Location)>,
    /// Longest time in all.
    pub deadline: Option<Duration>,
    /// Where its program runs; of a chain, here.
    pub place: Place,
    /// Where its entry point is named.
    pub at: Location,
}

/// What an action of a pack consists of.
#[derive(Clone)]
pub enum ActionKind {
    /// A script that runs other actions.
    Chain(chains::Program),
    /// An executable.
    Program(SharedAction),
}

/// What becomes of an unsafe step whose outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnknown {
    /// A person decides.
    #[default]
    Ask,
    /// It is tried again.
    Retry,
    /// It counts as failed.
    Fail,
}

impl PackAction {
    /// Whether it is a chain, not a program.
    pub(crate) const fn is_chain(&self) -> bool {
        matches!(self.kind, ActionKind::Chain(_))
    }
}

impl OnUnknown {
    /// The effect class by which such an action's performances are judged.
    pub(crate) const fn ruled(self, effect: Effect) -> Effect {
        match (self, effect) {
            (Self::Retry, Effect::Unsafe) => Effect::Idempotent,
            _ => effect,
        }
    }

    /// The verdict once nobody has to be asked whom the action's file answers for.
    pub(crate) fn answered(self, verdict: Verdict) -> Verdict {
        match (self, verdict) {
            (Self::Fail, Verdict::Ask(error)) => Verdict::Finish(Err(error)),
            (_, verdict) => verdict,
        }
    }
}

/// A sensor file.
#[derive(Debug, Clone, PartialEq)]
pub struct SensorSpec {
    /// The sensor's type, such as `git`.
    pub kind: String,
    /// Its parameters.
    pub parameters: Map,
    /// Where it is declared.
    pub at: Location,
}

/// A trigger file: an event type of the pack's own.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerSpec {
    /// The event type: `pack.name`.
    pub kind: TriggerType,
    /// What it means.
    pub description: String,
    /// What its data must be.
    pub payload: Schema,
}

/// What a pack asks to be allowed; anything else is denied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Patterns of actions of other packs and built-in ones.
    pub actions: Vec<String>,
    /// Patterns of other packs' event types, for `emit`.
    pub events: Vec<String>,
    /// Names of connections.
    pub connections: Vec<String>,
    /// Patterns of secrets' paths, of variables (`env:NAME`) and files (`file:PATH`).
    pub secrets: Vec<String>,
    /// Names of hosts.
    pub hosts: Vec<String>,
    /// Whether it runs programs on the server.
    pub exec: bool,
}

/// What listens for events: a named sensor, or the subscription that triggers share.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// `<pack>/<sensor>` or `<type>/<hash of parameters>`: the end of its events' source.
    pub id: String,
    /// The sensor's type.
    pub kind: String,
    /// Its parameters.
    pub parameters: Map,
    /// What is told of what it sees, where triggers that share it differ in that: the hashes that their
    /// events' sources end in, and the parameters that each adds.
    pub shares: BTreeMap<String, Map>,
    /// The sensor, where it is a named one.
    pub sensor: Option<SensorRef>,
    /// The packs in whose names it uses a connection, where no sensor's pack does.
    pub users: BTreeSet<PackName>,
}

impl Subscription {
    /// What people call it: `pack.sensor`, or its id where it has no name.
    pub fn address(&self) -> String {
        self.sensor.as_ref().map_or_else(|| self.id.clone(), ToString::to_string)
    }

    /// Whether `name` means this one: its address, its id, or the end of its events' source.
    pub fn is_called(&self, name: &str) -> bool {
        self.id == name || self.address() == name || self.is_source(name)
    }

    /// Whether events of its own come from what is called so.
    fn is_source(&self, name: &str) -> bool {
        let hash = name.strip_prefix(self.kind.as_str()).and_then(|rest| rest.strip_prefix('/'));
        hash.is_some_and(|hash| self.shares.contains_key(hash))
    }
}

/// The packs that are active together, and what follows from them.
pub struct Generation {
    /// Counts generations.
    pub number: u64,
    /// The packs.
    pub packs: BTreeMap<PackName, Arc<Pack>>,
    /// Their enabled rules, indexed.
    pub rules: Arc<RuleSet>,
    /// What must listen for events.
    pub subscriptions: BTreeMap<String, Subscription>,
    /// The trigger types that rules can name: built in, and of these packs.
    pub triggers: BTreeMap<TriggerType, TriggerInfo>,
}

impl Permissions {
    /// Whether `action` fits one of the patterns.
    pub fn allows_action(&self, action: &ActionRef) -> bool {
        self.actions.iter().any(|pattern| fits_pattern(pattern, action.as_str()))
    }

    /// Whether chains of `pack`, whose permissions these are, may emit events of this type.
    pub fn allows_event(&self, pack: &PackName, kind: &TriggerType) -> bool {
        let own = kind.pack() == pack.as_str();
        own || self.events.iter().any(|pattern| fits_pattern(pattern, kind.as_str()))
    }
}

/// Whether the type is of no pack.
pub(crate) fn is_built_in(kind: &TriggerType) -> bool {
    kind.pack().parse().is_ok_and(|pack| is_reserved(&pack))
}

/// `a.b`, `a.*` (everything below `a`) or `*`.
pub fn fits_pattern(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => text.starts_with(prefix),
        None => pattern == text,
    }
}

/// The same of secrets. What lies outside of the secret store must be asked for as such: `*` is
/// every path of the store, `env:*` every variable, `file:/run/secrets/*` the files below.
pub fn fits_secret(pattern: &str, entry: &str) -> bool {
    let place = |text: &str| text.split_once(':').map(|(place, _)| place.to_owned());
    let climbs = entry.starts_with("file:") && entry.split('/').any(|part| part == "..");
    place(pattern) == place(entry) && !climbs && fits_pattern(pattern, entry)
}

impl Generation {
    /// No packs at all.
    pub fn empty() -> Self {
        Self {
            number: 0,
            packs: BTreeMap::new(),
            rules: Arc::new(RuleSet::new(Vec::new())),
            subscriptions: BTreeMap::new(),
            triggers: BTreeMap::new(),
        }
    }

    /// A pack's action.
    pub fn action(&self, reference: &ActionRef) -> Option<(&Arc<Pack>, &PackAction)> {
        let pack = self.packs.get(&reference.pack().parse().ok()?)?;
        Some((pack, pack.actions.get(reference.name())?))
    }

    /// Each pack's content hash.
    pub fn hashes(&self) -> BTreeMap<PackName, Hash> {
        self.packs.iter().map(|(name, pack)| (name.clone(), pack.hash)).collect()
    }
}

impl PackAction {
    /// What performing it twice would do; a chain is as safe as its steps.
    pub fn effect(&self) -> Effect {
        self.metadata.effect.unwrap_or(Effect::Unsafe)
    }
}

/// Everything a load found: errors keep the content from being used.
pub type Findings = Vec<Diagnostic>;
