//! Where an action reference becomes something that can be performed.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use actions::{Metadata, SharedAction};
use host::guard::HostPattern;
use model::diagnostic::unknown;
use model::{
    ActionRef, Duration, Effect, ErrorKind, Hash, Location, PackName, Schema, StepError, Value,
};

use super::{ActionKind, Generation, LoadContext, OnUnknown, Pack, Place, load_pinned};
use crate::core::Core;
use crate::folders::Folders;
use crate::permissions::Rights;

/// Built-in actions, and packs' contents by hash.
pub struct Library {
    builtin: BTreeMap<ActionRef, SharedAction>,
    datastore: BTreeMap<ActionRef, Arc<Metadata>>,
    secrets: BTreeMap<ActionRef, Arc<Metadata>>,
    context: LoadContext,
    /// Contents in use; one that no active pack and no running execution holds is read again.
    contents: Mutex<HashMap<Hash, Weak<Pack>>>,
    /// Calls of the datastore that fail.
    faults: Option<Faults>,
}

/// Why a call of the datastore fails, where a pack's test has it fail.
pub(crate) type Faults = Box<dyn Fn(&ActionRef, &Value) -> Option<StepError> + Send + Sync>;

/// What an action reference stands for.
pub enum Resolved {
    /// Built in.
    Builtin(SharedAction),
    /// Performed by the engine itself.
    Datastore(Arc<Metadata>),
    /// Performed by the engine itself, which alone may see secrets.
    Secrets(Arc<Metadata>),
    /// A pack's program.
    Program {
        /// The pack.
        pack: Arc<Pack>,
        /// How it is performed.
        action: SharedAction,
        /// What becomes of an unknown outcome.
        on_unknown: OnUnknown,
        /// Longest time in all.
        deadline: Option<Duration>,
        /// Where it runs.
        place: Place,
    },
    /// A pack's chain.
    Chain {
        /// The pack.
        pack: Arc<Pack>,
        /// What there is to know of it.
        metadata: Arc<Metadata>,
        /// Longest time in all.
        deadline: Option<Duration>,
    },
}

/// How a stored step is performed.
#[derive(Clone)]
pub struct Performer {
    /// The action.
    pub action: SharedAction,
    /// What becomes of an unknown outcome.
    pub on_unknown: OnUnknown,
    /// Asked after an unknown outcome; or why its pack may not ask it.
    pub verify: Option<Result<Reader, StepError>>,
    /// Asked in a dry run what performing would do; without it, the action itself is.
    pub plan: Option<Result<Reader, StepError>>,
    /// Whether it runs a program on this machine.
    pub program: bool,
}

/// An action that is asked about another one, by the pack whose file names it.
#[derive(Clone)]
pub struct Reader {
    /// The action.
    pub action: SharedAction,
    /// The pack.
    pub pack: PackName,
    /// The hosts that the pack may reach.
    pub hosts: Vec<HostPattern>,
}

impl Resolved {
    /// What there is to know of it.
    pub fn metadata(&self) -> &Metadata {
        match self {
            Self::Builtin(action) | Self::Program { action, .. } => action.metadata(),
            Self::Datastore(metadata) | Self::Secrets(metadata) | Self::Chain { metadata, .. } => {
                metadata
            }
        }
    }

    /// What it takes.
    pub fn parameters(&self) -> &Schema {
        &self.metadata().parameters
    }

    /// What it returns where it is called with these parameters.
    pub fn result(&self, parameters: &Value) -> Cow<'_, Schema> {
        match self {
            Self::Builtin(action) | Self::Program { action, .. } => action.result(parameters),
            Self::Datastore(metadata) | Self::Secrets(metadata) => Cow::Borrowed(&metadata.result),
            Self::Chain { .. } => Cow::Borrowed(&self.metadata().result),
        }
    }

    /// What performing it twice would do.
    pub fn effect(&self, parameters: &Value) -> Effect {
        match self {
            Self::Builtin(action) | Self::Program { action, .. } => action.effect(parameters),
            // Its change commits with its result: repeated or not at all.
            Self::Datastore(metadata) | Self::Secrets(metadata) => {
                metadata.effect.unwrap_or(Effect::Idempotent)
            }
            Self::Chain { .. } => Effect::Unsafe,
        }
    }

    /// Whether an attempt is made outside of the execution's own task.
    pub const fn is_performed(&self) -> bool {
        matches!(self, Self::Builtin(_) | Self::Program { .. })
    }

    /// Whether it is performed by a program on this machine: there are fewer places for these.
    pub(crate) const fn is_local_program(&self) -> bool {
        matches!(self, Self::Program { place: Place::Local, .. })
    }

    /// The pack whose chain it is.
    pub(crate) fn chain_of(&self) -> Option<&PackName> {
        match self {
            Self::Chain { pack, .. } => Some(&pack.name),
            _ => None,
        }
    }

    /// The content it was resolved to; none for what is built in.
    pub fn version(&self) -> Option<Hash> {
        match self {
            Self::Builtin(_) | Self::Datastore(_) | Self::Secrets(_) => None,
            Self::Program { pack, .. } | Self::Chain { pack, .. } => Some(pack.hash),
        }
    }

    /// Longest time of one attempt.
    pub fn timeout(&self) -> Option<Duration> {
        self.metadata().timeout
    }

    /// Longest time in all.
    pub const fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Builtin(_) | Self::Datastore(_) | Self::Secrets(_) => None,
            Self::Program { deadline, .. } | Self::Chain { deadline, .. } => *deadline,
        }
    }

    /// What becomes of an unknown outcome.
    pub const fn on_unknown(&self) -> OnUnknown {
        match self {
            Self::Program { on_unknown, .. } => *on_unknown,
            Self::Builtin(_) | Self::Datastore(_) | Self::Secrets(_) | Self::Chain { .. } => {
                OnUnknown::Ask
            }
        }
    }
}

/// What the engine performs itself. Compiled once: each test of a pack has a library of its own.
type Known = LazyLock<BTreeMap<ActionRef, Arc<Metadata>>>;
static DATASTORE: Known = LazyLock::new(|| known(actions::datastore::declarations()));
static SECRETS: Known = LazyLock::new(|| known(actions::secrets::declarations()));

fn known(all: impl IntoIterator<Item = Metadata>) -> BTreeMap<ActionRef, Arc<Metadata>> {
    all.into_iter().map(|metadata| (metadata.reference.clone(), Arc::new(metadata))).collect()
}

/// What there is to know of the actions `secrets.*`.
pub(crate) fn secrets() -> impl Iterator<Item = Arc<Metadata>> {
    SECRETS.values().cloned()
}

impl Library {
    /// A library of the built-in actions, that reads packs as `context` says.
    pub fn new(builtin: Vec<SharedAction>, context: LoadContext) -> Self {
        let builtin = builtin
            .into_iter()
            .map(|action| (action.metadata().reference.clone(), action))
            .collect();
        let (datastore, secrets) = (DATASTORE.clone(), SECRETS.clone());
        let contents = Mutex::default();
        Self { builtin, datastore, secrets, context, contents, faults: None }
    }

    /// The same, with a datastore that may fail.
    #[must_use]
    pub(crate) fn with_faults(self, faults: Faults) -> Self {
        Self { faults: Some(faults), ..self }
    }

    /// Why this call of the datastore fails, if it is to.
    pub(crate) fn fault(&self, action: &ActionRef, parameters: &Value) -> Option<StepError> {
        self.faults.as_ref()?(action, parameters)
    }

    /// How packs are read.
    pub const fn context(&self) -> &LoadContext {
        &self.context
    }

    /// What there is to know of every built-in action.
    pub fn builtin(&self) -> impl Iterator<Item = &Metadata> {
        let engines = self.datastore.values().chain(self.secrets.values()).map(AsRef::as_ref);
        self.builtin.values().map(|action| action.metadata()).chain(engines)
    }

    /// What `reference` stands for: in the pinned pack if it is that pack's own, else among what
    /// is active now.
    pub fn resolve(
        &self,
        generation: &Generation,
        pinned: Option<&Arc<Pack>>,
        reference: &ActionRef,
    ) -> Result<Resolved, StepError> {
        if let Some(action) = self.builtin.get(reference) {
            return Ok(Resolved::Builtin(action.clone()));
        }
        if let Some(metadata) = self.datastore.get(reference) {
            return Ok(Resolved::Datastore(metadata.clone()));
        }
        if let Some(metadata) = self.secrets.get(reference) {
            return Ok(Resolved::Secrets(metadata.clone()));
        }
        let own = pinned.filter(|pack| pack.name.as_str() == reference.pack());
        let pack =
            own.or_else(|| generation.packs.values().find(|p| p.name.as_str() == reference.pack()));
        match pack.and_then(|pack| Some((pack, pack.actions.get(reference.name())?))) {
            Some((pack, action)) => Ok(resolved(pack, action)),
            None => Err(self.unknown(generation, reference)),
        }
    }

    /// Every action that can be named.
    pub fn names(&self, generation: &Generation) -> Vec<String> {
        let packs = generation
            .packs
            .values()
            .flat_map(|pack| pack.actions.keys().map(move |name| format!("{}.{name}", pack.name)));
        packs.chain(self.builtin().map(|metadata| metadata.reference.to_string())).collect()
    }

    fn unknown(&self, generation: &Generation, reference: &ActionRef) -> StepError {
        let known = self.names(generation);
        let known = known.iter().map(String::as_str);
        StepError::new(ErrorKind::NotFound, unknown("action", reference.as_str(), known))
    }

    /// How a stored step is performed, by the content it was resolved to.
    pub async fn performer(
        &self,
        core: &Core,
        reference: &ActionRef,
        version: Option<Hash>,
    ) -> Option<Performer> {
        let Some(hash) = version else {
            let action = self.builtin.get(reference)?.clone();
            return Some(Performer {
                action,
                on_unknown: OnUnknown::Ask,
                verify: None,
                plan: None,
                program: false,
            });
        };
        let pack = self.pack(&core.folders, hash).await.ok()?;
        let action = pack.actions.get(reference.name())?;
        let ActionKind::Program(program) = &action.kind else { return None };
        let generation = core.generation.load_full();
        let environment = core.environment.load_full();
        // The pack's file names them, so it is the pack that uses them.
        let rights = Rights::of(generation.clone(), environment, Some(&pack.name), Some(&pack));
        let reader = |named: &Option<(ActionRef, Location)>| {
            let named = &named.as_ref()?.0;
            let resolved = self.resolve(&generation, Some(&pack), named).ok()?;
            let permitted = rights.check(named, &resolved, &Value::Null);
            match resolved {
                Resolved::Builtin(action) | Resolved::Program { action, .. } => {
                    let (pack, hosts) = (pack.name.clone(), rights.hosts());
                    Some(permitted.map(|()| Reader { action, pack, hosts }))
                }
                Resolved::Datastore(_) | Resolved::Secrets(_) | Resolved::Chain { .. } => None,
            }
        };
        Some(Performer {
            action: program.clone(),
            on_unknown: action.on_unknown,
            verify: reader(&action.verify),
            plan: reader(&action.plan),
            program: action.place == Place::Local,
        })
    }

    /// The content with this hash: in memory, else read from its pinned copy.
    pub async fn pack(&self, folders: &Folders, hash: Hash) -> Result<Arc<Pack>, StepError> {
        if let Some(pack) = self.held(&hash) {
            return Ok(pack);
        }
        let (folder, context) = (folders.pack(&hash), self.context.clone());
        let read = tokio::task::spawn_blocking(move || load_pinned(&folder, &context)).await;
        let gone = |why: String| {
            StepError::new(
                ErrorKind::NotFound,
                format!("the pack content {} cannot be read: {why}", hash.short()),
            )
        };
        match read {
            Ok((Some(pack), _)) if pack.hash == hash => {
                let pack = Arc::new(pack);
                self.hold(&pack);
                Ok(pack)
            }
            Ok((Some(_), _)) => Err(gone("its files were changed".to_owned())),
            Ok((None, findings)) => {
                Err(gone(findings.first().map_or_else(String::new, |f| f.message.clone())))
            }
            Err(error) => Err(gone(error.to_string())),
        }
    }

    /// Keeps a content findable as long as somebody uses it.
    pub fn hold(&self, pack: &Arc<Pack>) {
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        contents.retain(|_, pack| pack.strong_count() > 0);
        contents.insert(pack.hash, Arc::downgrade(pack));
    }

    fn held(&self, hash: &Hash) -> Option<Arc<Pack>> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner).get(hash)?.upgrade()
    }
}

fn resolved(pack: &Arc<Pack>, action: &super::PackAction) -> Resolved {
    match &action.kind {
        ActionKind::Program(program) => Resolved::Program {
            pack: pack.clone(),
            action: program.clone(),
            on_unknown: action.on_unknown,
            deadline: action.deadline,
            place: action.place.clone(),
        },
        ActionKind::Chain(_) => Resolved::Chain {
            pack: pack.clone(),
            metadata: action.metadata.clone(),
            deadline: action.deadline,
        },
    }
}
