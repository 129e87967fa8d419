//! After a restore: what sensors find that the server which was lost may have found too.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use engine::Engine;
use model::{Actor, BatchId, ExecutionId, ExecutionState, Fact, Resolution, Stream};
use store::{Batch, ExecutionFilter, Write};
use support::{House, ended, eventually, until};

/// A house whose chain pays, which is unsafe, for what a rule on `trigger` asks.
fn house(trigger: &str) -> House {
    let house = House::new();
    let ledger = house.path("ledger");
    house.program("pay", "unsafe", &format!("echo paid >>{}", ledger.display()));
    house.chain("go", "", r#"run("p.pay")"#);
    house.write("rules/go.yaml", &format!("trigger: {trigger}\naction: {{ ref: p.go }}\n"));
    house
}

fn paid(house: &House) -> usize {
    fs::read_to_string(house.path("ledger")).unwrap_or_default().lines().count()
}

/// What a restore writes down.
async fn restore(house: &House) {
    let at = house.clock.now();
    let batch = Batch {
        id: BatchId::new("restored"),
        actor: Actor::engine(),
        at,
        writes: vec![Write {
            stream: Stream::Installation,
            expected: None,
            facts: vec![Fact::StateRestored { taken_at: at, at }],
        }],
    };
    house.store.append(batch).await.unwrap();
}

/// The executions of the chain, newest first, once there are so many.
async fn executions(engine: &Engine, count: usize) -> Vec<ExecutionId> {
    let filter = ExecutionFilter {
        action: Some("p.go".parse().unwrap()),
        limit: 9,
        ..ExecutionFilter::default()
    };
    let all = async || {
        let rows = engine.executions(&filter).await.unwrap();
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    eventually("the executions", || async { all().await.len() >= count }).await;
    all().await
}

fn git(folder: &Path, args: &[&str]) {
    let done = Command::new("git")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
        .args(["-c", "commit.gpgSign=false"])
        .args(args)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .status();
    assert!(done.unwrap().success(), "{args:?}");
}

#[tokio::test]
async fn what_a_first_look_after_a_restore_finds_leads_to_nothing_unsafe_unasked() {
    let house = house("{ type: git.push, parameters: { sensor: app } }");
    let origin = house.path("origin");
    fs::create_dir(&origin).unwrap();
    git(&origin, &["init", "-q", "-b", "main"]);
    let push = |message: &str| git(&origin, &["commit", "-q", "--allow-empty", "-m", message]);
    push("one");
    let sensor = format!("type: git\nparameters: {{ url: '{}', every: 1s }}\n", origin.display());
    house.write("sensors/app.yaml", &sensor);
    let engine = house.start().await;
    eventually("the first look", || async { house.store.cursor("p/app").await.unwrap().is_some() })
        .await;
    engine.shutdown(support::PATIENCE).await;
    drop(engine);

    push("two");
    restore(&house).await;
    let engine = house.start().await;
    let doubted = executions(&engine, 1).await.remove(0);
    let view = until(&engine, &doubted, &[ExecutionState::NeedsAttention]).await;
    let why = format!("{:?}", view.attention);
    assert!(why.contains("restored from a backup"), "{why}");
    assert_eq!(paid(&house), 0);

    push("three");
    let new = executions(&engine, 2).await.remove(0);
    assert_eq!(ended(&engine, &new).await.row.state, ExecutionState::Succeeded);
    assert_eq!(paid(&house), 1, "what happened since is nobody else's");
    engine.resolve(Actor::token("test"), &doubted, None, Resolution::Retry).await.unwrap();
    assert_eq!(ended(&engine, &doubted).await.row.state, ExecutionState::Succeeded);
    assert_eq!(paid(&house), 2);
    engine.shutdown(support::PATIENCE).await;
}

#[tokio::test]
async fn a_time_that_came_before_the_restore_leads_to_nothing_unsafe_unasked() {
    let mut house = house("{ type: timer.interval, parameters: { every: 1h } }");
    house.clock = host::Clock::simulated("2026-01-01T00:30:00Z".parse().unwrap());
    let engine = house.start().await;
    eventually("the timer to stand", || async { !house.store.cursors().await.unwrap().is_empty() })
        .await;
    engine.shutdown(support::PATIENCE).await;
    drop(engine);

    house.advance(model::Duration::from_secs(60 * 60));
    restore(&house).await;
    let engine = house.start().await;
    let doubted = executions(&engine, 1).await.remove(0);
    until(&engine, &doubted, &[ExecutionState::NeedsAttention]).await;
    house.advance(model::Duration::from_secs(60 * 60));
    let new = executions(&engine, 2).await.remove(0);
    assert_eq!(ended(&engine, &new).await.row.state, ExecutionState::Succeeded);
    assert_eq!(paid(&house), 1);
    engine.shutdown(support::PATIENCE).await;
}
