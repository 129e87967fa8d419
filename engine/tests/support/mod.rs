//! What the engine's tests share: a pack on disk, a store, an engine that can be ended and
//! started again on both.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::view::ExecutionView;
use engine::{Engine, Settings};
use host::Clock;
use host::process::Launcher;
use model::{Actor, ExecutionId, ExecutionState, Map, Value};
use store::{Memory, Store};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with a pack `p`, and a store that outlives the engines on it.
pub(crate) struct House {
    pub(crate) folder: TempDir,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
}

impl House {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let house = Self { folder, store: Arc::new(Memory::new()), clock: Clock::System };
        house.write(
            "pack.yaml",
            "name: p\nversion: 1.0.0\npermissions: { actions: ['*'], exec: true }\n",
        );
        house
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the pack.
    pub(crate) fn write(&self, name: &str, text: &str) {
        self.write_in("p", name, text);
    }

    /// Writes a file of a pack.
    pub(crate) fn write_in(&self, pack: &str, name: &str, text: &str) {
        let path = self.path("packs").join(pack).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }

    /// Writes the environment file, in one go.
    pub(crate) fn environment(&self, text: &str) {
        let fresh = self.path("dev.yaml.new");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(fresh, self.path("dev.yaml")).unwrap();
    }

    /// Has the pack ask for the server's own cluster, and lends it to it. It is to be started in this
    /// environment.
    pub(crate) fn in_cluster(self) -> Self {
        let permissions = "{ actions: ['*'], connections: [default], exec: true }";
        let text = format!("name: p\nversion: 1.0.0\npermissions: {permissions}\n");
        self.write("pack.yaml", &text);
        self.environment("connections: { default: { type: kubernetes, packs: [p, q] } }\n");
        self
    }

    /// An engine in the environment that the file tells, with whatever packs it makes of it.
    pub(crate) async fn start_in_environment(&self) -> Engine {
        let settings = Settings { environment: Some(self.path("dev.yaml")), ..self.settings() };
        Engine::start(settings, self.store.clone(), self.clock.clone()).await.unwrap()
    }

    /// Writes a chain as the action `p.<name>`; `parameters` as YAML.
    pub(crate) fn chain(&self, name: &str, parameters: &str, text: &str) {
        let declared = format!("entry_point: {name}.rhai\nparameters: {{ {parameters} }}\n");
        self.write(&format!("actions/{name}.yaml"), &declared);
        self.write(&format!("actions/{name}.rhai"), text);
    }

    /// Writes a shell script as the action `p.<name>` with this effect class; any parameters
    /// named `a` and `b` are taken.
    pub(crate) fn program(&self, name: &str, effect: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let declared = format!(
            "entry_point: {name}.sh\neffect: {effect}\nparameters: {{ a: {{}}, b: {{}} }}\n"
        );
        self.write(&format!("actions/{name}.yaml"), &declared);
        self.write(&format!("actions/{name}.sh"), &format!("#!/bin/sh\n{text}\n"));
        let path = self.path("packs/p/actions").join(format!("{name}.sh"));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Writes the program `p.wait`, which ends once [`House::open`] was called.
    pub(crate) fn gate(&self) {
        let gate = self.path("gate").display().to_string();
        let text = format!("touch {gate}.reached; while [ ! -e {gate} ]; do sleep 0.02; done");
        self.program("wait", "idempotent", &text);
    }

    /// Waits until `p.wait` runs.
    pub(crate) async fn reached(&self) {
        eventually("the gate", || async { self.path("gate.reached").exists() }).await;
    }

    /// Lets `p.wait` end, now and later.
    pub(crate) fn open(&self) {
        std::fs::write(self.path("gate"), "").unwrap();
    }

    /// Moves a simulated clock on.
    pub(crate) fn advance(&self, by: model::Duration) {
        match &self.clock {
            Clock::Simulated(clock) => clock.advance(by),
            Clock::System => panic!("the system's clock cannot be moved"),
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::new(self.path("state"), vec![self.path("packs")], launcher());
        settings.git.allow_local = host::git::Local::Anywhere;
        settings.reload_after = model::Duration::from_millis(20);
        // As many as any test holds at its gate.
        settings.programs = 8;
        settings
    }

    pub(crate) async fn start(&self) -> Engine {
        let engine =
            Engine::start(self.settings(), self.store.clone(), self.clock.clone()).await.unwrap();
        for pack in engine.pack_views() {
            let findings: Vec<&str> = pack.findings.iter().map(|f| f.text.as_str()).collect();
            assert_eq!(pack.state, "active", "{}", findings.join("\n"));
        }
        engine
    }
}

/// Built by `cargo test` beside the tests.
pub(crate) fn launcher() -> Launcher {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(|deps| deps.parent()).unwrap();
    let program = built.join("examples/engine-exec-child");
    assert!(program.exists(), "build it first: cargo build -p tripline-engine --examples");
    Launcher { program, args: Vec::new() }
}

/// Runs `scene` on a runtime of its own, then lets all its tasks vanish where they stand.
pub(crate) fn die_after<T>(scene: impl Future<Output = (Engine, T)>) -> T {
    let runtime = Runtime::new().unwrap();
    let (engine, told) = runtime.block_on(scene);
    runtime.shutdown_timeout(PATIENCE);
    drop(engine);
    told
}

/// Runs `scene` on a runtime of its own, to its end.
pub(crate) fn live<T>(scene: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(scene)
}

/// Runs an action by hand.
pub(crate) async fn run(engine: &Engine, action: &str, parameters: Value) -> ExecutionId {
    let parameters: Map = parameters.as_object().cloned().unwrap();
    engine.run(Actor::token("test"), action.parse().unwrap(), parameters, None).await.unwrap()
}

/// The execution once it is in one of `states`.
pub(crate) async fn until(
    engine: &Engine,
    id: &ExecutionId,
    states: &[ExecutionState],
) -> ExecutionView {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let view = engine.execution(id).await.unwrap();
        if states.contains(&view.row.state) {
            return view;
        }
        assert!(Instant::now() < deadline, "{states:?} not reached: {view:#?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The execution once it has ended.
pub(crate) async fn ended(engine: &Engine, id: &ExecutionId) -> ExecutionView {
    use ExecutionState::{Cancelled, Failed, Succeeded, TimedOut};
    until(engine, id, &[Succeeded, Failed, Cancelled, TimedOut]).await
}

/// Waits until `holds`.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}: did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What an entry of the datastore holds.
pub(crate) async fn key(engine: &Engine, name: &str) -> Value {
    engine.store().key(name, engine.now()).await.unwrap().unwrap().value
}

/// How far an entry of the datastore was counted, which may not have begun.
pub(crate) async fn count(engine: &Engine, name: &str) -> i64 {
    let row = engine.store().key(name, engine.now()).await.unwrap();
    row.and_then(|row| row.value.as_i64()).unwrap_or(0)
}

/// One engine after the other dies as soon as the entry was counted as far as its goal.
pub(crate) fn die_at_counts(house: &House, name: &str, goals: &[i64]) {
    for goal in goals {
        die_after(async {
            let engine = house.start().await;
            eventually("some progress", || async { count(&engine, name).await >= *goal }).await;
            (engine, ())
        });
    }
}

/// The result of an execution that must have succeeded.
pub(crate) fn result(view: &ExecutionView) -> &Value {
    view.outcome.as_ref().and_then(|o| o.result.as_ref()).unwrap_or_else(|| panic!("{view:#?}"))
}

/// The state that an end has, with the kind of its error.
pub(crate) fn error_kind(view: &ExecutionView) -> &'static str {
    let outcome = view.outcome.as_ref().unwrap_or_else(|| panic!("{view:#?}"));
    outcome.error.as_ref().map_or("none", |error| error.kind.as_str())
}

/// The message of the error that an execution must have ended with.
pub(crate) fn message(view: &ExecutionView) -> String {
    let error = view.outcome.as_ref().and_then(|outcome| outcome.error.as_ref());
    error.unwrap_or_else(|| panic!("{view:#?}")).message.clone()
}
