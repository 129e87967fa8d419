//! The engine as its users see it: started, asked, told, stopped.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actions::BuiltinContext;
use arc_swap::ArcSwap;
use host::Clock;
use host::connection::Connections;
use host::git::{Git, Mirrors};
use host::process::Programs;
use host::tls::{Authorities, BadAuthorities};
use model::{Actor, BatchId, Fact, Name, Stream, Version};
use store::{Batch, Position, Store, StoreError, Write};
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backup::remove_leftover;
use crate::core::{Core, Failing, Trouble};
use crate::desk::desk;
use crate::driver::Driver;
use crate::environment::EnvironmentStatus;
use crate::evaluators::Evaluators;
use crate::fair::Permits;
use crate::folders::Folders;
use crate::jumps;
use crate::metrics::Metrics;
use crate::packs::{Findings, Generation, Library, LoadContext, Packs};
use crate::pages::Stuck;
use crate::random;
use crate::refusals::Refusals;
use crate::render;
use crate::secrets::{SecretError, Vault};
use crate::sensing::Sensing;
use crate::settings::Settings;
use crate::spans::{BadCollector, Spans};
use crate::suspects::{Slot, Suspects};
use crate::tokens::Tokens;
use crate::upkeep;
use crate::watch::Changes;

/// Webhook requests that are handled at the same time: each holds at most its body limit and
/// waits for one commit. More are asked to come back.
const MAX_WEBHOOKS: usize = 256;

/// How long the collector of spans may take for the last ones.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// A running engine.
#[derive(Clone)]
pub struct Engine {
    pub(crate) core: Arc<Core>,
    pub(crate) driver: Driver,
    pub(crate) packs: Arc<Packs>,
    pub(crate) sensing: Arc<Sensing>,
    pub(crate) webhooks: Arc<Semaphore>,
    /// Held while there is a copy of the state for a backup.
    pub(crate) copying: Arc<Mutex<()>>,
    pub(crate) refusals: Refusals,
}

/// Why an engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder cannot be used.
    #[error("the state folder {folder}: {source}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nobody can be trusted as `tls.ca_file` asks.
    #[error(transparent)]
    Authorities(#[from] BadAuthorities),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The environment's file is broken, and no earlier content of it is known.
    #[error("the environment cannot be used\n{}", told(.0))]
    Environment(Findings),
    /// The store failed while the engine was starting.
    #[error(transparent)]
    Trouble(#[from] Trouble),
    /// Secrets cannot be opened.
    #[error(transparent)]
    Secrets(#[from] SecretError),
    /// Spans cannot be sent.
    #[error(transparent)]
    Collector(#[from] BadCollector),
}

fn told(findings: &Findings) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What is said of everything that waits for the store.
pub(crate) const STORE_TAKES_NOTHING: &str =
    "the store takes nothing: is the disk of the state folder full?";

/// Whether nothing has been written since the state was restored from a backup.
async fn is_just_restored(store: &dyn Store) -> Result<bool, StoreError> {
    let head = store.head().await?;
    let last = store.log(Position(head.0.saturating_sub(1)), 1).await?;
    Ok(last.iter().any(|last| matches!(last.fact, Fact::StateRestored { .. })))
}

impl Engine {
    /// Starts an engine on `store`: ends programs that outlived the last one, loads the packs,
    /// takes over what has not ended, and starts the sensors.
    pub async fn start(
        settings: Settings,
        store: Arc<dyn Store>,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let folders = Folders::new(settings.state.clone());
        let failed = |source| StartError::Folder { folder: settings.state.clone(), source };
        std::fs::create_dir_all(folders.packs()).map_err(failed)?;
        remove_leftover(&folders.backup()).map_err(failed)?;
        let programs = Programs::new(&settings.state, settings.launcher.clone());
        for child in programs.recover().await.map_err(failed)? {
            tracing::warn!(
                pid = child.pid,
                key = child.key,
                "ended a program that outlived its engine"
            );
        }
        let suspects = Suspects::collect(&folders.evaluating()).map_err(failed)?;
        let evaluating = folders.evaluating();
        let slot = move |n| Slot::open(&evaluating, n);
        let evaluators = Evaluators::start(settings.evaluators.max(1), slot).map_err(failed)?;
        let (git, mirrors) = (Git::new(git_options(&settings)?), Mirrors::default());
        host::git::drop_keys(&folders.git()).map_err(failed)?;
        let vault = Arc::new(Vault::open(settings.secrets.clone(), store.as_ref()).await?);
        vault.opens_answers(store.as_ref(), &folders).await?;
        let begun = clock.now();
        let metrics = Metrics::new(begun);
        let connections = Connections::observed(vault.lookup(), metrics.of_clusters());
        let given = BuiltinContext {
            mirrors: mirrors.clone(),
            exports: folders.exports(),
            connections: connections.clone(),
            protected_namespaces: settings.protected_namespaces.clone(),
        };
        let builtin = render::builtin(&given, render::On::Threads);
        let advertise = settings.advertise.clone();
        let desk = desk(advertise, &folders, &vault, begun).map_err(failed)?;
        let context =
            LoadContext { programs, git: git.clone(), connections: connections.clone(), desk };
        let just_restored = is_just_restored(store.as_ref()).await?;
        let installation = installation(store.as_ref(), &clock).await?;
        let spans = settings.traces.as_ref();
        let spans = spans.map(|collector| Spans::start(collector, &installation, &metrics));
        let spans = spans.transpose()?.unwrap_or_default();
        let core = Arc::new(Core {
            installation,
            restored: store.restored().await?,
            just_restored,
            tokens: Tokens::load(store.as_ref()).await?,
            vault,
            store,
            clock,
            evaluators,
            library: Library::new(builtin, context),
            generation: ArcSwap::from_pointee(Generation::empty()),
            environment: ArcSwap::default(),
            connections,
            folders,
            steps: Permits::new(settings.steps),
            programs: Permits::new(settings.programs),
            suspects,
            alone: Mutex::new(()),
            stopping: CancellationToken::new(),
            killing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            store_failing: Failing::default(),
            stuck: Stuck::default(),
            metrics,
            spans,
        });
        let packs =
            Packs::new(settings.packs.clone(), settings.environment.clone(), &settings.state);
        packs.read_environment().map_err(StartError::Environment)?;
        let driver = Driver::new(core.clone());
        let engine = Self {
            sensing: Arc::new(Sensing::new(core.clone(), driver.clone(), git, mirrors)),
            packs: Arc::new(packs),
            webhooks: Arc::new(Semaphore::new(MAX_WEBHOOKS)),
            copying: Arc::default(),
            refusals: Refusals::default(),
            driver,
            core,
        };
        engine.begin(&settings).await?;
        Ok(engine)
    }

    async fn begin(&self, settings: &Settings) -> Result<(), StartError> {
        if let Some((number, _)) = self.core.store.generation().await? {
            self.core.generation.store(Arc::new(Generation { number, ..Generation::empty() }));
        }
        // Watched before they are read, so that no change falls between.
        let changes = Changes::of(self.packs.folders(), self.packs.environment_folder());
        self.packs.reload(&self.core).await?;
        let taken_over = self.driver.recover().await?;
        tracing::info!(executions = taken_over, "took over what had not ended");
        self.sensing.begin(&self.core.generation.load_full()).await?;
        let (sensing, secrets) = (self.sensing.clone(), self.core.vault.follow());
        self.core.tasks.spawn(async move { sensing.follow_secrets(secrets).await });
        let driver = self.driver.clone();
        self.core.tasks.spawn(async move { driver.keep_time().await });
        self.core.tasks.spawn(jumps::tell(self.core.clone()));
        let core = self.core.clone();
        self.core.tasks.spawn(async move { core.metrics.keep(&core.stopping).await });
        let (keep, every) = (settings.retention.clone(), settings.forget_every.to_std());
        let (packs, driver) = (self.packs.clone(), self.driver.clone());
        let parts = (packs, driver, self.sensing.clone());
        self.core.tasks.spawn(upkeep::run(self.core.clone(), parts, keep, every));
        self.core.tasks.spawn(changes.follow(self.clone(), settings.reload_after));
        Ok(())
    }

    /// Loads packs whose files have changed, and lets the sensors follow.
    pub async fn reload(&self) -> Result<bool, Trouble> {
        let engine = self.clone();
        self.core.whole(async move { engine.reload_now().await }).await
    }

    async fn reload_now(&self) -> Result<bool, Trouble> {
        let (changed, begun) = self.packs.reload(&self.core).await?;
        self.driver.take_up(begun);
        if changed {
            self.sensing.follow(&self.core.generation.load());
        }
        Ok(changed)
    }

    /// How the environment stands.
    pub fn environment(&self) -> EnvironmentStatus {
        self.packs.environment()
    }

    /// Ends the engine: nothing new begins, steps under way have `grace` to end, then they are
    /// told to. What has not ended goes on at the next start. True if all ended within the grace.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        self.core.stopping.cancel();
        self.core.tasks.close();
        let drained = tokio::time::timeout(grace, self.core.tasks.wait()).await.is_ok();
        if !drained {
            self.core.killing.cancel();
            // An action is given up after 15 s at the latest; its outcome is then unknown.
            let _ = tokio::time::timeout(Duration::from_secs(20), self.core.tasks.wait()).await;
        }
        self.core.spans.flush(LAST_SPANS).await;
        drained
    }

    /// Whether the engine takes work, else why not.
    pub fn problem(&self) -> Option<&'static str> {
        if self.core.stopping.is_cancelled() {
            return Some("the engine is stopping");
        }
        self.core.store_failing.is_so().then_some(STORE_TAKES_NOTHING)
    }

    /// The store, for queries.
    pub fn store(&self) -> &dyn Store {
        self.core.store.as_ref()
    }

    /// The engine's time.
    pub fn now(&self) -> model::Timestamp {
        self.core.now()
    }

    /// Fires when the engine is stopping.
    pub fn stopping(&self) -> CancellationToken {
        self.core.stopping.clone()
    }

    /// The installation's name.
    pub fn installation(&self) -> &Name {
        &self.core.installation
    }
}

/// The installation's name; made at the first start.
async fn installation(store: &dyn Store, clock: &Clock) -> Result<Name, StartError> {
    if let Some(name) = store.installation().await? {
        return Ok(name);
    }
    let random = random::name();
    // `i` and characters of a-z, 2-7 have the form of a name.
    let name: Name =
        format!("i{}", &random[..8]).parse().unwrap_or_else(|error| unreachable!("{error}"));
    let write = Write::new(
        Stream::Installation,
        Some(Version::NONE),
        [Fact::InstallationNamed { name: name.clone() }],
    );
    let batch = Batch {
        id: BatchId::new("installation"),
        actor: Actor::engine(),
        at: clock.now(),
        writes: vec![write],
    };
    store.append(batch).await?;
    Ok(store.installation().await?.unwrap_or(name))
}

/// What git may do, and whom it and the HTTP client trust.
fn git_options(settings: &Settings) -> Result<host::git::Options, BadAuthorities> {
    let mut options = settings.git.clone();
    if let Some(file) = &settings.ca_file {
        let authorities = Authorities::read(file)?;
        let bundle = settings.state.join("ca-bundle.pem");
        authorities.write_bundle(&bundle)?;
        host::http::trust(authorities);
        options.ca_bundle = Some(bundle);
    }
    // Git is run elsewhere than in the server's folder.
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    options.ca_bundle = options.ca_bundle.map(absolute);
    options.known_hosts = options.known_hosts.map(absolute);
    options.state = Some(settings.state.clone());
    Ok(options)
}
