//! An event whose consequences cannot be stored: somebody lost a part of them.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{Accepted, Engine, NewEvent};
use model::{Duration, EventKey, Fact, Severity, Stream, Version};
use serde_json::json;
use store::sqlite::Options;
use store::{ExecutionFilter, Sqlite};
use support::{House, ended, eventually, run};

const RULES: usize = 900;

/// A house on a real state folder, whose clock is moved by hand.
fn open(mut house: House) -> House {
    let store = Sqlite::open(&house.path("state"), &Options::default()).unwrap();
    house.store = Arc::new(store);
    house
}

fn house() -> House {
    let house = House::new();
    let clock = host::Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    house.write("triggers/asked.yaml", "payload: {}\n");
    for n in 0..RULES {
        let rule = "trigger: { type: p.asked }\naction: { ref: core.noop }\n";
        house.write(&format!("rules/r{n}.yaml"), rule);
    }
    open(House { clock, ..house })
}

async fn start(house: &House) -> Engine {
    let mut settings = house.settings();
    settings.forget_every = Duration::from_millis(50);
    Engine::start(settings, house.store.clone(), house.clock.clone()).await.unwrap()
}

/// The files of the event's pages.
async fn pages(house: &House, event: &EventKey) -> Vec<PathBuf> {
    let (facts, _) = house.store.read(&Stream::Pages(event.clone()), Version::NONE).await.unwrap();
    let Fact::PagesDeferred { pages } = &facts[0].fact else { panic!("{facts:?}") };
    let file = |hash: &model::Hash| {
        let name = hash.to_string();
        house.path("state/blobs").join(&name[..2]).join(name)
    };
    pages.iter().map(file).collect()
}

/// What the doctor says is wrong, beyond doubt.
fn errors(folder: &Path) -> Vec<String> {
    let found = Sqlite::verify(folder).into_iter();
    found.filter(|it| it.severity == Severity::Error).map(|it| it.what).collect()
}

async fn executions(engine: &Engine) -> usize {
    let filter = ExecutionFilter { limit: 5_000, ..Default::default() };
    engine.executions(&filter).await.unwrap().len()
}

#[tokio::test]
async fn a_page_that_is_lost_is_told_holds_up_nothing_and_goes_on_once_it_is_back() {
    let house = house();
    let engine = start(&house).await;
    let old = run(&engine, "core.noop", json!({})).await;
    ended(&engine, &old).await;
    // An engine that is stopping begins no page: what it acknowledged is for the next one to do.
    engine.shutdown(support::PATIENCE).await;
    let asked = NewEvent {
        kind: "p.asked".parse().unwrap(),
        id: Some("1".to_owned()),
        subject: None,
        data: json!({}),
    };
    let accepted = engine.emit("test", asked).await.unwrap();
    let Accepted::New { key: event, .. } = accepted else { panic!("{accepted:?}") };
    let lost = pages(&house, &event).await.remove(0);
    let kept = fs::read(&lost).unwrap();
    fs::remove_file(&lost).unwrap();
    drop(engine);
    let found = errors(&house.path("state"));
    let name = lost.file_name().unwrap().to_str().unwrap();
    assert!(found.len() == 1 && found[0].contains(name), "{found:?}");

    // Long after what ended and the event itself would be forgotten.
    house.advance(Duration::from_secs(40 * 24 * 60 * 60));
    let engine = start(&house).await;
    eventually("the event to be stuck", || async { engine.stuck(&event).is_some() }).await;
    let health = engine.health().await.unwrap();
    assert!(health.ready && health.stuck[&event].contains(name), "{health:?}");
    let metrics = engine.metrics_text().await.unwrap();
    assert!(metrics.contains("\ntripline_events_stuck 1\n"), "{metrics}");
    eventually("what ended to be forgotten", || async { engine.execution(&old).await.is_err() })
        .await;
    assert!(engine.event(&event).await.is_ok(), "its event is kept beyond its time");
    let new = run(&engine, "core.noop", json!({})).await;
    ended(&engine, &new).await;

    fs::write(&lost, kept).unwrap();
    eventually("everything that was asked for", || async {
        executions(&engine).await == RULES + 1 && engine.health().await.unwrap().stuck.is_empty()
    })
    .await;
    let metrics = engine.metrics_text().await.unwrap();
    assert!(metrics.contains("\ntripline_events_stuck 0\n"), "{metrics}");
    eventually("its event to be forgotten", || async { engine.event(&event).await.is_err() }).await;
    eventually("the last of them to end", || async { engine.health().await.unwrap().active == 0 })
        .await;
    engine.shutdown(support::PATIENCE).await;
    drop(engine);
    assert_eq!(errors(&house.path("state")), Vec::<String>::new());
}
