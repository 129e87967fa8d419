//! How many executions a second: `cargo bench -p tripline-engine --bench executions`.
//!
//! Everything is measured in one run on one SQLite store: the bare store's commits, then chains of
//! one and of three steps, one at a time and a hundred at a time. A step is `core.noop`, so what
//! remains is Tripline's own work: the journal's commits and the evaluations.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Engine, Settings};
use futures::StreamExt;
use host::Clock;
use host::process::Launcher;
use model::{Actor, BatchId, ExecutionId, Fact, Map, Stream};
use store::{Batch, Sqlite, Store, Write};

const ONE: &str = r#"run("core.noop")"#;
const THREE: &str = r#"run("core.noop"); run("core.noop"); run("core.noop")"#;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let pack = folder.path().join("packs/p");
    std::fs::create_dir_all(pack.join("actions")).unwrap();
    std::fs::write(
        pack.join("pack.yaml"),
        "name: p\nversion: 1.0.0\npermissions: { actions: ['*'] }\n",
    )
    .unwrap();
    for (name, text) in [("one", ONE), ("three", THREE)] {
        std::fs::write(
            pack.join(format!("actions/{name}.yaml")),
            format!("entry_point: {name}.rhai\n"),
        )
        .unwrap();
        std::fs::write(pack.join(format!("actions/{name}.rhai")), text).unwrap();
    }
    let store = Arc::new(
        Sqlite::open(&folder.path().join("state"), &store::sqlite::Options::default()).unwrap(),
    );
    let bare = commits(store.as_ref(), 1, 500).await;
    println!("{:<44} {bare:>10.0}/s", "bare store, one commit at a time");
    println!(
        "{:<44} {:>10.0}/s",
        "bare store, 100 commits at a time",
        commits(store.as_ref(), 100, 20_000).await
    );
    let launcher = Launcher { program: "unused".into(), args: Vec::new() };
    let settings =
        Settings::new(folder.path().join("state"), vec![folder.path().join("packs")], launcher);
    let engine = Engine::start(settings, store.clone(), Clock::System).await.unwrap();
    for (action, at_a_time, count) in
        [("p.one", 1, 200), ("p.one", 100, 5_000), ("p.three", 1, 100), ("p.three", 100, 3_000)]
    {
        let before = store.commits();
        let rate = executions(&engine, action, at_a_time, count).await;
        let commits = (store.commits() - before) as f64 / count as f64;
        print!(
            "{:<44} {rate:>10.0}/s  {commits:.1} commits each",
            format!("{action}, {at_a_time} at a time")
        );
        match at_a_time {
            1 => println!(", {:.0} % of the bare store's rate", 100.0 * rate * commits / bare),
            _ => println!(),
        }
    }
    engine.shutdown(Duration::from_secs(5)).await;
}

/// Commits of one small fact each, a second.
async fn commits(store: &dyn Store, at_a_time: usize, count: usize) -> f64 {
    let start = Instant::now();
    futures::stream::iter(0..count)
        .for_each_concurrent(at_a_time, |n| async move {
            let stream = Stream::Key(format!("bench/{at_a_time}/{n}"));
            let fact = Fact::KeySet { value: n.into(), expires_at: None };
            let write = Write::new(stream, None, [fact]);
            let id = BatchId::new(format!("bench/{at_a_time}/{n}"));
            let at = Clock::System.now();
            store
                .append(Batch { id, actor: Actor::engine(), at, writes: vec![write] })
                .await
                .unwrap();
        })
        .await;
    count as f64 / start.elapsed().as_secs_f64()
}

/// Executions from request to end, a second.
async fn executions(engine: &Engine, action: &str, at_a_time: usize, count: usize) -> f64 {
    let start = Instant::now();
    futures::stream::iter(0..count)
        .for_each_concurrent(at_a_time, |_| async move {
            let id = engine
                .run(Actor::engine(), action.parse().unwrap(), Map::new(), None)
                .await
                .unwrap();
            end(engine, &id).await;
        })
        .await;
    count as f64 / start.elapsed().as_secs_f64()
}

/// Waits for the end, looking only when the log has grown.
async fn end(engine: &Engine, id: &ExecutionId) {
    let store = engine.store();
    loop {
        let head = store.head().await.unwrap();
        if store.execution(id).await.unwrap().is_some_and(|row| row.state.is_end()) {
            return;
        }
        store.wait(head).await.unwrap();
    }
}
