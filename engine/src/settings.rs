//! What an engine is started with.

use std::path::PathBuf;

use host::process::Launcher;
use model::Duration;
use store::Retention;

use crate::secrets::SecretSettings;
use crate::spans::Collector;

/// Settings of one engine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The state folder.
    pub state: PathBuf,
    /// Folders of packs: one with a `pack.yaml` is a pack, else its sub-folders that have one are.
    pub packs: Vec<PathBuf>,
    /// The file with connections and the packs' configuration.
    pub environment: Option<PathBuf>,
    /// Steps performed at the same time.
    pub steps: usize,
    /// Programs run at the same time.
    pub programs: usize,
    /// What git may do.
    pub git: host::git::Options,
    /// Namespaces of clusters in which nothing is deleted; none named: those of Kubernetes itself.
    pub protected_namespaces: Option<Vec<String>>,
    /// Authorities that are trusted besides the system's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// Where programs in clusters reach the API; none: they cannot.
    pub advertise: Option<String>,
    /// Where the keys of secrets come from.
    pub secrets: SecretSettings,
    /// Where spans are sent; none: nowhere.
    pub traces: Option<Collector>,
    /// How programs are started.
    pub launcher: Launcher,
    /// Threads that evaluate rules and chains.
    pub evaluators: usize,
    /// How long what has ended is kept.
    pub retention: Retention,
    /// How often what is no longer kept is forgotten.
    pub forget_every: Duration,
    /// How long files must be still before changed packs are loaded.
    pub reload_after: Duration,
}

impl Settings {
    /// The defaults, for a state folder and packs.
    pub fn new(state: impl Into<PathBuf>, packs: Vec<PathBuf>, launcher: Launcher) -> Self {
        let state = state.into();
        Self {
            secrets: SecretSettings::beside(&state),
            state,
            packs,
            environment: None,
            steps: 256,
            programs: 4,
            git: host::git::Options::default(),
            protected_namespaces: None,
            ca_file: None,
            advertise: None,
            traces: None,
            launcher,
            evaluators: std::thread::available_parallelism().map_or(2, usize::from),
            retention: Retention::default(),
            forget_every: Duration::from_secs(10 * 60),
            reload_after: Duration::from_millis(300),
        }
    }
}
