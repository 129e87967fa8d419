//! What is no longer kept goes, with everything that belonged to it, while the engine runs.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use engine::Engine;
use engine::rerun::Repetition;
use engine::secrets::Plain;
use host::git::Exports;
use model::{Actor, ExecutionId, ExecutionState, StepPath};
use serde_json::json;
use support::{House, die_after, ended, eventually, live, run, until};

/// Makes a file or folder look as if it was there for two days.
fn age(path: &Path) {
    age_days(path, 2);
}

#[expect(clippy::disallowed_methods, reason = "compared with times that the file system keeps")]
fn age_days(path: &Path, days: u64) {
    let file = File::open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60)).unwrap();
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

#[test]
fn runs_of_a_child_go_with_their_age_and_what_runs_it_goes_on_over_kills() {
    let mut house = House::new();
    house.clock = host::Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    house.program("say", "idempotent", "echo hello >&2");
    let text = r#"run("p.say"); sleep("20d"); if params.n == 4 { return "over"; } continue_as(#{ n: params.n + 1 })"#;
    house.chain("rounds", "n: { type: integer, default: 1 }", text);
    house.chain("outer", "", r#"let end = run("p.rounds"); run("p.say"); end"#);
    let mut settings = house.settings();
    settings.forget_every = model::Duration::from_millis(50);
    let start = || Engine::start(settings.clone(), house.store.clone(), house.clock.clone());
    let nth = |id: &ExecutionId, n| id.nth_child(&StepPath::top(1), n);
    let waits = async |engine: &Engine, id: &ExecutionId| {
        eventually("the run", || async { engine.execution(id).await.is_ok() }).await;
        until(engine, id, &[ExecutionState::Waiting]).await
    };
    let sleeps = || house.advance(model::Duration::from_secs(20 * 24 * 60 * 60));
    let id = die_after(async {
        let engine = start().await.unwrap();
        let id = run(&engine, "p.outer", json!({})).await;
        for n in 1..3 {
            waits(&engine, &nth(&id, n)).await;
            sleeps();
        }
        waits(&engine, &nth(&id, 3)).await;
        (engine, id)
    });
    let logs = house.path("state/logs").join(id.as_str());
    assert!(logs.join("1/1").is_dir() && logs.join("1~2").is_dir(), "each run has logs");
    // The first run ended 31 days ago, the second 11 days ago.
    house.advance(model::Duration::from_secs(11 * 24 * 60 * 60));
    die_after(async {
        let engine = start().await.unwrap();
        eventually("the first run to go", || async {
            engine.execution(&nth(&id, 1)).await.is_err() && !logs.join("1").exists()
        })
        .await;
        assert!(logs.join("1~2/1").is_dir(), "the second run is kept");
        (engine, ())
    });
    live(async {
        let engine = start().await.unwrap();
        let second = engine.execution(&nth(&id, 2)).await.unwrap();
        assert_eq!(second.latest.unwrap().id, nth(&id, 3));
        house.advance(model::Duration::from_secs(9 * 24 * 60 * 60));
        waits(&engine, &nth(&id, 4)).await;
        let view = engine.execution(&id).await.unwrap();
        assert_eq!(view.steps[0].child, Some(nth(&id, 4)));
        sleeps();
        assert_eq!(support::result(&ended(&engine, &id).await), &json!("over"));
        let from = Repetition { from: "2".parse().ok(), ..Repetition::default() };
        let again = engine.rerun(Actor::token("test"), &id, from).await.unwrap().id;
        assert_eq!(support::result(&ended(&engine, &again).await), &json!("over"));
        let whole = engine.rerun(Actor::token("test"), &id, Repetition::default()).await.unwrap();
        waits(&engine, &nth(&whole.id, 1)).await;
    });
}

/// A house at the beginning of a year whose pack may generate secrets, and the file in which its
/// program `p.keep` writes down what it is given.
fn keeping() -> (House, PathBuf) {
    let mut house = House::new();
    house.clock = host::Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    let manifest = "name: p\nversion: 1.0.0\npermissions: { actions: [core.*, secrets.generate], exec: true }\n";
    house.write("pack.yaml", manifest);
    let kept = house.path("kept");
    house.program("keep", "idempotent", &format!("cat >> {0}; echo >> {0}", kept.display()));
    (house, kept)
}

#[tokio::test]
async fn a_run_that_goes_on_keeps_its_own_copy_of_what_the_ended_one_generated() {
    let (house, kept) = keeping();
    house.chain(
        "make",
        "a: {}",
        r#"if params.a == () {
            let made = run("secrets.generate", #{ length: 24 });
            run("p.keep", #{ a: made });
            continue_as(#{ a: made });
        }
        sleep("40d");
        run("p.keep", #{ a: params.a })"#,
    );
    let engine = house.start().await;
    let first = run(&engine, "p.make", json!({ "a": null })).await;
    ended(&engine, &first).await;
    until(&engine, &first.continuation(), &[ExecutionState::Waiting]).await;
    engine.shutdown(support::PATIENCE).await;
    house.advance(model::Duration::from_secs(35 * 24 * 60 * 60));
    let mut settings = house.settings();
    settings.forget_every = model::Duration::from_millis(50);
    let engine = Engine::start(settings, house.store.clone(), house.clock.clone()).await.unwrap();
    eventually("the ended run to go", || async { engine.execution(&first).await.is_err() }).await;
    house.advance(model::Duration::from_secs(10 * 24 * 60 * 60));
    let second = ended(&engine, &first.continuation()).await;
    assert_eq!(second.row.state, ExecutionState::Succeeded, "{second:?}");
    let kept = fs::read_to_string(kept).unwrap();
    let values: Vec<&str> = kept.lines().collect();
    assert!(values.len() == 2 && values[0] == values[1], "{values:?}");
}

#[tokio::test]
async fn a_repeated_execution_keeps_its_own_copy_of_what_the_first_one_generated() {
    let (house, kept) = keeping();
    house.chain(
        "make",
        "",
        r#"let made = run("secrets.generate", #{ length: 24 }); run("p.keep", #{ a: made });"#,
    );
    let engine = house.start().await;
    let first = run(&engine, "p.make", json!({})).await;
    ended(&engine, &first).await;
    house.advance(model::Duration::from_secs(20 * 24 * 60 * 60));
    let from = || Repetition { from: Some("2".parse().unwrap()), ..Repetition::default() };
    let actor = || Actor::token("test");
    let second = engine.rerun(actor(), &first, from()).await.unwrap().id;
    ended(&engine, &second).await;
    engine.shutdown(support::PATIENCE).await;
    house.advance(model::Duration::from_secs(15 * 24 * 60 * 60));
    let mut settings = house.settings();
    settings.forget_every = model::Duration::from_millis(50);
    let engine = Engine::start(settings, house.store.clone(), house.clock.clone()).await.unwrap();
    let records = || async { house.store.sealed_under("token/", "", 9).await.unwrap() };
    eventually("the first one to go with its record", || async {
        engine.execution(&first).await.is_err() && records().await.len() == 1
    })
    .await;
    let third = engine.rerun(actor(), &second, from()).await.unwrap().id;
    assert_eq!(ended(&engine, &third).await.row.state, ExecutionState::Succeeded);
    let kept = fs::read_to_string(kept).unwrap();
    let values: Vec<&str> = kept.lines().collect();
    assert!(values.len() == 3 && values.iter().all(|value| *value == values[0]), "{values:?}");
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "compared with times that the file system keeps")]
async fn exports_mirrors_and_parts_of_downloads_go_once_nobody_is_left_who_needs_them() {
    let mut house = House::new();
    house.clock = host::Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    house.chain("nap", "", r#"sleep("80d");"#);
    let engine = house.start().await;
    let (nap, short) =
        (run(&engine, "p.nap", json!({})).await, run(&engine, "core.noop", json!({})).await);
    ended(&engine, &short).await;
    until(&engine, &nap, &[ExecutionState::Waiting]).await;
    engine.shutdown(support::PATIENCE).await;
    let exports = Exports::new(house.path("state/exports"));
    for (owner, to) in [(&nap, "used"), (&short, "used"), (&short, "left")] {
        exports.hold(owner.as_str(), Path::new(to)).unwrap();
        fs::create_dir_all(exports.path(Path::new(to))).unwrap();
        fs::write(house.path(&format!("state/exports/.{to}.commit")), "c").unwrap();
    }
    let (old, young) = (house.path("state/git/old"), house.path("state/git/young"));
    let part = house.path("state/exports/.downloads/cut_short");
    for folder in [&old, &young, &part] {
        fs::create_dir_all(folder).unwrap();
    }
    let weeks = SystemTime::now() - Duration::from_secs(8 * 24 * 60 * 60);
    for folder in [&old, &part] {
        File::open(folder).unwrap().set_modified(weeks).unwrap();
    }
    house.advance(model::Duration::from_secs(31 * 24 * 60 * 60));
    let mut settings = house.settings();
    settings.forget_every = model::Duration::from_millis(50);
    let _engine = Engine::start(settings, house.store.clone(), house.clock.clone()).await.unwrap();
    eventually("what nobody needs to go", || async {
        !exports.path(Path::new("left")).exists() && !old.exists() && !part.exists()
    })
    .await;
    assert!(exports.path(Path::new("used")).exists() && young.exists());
    assert_eq!(exports.owners().unwrap(), [nap.as_str()]);
}

#[tokio::test]
async fn an_old_version_of_a_secret_stays_while_a_sleeping_execution_holds_a_token_for_it() {
    let mut house = House::new();
    house.clock = host::Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    let manifest = "name: p\nversion: 1.0.0\npermissions: { actions: [core.*], exec: true, secrets: ['p/*'] }\n";
    house.write("pack.yaml", manifest);
    let kept = house.path("kept");
    house.program("keep", "idempotent", &format!("cat >> {}", kept.display()));
    house.chain("nap", "", r#"let s = secret("p/admin"); sleep("80d"); run("p.keep", #{ a: s });"#);
    let mut settings = house.settings();
    settings.forget_every = model::Duration::from_millis(50);
    let engine = Engine::start(settings, house.store.clone(), house.clock.clone()).await.unwrap();
    let set = |path: &'static str, value: &'static str| {
        engine.set_secret(Actor::token("test"), path, Plain::new(value))
    };
    for (path, value) in [("p/admin", "the first value"), ("q/other", "another value")] {
        set(path, value).await.unwrap();
    }
    let nap = run(&engine, "p.nap", json!({})).await;
    until(&engine, &nap, &[ExecutionState::Waiting]).await;
    for (path, value) in [("p/admin", "the second value"), ("p/admin", "the third value")] {
        set(path, value).await.unwrap();
    }
    set("q/other", "and another value").await.unwrap();
    let records = || async {
        let records = house.store.sealed_under("secret/", "", 99).await.unwrap();
        records.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(records().await.len(), 5);
    house.advance(model::Duration::from_secs(31 * 24 * 60 * 60));
    // Nobody holds the second one, and the latest of each stays.
    eventually("three records", || async { records().await.len() == 3 }).await;
    assert!(records().await[0].starts_with("secret/p/admin@") && records().await[0].ends_with('1'));
    house.advance(model::Duration::from_secs(50 * 24 * 60 * 60));
    ended(&engine, &nap).await;
    assert!(fs::read_to_string(&kept).unwrap().contains("the first value"));
    eventually("the last old one to go", || async { records().await.len() == 2 }).await;
    assert_eq!(engine.secret_value("p/admin").unwrap().expose(), "the third value");
}

#[tokio::test]
async fn what_a_sensor_s_program_printed_goes_when_the_sensor_is_gone_for_long() {
    use std::os::unix::fs::PermissionsExt;
    let house = House::new();
    house.write("triggers/tick.yaml", "payload: {}\n");
    house.write("rules/tick.yaml", "trigger: { type: p.tick }\naction: { ref: core.noop }\n");
    house.write("sensors/watch.yaml", "type: process\nparameters: { entry_point: watch.sh }\n");
    house.write("sensors/watch.sh", "#!/bin/sh\necho begun >&2\nexec sleep 1000\n");
    let program = house.path("packs/p/sensors/watch.sh");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    let logs = house.path("state/sensors");
    for (name, days) in
        [("p/gone.log", 31), ("p/gone.older.log", 32), ("p/young.log", 29), ("old_pack/a.log", 31)]
    {
        fs::create_dir_all(logs.join(name).parent().unwrap()).unwrap();
        fs::write(logs.join(name), "x").unwrap();
        age_days(&logs.join(name), days);
    }
    let mut settings = house.settings();
    settings.forget_every = model::Duration::from_millis(50);
    let engine = Engine::start(settings, house.store.clone(), house.clock.clone()).await.unwrap();
    let watched = logs.join("p/watch.log");
    eventually("the program to print", || async { watched.exists() }).await;
    age_days(&watched, 100);
    eventually("old logs to go", || async {
        names(&logs) == 1 && !logs.join("p/gone.log").exists() && names(&logs.join("p")) == 2
    })
    .await;
    // It was looked at again since.
    assert!(watched.exists() && logs.join("p/young.log").exists());
    engine.shutdown(support::PATIENCE).await;
}

#[tokio::test]
async fn what_is_forgotten_sooner_is_still_known_as_told_and_the_latest_of_each_key_stays() {
    let mut house = House::new();
    house.clock = host::Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    house.write("triggers/told.yaml", "payload: { n: {} }\n");
    house.write("rules/told.yaml", "trigger: { type: p.told }\naction: { ref: core.noop }\n");
    let day = model::Duration::from_secs(24 * 60 * 60);
    let start = async || {
        let mut settings = house.settings();
        settings.forget_every = model::Duration::from_millis(50);
        settings.retention.default = store::Ages { events: day, executions: day };
        Engine::start(settings, house.store.clone(), house.clock.clone()).await.unwrap()
    };
    let told = async |engine: &Engine| {
        let new = engine::NewEvent {
            kind: "p.told".parse().unwrap(),
            id: Some("1".to_owned()),
            subject: None,
            data: json!({ "n": 1 }),
        };
        engine.emit("test", new).await.unwrap()
    };
    let engine = start().await;
    let engine::Accepted::New { key, executions } = told(&engine).await else { panic!("new") };
    ended(&engine, &executions[0]).await;
    for value in [1, 2] {
        engine.set_key(Actor::token("test"), "p/count", Some(json!(value)), None).await.unwrap();
    }
    house.advance(model::Duration::from_secs(2 * 24 * 60 * 60));
    eventually("both to be forgotten", || async {
        engine.execution(&executions[0]).await.is_err() && engine.event(&key).await.is_err()
    })
    .await;
    assert!(matches!(told(&engine).await, engine::Accepted::Duplicate { .. }));
    engine.shutdown(support::PATIENCE).await;
    let engine = start().await;
    assert!(matches!(told(&engine).await, engine::Accepted::Duplicate { .. }), "started again");
    let kept = house.store.key("p/count", house.clock.now()).await.unwrap();
    assert_eq!(kept.unwrap().value, json!(2));
    engine.shutdown(support::PATIENCE).await;
}
