//! One test, run: intake, rules, driver and chains as in production, on a store in memory, with
//! mocks for actions, under a clock that skips to the next thing that happens.
//!
//! Everything runs on one thread. Whenever nothing is left to do at the present time, the thread
//! would park; then the clock is moved to the first time that somebody waits for. Once nobody
//! waits, the test is over.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actions::SharedAction;
use arc_swap::ArcSwap;
use host::Clock;
use host::clock::Simulated;
use host::connection::Connections;
use model::fact::ExecutionRequested;
use model::{
    ActionRef, Actor, BatchId, ExecutionId, Fact, Map, Name, Origin, PackName, Stream, Value,
    Version,
};
use rules::RuleSet;
use store::{Batch, Memory, Write};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::case::{Cancel, Case, Start};
use super::found::{self, Found};
use super::mocks::{Inner, SharedScene, Stand};
use crate::core::{Core, Failing, Trouble};
use crate::driver::Driver;
use crate::evaluators::Evaluators;
use crate::fair::Permits;
use crate::folders::Folders;
use crate::intake::{self, Accepted, IntakeError};
use crate::metrics::Metrics;
use crate::packs::{self, ActionKind, Generation, Library, LoadContext, Pack};
use crate::pages::Stuck;
use crate::secrets::Vault;
use crate::spans::Spans;
use crate::suspects::Suspects;
use crate::tokens::Tokens;

/// How often the clock may skip in one test: a chain that polls without end is cut here.
const MAX_SKIPS: usize = 3_000;

/// The name of the installation in which tests take place.
pub(super) fn installation() -> Name {
    // A constant that has the form of a name.
    "test".parse().unwrap_or_else(|error| unreachable!("{error}"))
}

/// What tests of one pack share.
pub(super) struct Stage {
    /// The pack whose rules are active.
    pub(super) pack: PackName,
    /// It and the packs whose actions it may use.
    pub(super) packs: Vec<Arc<Pack>>,
    pub(super) builtin: Vec<SharedAction>,
    pub(super) context: LoadContext,
    /// Where programs may run, if they may.
    pub(super) programs: Option<PathBuf>,
    /// Nobody looks at them; making them asks the system how many processors there are.
    pub(super) metrics: Metrics,
}

/// Why a test could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unplayed {
    /// The machine did not let it.
    #[error("the test cannot be run: {0}")]
    Machine(#[from] std::io::Error),
    /// Its event is refused.
    #[error("the event is refused: {0}")]
    Event(#[from] IntakeError),
    /// The store refused something.
    #[error(transparent)]
    Trouble(#[from] Trouble),
    /// The engine panicked.
    #[error("the test ended unexpectedly: {0}; a defect of Tripline, please report it")]
    Panicked(String),
}

impl Stage {
    /// Plays one test. The thread must have the stack of an evaluator.
    pub(super) fn play(&self, case: &Case) -> Result<Found, Unplayed> {
        let clock = Clock::simulated(case.now);
        let Clock::Simulated(dial) = clock.clone() else { unreachable!("it was just made") };
        let scene = SharedScene::new(&case.mocks);
        let core = Arc::new(self.core(case, &clock, &scene));
        let quiet = Arc::new(Quiet::default());
        let runtime = {
            let (quiet, scene) = (quiet.clone(), scene.clone());
            let mut builder = tokio::runtime::Builder::new_current_thread();
            if case.runs_programs() {
                builder.enable_io();
            }
            let builder = builder.enable_time();
            builder.on_thread_park(move || quiet.park(&dial, &scene)).build()?
        };
        let cancel = case.cancel.as_ref().map(|(cancel, _)| cancel.clone());
        let given = (case_start(case), case.keys.clone(), cancel);
        let start = begin(core.clone(), given, quiet.clone());
        // As a task, so that the runtime parks only when there is nothing left to do at all.
        let played = runtime.block_on(async { runtime.spawn(start).await });
        let began = played.map_err(|error| Unplayed::Panicked(error.to_string()))??;
        runtime.block_on(found::gather(&core, began, case, &scene, quiet.is_endless()))
    }

    fn core(&self, case: &Case, clock: &Clock, scene: &SharedScene) -> Core {
        let stand = |inner| -> SharedAction {
            Arc::new(Stand { inner, scene: scene.clone(), clock: clock.clone() })
        };
        let builtin = self.builtin.iter().map(|action| stand(Inner::Action(action.clone())));
        // Secrets that no mock answers for are the engine's own, as the datastore is.
        let mocked = packs::secrets().filter(|action| scene.mocks(&action.reference));
        let builtin = builtin.chain(mocked.map(|action| stand(Inner::Chain(action))));
        let failing = scene.clone();
        let library = Library::new(builtin.collect(), self.context.clone());
        let library =
            library.with_faults(Box::new(move |action, given| failing.fault(action, given)));
        let packs = self.packs.iter().map(|pack| {
            let pack = Arc::new(self.rigged(pack, case, scene, &stand));
            library.hold(&pack);
            (pack.name.clone(), pack)
        });
        let generation = Generation::assemble(1, packs.collect(), &BTreeMap::new(), None);
        Core {
            store: Arc::new(Memory::new()),
            clock: clock.clone(),
            evaluators: Evaluators::here(),
            library,
            tokens: Tokens::default(),
            vault: Arc::new(Vault::in_memory()),
            generation: ArcSwap::from_pointee(generation),
            environment: ArcSwap::default(),
            connections: Connections::default(),
            // Without programs nothing is written: no other action performs that would.
            folders: Folders::new(self.programs.clone().unwrap_or_else(|| "pack-test".into())),
            installation: installation(),
            restored: None,
            just_restored: false,
            steps: Permits::new(256),
            programs: Permits::new(256),
            suspects: Suspects::default(),
            alone: tokio::sync::Mutex::new(()),
            stopping: CancellationToken::new(),
            killing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            store_failing: Failing::default(),
            stuck: Stuck::default(),
            metrics: self.metrics.clone(),
            spans: Spans::default(),
        }
    }

    /// The pack with mocks for its programs, and for the chains that the test mocks.
    fn rigged(
        &self,
        pack: &Pack,
        case: &Case,
        scene: &SharedScene,
        stand: &impl Fn(Inner) -> SharedAction,
    ) -> Pack {
        let mut rigged = pack.clone();
        for action in rigged.actions.values_mut() {
            let inner = match &action.kind {
                ActionKind::Program(program) => Inner::Action(program.clone()),
                ActionKind::Chain(_) if scene.mocks(&action.metadata.reference) => {
                    Inner::Chain(action.metadata.clone())
                }
                ActionKind::Chain(_) => continue,
            };
            action.kind = ActionKind::Program(stand(inner));
        }
        if rigged.name == self.pack {
            rigged.config = Arc::new(Value::Object(case.config.clone()));
        } else {
            rigged.rules.clear();
        }
        rigged
    }
}

/// Knows when nothing happens any more.
#[derive(Default)]
struct Quiet {
    over: Notify,
    skips: AtomicUsize,
}

impl Quiet {
    /// Nothing is left to do at this time, unless a program is at work.
    fn park(&self, clock: &Simulated, scene: &SharedScene) {
        if scene.is_running() {
            return;
        }
        let skips = self.skips.fetch_add(1, Ordering::Relaxed);
        if skips >= MAX_SKIPS || !clock.skip() {
            self.over.notify_one();
        }
    }

    fn is_endless(&self) -> bool {
        self.skips.load(Ordering::Relaxed) > MAX_SKIPS
    }
}

enum Begin {
    Event(Box<model::Event>),
    Action(ActionRef, Map),
}

fn case_start(case: &Case) -> Begin {
    match &case.start {
        Start::Event(event) => Begin::Event(event.clone()),
        Start::Action { reference, parameters } => {
            Begin::Action(reference.clone(), parameters.clone())
        }
        // Replayed, where it is not asked for by hand.
        Start::Recorded(exported) => Begin::Action(
            exported.action.clone(),
            exported.parameters.as_object().cloned().unwrap_or_default(),
        ),
    }
}

/// Plays until nothing happens any more; answers the event's key, or the execution.
async fn begin(
    core: Arc<Core>,
    (start, keys, cancel): (Begin, Vec<(String, Value)>, Option<Cancel>),
    quiet: Arc<Quiet>,
) -> Result<found::Began, Unplayed> {
    for (key, value) in keys {
        let facts = vec![Fact::KeySet { value, expires_at: None }];
        append(&core, Stream::Key(key), None, facts).await?;
    }
    let driver = Driver::holding(core.clone());
    let mut begun = Vec::new();
    let began = match start {
        Begin::Event(event) => {
            let key = event.key();
            let told = Actor::token("test");
            let accepted = intake::accept(&core, &driver, &told, vec![(*event).clone()], None);
            for accepted in accepted.await? {
                if let Accepted::New { executions, .. } = accepted {
                    begun.extend(executions);
                }
            }
            let rules = core.generation.load().rules.clone();
            found::Began::Event(key, event, rules)
        }
        Begin::Action(action, parameters) => {
            let id = request(&core, &driver, action, parameters).await?;
            begun.push(id.clone());
            found::Began::Execution(id)
        }
    };
    if let Some(cancel) = cancel {
        core.tasks.spawn(cancel.of(core.clone(), driver.clone(), begun));
    }
    // What a chain emits is told, and goes no further: each rule has tests of its own.
    let silent = Arc::new(RuleSet::new(Vec::new()));
    let generation = core.generation.load_full();
    core.generation.store(Arc::new(Generation {
        number: generation.number,
        packs: generation.packs.clone(),
        rules: silent,
        subscriptions: BTreeMap::new(),
        triggers: generation.triggers.clone(),
    }));
    let clockwork = driver.clone();
    core.tasks.spawn(async move { clockwork.keep_time().await });
    quiet.over.notified().await;
    core.stopping.cancel();
    Ok(began)
}

impl Cancel {
    /// Cancels what has begun and not ended, as somebody by hand does.
    async fn of(self, core: Arc<Core>, driver: Driver, begun: Vec<ExecutionId>) {
        core.clock.sleep(self.after).await;
        for id in begun {
            // One that has ended says so by its outcome.
            let _ = driver.cancel(&id, Actor::token("test"), self.reason.clone()).await;
        }
    }
}

/// Asks for a run of `action`, as somebody by hand does.
async fn request(
    core: &Core,
    driver: &Driver,
    action: ActionRef,
    parameters: Map,
) -> Result<ExecutionId, Unplayed> {
    let generation = core.generation.load_full();
    let resolved = core.library.resolve(&generation, None, &action).ok();
    let id = ExecutionId::random(&[7; 32]);
    let request = ExecutionRequested {
        parameters: core.bounded(Value::Object(parameters)).await?,
        origin: Origin::Manual,
        pack: resolved.as_ref().and_then(packs::Resolved::version),
        depth: 0,
        deadline: resolved.as_ref().and_then(packs::Resolved::deadline),
        at: core.now(),
        action,
        traceparent: None,
        tracestate: None,
        passed: Vec::new(),
        doubted: false,
    };
    let facts = vec![Fact::ExecutionRequested(request)];
    append(core, Stream::Execution(id.clone()), Some(Version::NONE), facts).await?;
    driver.submit(id.clone(), None);
    Ok(id)
}

async fn append(
    core: &Core,
    stream: Stream,
    expected: Option<Version>,
    facts: Vec<Fact>,
) -> Result<(), Trouble> {
    let batch = Batch {
        id: BatchId::new(format!("test/{stream}")),
        actor: Actor::token("test"),
        at: core.now(),
        writes: vec![Write::new(stream, expected, facts)],
    };
    core.append(batch).await.map(|_| ())
}
