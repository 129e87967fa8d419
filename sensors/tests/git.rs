//! The git sensor against real repositories, looking when the test says so.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use host::Clock;
use host::git::{Git, Options};
use model::{Duration, Event, Timestamp, Value};
use sensors::git::{GitSensor, PollError};
use sensors::{BuildContext, Built, Sensor, SensorState, build, git};
use serde_json::json;
use support::{Recorder, Running};
use tempfile::TempDir;

const SOURCE: &str = "tripline:test/app/push";

/// A repository, and what our sensor has told of it.
struct Lab {
    folder: TempDir,
    recorder: Arc<Recorder>,
    context: BuildContext,
    now: Timestamp,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut context = BuildContext::new(SOURCE, folder.path());
        context.git =
            Git::new(Options { allow_local: host::git::Local::Anywhere, ..Options::default() });
        context.sensor = Some("app.push".parse().unwrap());
        let recorder = Arc::default();
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let lab = Self { folder, recorder, context, now };
        std::fs::create_dir(lab.origin()).unwrap();
        lab.git(&["init", "-q", "-b", "main"]);
        lab
    }

    fn origin(&self) -> PathBuf {
        self.folder.path().join("origin")
    }

    fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
            .args(["-c", "commit.gpgSign=false"])
            .args(args)
            .current_dir(self.origin())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn commit(&self, message: &str) -> String {
        std::fs::write(self.origin().join(message), message).unwrap();
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn sensor(&self, more: &Value) -> GitSensor {
        let mut parameters = json!({ "url": "origin" });
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        git::build(parameters.as_object().unwrap(), &self.context).unwrap()
    }

    /// Looks once with the stored cursor; returns the events it told.
    async fn look(&self, sensor: &GitSensor) -> Result<Vec<Event>, PollError> {
        let before = self.recorder.events().len();
        let cursor = self.recorder.cursor();
        sensor.poll_once(SOURCE, cursor, self.now, self.recorder.as_ref()).await?;
        let events = self.recorder.events().split_off(before);
        events.iter().for_each(support::assert_fits);
        Ok(events)
    }
}

/// `ref before -> after`, with the commits as names given to them.
fn shown(event: &Event, names: &[(&str, &str)]) -> String {
    let name = |side: &Value| {
        let known = names.iter().find(|(_, commit)| side.as_str() == Some(commit));
        known.map_or_else(|| side.to_string(), |(name, _)| (*name).to_owned())
    };
    let flags = ["created", "deleted", "forced", "truncated"];
    let flags = flags.iter().filter(|flag| event.data[**flag] == true);
    let flags = flags.fold(String::new(), |all, flag| format!("{all} {flag}"));
    let commits = event.data["commits"].as_array().unwrap().len();
    let data = &event.data;
    format!(
        "{} {} -> {} ({commits}){flags}",
        data["ref"].as_str().unwrap().trim_start_matches("refs/"),
        name(&data["before"]),
        name(&data["after"])
    )
}

#[tokio::test]
async fn a_push_is_told_with_its_commits_once() {
    let lab = Lab::new();
    let first = lab.commit("one");
    let sensor = lab.sensor(&json!({}));
    assert_eq!(lab.look(&sensor).await.unwrap(), [], "what is there at first sight is no push");
    let second = lab.commit("two");
    let third = lab.commit("three");
    let events = lab.look(&sensor).await.unwrap();
    let [event] = &events[..] else { panic!("{events:?}") };
    let repository = lab.origin().display().to_string();
    assert_eq!(event.envelope.id, format!("{repository}#refs/heads/main#1"));
    assert_eq!(event.envelope.subject.as_deref(), Some("refs/heads/main"));
    assert_eq!(event.envelope.source, SOURCE);
    let time = event.data["commits"][0]["time"].clone();
    let commit = |id: &str, file: &str| {
        json!({ "id": id, "author": { "name": "Ada", "email": "ada@example.com" },
            "message": file, "added": [file], "modified": [], "removed": [] })
    };
    let mut expected = json!({
        "repository": repository, "ref": "refs/heads/main", "before": first, "after": third,
        "commits": [commit(&second, "two"), commit(&third, "three")], "commits_total": 2,
        "truncated": false, "forced": false, "created": false, "deleted": false,
    });
    for i in 0..2 {
        assert!(event.data["commits"][i]["time"].as_str().unwrap().ends_with('Z'), "{time}");
        expected["commits"][i]["time"] = event.data["commits"][i]["time"].clone();
    }
    assert_eq!(event.data, expected);
    assert_eq!(lab.look(&sensor).await.unwrap(), []);
}

#[tokio::test]
async fn every_kind_of_change_is_told_as_what_it_is() {
    let lab = Lab::new();
    let one = lab.commit("one");
    let two = lab.commit("two");
    let sensor = lab.sensor(&json!({ "refs": ["refs/heads/*", "refs/tags/v*"] }));
    lab.look(&sensor).await.unwrap();
    let names = [("one", one.as_str()), ("two", two.as_str())];
    for (commands, expected) in [
        ("reset -q --hard HEAD~1", vec!["heads/main two -> one (0) forced"]),
        ("reset -q --hard TWO", vec!["heads/main one -> two (1)"]),
        ("tag v1", vec!["tags/v1 null -> two (0) created"]),
        ("tag -f -a v1 -m again HEAD~1", vec!["tags/v1 two -> one (0) forced"]),
        ("tag other", vec![]),
        ("branch side", vec!["heads/side null -> two (0) created"]),
        (
            "tag -d v1; branch -D side; branch third HEAD~1",
            vec![
                "heads/side two -> null (0) deleted",
                "heads/third null -> one (0) created",
                "tags/v1 one -> null (0) deleted",
            ],
        ),
        ("tag v1", vec!["tags/v1 null -> two (0) created"]),
    ] {
        for command in commands.replace("TWO", &two).split("; ") {
            lab.git(&command.split(' ').collect::<Vec<_>>());
        }
        let events = lab.look(&sensor).await.unwrap();
        let told: Vec<String> = events.iter().map(|event| shown(event, &names)).collect();
        assert_eq!(told, expected, "{commands}");
    }
    let mut ids: Vec<String> = lab.recorder.events().into_iter().map(|e| e.envelope.id).collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "an id is used once: {ids:?}");
}

#[tokio::test]
async fn a_branch_that_moves_there_and_back_is_two_events() {
    let lab = Lab::new();
    let one = lab.commit("one");
    let sensor = lab.sensor(&json!({}));
    lab.look(&sensor).await.unwrap();
    lab.commit("two");
    let there = lab.look(&sensor).await.unwrap();
    lab.git(&["reset", "-q", "--hard", &one]);
    let back = lab.look(&sensor).await.unwrap();
    assert_eq!((there.len(), back.len()), (1, 1));
    assert_ne!(there[0].envelope.id, back[0].envelope.id);
    assert_eq!(back[0].data["after"], one);
}

#[tokio::test]
async fn refs_that_are_there_can_be_told_at_first_sight() {
    let lab = Lab::new();
    let one = lab.commit("one");
    let sensor = lab.sensor(&json!({ "initial": "emit" }));
    let events = lab.look(&sensor).await.unwrap();
    assert_eq!(shown(&events[0], &[("one", &one)]), "heads/main null -> one (0)");
    assert_eq!(lab.look(&sensor).await.unwrap(), []);
}

#[tokio::test]
async fn a_repository_that_is_gone_or_empty_deletes_nothing_and_is_picked_up_where_it_was() {
    let lab = Lab::new();
    let one = lab.commit("one");
    let sensor = lab.sensor(&json!({}));
    lab.look(&sensor).await.unwrap();
    let cursor = lab.recorder.cursor();
    let away = lab.folder.path().join("away");
    std::fs::rename(lab.origin(), &away).unwrap();
    assert!(matches!(lab.look(&sensor).await, Err(PollError::Git(_))));

    std::fs::create_dir(lab.origin()).unwrap();
    lab.git(&["init", "-q", "-b", "main"]);
    let error = lab.look(&sensor).await.unwrap_err();
    assert!(matches!(error, PollError::Empty(_)), "{error}");
    assert_eq!(lab.recorder.cursor(), cursor);

    std::fs::remove_dir_all(lab.origin()).unwrap();
    std::fs::rename(away, lab.origin()).unwrap();
    assert_eq!(lab.look(&sensor).await.unwrap(), [], "nothing is told twice");
    let two = lab.commit("two");
    let events = lab.look(&sensor).await.unwrap();
    let names = [("one", one.as_str()), ("two", two.as_str())];
    assert_eq!(shown(&events[0], &names), "heads/main one -> two (1)");
}

#[tokio::test]
async fn the_last_branch_that_fits_may_really_be_deleted() {
    let lab = Lab::new();
    lab.commit("one");
    lab.git(&["branch", "release/1"]);
    let sensor = lab.sensor(&json!({ "refs": ["refs/heads/release/*"] }));
    lab.look(&sensor).await.unwrap();
    lab.git(&["branch", "-D", "release/1"]);
    let events = lab.look(&sensor).await.unwrap();
    assert_eq!(events[0].data["deleted"], true);
}

#[tokio::test]
async fn a_lost_mirror_costs_nothing_but_the_list_of_what_was_rewritten() {
    let lab = Lab::new();
    let one = lab.commit("one");
    let sensor = lab.sensor(&json!({}));
    lab.look(&sensor).await.unwrap();
    lab.commit("two");
    std::fs::remove_dir_all(lab.folder.path().join("mirrors")).unwrap();
    let events = lab.look(&sensor).await.unwrap();
    assert_eq!(events[0].data["commits_total"], 1);

    std::fs::remove_dir_all(lab.folder.path().join("mirrors")).unwrap();
    lab.git(&["checkout", "-q", "--orphan", "new"]);
    let new = lab.commit("new");
    lab.git(&["branch", "-f", "main", "new"]);
    lab.git(&["reflog", "expire", "--expire=now", "--all"]);
    let events = lab.look(&sensor).await.unwrap();
    let main = events.iter().find(|e| e.data["ref"] == "refs/heads/main").unwrap();
    assert_eq!(main.data["after"], new);
    assert_eq!((&main.data["forced"], &main.data["truncated"]), (&json!(true), &json!(true)));
    assert_ne!(main.data["before"], one);
}

#[tokio::test]
async fn many_refs_come_in_several_emissions_whose_cursors_fit_their_events() {
    let lab = Lab::new();
    let one = lab.commit("one");
    let sensor = lab.sensor(&json!({}));
    lab.look(&sensor).await.unwrap();
    let lines: Vec<String> =
        (0..120).map(|n| format!("create refs/heads/b{n:03} {one}\n")).collect();
    let file = lab.folder.path().join("refs");
    std::fs::write(&file, lines.concat()).unwrap();
    let update = Command::new("git")
        .args(["update-ref", "--stdin"])
        .current_dir(lab.origin())
        .stdin(std::fs::File::open(file).unwrap())
        .status();
    assert!(update.unwrap().success());
    // The second emission is lost: the rest is told again, and nothing else.
    lab.recorder.look(|recorded| recorded.emissions.clear());
    let refuse_later = RefuseAfter { recorder: &lab.recorder, left: 1.into() };
    let cursor = lab.recorder.cursor();
    let error = sensor.poll_once(SOURCE, cursor, lab.now, &refuse_later).await.unwrap_err();
    assert!(matches!(error, PollError::Sink(_)));
    assert_eq!(lab.recorder.events().len(), 50);
    assert_eq!(lab.look(&sensor).await.unwrap().len(), 70);
    let mut refs: Vec<String> =
        lab.recorder.events().iter().map(|e| e.data["ref"].to_string()).collect();
    refs.dedup();
    assert_eq!(refs.len(), 120);
}

/// Stores a few emissions, then none.
struct RefuseAfter<'a> {
    recorder: &'a Recorder,
    left: std::sync::atomic::AtomicUsize,
}

impl sensors::Sink for RefuseAfter<'_> {
    fn emit(
        &self,
        emission: sensors::Emission,
    ) -> futures::future::BoxFuture<'_, Result<(), sensors::SinkError>> {
        use std::sync::atomic::Ordering::SeqCst;
        if self.left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err() {
            self.recorder.look(|recorded| recorded.refuse = 1);
        }
        self.recorder.emit(emission)
    }

    fn state(&self, state: SensorState) {
        self.recorder.state(state);
    }
}

#[tokio::test]
async fn a_running_sensor_fails_visibly_recovers_and_looks_when_poked() {
    let lab = Lab::new();
    lab.commit("one");
    let sensor = Arc::new(lab.sensor(&json!({ "every": "3h" })));
    let clock = Clock::simulated(lab.now);
    let Clock::Simulated(hands) = clock.clone() else { unreachable!() };
    // The time moves while the test waits: how far the sensor is when it moves does not matter.
    let until = async |what, step: u64, wanted: fn(&support::Recorded) -> bool| {
        let moving = |recorded: &support::Recorded| {
            hands.advance(Duration::from_secs(step));
            wanted(recorded)
        };
        lab.recorder.until(what, moving).await;
    };
    let running = Running::start(sensor.clone(), lab.recorder.clone(), clock);
    until("it runs", 0, |r| r.states == [SensorState::Running]).await;

    lab.commit("two");
    sensor.poke();
    // A second each time it is asked: `every` is far away.
    until("it looks when poked", 1, |r| r.emissions.len() > 1).await;

    let away = lab.folder.path().join("away");
    std::fs::rename(lab.origin(), &away).unwrap();
    let failing =
        |r: &support::Recorded| matches!(r.states.last(), Some(SensorState::Failing { .. }));
    until("it fails", 60, failing).await;
    std::fs::rename(&away, lab.origin()).unwrap();
    lab.commit("three");
    until("it recovers", 60, |r| r.states.last() == Some(&SensorState::Running)).await;
    running.stop().await.unwrap();
    let messages: Vec<Value> =
        lab.recorder.events().iter().map(|e| e.data["commits"][0]["message"].clone()).collect();
    assert_eq!(messages, ["two", "three"]);
}

#[tokio::test]
async fn an_export_finds_the_sensor_s_repository() {
    let lab = Lab::new();
    let one = lab.commit("one");
    let sensor = lab.sensor(&json!({}));
    lab.look(&sensor).await.unwrap();
    let mirror = lab.context.mirrors.get(&"app.push".parse().unwrap()).unwrap();
    let target = lab.folder.path().join("export");
    mirror.export(&one, &target).await.unwrap();
    assert_eq!(std::fs::read_to_string(target.join("one")).unwrap(), "one");
}

#[test]
fn parameters_are_checked_at_load() {
    let lab = Lab::new();
    let mut strict = lab.context.clone();
    strict.git = Git::new(Options::default());
    strict.variable = |name| (name == "TOKEN").then(|| "a long token".to_owned());
    let errors = |parameters: Value| match build("git", parameters.as_object().unwrap(), &strict) {
        Ok(Built::Task(_)) => String::new(),
        Ok(Built::Webhook(_)) => unreachable!(),
        Err(errors) => errors
            .iter()
            .map(|e| format!("{}: {}", e.path, e.message))
            .collect::<Vec<_>>()
            .join("\n"),
    };
    let url = "https://git.example.com/team/app.git";
    for (parameters, expected) in [
        (json!({ "url": url, "credentials": { "env": "TOKEN" } }), ""),
        (json!({ "url": "git@git.example.com:app.git", "credentials": { "file": "key" } }), ""),
        (
            json!({ "url": "git@git.example.com:app.git", "credentials": { "env": "TOKEN" } }),
            "credentials: an ssh URL takes a private key as credentials, which begins with `-----BEGIN`",
        ),
        (
            json!({ "url": url, "credentials": { "env": "NONE" } }),
            "credentials: the environment variable NONE is not set where the server was started",
        ),
        (
            json!({ "url": "http://git.example.com/app" }),
            "url: the scheme `http` is not allowed for repositories: expected https or ssh",
        ),
        (
            json!({ "url": "https://me:secret@git.example.com/app" }),
            "url: the repository's URL holds a password: put it into `credentials` instead",
        ),
        (
            json!({ "url": url, "refs": ["main", "refs/heads/*"] }),
            "refs.0: `main` names no refs: expected a full name such as `refs/heads/main`, where `*` stands for any text, as in `refs/tags/v*`",
        ),
        (
            json!({ "url": url, "every": "100ms" }),
            "every: `every: 100ms` is too often: at least 1s is expected",
        ),
        (json!({ "ur": url }), "ur: unknown parameter `ur`"),
        (json!({}), "url: missing parameter `url`"),
    ] {
        assert_eq!(errors(parameters.clone()), expected, "{parameters}");
    }
    assert!(errors(json!({ "url": "origin" })).contains("allow_local: true"));
}

/// Makes `branch` name an object that the repository does not have.
fn breaks(lab: &Lab, branch: &str) {
    let file = lab.origin().join(".git/refs/heads").join(branch);
    std::fs::write(file, format!("{}\n", "1234567890".repeat(4))).unwrap();
}

fn told(lab: &Lab) -> Vec<String> {
    let told = lab.recorder.events().into_iter();
    told.map(|event| event.envelope.subject.unwrap_or_default()).collect()
}

#[tokio::test]
async fn a_broken_ref_keeps_no_other_one_back_and_is_named() {
    let lab = Lab::new();
    let first = lab.commit("one");
    for branch in ["a", "broken", "gone", "z"] {
        lab.git(&["branch", branch]);
    }
    let sensor = lab.sensor(&json!({ "refs": ["refs/heads/*"] }));
    lab.look(&sensor).await.unwrap();
    lab.commit("two");
    lab.git(&["branch", "-f", "a"]);
    lab.git(&["branch", "-f", "z"]);
    lab.git(&["branch", "-q", "-D", "gone"]);
    breaks(&lab, "broken");
    let error = lab.look(&sensor).await.unwrap_err().to_string();
    assert!(error.contains("`refs/heads/broken` cannot be had ("), "{error}");
    assert!(error.contains("the others are followed"), "{error}");
    let all = ["refs/heads/a", "refs/heads/gone", "refs/heads/main", "refs/heads/z"];
    assert_eq!(told(&lab), all);
    lab.look(&sensor).await.unwrap_err();
    assert_eq!(told(&lab), all, "told once, and what is broken is not deleted");

    // Somebody puts it right, two commits on.
    std::fs::write(lab.origin().join(".git/refs/heads/broken"), format!("{first}\n")).unwrap();
    lab.git(&["branch", "-f", "broken", "main"]);
    let events = lab.look(&sensor).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].data["before"], first);
    assert_eq!(events[0].data["commits_total"], 1);
}

#[tokio::test]
async fn a_commit_that_lacks_a_file_keeps_no_other_ref_back_either() {
    let lab = Lab::new();
    lab.commit("one");
    let sensor = lab.sensor(&json!({ "refs": ["refs/heads/*"], "initial": "emit" }));
    lab.git(&["checkout", "-q", "-b", "whole"]);
    lab.git(&["checkout", "-q", "-b", "lacking"]);
    lab.commit("two");
    let tree = lab.git(&["rev-parse", "HEAD^{tree}"]);
    std::fs::remove_file(lab.origin().join(".git/objects").join(&tree[..2]).join(&tree[2..]))
        .unwrap();
    let error = lab.look(&sensor).await.unwrap_err().to_string();
    assert!(error.starts_with("`refs/heads/lacking` cannot be had ("), "{error}");
    assert_eq!(told(&lab), ["refs/heads/main", "refs/heads/whole"]);
}

#[tokio::test]
async fn a_repository_with_very_many_broken_refs_fails_as_a_whole() {
    let lab = Lab::new();
    lab.commit("one");
    for n in 0..20 {
        breaks(&lab, &format!("b{n}"));
    }
    let sensor = lab.sensor(&json!({ "refs": ["refs/heads/*"], "initial": "emit" }));
    let error = lab.look(&sensor).await.unwrap_err().to_string();
    assert!(error.contains(" is damaged: "), "{error}");
    assert_eq!(told(&lab), Vec::<String>::new());
}
