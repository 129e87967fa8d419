//! What is no longer kept goes, with everything that belonged to it, while the engine runs.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use engine::Engine;
use model::ExecutionState;
use serde_json::json;
use support::{House, ended, eventually, run, until};

/// Makes a file or folder look as if it was there for two days.
#[expect(clippy::disallowed_methods, reason = "compared with times that the file system keeps")]
fn age(path: &Path) {
    let file = File::open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(48 * 60 * 60)).unwrap();
}

fn names(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test]
async fn what_ended_long_ago_goes_with_its_logs_and_pack_copies_and_what_sleeps_stays() {
    let mut house = House::new();
    house.clock = host::Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    house.program("say", "idempotent", "echo hello >&2");
    house.chain("nap", "", r#"sleep("80d");"#);
    let engine = house.start().await;
    let said = run(&engine, "p.say", json!({})).await;
    ended(&engine, &said).await;
    engine.shutdown(support::PATIENCE).await;
    // From here on another content of the pack is active, and one execution of it sleeps.
    house.program("say", "idempotent", "echo good morning >&2");
    let engine = house.start().await;
    let nap = run(&engine, "p.nap", json!({})).await;
    until(&engine, &nap, &[ExecutionState::Waiting]).await;
    engine.shutdown(support::PATIENCE).await;
    let (logs, copies) = (house.path("state/logs"), house.path("state/packs"));
    assert_eq!((names(&logs), names(&copies)), (1, 2));
    for folder in [&logs, &copies] {
        for entry in fs::read_dir(folder).unwrap() {
            age(&entry.unwrap().path());
        }
    }
    house.advance(model::Duration::from_secs(31 * 24 * 60 * 60));
    let mut settings = house.settings();
    settings.forget_every = model::Duration::from_millis(50);
    let engine = Engine::start(settings, house.store.clone(), house.clock.clone()).await.unwrap();
    eventually("what ended to go", || async {
        engine.execution(&said).await.is_err() && (names(&logs), names(&copies)) == (0, 1)
    })
    .await;
    assert_eq!(engine.execution(&nap).await.unwrap().row.state, ExecutionState::Waiting);
    house.advance(model::Duration::from_secs(50 * 24 * 60 * 60));
    assert_eq!(ended(&engine, &nap).await.row.state, ExecutionState::Succeeded);
}
