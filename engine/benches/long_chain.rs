//! How long a chain of many steps takes: `cargo bench -p tripline-engine --bench long_chain`.
//!
//! A step is `core.noop` on a SQLite store: what is measured is commits and evaluations. The time of a
//! step is to be the same however many there are.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Engine, Settings};
use host::Clock;
use host::process::Launcher;
use model::Actor;
use store::{Sqlite, Store};

const PACK: &str = "name: p\nversion: 1.0.0\npermissions: { actions: ['*'] }\n";
const LONG: &str = r#"for n in 0..params.steps { run("core.noop"); }"#;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let pack = folder.path().join("packs/p");
    std::fs::create_dir_all(pack.join("actions")).unwrap();
    std::fs::write(pack.join("pack.yaml"), PACK).unwrap();
    let declared = "entry_point: long.rhai\nparameters: { steps: { type: integer } }\n";
    std::fs::write(pack.join("actions/long.yaml"), declared).unwrap();
    std::fs::write(pack.join("actions/long.rhai"), LONG).unwrap();
    let state = folder.path().join("state");
    let store = Arc::new(Sqlite::open(&state, &store::sqlite::Options::default()).unwrap());
    let launcher = Launcher { program: "unused".into(), args: Vec::new() };
    let settings = Settings::new(state, vec![folder.path().join("packs")], launcher);
    let engine = Engine::start(settings, store.clone(), Clock::System).await.unwrap();
    for steps in [100, 1_000, 2_000] {
        let start = Instant::now();
        let parameters = model::Map::from_iter([("steps".to_owned(), steps.into())]);
        let id = engine.run(Actor::engine(), "p.long".parse().unwrap(), parameters, None);
        let id = id.await.unwrap();
        loop {
            let head = store.head().await.unwrap();
            if store.execution(&id).await.unwrap().is_some_and(|row| row.state.is_end()) {
                break;
            }
            store.wait(head).await.unwrap();
        }
        let took = start.elapsed();
        println!("{steps:>6} steps {took:>10.1?} {:>10.1?} a step", took / steps);
    }
    engine.shutdown(Duration::from_secs(5)).await;
}
