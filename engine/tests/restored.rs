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
        writes: vec![Write::new(
            Stream::Installation,
            None,
            [Fact::StateRestored { taken_at: at, at }],
        )],
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

/// Forgets what ended more than a day ago, as upkeep does.
async fn forget(house: &House) {
    let day = model::Duration::from_secs(24 * 60 * 60);
    let mut keep = house.settings().retention;
    keep.default = store::Ages { events: day, executions: day };
    let mut after = Some(store::Position(0));
    while let Some(from) = after {
        after = house.store.prune(&keep, from, house.clock.now()).await.unwrap().next;
    }
}

#[tokio::test]
async fn what_a_restore_makes_doubtful_stays_so_when_what_led_to_it_is_forgotten() {
    let (slow, told) = (r#"sleep("8d"); run("p.pay")"#, r#"emit("p.told", #{ n: 1 })"#);
    let again = r#"if params.n == 0 { sleep("8d"); run("p.pay") } else { continue_as(#{ n: 0 }) }"#;
    for (first, second) in [(slow, "0"), (told, slow), (told, again)] {
        let mut house = house("{ type: timer.interval, parameters: { every: 1h } }");
        house.chain("go", "", first);
        house.write("triggers/told.yaml", "payload: { n: {} }\n");
        house.chain("later", "n: { type: integer, default: 1 }", second);
        house.write("rules/told.yaml", "trigger: { type: p.told }\naction: { ref: p.later }\n");
        house.clock = host::Clock::simulated("2026-01-01T00:30:00Z".parse().unwrap());
        let engine = house.start().await;
        let stands = async || !house.store.cursors().await.unwrap().is_empty();
        eventually("the timer to stand", stands).await;
        engine.shutdown(support::PATIENCE).await;
        drop(engine);

        house.advance(model::Duration::from_secs(60 * 60));
        restore(&house).await;
        let engine = house.start().await;
        let waits = ExecutionFilter {
            states: vec![ExecutionState::Waiting],
            limit: 9,
            ..ExecutionFilter::default()
        };
        let waiting = async || engine.executions(&waits).await.unwrap();
        eventually("the sleep", || async { waiting().await.len() == 1 }).await;
        let row = waiting().await.remove(0);
        let key = row.origin.event().cloned().unwrap();
        engine.shutdown(support::PATIENCE).await;
        drop(engine);

        house.advance(model::Duration::from_secs(9 * 24 * 60 * 60));
        forget(&house).await;
        assert!(house.store.event(&key).await.unwrap().is_none(), "the event is forgotten");
        let engine = house.start().await;
        let view = until(&engine, &row.id, &[ExecutionState::NeedsAttention]).await;
        let why = format!("{:?}", view.attention);
        assert!(why.contains("restored from a backup"), "{why}");
        assert_eq!(paid(&house), 0);
        engine.shutdown(support::PATIENCE).await;
    }
}

/// A house whose rule listens to a program that prints the lines of a file, each once, from its cursor on.
fn listening(cursors: bool) -> House {
    let house = house("{ type: p.told }");
    house.write("triggers/told.yaml", "payload: { n: { type: integer, required: true } }\n");
    house.write("sensors/watch.yaml", "type: process\nparameters: { entry_point: watch.sh }\n");
    let feed = house.path("feed").display().to_string();
    fs::write(&feed, "").unwrap();
    let cursor = if cursors { r#"echo "{\"cursor\":$n}""# } else { "" };
    let script = format!(
        r#"#!/bin/sh
        read -r given
        n=$(printf '%s' "$given" | sed -n 's/.*"cursor": *\([0-9][0-9]*\).*/\1/p')
        n=${{n:-0}}
        while :; do
            line=$(sed -n "$((n + 1))p" {feed})
            if [ -z "$line" ]; then sleep 0.05; continue; fi
            n=$((n + 1))
            printf '%s\n' "$line"
            {cursor}
        done
        "#
    );
    house.write("sensors/watch.sh", &script);
    let path = house.path("packs/p/sensors/watch.sh");
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    house
}

/// Has the program print an event; `more` of its fields. The execution that it leads to, of `all`.
async fn told(house: &House, engine: &Engine, all: usize, more: &str) -> ExecutionId {
    use std::io::Write;
    let mut feed = fs::OpenOptions::new().append(true).open(house.path("feed")).unwrap();
    let line = format!(r#"{{"type":"told","id":"{all}","data":{{"n":{all}}}{more}}}"#);
    writeln!(feed, "{line}").unwrap();
    executions(engine, all).await.remove(0)
}

#[tokio::test]
async fn what_a_program_tells_after_a_restore_is_asked_about_until_somebody_says_that_it_caught_up()
{
    for cursors in [true, false] {
        let house = listening(cursors);
        let engine = house.start().await;
        let first = told(&house, &engine, 1, "").await;
        assert_eq!(ended(&engine, &first).await.row.state, ExecutionState::Succeeded);
        engine.shutdown(support::PATIENCE).await;
        drop(engine);

        restore(&house).await;
        let engine = house.start().await;
        let doubted = told(&house, &engine, 2, "").await;
        until(&engine, &doubted, &[ExecutionState::NeedsAttention]).await;
        engine.shutdown(support::PATIENCE).await;
        drop(engine);
        let engine = house.start().await;
        let doubted = told(&house, &engine, 3, "").await;
        until(&engine, &doubted, &[ExecutionState::NeedsAttention]).await;
        assert_eq!(paid(&house), 1, "nor does a second start make it known");

        engine.confirm_sensor("p.watch").await.unwrap();
        let new = told(&house, &engine, 4, "").await;
        assert_eq!(ended(&engine, &new).await.row.state, ExecutionState::Succeeded);
        engine.shutdown(support::PATIENCE).await;
        drop(engine);
        let engine = house.start().await;
        let new = told(&house, &engine, 5, "").await;
        assert_eq!(ended(&engine, &new).await.row.state, ExecutionState::Succeeded);
        assert_eq!(paid(&house), 3);
        engine.shutdown(support::PATIENCE).await;
    }
}

#[tokio::test]
async fn what_a_program_says_to_have_happened_since_the_restore_needs_nobody() {
    let house = listening(true);
    let engine = house.start().await;
    let first = told(&house, &engine, 1, "").await;
    ended(&engine, &first).await;
    engine.shutdown(support::PATIENCE).await;
    drop(engine);
    restore(&house).await;
    let engine = house.start().await;
    let before = told(&house, &engine, 2, r#","time":"2026-01-01T00:00:00Z""#).await;
    until(&engine, &before, &[ExecutionState::NeedsAttention]).await;
    let since = format!(r#","time":"{}""#, house.clock.now());
    let new = told(&house, &engine, 3, &since).await;
    assert_eq!(ended(&engine, &new).await.row.state, ExecutionState::Succeeded);
    assert_eq!(paid(&house), 2);
    engine.shutdown(support::PATIENCE).await;
}
