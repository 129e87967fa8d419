//! Who asks for something goes away while it is being stored: what was begun goes on.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::ask::AskError;
use engine::rerun::Repetition;
use engine::secrets::Plain;
use engine::{Accepted, Engine, Holder, NewEvent};
use lab::Disk;
use model::{Actor, Grant, Hash, Map};
use rusqlite::Connection;
use sensors::webhook::Request;
use serde_json::json;
use store::sqlite::{Options, Sqlite};
use store::{ExecutionFilter, ExecutionRow};
use support::{House, ended, eventually, run};

/// The code (HMAC-SHA-256) of the body `{}` under the sender's secret.
const SIGNATURE: &str = "f91e3e9f05cc2df64ac1c26f8adccdffda8d1e4a7a8c50a1a08eeadac6ddfec5";

/// When who asks hangs up.
const LEAVES: Duration = Duration::from_millis(300);

/// A pack that listens, on a real state folder.
fn house() -> House {
    let mut house = House::new();
    let store = Sqlite::open(&house.path("state"), &Options::default()).unwrap();
    house.store = Arc::new(store);
    house.write("triggers/asked.yaml", "payload: {}\n");
    rule(&house, "asked", "p.asked");
    rule(&house, "activated", "tripline.pack.activated");
    house
}

fn rule(house: &House, name: &str, kind: &str) {
    let rule = format!("trigger: {{ type: {kind} }}\naction: {{ ref: core.noop }}\n");
    house.write(&format!("rules/{name}.yaml"), &rule);
}

async fn start(house: &House) -> Engine {
    let mut settings = house.settings();
    // Whoever reloads does so by hand.
    settings.reload_after = model::Duration::from_secs(3_600);
    Engine::start(settings, house.store.clone(), house.clock.clone()).await.unwrap()
}

/// Another program keeps the database locked, until this is dropped: what is to be stored waits.
fn locked(house: &House) -> Connection {
    let connection = Connection::open(house.path("state/tripline.db")).unwrap();
    connection.busy_timeout(support::PATIENCE).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

/// Asks, and hangs up before there is an answer.
async fn leave<T>(house: &House, asking: impl Future<Output = T>) {
    let locked = locked(house);
    let answered = tokio::time::timeout(LEAVES, asking).await.is_ok();
    assert!(!answered, "nothing can be stored, and yet it was answered");
    drop(locked);
}

fn asked(id: &str) -> NewEvent {
    let (kind, id) = ("p.asked".parse().unwrap(), Some(id.to_owned()));
    NewEvent { kind, id, subject: None, data: json!({}) }
}

fn me() -> Actor {
    Actor::token("test")
}

async fn executions(engine: &Engine) -> Vec<ExecutionRow> {
    let filter = ExecutionFilter { limit: 500, ..Default::default() };
    engine.executions(&filter).await.unwrap()
}

/// Waits until there are so many executions, and all of them have ended.
async fn all_end(engine: &Engine, count: usize) {
    let deadline = Instant::now() + support::PATIENCE;
    loop {
        let all = executions(engine).await;
        if all.len() == count && all.iter().all(|row| row.state.is_end()) {
            return;
        }
        assert!(Instant::now() < deadline, "not {count} executions that have ended: {all:#?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_somebody_asked_for_who_hung_up_runs() {
    let house = house();
    let engine = start(&house).await;
    all_end(&engine, 1).await;

    leave(&house, engine.emit("test", asked("1"))).await;
    all_end(&engine, 2).await;
    let again = engine.emit("test", asked("1")).await.unwrap();
    assert!(matches!(again, Accepted::Duplicate { .. }), "{again:?}");

    leave(&house, engine.reemit("test", again.key(), None)).await;
    all_end(&engine, 3).await;

    leave(&house, engine.run(me(), "core.noop".parse().unwrap(), Map::new(), Some("n"))).await;
    all_end(&engine, 4).await;
    let id = engine.run(me(), "core.noop".parse().unwrap(), Map::new(), Some("n")).await.unwrap();
    assert_eq!(executions(&engine).await.len(), 4, "asked for twice by one name");

    leave(&house, engine.rerun(me(), &id, Repetition::default())).await;
    all_end(&engine, 5).await;
}

#[tokio::test]
async fn a_rule_on_packs_that_are_activated_runs_though_who_reloaded_them_hung_up() {
    let house = house();
    let engine = start(&house).await;
    all_end(&engine, 1).await;
    house.chain("new", "", "1");
    leave(&house, engine.reload()).await;
    all_end(&engine, 2).await;
    ended(&engine, &run(&engine, "p.new", json!({})).await).await;
}

#[tokio::test]
async fn a_delivery_whose_sender_hung_up_runs_its_rule() {
    let house = house();
    rule(&house, "hooked", "webhook.received");
    let secret = house.path("hook.secret");
    fs::write(&secret, "0123456789abcdef").unwrap();
    let sensor = format!(
        "type: webhook\nparameters:\n  secrets: [{{ file: {} }}]\n  signature: {{ header: X-Signature, encoding: hex }}\n",
        secret.display()
    );
    house.write("sensors/hook.yaml", &sensor);
    let permissions = "{ actions: ['*'], secrets: ['file:/*'] }";
    house.write("pack.yaml", &format!("name: p\nversion: 1.0.0\npermissions: {permissions}\n"));
    let engine = start(&house).await;
    all_end(&engine, 1).await;
    let headers = [("content-type", "application/json"), ("x-signature", SIGNATURE)];
    let request = Request {
        method: "POST".to_owned(),
        path: "/webhooks/p/hook".to_owned(),
        query: Vec::new(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        body: "{}".into(),
        received_at: engine.now(),
    };
    let place = engine.webhook_place().unwrap();
    leave(&house, engine.webhook(place, "p", "hook", request)).await;
    all_end(&engine, 2).await;
}

#[tokio::test]
async fn what_is_taken_back_is_taken_back_though_who_did_it_hung_up() {
    let house = house();
    let engine = start(&house).await;
    all_end(&engine, 1).await;

    let name: model::Name = "ci".parse().unwrap();
    let made = engine.create_token(me(), name.clone(), Grant::ADMIN, None).await.unwrap();
    let hash = Hash::of(made.token.as_bytes());
    leave(&house, engine.revoke_token(me(), &name)).await;
    eventually("the token's end", || async {
        matches!(engine.holder(hash), Some(Holder::Revoked(_)))
    })
    .await;

    engine.set_secret(me(), "p/old", Plain::new("correct-horse")).await.unwrap();
    leave(&house, engine.delete_secret(me(), "p/old")).await;
    eventually("the secret's end", || async { engine.secret_value("p/old").is_err() }).await;

    leave(&house, engine.set_secret(me(), "p/new", Plain::new("battery-staple"))).await;
    eventually("the secret", || async { engine.secret_value("p/new").is_ok() }).await;

    let rule = "p.asked".parse().unwrap();
    leave(&house, engine.switch_rule(me(), &rule, Some(false))).await;
    eventually("the rule's end", || async {
        match engine.emit("test", NewEvent { id: None, ..asked("") }).await.unwrap() {
            Accepted::New { executions, .. } => executions.is_empty(),
            Accepted::Duplicate { .. } => false,
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_revoked_token_named_its_requests_is_nothing_to_a_new_one_of_its_name() {
    let house = house();
    let engine = start(&house).await;
    all_end(&engine, 1).await;
    let (ci, name): (_, model::Name) = (Actor::token("ci"), "ci".parse().unwrap());
    let ask = async || {
        let noop = "core.noop".parse().unwrap();
        let ran = engine.run(ci.clone(), noop, Map::new(), Some("n")).await.unwrap();
        ended(&engine, &ran).await;
        let how = Repetition { name: Some("again".to_owned()), ..Repetition::default() };
        let repeated = engine.rerun(ci.clone(), &ran, how).await.unwrap().id;
        let told = engine.emit("ci", asked("1")).await.unwrap();
        let retold = engine.reemit("ci", told.key(), Some("r")).await.unwrap();
        [ran.to_string(), repeated.to_string(), retold.key().to_string()]
    };
    let mut answers = Vec::new();
    for _ in 0..2 {
        engine.create_token(me(), name.clone(), Grant::ADMIN, None).await.unwrap();
        let first = ask().await;
        assert_eq!(ask().await, first, "one and the same token");
        answers.push(first);
        engine.revoke_token(me(), &name).await.unwrap();
    }
    let differ = |n: usize| answers[0][n] != answers[1][n];
    assert!((0..3).all(differ), "{answers:#?}");
}

#[tokio::test]
async fn what_a_store_in_trouble_was_asked_for_in_vain_is_not_done_later() {
    let house = house();
    let engine = start(&house).await;
    all_end(&engine, 1).await;
    let locked = locked(&house);
    let given_up = engine.emit("test", asked("1")).await;
    let Err(AskError::Unavailable(why)) = given_up else { panic!("{given_up:?}") };
    assert!(why.contains("takes nothing"), "{why}");
    drop(locked);
    let again = engine.emit("test", asked("1")).await.unwrap();
    assert!(matches!(again, Accepted::New { .. }), "{again:?}");
    all_end(&engine, 2).await;
}

#[tokio::test]
async fn what_went_in_though_who_asked_was_told_otherwise_runs_without_another_start() {
    let folder = House::new();
    let Some(disk) = Disk::mount(&folder.path("state")).unwrap() else { return };
    let store = Arc::new(Sqlite::open(&folder.path("state"), &Options::default()).unwrap());
    let house = House { store, ..folder };
    let engine = start(&house).await;
    for _ in 0..20 {
        ended(&engine, &run(&engine, "core.noop", json!({})).await).await;
    }
    // From here on the disk is full for the head file alone: the write-ahead log has room and begins anew.
    let log = Connection::open(house.path("state/tripline.db")).unwrap();
    log.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
    fs::File::options().write(true).open(house.path("state/head")).unwrap().set_len(0).unwrap();
    disk.fill().unwrap();
    let noop = || "core.noop".parse().unwrap();
    let told = engine.run(me(), noop(), Map::new(), Some("n")).await;
    let Err(AskError::Unavailable(why)) = told else { panic!("{told:?}") };
    assert!(why.contains("takes nothing"), "{why}");
    let named = ExecutionFilter { limit: 1, ..Default::default() };
    let newest = engine.executions(&named).await.unwrap().remove(0);
    assert_eq!(newest.state, model::ExecutionState::Queued, "it went in, and nobody begins it");
    disk.free().unwrap();
    ended(&engine, &newest.id).await;
    let again = engine.run(me(), noop(), Map::new(), Some("n")).await.unwrap();
    assert_eq!(again, newest.id);
    engine.shutdown(support::PATIENCE).await;
}

fn git(folder: &Path, args: &[&str]) {
    let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"];
    let mut git = Command::new("git");
    git.args(who).args(["-c", "commit.gpgSign=false"]).args(args).current_dir(folder);
    assert!(git.env("GIT_CONFIG_GLOBAL", "/dev/null").status().unwrap().success(), "{args:?}");
}

/// Whether a value too large for a fact has been put beside the log.
fn has_blob(house: &House) -> bool {
    let folders = fs::read_dir(house.path("state/blobs")).unwrap();
    // Of two characters of a hash; beside them lies the one for what is unfinished.
    folders.flatten().any(|folder| folder.file_name().len() == 2)
}

#[tokio::test]
async fn what_a_sensor_told_that_was_ended_meanwhile_runs_once() {
    let house = house();
    let origin = house.path("origin");
    fs::create_dir(&origin).unwrap();
    git(&origin, &["init", "-q", "-b", "main"]);
    let push = |message: &str| git(&origin, &["commit", "-q", "--allow-empty", "-m", message]);
    push("one");
    let sensor = format!("type: git\nparameters: {{ url: '{}', every: 1s }}\n", origin.display());
    house.write("sensors/app.yaml", &sensor);
    // So large that it is put aside just before the event is handed to the store.
    let large = "x".repeat(300_000);
    let rule = format!(
        "trigger: {{ type: git.push, parameters: {{ sensor: app }} }}\naction: {{ ref: core.echo, parameters: {{ value: {large} }} }}\n"
    );
    house.write("rules/push.yaml", &rule);
    let engine = start(&house).await;
    all_end(&engine, 1).await;
    eventually("the first look", || async { house.store.cursor("p/app").await.unwrap().is_some() })
        .await;
    let locked = locked(&house);
    push("two");
    eventually("the event", || async { has_blob(&house) }).await;
    // The moment at which it is ended: the store has been given the event by then.
    tokio::time::sleep(LEAVES).await;
    engine.restart_sensor("p.app").unwrap();
    drop(locked);
    all_end(&engine, 2).await;
    push("three");
    all_end(&engine, 3).await;
}

#[tokio::test]
async fn a_backup_that_is_broken_off_keeps_no_later_one_from_being_made() {
    let house = house();
    let engine = start(&house).await;
    all_end(&engine, 1).await;
    let copy = engine::Folders::new(house.path("state")).backup();
    for n in 0..40 {
        // At any moment while the copy is made, or once it is there.
        let _ = tokio::time::timeout(Duration::from_micros(n * 250), engine.snapshot()).await;
        eventually("the next backup", || async { engine.snapshot().await.is_ok() }).await;
        assert!(!copy.exists(), "the copy of the last one stays");
    }
    fs::create_dir_all(copy.join("blobs")).unwrap();
    assert!(engine.snapshot().await.is_ok(), "what an earlier one has left is in nobody's way");
}
