//! An event whose consequences cannot be stored: somebody lost a part of them.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{Accepted, Engine, NewEvent};
use model::{Actor, Duration, EventKey, Fact, Severity, Stream, Version};
use serde_json::json;
use store::sqlite::Options;
use store::{AuditFilter, EventFilter, ExecutionFilter, Recorded, Sqlite};
use support::{House, ended, eventually, run};

const RULES: usize = 900;
const STUCK: &str = "tripline.event.stuck";

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

/// An event that many rules want, told to an engine that ends, and the file of its first page.
async fn asked_at_the_end(house: &House, engine: Engine) -> (EventKey, PathBuf) {
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
    let page = pages(house, &event).await.remove(0);
    (event, page)
}

#[tokio::test]
async fn a_page_that_is_lost_is_told_holds_up_nothing_and_goes_on_once_it_is_back() {
    let house = house();
    let engine = start(&house).await;
    let old = run(&engine, "core.noop", json!({})).await;
    ended(&engine, &old).await;
    let (event, lost) = asked_at_the_end(&house, engine).await;
    let kept = fs::read(&lost).unwrap();
    fs::remove_file(&lost).unwrap();
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

#[tokio::test]
async fn what_is_lost_is_told_as_an_event_once_and_can_be_given_up_by_somebody() {
    let house = house();
    let told = "trigger: { type: tripline.event.stuck }\naction: { ref: core.echo, \
                parameters: { value: '${trigger}' } }\n";
    house.write("rules/stuck.yaml", told);
    let first = start(&house).await;
    let (event, lost) = asked_at_the_end(&house, first).await;
    fs::remove_file(lost).unwrap();
    let notices = async |engine: &Engine| {
        let filter =
            EventFilter { kind: Some(STUCK.parse().unwrap()), limit: 10, ..Default::default() };
        engine.events(&filter).await.unwrap()
    };
    let engine = start(&house).await;
    eventually("a rule to hear of it", || async {
        notices(&engine).await.first().is_some_and(|row| row.matched.len() == 1)
    })
    .await;
    engine.shutdown(support::PATIENCE).await;
    drop(engine);

    let engine = start(&house).await;
    eventually("the event to be stuck", || async { engine.stuck(&event).is_some() }).await;
    let alice = Actor::token("alice");
    assert_eq!(engine.give_up(&alice, &event).await.unwrap(), 1);
    eventually("the rest of what was asked for", || async {
        engine.health().await.unwrap().stuck.is_empty() && executions(&engine).await >= 500
    })
    .await;
    let all = notices(&engine).await;
    assert_eq!(all.len(), 1, "told once, however often it is started: {all:?}");
    let (_, data) = engine.event(&all[0].key).await.unwrap();
    assert!(data["event"] == event.as_str() && data["type"] == "p.asked", "{data}");
    let metrics = engine.metrics_text().await.unwrap();
    assert!(metrics.contains("\ntripline_event_pages_given_up_total 1\n"), "{metrics}");

    let filter = AuditFilter { actor: Some(alice.clone()), limit: 10, ..Default::default() };
    let audit = engine.audit(&filter).await.unwrap();
    let given_up = |it: &Recorded| matches!(it.fact, Fact::PageGivenUp { page: 1, .. });
    assert!(audit.iter().any(given_up), "{audit:?}");
    let again = engine.give_up(&alice, &event).await.unwrap_err();
    assert!(again.to_string().contains("is not stuck"), "{again}");
    engine.shutdown(support::PATIENCE).await;
    drop(engine);
    assert_eq!(errors(&house.path("state")), Vec::<String>::new());
}
