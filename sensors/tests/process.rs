//! Sensors that are programs: real ones, which flood, print rubbish, end and go on.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use host::Clock;
use host::process::{Launcher, Programs, service_log};
use model::{Schema, Value};
use sensors::{BuildContext, Built, Context, PackContext, Sensor, SensorState, build};
use serde_json::json;
use support::Recorder;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A pack's folder with a program, and what it has told.
struct Lab {
    folder: TempDir,
    recorder: Arc<Recorder>,
    parameters: Value,
    clock: Clock,
}

/// How one run of the program went.
type Ended = Result<(), String>;

impl Lab {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sensors")).unwrap();
        let parameters = json!({ "entry_point": "watch.sh" });
        let lab = Self { folder, recorder: Arc::default(), parameters, clock: Clock::System };
        lab.write(script);
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `$W` is the lab's folder.
    fn write(&self, script: &str) {
        let program = self.path("sensors/watch.sh");
        let text = format!("#!/bin/sh\nW='{}'\n{script}\n", self.folder.path().display());
        let whole = self.path("sensors/.new");
        std::fs::write(&whole, text).unwrap();
        std::fs::set_permissions(&whole, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(whole, program).unwrap();
    }

    fn context(&self, exec: Result<(), String>) -> BuildContext {
        let mut context = BuildContext::new("tripline:test/shop/watch", self.folder.path());
        let payload = json!({ "n": { "type": "integer", "required": true } });
        let payload = Schema::compile(payload.as_object().unwrap()).unwrap();
        context.pack = Some(PackContext {
            name: "shop".parse().unwrap(),
            types: [("tick".parse().unwrap(), payload)].into(),
            exec,
            programs: Programs::new(&self.path("state"), launcher()),
            log: self.path("watch.log"),
        });
        context
    }

    fn sensor(&self) -> Arc<dyn Sensor> {
        let parameters = self.parameters.as_object().unwrap();
        match build("process", parameters, &self.context(Ok(()))).unwrap() {
            Built::Task(sensor) => sensor,
            Built::Webhook(_) => unreachable!(),
        }
    }

    async fn run(&self, cancel: &CancellationToken) -> Ended {
        let context = Context {
            source: "tripline:test/shop/watch".to_owned(),
            cursor: self.recorder.cursor(),
            behind: false,
            sink: self.recorder.as_ref(),
            memory: self.recorder.as_ref(),
            clock: self.clock.clone(),
            cancel: cancel.clone(),
        };
        let sensor = self.sensor();
        let run = tokio::time::timeout(Duration::from_secs(60), sensor.run(context));
        run.await.expect("it ends").map_err(|error| error.to_string())
    }

    /// Runs it until it ends by itself; why.
    async fn fails(&self) -> String {
        self.run(&CancellationToken::new()).await.unwrap_err()
    }

    /// Runs it until it has told so many events, and ends it.
    async fn tells(&self, count: usize) {
        let cancel = CancellationToken::new();
        let wanted = async {
            self.recorder.until("events", |r| events(r) >= count).await;
            cancel.cancel();
        };
        let (ended, ()) = tokio::join!(self.run(&cancel), wanted);
        assert_eq!(ended, Ok(()));
    }

    fn numbers(&self) -> Vec<i64> {
        let events = self.recorder.events();
        events.iter().map(|event| event.data["n"].as_i64().unwrap()).collect()
    }
}

fn events(recorded: &support::Recorded) -> usize {
    recorded.emissions.iter().map(|emission| emission.events.len()).sum()
}

fn launcher() -> Launcher {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("examples/sensor-exec-child");
    assert!(program.exists(), "build it first: cargo build --example sensor-exec-child");
    Launcher { program, args: Vec::new() }
}

/// Counts from the cursor on.
const COUNTER: &str = r#"
    read given
    n=$(printf %s "$given" | sed -n 's/.*"cursor":\([0-9]*\).*/\1/p'); n=${n:-0}
    while [ $n -lt 1000 ]; do
        n=$((n+1))
        echo "{\"type\": \"tick\", \"id\": \"$n\", \"data\": {\"n\": $n}}"
        echo "{\"cursor\": $n}"
        sleep 0.01
    done"#;

#[tokio::test]
async fn a_program_gets_its_secrets_and_its_log_shows_none_of_them() {
    let mut lab = Lab::new(
        r#"tee "$W/given" | cat >&2; echo '{"type": "tick", "data": {"n": 1}}'; sleep 1000"#,
    );
    std::fs::write(lab.path("queue.key"), "very-long-key\n").unwrap();
    lab.parameters["secrets"] = json!({ "key": { "file": "queue.key" } });
    lab.tells(1).await;
    let given: Value = serde_json::from_slice(&std::fs::read(lab.path("given")).unwrap()).unwrap();
    assert_eq!(given["secrets"], json!({ "key": "very-long-key" }));
    let log = service_log(&lab.path("watch.log")).unwrap();
    assert!(log.contains("[secret key]") && !log.contains("very-long-key"), "{log}");
    lab.parameters["secrets"] = json!({ "key": { "file": "gone.key" } });
    let refused = build("process", lab.parameters.as_object().unwrap(), &lab.context(Ok(())));
    assert!(refused.err().unwrap()[0].message.contains("gone.key cannot be read"));
}

#[tokio::test]
async fn events_are_stored_with_the_cursor_and_a_restart_goes_on_there() {
    let lab = Lab::new(COUNTER);
    lab.tells(3).await;
    lab.tells(6).await;
    let numbers = lab.numbers();
    let expected: Vec<i64> = (1..=numbers.len() as i64).collect();
    assert_eq!(numbers, expected, "none is lost, none told twice");
    let event = &lab.recorder.events()[0];
    assert_eq!(event.envelope.kind.as_str(), "shop.tick");
    assert_eq!(event.envelope.source, "tripline:test/shop/watch");
    lab.recorder.look(|recorded| {
        for emission in &recorded.emissions {
            if let Some(cursor) = &emission.cursor {
                let last = emission.events.last().map(|event| &event.data["n"]);
                assert!(last.is_none_or(|last| last == cursor), "a cursor comes with its events");
            }
        }
    });
}

#[tokio::test]
async fn what_is_not_stored_is_told_again_from_the_old_cursor() {
    let lab = Lab::new(COUNTER);
    lab.tells(2).await;
    let before = lab.numbers().len();
    lab.recorder.look(|recorded| recorded.refuse = 1);
    assert!(lab.fails().await.contains("could not be stored"));
    assert_eq!(lab.numbers().len(), before);
    lab.tells(before + 1).await;
    assert_eq!(lab.numbers()[before], before as i64 + 1);
}

#[tokio::test]
async fn a_line_that_is_no_event_ends_the_program_and_what_came_before_is_stored() {
    let good = r#"echo '{"type": "tick", "id": "1", "data": {"n": 1}}'"#;
    let after = r#"echo '{"cursor": "passed"}'; sleep 100"#;
    for (bad, told) in [
        ("echo starting up", "line 2 of the program's output is not JSON"),
        ("printf '\\377\\n'", "is not UTF-8"),
        (r#"echo '{"type": "tick", "data": {"n": "one"}}'"#, "does not fit the event type `tick`"),
        (r#"echo '{"type": "tock", "data": {}}'"#, "the event type `tock`, which the pack"),
        ("head -c 6000000 /dev/zero | tr '\\0' x", "has more than 5242880 bytes"),
        ("head -c 6000000 /dev/zero | tr '\\0' x; echo", "has more than 5242880 bytes"),
        (r#"printf '{"type": "tick"'; exit 0"#, "has no end"),
    ] {
        let lab = Lab::new(&format!("{good}\n{bad}\n{after}"));
        let error = lab.fails().await;
        assert!(error.contains(told), "{bad}: {error}");
        assert!(error.contains("print everything else to stderr"), "{error}");
        assert_eq!(lab.numbers(), [1], "{bad}");
        assert_eq!(lab.recorder.cursor(), None, "no cursor passes over it: {bad}");
    }
}

#[tokio::test]
async fn a_program_that_ends_is_told_with_its_last_words_and_its_log_is_kept() {
    let lab = Lab::new("echo 'no route to host' >&2; exit 7");
    assert_eq!(lab.fails().await, "the program ended with exit code 7: no route to host");
    assert_eq!(service_log(&lab.path("watch.log")).unwrap(), "no route to host\n");
    let lab = Lab::new("exit 0");
    assert_eq!(lab.fails().await, "the program ended with exit code 0");
    let lab = Lab::new("kill -9 $$");
    assert_eq!(lab.fails().await, "the program was ended by signal 9");
}

#[tokio::test]
async fn a_program_that_ends_runs_only_if_it_has_told_something() {
    for (told, states) in [
        ("", vec![]),
        (r#"echo '{"cursor": 1}'"#, vec![SensorState::Running]),
        (r#"echo '{"type": "tick", "data": {"n": 1}}'"#, vec![SensorState::Running]),
    ] {
        let lab = Lab::new(&format!("{told}\nexit 7"));
        lab.fails().await;
        assert_eq!(lab.recorder.look(|recorded| recorded.states.clone()), states, "{told}");
    }
}

#[tokio::test]
async fn a_program_that_tells_nothing_runs_once_it_has_lasted_a_minute() {
    let mut lab = Lab::new("sleep 1000");
    let start = "2026-01-01T00:00:00Z".parse().unwrap();
    lab.clock = Clock::simulated(start);
    let Clock::Simulated(hands) = lab.clock.clone() else { unreachable!() };
    let cancel = CancellationToken::new();
    let minute = async {
        // The first time that anything waits for is that at which it counts as healthy.
        lab.recorder.until("it waits", |it| it.states.is_empty() && hands.skip()).await;
        assert_eq!(lab.clock.now().duration_since(start).as_secs(), 60);
        lab.recorder.until("it runs", |it| it.states == [SensorState::Running]).await;
        cancel.cancel();
    };
    let (ended, ()) = tokio::join!(lab.run(&cancel), minute);
    assert_eq!(ended, Ok(()));
}

#[tokio::test]
async fn a_flood_is_stored_whole_in_bounded_pieces() {
    let mut lab = Lab::new(
        r#"i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo "{\"type\":\"tick\",\"data\":{\"n\":$i}}"; done"#,
    );
    let limits =
        json!({ "files": 64, "memory": "256MiB", "cpu": "1m", "events_per_second": 100_000 });
    lab.parameters["limits"] = limits;
    assert_eq!(lab.fails().await, "the program ended with exit code 0");
    assert_eq!(lab.numbers(), (1..=20_000).collect::<Vec<i64>>());
    lab.recorder.look(|recorded| {
        assert!(recorded.emissions.iter().all(|emission| emission.events.len() <= 50));
    });
    let ids: std::collections::BTreeSet<String> =
        lab.recorder.events().iter().map(|event| event.envelope.id.clone()).collect();
    assert_eq!(ids.len(), 20_000, "an event without an id gets one of its own");
}

#[tokio::test]
async fn a_program_that_prints_faster_than_it_may_waits_and_is_told_so() {
    let mut lab = Lab::new(
        r#"i=0; while :; do i=$((i+1)); echo "{\"type\":\"tick\",\"data\":{\"n\":$i}}"; done"#,
    );
    lab.parameters["limits"] = json!({ "events_per_second": 10 });
    let (cancel, begun) = (CancellationToken::new(), std::time::Instant::now());
    let waits = async {
        let waiting = |recorded: &support::Recorded| {
            recorded.states.iter().any(|state| matches!(state, SensorState::Waiting(_)))
        };
        lab.recorder.until("it waits", waiting).await;
        cancel.cancel();
    };
    let (ended, ()) = tokio::join!(lab.run(&cancel), waits);
    assert_eq!(ended, Ok(()), "it ends while it waits");
    let told = lab.numbers();
    let may = 10 * (begun.elapsed().as_secs() as usize + 2) + 50;
    assert!(told.len() <= may, "{} events", told.len());
    assert_eq!(told, (1..=told.len() as i64).collect::<Vec<_>>());
    let states = lab.recorder.look(|recorded| format!("{:?}", recorded.states));
    assert!(states.contains("more than 10 events a second"), "{states}");
}

#[tokio::test]
async fn a_program_that_takes_more_memory_or_time_than_it_may_is_ended_and_told() {
    let mut lab = Lab::new(
        "head -c 900M /dev/zero | tail -c 800M >/dev/null; echo \"tail ended with $?\" >&2; exit 3",
    );
    lab.parameters["limits"] = json!({ "memory": "64MiB" });
    let told = lab.fails().await;
    assert!(told.starts_with("the program ended with exit code 3: tail ended with "), "{told}");
    assert!(!told.ends_with(" 0"), "it got its memory: {told}");
    let mut lab = Lab::new("while :; do :; done");
    lab.parameters["limits"] = json!({ "cpu": "1s" });
    assert!(lab.fails().await.starts_with("the program was ended by signal "));
    for (limits, hint) in [
        (json!({ "cpu": "soon" }), "limits.cpu"),
        (json!({ "cpu": "10ms" }), "limits.cpu"),
        (json!({ "memory": "1KiB" }), "limits.memory"),
    ] {
        lab.parameters["limits"] = limits;
        let parameters = lab.parameters.as_object().unwrap();
        let errors = build("process", parameters, &lab.context(Ok(()))).unwrap_err();
        assert_eq!(errors[0].path, hint, "{errors:?}");
    }
}

#[tokio::test]
async fn a_program_is_given_its_parameters_and_little_else() {
    let mut lab =
        Lab::new("cat >$W/given; env >$W/environment; pwd >$W/pwd; ulimit -n >$W/files; exit 1");
    lab.parameters["parameters"] = json!({ "queue": "orders" });
    lab.parameters["limits"] = json!({ "files": 64 });
    lab.recorder.look(|recorded| recorded.cursor = Some(json!({ "at": 7 })));
    lab.fails().await;
    let read = |name: &str| std::fs::read_to_string(lab.path(name)).unwrap();
    let given: Value = serde_json::from_str(&read("given")).unwrap();
    let parameters = json!({ "queue": "orders" });
    assert_eq!(given, json!({ "cursor": { "at": 7 }, "parameters": parameters, "secrets": {} }));
    let environment = read("environment");
    let mut names: Vec<&str> =
        environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    names.sort_unstable();
    assert_eq!(names, ["HOME", "LANG", "PATH", "TRIPLINE_SENSOR"]);
    assert_eq!(read("files").trim(), "64");
    assert!(!std::path::Path::new(read("pwd").trim()).exists(), "its folder goes with it");
    lab.parameters["limits"] = json!({});
    lab.fails().await;
    let files = std::fs::read_to_string(lab.path("files")).unwrap();
    assert_eq!(files.trim(), "1024", "there is a limit where none is given");
}

#[tokio::test]
async fn a_program_that_does_not_want_to_end_is_killed_with_all_it_started() {
    let lab = Lab::new(
        r#"trap '' TERM; sleep 1000 & echo $! >$W/child; echo '{"type": "tick", "data": {"n": 1}}'; while :; do sleep 1; done"#,
    );
    lab.tells(1).await;
    let child = std::fs::read_to_string(lab.path("child")).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
    assert!(stat.is_err() || stat.unwrap().contains(") Z"), "its child has ended too");
}

#[tokio::test]
async fn a_pack_that_may_not_run_programs_has_no_such_sensor() {
    let lab = Lab::new(COUNTER);
    let parameters = lab.parameters.as_object().unwrap();
    let why = "the environment does not grant `shop` what it asks for".to_owned();
    let errors = build("process", parameters, &lab.context(Err(why.clone()))).unwrap_err();
    assert_eq!(errors[0].message, why);
    for entry_point in ["../watch.sh", "/bin/sh", ""] {
        let parameters = json!({ "entry_point": entry_point });
        let errors =
            build("process", parameters.as_object().unwrap(), &lab.context(Ok(()))).unwrap_err();
        assert!(errors[0].message.contains("leads out of the pack"), "{errors:?}");
    }
}
