//! How fast events go through: `cargo bench -p tripline-engine --bench corridor`.
//!
//! Measured in one run on one SQLite store: what the bare store commits of facts like those of
//! an event, the events that intake takes in (one rule selects each, none selects any), and the
//! time from an event's arrival to the end of its execution's first step at 500 events a second.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Accepted, Engine, NewEvent, Settings};
use futures::StreamExt;
use host::Clock;
use host::process::Launcher;
use model::{Actor, BatchId, Body, Fact, Stream, Timestamp, Value};
use serde_json::json;
use store::{Batch, Position, Sqlite, Store, Write};

const AT_A_TIME: usize = 100;
const COUNT: usize = 20_000;
/// Events a second while the way to the first step is timed, and for how long.
const RATE: u32 = 500;
const SECONDS: u32 = 10;

const RULE: &str =
    "trigger: { type: p.told }\ncriteria: { trigger.wanted: true }\naction: { ref: p.one }\n";

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir_in(".").unwrap();
    for (file, text) in [
        ("pack.yaml", "name: p\nversion: 1.0.0\npermissions: { actions: ['*'] }\n"),
        ("triggers/told.yaml", "payload: { n: {}, wanted: {}, text: {} }\n"),
        ("rules/told.yaml", RULE),
        ("actions/one.yaml", "entry_point: one.rhai\n"),
        ("actions/one.rhai", r#"run("core.noop")"#),
    ] {
        let path = folder.path().join("packs/p").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let state = folder.path().join("state");
    let store: Arc<dyn Store> =
        Arc::new(Sqlite::open(&state, &store::sqlite::Options::default()).unwrap());
    let launcher = Launcher { program: "unused".into(), args: Vec::new() };
    let settings = Settings::new(&state, vec![folder.path().join("packs")], launcher);
    let engine = Engine::start(settings, store.clone(), Clock::System).await.unwrap();

    // As the engine's own: the same fact, as large.
    emit(&engine, 0, false).await;
    let like = sample(store.as_ref()).await;
    let bare = rate(|n| commit(store.as_ref(), &like, n)).await;
    let taken = rate(async |n| drop(emit(&engine, n, false).await)).await;
    println!("bare store, an event's fact a commit          {bare:>10.0}/s");
    println!(
        "events that no rule selects                   {taken:>10.0}/s  {:.0} %",
        100.0 * taken / bare
    );
    first_steps(&engine).await;
    engine.shutdown(Duration::from_secs(5)).await;
}

/// How often a second `work` is done, a hundred at a time.
async fn rate(work: impl AsyncFn(usize)) -> f64 {
    let began = Instant::now();
    futures::stream::iter(0..COUNT).for_each_concurrent(AT_A_TIME, |n| work(n)).await;
    COUNT as f64 / began.elapsed().as_secs_f64()
}

async fn emit(engine: &Engine, n: usize, wanted: bool) -> Accepted {
    let data = json!({ "n": n, "wanted": wanted, "text": "x".repeat(200) });
    let kind = "p.told".parse().unwrap();
    engine.emit("bench", NewEvent { kind, id: None, subject: None, data }).await.unwrap()
}

/// The fact of the one event that is stored.
async fn sample(store: &dyn Store) -> model::fact::EventAccepted {
    let log = store.log(Position(0), 100).await.unwrap();
    let event = log.into_iter().find_map(|recorded| match recorded.fact {
        Fact::EventAccepted(event) => Some(event),
        _ => None,
    });
    event.unwrap()
}

async fn commit(store: &dyn Store, like: &model::fact::EventAccepted, n: usize) {
    let mut event = like.clone();
    event.event.envelope.id = format!("bare-{n}");
    event.event.data = match event.event.data {
        Body::Inline(Value::Object(mut map)) => {
            map.insert("n".to_owned(), n.into());
            Body::Inline(Value::Object(map))
        }
        other => other,
    };
    let id = format!("bare/{n}");
    let key = model::EventKey::derive(&event.event.envelope.source, &event.event.envelope.id);
    let write =
        Write::new(Stream::Event(key), Some(model::Version::NONE), [Fact::EventAccepted(event)]);
    let at = Clock::System.now();
    let batch = Batch { id: BatchId::new(id), actor: Actor::engine(), at, writes: vec![write] };
    store.append(batch).await.unwrap();
}

/// Tells events at a steady rate, and how long each took to the end of its first step.
async fn first_steps(engine: &Engine) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    let mut told = Vec::new();
    for n in 0..(RATE * SECONDS) as usize {
        ticks.tick().await;
        let engine = engine.clone();
        told.push(tokio::spawn(async move {
            let began = Clock::System.now();
            match emit(&engine, n, true).await {
                Accepted::New { executions, .. } => (began, executions[0].clone()),
                Accepted::Duplicate { .. } => unreachable!("ids are random"),
            }
        }));
    }
    let mut times = Vec::new();
    for told in told {
        let (began, id) = told.await.unwrap();
        let done = stepped(engine.store(), &Stream::Execution(id)).await;
        times.push(done.duration_since(began).as_secs_f64() * 1e3);
    }
    times.sort_unstable_by(f64::total_cmp);
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        let at = ((times.len() as f64 * share) as usize).min(times.len() - 1);
        let shown = format!("event to end of first step at {RATE}/s, {name}");
        println!("{shown:<45} {:>10.2} ms", times[at]);
    }
}

/// When the first step of an execution was done.
async fn stepped(store: &dyn Store, stream: &Stream) -> Timestamp {
    loop {
        let head = store.head().await.unwrap();
        let (facts, _) = store.read(stream, model::Version::NONE).await.unwrap();
        let done = facts.iter().find_map(|recorded| match &recorded.fact {
            Fact::StepFinished { at, .. } => Some(*at),
            _ => None,
        });
        match done {
            Some(at) => return at,
            None => drop(store.wait(head).await.unwrap()),
        }
    }
}
