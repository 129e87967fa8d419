//! What sleeping executions cost: `cargo bench -p tripline-engine --bench parked`.
//!
//! Puts 100,000 chains to sleep, ends the engine, and starts another process on the same state:
//! how long until it has taken them over, and how much memory it then holds.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Engine, Settings};
use futures::StreamExt;
use host::Clock;
use host::process::Launcher;
use model::{Actor, ExecutionState, Map};
use store::{Sqlite, Store};

const COUNT: u64 = 100_000;
/// Set for the second process: the folder that the first one made.
const FOLDER: &str = "TRIPLINE_BENCH_FOLDER";

#[tokio::main]
async fn main() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return wake(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    put_to_sleep(folder.path()).await;
    let again = Command::new(std::env::current_exe().unwrap()).env(FOLDER, folder.path()).status();
    assert!(again.unwrap().success());
}

async fn start(folder: &Path) -> Engine {
    let options = store::sqlite::Options::default();
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&folder.join("state"), &options).unwrap());
    let launcher = Launcher { program: "unused".into(), args: Vec::new() };
    let settings = Settings::new(folder.join("state"), vec![folder.join("packs")], launcher);
    Engine::start(settings, store, Clock::System).await.unwrap()
}

async fn put_to_sleep(folder: &Path) {
    let pack = folder.join("packs/p");
    std::fs::create_dir_all(pack.join("actions")).unwrap();
    std::fs::write(pack.join("pack.yaml"), "name: p\nversion: 1.0.0\n").unwrap();
    std::fs::write(pack.join("actions/nap.yaml"), "entry_point: nap.rhai\n").unwrap();
    std::fs::write(pack.join("actions/nap.rhai"), r#"sleep("7d");"#).unwrap();
    let engine = start(folder).await;
    let begun = Instant::now();
    futures::stream::iter(0..COUNT)
        .for_each_concurrent(200, |_| async {
            engine.run(Actor::engine(), "p.nap".parse().unwrap(), Map::new(), None).await.unwrap();
        })
        .await;
    while asleep(&engine).await < COUNT {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("{COUNT} chains put to sleep in {:.1} s", begun.elapsed().as_secs_f64());
    engine.shutdown(Duration::from_secs(10)).await;
}

async fn wake(folder: &Path) {
    let begun = Instant::now();
    let engine = start(folder).await;
    println!("started again, all taken over, in {:.2} s", begun.elapsed().as_secs_f64());
    assert_eq!(asleep(&engine).await, COUNT);
    println!("resident: {} MB", resident_kilobytes() / 1_000);
    engine.shutdown(Duration::from_secs(10)).await;
}

async fn asleep(engine: &Engine) -> u64 {
    engine.store().counts().await.unwrap().get(&ExecutionState::Waiting).copied().unwrap_or(0)
}

/// `VmRSS` of this process.
fn resident_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
