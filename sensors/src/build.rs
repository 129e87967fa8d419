//! From what a user wrote to a sensor, with every error at its place.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use host::connection::Connections;
use host::git::{Git, Mirrors};
use host::guard::HostPattern;
use host::process::Programs;
use host::secret::SecretRef;
use model::diagnostic::suggest;
use model::{Map, Name, PackName, Schema, SensorRef, Value, Violation};

use crate::Sensor;
use crate::fields::find;
use crate::git::GitConfig;
use crate::kinds::schema_of;
use crate::kubernetes::ObjectConfig;
use crate::process::ProcessConfig;
use crate::secret;
use crate::timer::{self, Timer};
use crate::webhook::{Webhook, WebhookConfig};

/// What is wrong with a sensor's or trigger's parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildError {
    /// Dotted path into the parameters; empty for the whole.
    pub path: String,
    /// What was found and expected.
    pub message: String,
    /// What to do, where it is known.
    pub hint: Option<String>,
    /// Whether a secret may stand there in plain: the line is not to be shown.
    pub private: bool,
}

/// Looks up a secret of the secret store by its path.
pub type SecretLookup = Arc<dyn Fn(&str) -> Result<String, String> + Send + Sync>;

/// Says why a secret may not be used, wherever it lies.
pub type SecretPermit = Arc<dyn Fn(&SecretRef) -> Result<(), String> + Send + Sync>;

/// What a sensor is made with.
#[derive(Clone)]
pub struct BuildContext {
    /// The source of its events.
    pub source: String,
    /// Who shares what it sees, by the sources of what each is told, with the parameters that each adds
    /// ([`crate::apart`]); none: all has the source above.
    pub shares: BTreeMap<String, Map>,
    /// The named sensor it is, where it is one; it is registered in `mirrors` under this name.
    pub sensor: Option<SensorRef>,
    /// The pack whose sensor it is, where it is one's: what its programs are run with.
    pub pack: Option<PackContext>,
    /// The packs in whose names it is done, where connections ask for that: one that may is enough.
    pub users: Vec<PackName>,
    /// What relative paths (of secrets, of local repositories) start from.
    pub folder: PathBuf,
    /// Where mirrors of repositories are kept.
    pub mirrors_folder: PathBuf,
    /// Where an action looks up a sensor's repository.
    pub mirrors: Mirrors,
    /// The connections that sensors use by name.
    pub connections: Connections,
    /// What git may do. One for all sensors, because it holds their locks.
    pub git: Git,
    /// How secrets of the secret store are looked up: by path; the error says why there is none.
    pub secret: SecretLookup,
    /// Which secrets may be used: asked before any is read.
    pub permit: SecretPermit,
    /// The hosts that the sensor's pack may reach, where it is bound to them.
    pub hosts: Option<Vec<HostPattern>>,
    /// Those that it asks for: its environment may grant it fewer.
    pub asked_hosts: Vec<HostPattern>,
    /// How environment variables are looked up.
    pub variable: fn(&str) -> Option<String>,
    /// Where ids of requests without one come from.
    pub random: fn() -> Option<[u8; 16]>,
}

/// What a sensor that is a program is made with.
#[derive(Clone)]
pub struct PackContext {
    /// The pack.
    pub name: PackName,
    /// Its own event types: what the data of each must be.
    pub types: BTreeMap<Name, Schema>,
    /// Whether it may run programs, else why not.
    pub exec: Result<(), String>,
    /// Runs them.
    pub programs: Programs,
    /// The file for what this one prints to stderr.
    pub log: PathBuf,
}

impl BuildContext {
    /// A context for events of `source`, with relative paths from `folder`, mirrors in the folder
    /// `mirrors` below it, the system's environment and randomness.
    pub fn new(source: impl Into<String>, folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self {
            source: source.into(),
            shares: BTreeMap::new(),
            sensor: None,
            pack: None,
            users: Vec::new(),
            mirrors_folder: folder.join("mirrors"),
            folder,
            mirrors: Mirrors::default(),
            connections: Connections::default(),
            git: Git::new(host::git::Options::default()),
            secret: Arc::new(|path| {
                Err(format!("there is no secret store here, and so no secret `{path}`"))
            }),
            permit: Arc::new(|_| Ok(())),
            hosts: None,
            asked_hosts: Vec::new(),
            variable: |name| std::env::var(name).ok(),
            random: || {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes).is_ok().then_some(bytes)
            },
        }
    }
}

/// A sensor made of parameters.
#[derive(Clone)]
pub enum Built {
    /// A task for the engine to run.
    Task(Arc<dyn Sensor>),
    /// A verifier for the server to ask.
    Webhook(Arc<Webhook>),
}

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Task(_) => "Task",
            Self::Webhook(_) => "Webhook",
        })
    }
}

impl BuildError {
    pub(crate) fn at(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), message: message.into(), hint: None, private: false }
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn private(self) -> Self {
        Self { private: true, ..self }
    }
}

/// What can be built.
const KINDS: [&str; 9] = [
    "git",
    "webhook",
    "process",
    "timer.cron",
    "timer.interval",
    "timer.at",
    "kubernetes.object",
    "kubernetes.condition",
    "kubernetes.event",
];

/// What a user wrote, read and checked, with no secret looked up yet.
enum Config {
    Git(GitConfig),
    Webhook(WebhookConfig),
    Process(ProcessConfig),
    Timer(Timer),
    Objects(Box<ObjectConfig>),
}

/// Makes the sensor `kind`: a sensor type (`git`, `webhook`) or a trigger type that needs no named
/// sensor (`timer.cron`, …).
pub fn build(
    kind: &str,
    parameters: &Map,
    context: &BuildContext,
) -> Result<Built, Vec<BuildError>> {
    match read(kind, parameters, &context.source)? {
        Config::Timer(timer) => Ok(Built::Task(Arc::new(timer))),
        Config::Objects(config) => {
            let config = config.shared(parameters, &context.shares)?;
            let sensor = config.build(context).map_err(|error| vec![error])?;
            Ok(Built::Task(Arc::new(sensor)))
        }
        Config::Webhook(config) => {
            Webhook::new(config, context).map(|webhook| Built::Webhook(Arc::new(webhook)))
        }
        Config::Process(config) => {
            let process = config.build(context).map_err(|error| vec![error])?;
            Ok(Built::Task(Arc::new(process)))
        }
        Config::Git(config) => {
            config.build(context).map(|git| Built::Task(Arc::new(git))).map_err(|error| vec![error])
        }
    }
}

/// Why a pack that asks for these hosts may not reach what the parameters name, as far as they say
/// that by themselves.
pub fn beyond(
    kind: &str,
    parameters: &Map,
    git: &Git,
    hosts: &[HostPattern],
) -> Option<BuildError> {
    match read(kind, parameters, "") {
        Ok(Config::Git(config)) => config.beyond(git, hosts),
        _ => None,
    }
}

/// What is wrong with the parameters of `kind`, as far as that can be told without its secrets.
pub fn check(kind: &str, parameters: &Map, git: &Git) -> Vec<BuildError> {
    match read(kind, parameters, "") {
        Ok(Config::Git(config)) => config.check(git).err().into_iter().collect(),
        Ok(_) => Vec::new(),
        Err(errors) => errors,
    }
}

fn read(kind: &str, parameters: &Map, source: &str) -> Result<Config, Vec<BuildError>> {
    if !KINDS.contains(&kind) {
        return Err(vec![unknown(kind)]);
    }
    let parameters = fit(kind, parameters)?;
    let config = match kind {
        "git" => return GitConfig::read(&parameters).map(Config::Git),
        "webhook" => return WebhookConfig::read(&parameters).map(Config::Webhook),
        "process" => {
            let config = ProcessConfig::read(&parameters).map_err(|error| vec![error])?;
            return Ok(Config::Process(config));
        }
        "timer.cron" => timer::cron(&parameters),
        kind if kind.starts_with("kubernetes.") => {
            let config = ObjectConfig::read(kind, &parameters, source);
            return Ok(Config::Objects(Box::new(config.map_err(|error| vec![error])?)));
        }
        "timer.interval" => timer::interval(&parameters),
        _ => timer::at(&parameters),
    };
    config.map(Config::Timer).map_err(|error| vec![error])
}

fn unknown(kind: &str) -> BuildError {
    let error = BuildError::at("", format!("unknown sensor type `{kind}`"));
    match suggest(kind, KINDS) {
        Some(known) => error.with_hint(format!("did you mean `{known}`?")),
        None => error.with_hint(format!("known are {}", KINDS.join(", "))),
    }
}

/// The parameters with defaults, if they fit the schema of `kind`.
pub(crate) fn fit(kind: &str, parameters: &Map) -> Result<Map, Vec<BuildError>> {
    let properties = schema_of(kind);
    let schema = Schema::compile(&properties)
        .map_err(|error| vec![BuildError::at("", format!("a defect of Tripline: {error}"))])?;
    let mut filled = parameters.clone();
    schema.fill(&mut filled);
    let violations = schema.violations(&Value::Object(filled.clone())).into_iter();
    let errors: Vec<BuildError> = violations.map(|violation| told(violation, &filled)).collect();
    if errors.is_empty() { Ok(filled) } else { Err(errors) }
}

fn told(violation: Violation, parameters: &Map) -> BuildError {
    let Violation { path, message, hint } = violation;
    let value = find(parameters, &path);
    let name = path.rsplit('.').next().unwrap_or_default();
    match value {
        // The message would quote what may be a secret.
        Some(value) if path == "credentials" || path.starts_with("secrets.") => {
            secret::misfit(&path, value)
        }
        Some(Value::Number(number)) if ["every", "jitter", "tolerance"].contains(&name) => {
            BuildError::at(&path, message).with_hint(format!("say its unit: {number}s"))
        }
        _ => BuildError { path, message, hint, private: false },
    }
}
