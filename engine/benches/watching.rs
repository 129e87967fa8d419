//! How a cluster is watched: `cargo bench -p tripline-engine --bench watching`.
//!
//! On a real API server, the lab's; without the lab it says so and ends. Measured in one run: the first
//! start on 10,000 objects, changes that are followed while they are made, and 10,000 changes that wait
//! when the engine starts; the last two beside a bare watch that reads the same and stores nothing. No
//! rule selects the events. The engine is a process of its own, whose memory can be measured.
#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Engine, Settings};
use futures::StreamExt;
use host::Clock;
use host::kubernetes::{Access, Cluster, Patch, Request, Resource, Selected, Told};
use host::process::Launcher;
use host::rate::Limiter;
use host::secret::SecretRef;
use lab::{ADMIN, Parts};
use serde_json::json;
use store::Sqlite;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const OBJECTS: usize = 10_000;
const FOLLOWED: usize = 5_000;
const AT_A_TIME: usize = 50;
const LONG: Duration = Duration::from_secs(600);

const RULE: &str = "trigger: { type: kubernetes.object, parameters: { api_version: v1, \
                    kind: ConfigMap, namespaces: [default] } }\n\
                    criteria: { trigger.object.data.wanted: { exists: true } }\n\
                    action: { ref: core.noop }\n";

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.as_slice() {
        [_, mode, folder] if mode == "engine" => engine(Path::new(folder)).await,
        _ => measure().await,
    }
}

/// Watches until nobody writes to its input any more, and says again and again how far it is.
async fn engine(folder: &Path) {
    let state = folder.join("state");
    let store = Arc::new(Sqlite::open(&state, &store::sqlite::Options::default()).unwrap());
    let launcher = Launcher { program: "unused".into(), args: Vec::new() };
    let mut settings = Settings::new(&state, vec![folder.join("packs")], launcher);
    settings.environment = Some(folder.join("environment.yaml"));
    let engine = Engine::start(settings, store, Clock::System).await.unwrap();
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    while !ended.is_finished() {
        let sensor = engine.sensors().await.unwrap().remove(0);
        let known = sensor.cursor.is_some_and(|cursor| !cursor["known_at"].is_null());
        println!("{} {known}", sensor.events);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    engine.shutdown(Duration::from_secs(10)).await;
}

/// An engine at work.
struct Watching {
    process: Child,
    told: Lines<BufReader<ChildStdout>>,
    began: Instant,
}

impl Watching {
    fn start(folder: &Path, kubeconfig: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("engine").arg(folder).env("KUBECONFIG", kubeconfig).kill_on_drop(true);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = piped.spawn().unwrap();
        let told = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, told, began: Instant::now() }
    }

    /// Waits until it has told so many events and knows all objects; how long after `since`.
    async fn until(&mut self, events: usize, since: Instant) -> f64 {
        loop {
            let line = self.told.next_line().await.unwrap().unwrap();
            let (told, known) = line.split_once(' ').unwrap();
            if told.parse::<usize>().unwrap() >= events && known == "true" {
                return since.elapsed().as_secs_f64();
            }
        }
    }

    /// The most memory that it had, in MiB.
    fn peak(&self) -> u64 {
        let status = format!("/proc/{}/status", self.process.id().unwrap());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    async fn stop(mut self) {
        drop(self.process.stdin.take());
        while self.told.next_line().await.unwrap().is_some() {}
        self.process.wait().await.unwrap();
    }
}

/// The API server, and who changes what is there.
struct Stage {
    _lab: lab::Cluster,
    kubeconfig: PathBuf,
    cluster: Cluster,
    maps: Resource,
}

impl Stage {
    async fn new() -> Option<Self> {
        let lab = match lab::Cluster::start(Parts::Bare).await {
            Ok(lab) => lab,
            Err(error) => {
                println!("left out, since it needs the lab (`make lab`): {error:#}");
                return None;
            }
        };
        let kubeconfig = lab.kubeconfig(ADMIN).unwrap();
        let own = SecretRef::File(kubeconfig.clone());
        let access = Access::Kubeconfig { kubeconfig: own, context: None };
        let no_secrets = Arc::new(|path: &str| Err(format!("no secret {path}")));
        let cluster = Cluster::new("lab", access, Limiter::with_burst(1e6, 1000), no_secrets);
        let maps = cluster.resource("v1", "ConfigMap").await.unwrap();
        Some(Self { _lab: lab, kubeconfig, cluster, maps })
    }

    async fn make(&self) {
        let path = self.maps.collection(Some("default"));
        let all = futures::stream::iter(0..OBJECTS).for_each_concurrent(AT_A_TIME, async |n| {
            let metadata = json!({ "name": format!("m{n}"), "labels": { "app": "bench" } });
            let data = json!({ "n": "0", "text": "x".repeat(1000) });
            let object = json!({ "metadata": metadata, "data": data });
            self.cluster.request(&Request::post(&path, object)).await.unwrap();
        });
        all.await;
    }

    /// Makes so many changes of the first thousand objects.
    async fn change(&self, count: usize) {
        let all = futures::stream::iter(0..count).for_each_concurrent(AT_A_TIME, async |n| {
            let path = self.maps.object(Some("default"), &format!("m{}", n % 1000), None);
            let patch = json!({ "data": { "n": format!("{count}-{n}") } });
            self.cluster.request(&Request::patch(&path, Patch::Merge, patch)).await.unwrap();
        });
        all.await;
    }

    fn selected(&self) -> Selected<'_> {
        Selected { namespace: Some("default"), ..Selected::all(&self.maps) }
    }

    async fn version(&self) -> String {
        self.cluster.list(&self.selected(), 1, None).await.unwrap().version
    }

    /// Reads so many changes since `version`; how long after `since` the last of them came.
    async fn read(&self, version: &str, count: usize, since: Instant) -> f64 {
        let mut watch = self.cluster.watch(&self.selected(), version, LONG, LONG).await.unwrap();
        let mut read = 0;
        while read < count {
            let told = watch.next().await.unwrap().unwrap();
            read += usize::from(!matches!(told, Told::Bookmark(_)));
        }
        since.elapsed().as_secs_f64()
    }
}

async fn measure() {
    let Some(stage) = Stage::new().await else { return };
    let folder = tempfile::tempdir_in(".").unwrap();
    for (file, text) in [
        (
            "pack.yaml",
            "name: p\nversion: 1.0.0\npermissions: { actions: ['*'], connections: [default] }\n",
        ),
        ("rules/map.yaml", RULE),
    ] {
        let path = folder.path().join("packs/p").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let lent = "connections: { default: { type: kubernetes, packs: [p] } }\n";
    std::fs::write(folder.path().join("environment.yaml"), lent).unwrap();
    stage.make().await;

    let mut watching = Watching::start(folder.path(), &stage.kubeconfig);
    let began = watching.began;
    let took = watching.until(0, began).await;
    let peak = watching.peak();
    println!("first start on {OBJECTS} objects{took:>26.2} s {peak:>6} MiB at most");

    let (version, began) = (stage.version().await, Instant::now());
    let (made, bare, followed) = tokio::join!(
        async {
            stage.change(FOLLOWED).await;
            began.elapsed().as_secs_f64()
        },
        stage.read(&version, FOLLOWED, began),
        watching.until(FOLLOWED, began),
    );
    let rate = |count: usize, seconds: f64| count as f64 / seconds;
    println!("changes made{:>42.0}/s", rate(FOLLOWED, made));
    println!("changes read as they are made by a bare watch{:>9.0}/s", rate(FOLLOWED, bare));
    println!("changes stored as they are made{:>23.0}/s", rate(FOLLOWED, followed));
    watching.stop().await;

    let version = stage.version().await;
    stage.change(OBJECTS).await;
    let bare = stage.read(&version, OBJECTS, Instant::now()).await;
    println!("backlog of {OBJECTS} read by a bare watch{:>17.0}/s", rate(OBJECTS, bare));
    let mut watching = Watching::start(folder.path(), &stage.kubeconfig);
    let first = watching.until(1, watching.began).await;
    let began = watching.began;
    let took = watching.until(OBJECTS, began).await;
    let peak = watching.peak();
    println!(
        "backlog of {OBJECTS} stored{:>31.0}/s {peak:>6} MiB at most",
        rate(OBJECTS, took - first)
    );
    println!("start to first event stored{first:>26.2} s");
    watching.stop().await;
}
