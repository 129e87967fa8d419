//! A sensor that is a program: over a kill of the server, broken and repaired.

use std::fs;

use model::Timestamp;
use serde_json::json;

use crate::files::{PATIENCE, events_of, has_lines, lines, pack, sensor_is, text, world};
use crate::support::{World, eventually};

/// Counts from its cursor on, and notes its own process.
const COUNTER: &str = r#"
    echo $$ >>"$W/pids"
    echo "counting" >&2
    n=$(sed -n 's/.*"cursor":\([0-9]*\).*/\1/p'); n=${n:-0}
    while [ -d "$W" ]; do
        n=$((n+1))
        echo "{\"type\": \"tick\", \"id\": \"$n\", \"data\": {\"n\": $n}}"
        echo "{\"cursor\": $n}"
        sleep 0.05
    done"#;

fn watching(world: &World, script: &str) {
    let folder = world.folder().display();
    pack(world, "sensors/watch.sh", &format!("#!/bin/sh\nW='{folder}'\n{script}\n"));
}

fn counting() -> World {
    let world = world();
    watching(&world, COUNTER);
    pack(&world, "sensors/watch.yaml", "type: process\nparameters: { entry_point: watch.sh }\n");
    pack(&world, "triggers/tick.yaml", "payload: { n: { type: integer, required: true } }\n");
    pack(&world, "rules/tick.yaml", "trigger: { type: p.tick }\naction: { ref: core.noop }\n");
    world
}

/// Waits for so many events; their numbers.
fn ticks(world: &World, least: usize) -> Vec<u64> {
    let events = eventually(PATIENCE, || {
        let events = events_of(world, "p.tick");
        (events.len() >= least).then_some(events)
    });
    events.iter().map(|data| data["n"].as_u64().unwrap()).collect()
}

fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn a_program_goes_on_from_its_cursor_after_a_kill_and_its_survivor_is_ended() {
    let world = counting();
    let server = world.serve();
    let before = ticks(&world, 5).len();
    server.kill();
    let survivor = lines(&world, "pids").remove(0);
    let _server = world.serve();
    has_lines(&world, "pids", 2);
    assert!(!runs(&survivor), "the old program has ended before the new one began");
    let numbers = ticks(&world, before + 3);
    let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert_eq!(numbers, expected, "none is lost, none told twice");
}

#[test]
fn a_program_that_prints_rubbish_fails_visibly_until_it_is_repaired() {
    let world = counting();
    watching(&world, "echo 'no such queue' >&2; echo hello; sleep 1000");
    let _server = world.serve();
    let sensor = sensor_is(&world, "p.watch", "failing");
    let message = text(&sensor["message"]);
    assert!(message.starts_with("line 1 of the program's output is not JSON"), "{message}");
    assert!(!sensor["next_try"].is_null());
    let log = world.run(&["sensor", "logs", "p.watch"]).succeeded();
    assert!(log.stdout.starts_with("no such queue\n"), "{}", log.stdout);
    watching(&world, COUNTER);
    assert_eq!(ticks(&world, 2)[..2], [1, 2]);
    sensor_is(&world, "p.watch", "running");
}

#[test]
fn a_program_that_ends_is_started_again_after_pauses_that_grow_until_somebody_restarts_it() {
    let world = counting();
    watching(&world, "echo $$ >>\"$W/pids\"; exit 1");
    let _server = world.serve();
    let next_try = |after: Option<Timestamp>| -> Timestamp {
        eventually(PATIENCE, || {
            let sensor = world.json(&["sensor", "get", "p.watch"]);
            let next: Timestamp = sensor["next_try"].as_str()?.parse().unwrap();
            (Some(next) > after).then_some(next)
        })
    };
    let first = next_try(None);
    let second = next_try(Some(first));
    let third = next_try(Some(second));
    // It fails again at the time that was told, or later, and the pause after that is counted from there.
    let (pause, longer) = (second.duration_since(first), third.duration_since(second));
    assert!(pause.as_secs() >= 2 && longer.as_secs() >= 4, "{pause:?}, {longer:?}");
    assert_eq!(lines(&world, "pids").len(), 3, "one start for each");
    world.run(&["sensor", "restart", "p.watch"]).succeeded();
    has_lines(&world, "pids", 4);
}

#[test]
fn a_program_that_ends_again_and_again_goes_on_failing_while_it_runs_until_it_tells_something() {
    let world = counting();
    // Its second run lasts until it is told to end.
    watching(
        &world,
        r#"echo $$ >>"$W/pids"
        while [ "$(wc -l <"$W/pids")" -eq 2 ] && [ -d "$W" ] && [ ! -e "$W/end" ]; do sleep 0.05; done
        echo 'no route to host' >&2; exit 7"#,
    );
    let server = world.serve();
    sensor_is(&world, "p.watch", "failing");
    has_lines(&world, "pids", 2);
    let sensor = world.json(&["sensor", "get", "p.watch"]);
    assert_eq!((&sensor["state"], &sensor["restarts"]), (&json!("failing"), &json!(1)));
    assert_eq!(sensor["message"], "the program ended with exit code 7: no route to host");
    assert!(sensor["next_try"].is_null(), "it is being tried: {sensor:#}");
    let metrics = server.ask("GET", "/metrics", None).body;
    for told in [
        r#"tripline_sensor_state{sensor="p.watch",state="failing"} 1"#,
        r#"tripline_sensor_state{sensor="p.watch",state="running"} 0"#,
        r#"tripline_sensor_restarts_total{sensor="p.watch"} 1"#,
    ] {
        assert!(metrics.contains(told), "{told}\n{metrics}");
    }
    fs::write(world.folder().join("end"), "").unwrap();
    has_lines(&world, "pids", 3);
    watching(&world, COUNTER);
    ticks(&world, 1);
    sensor_is(&world, "p.watch", "running");
    let told = |kind: &str| events_of(&world, kind).len();
    eventually(PATIENCE, || (told("tripline.sensor.recovered") == 1).then_some(()));
    assert_eq!(told("tripline.sensor.failing"), 1);
}

#[test]
fn a_pack_that_does_not_ask_to_run_programs_runs_none() {
    let world = counting();
    pack(&world, "pack.yaml", "name: p\nversion: 1.0.0\npermissions: { actions: [core.*] }\n");
    let check = world.run(&["check", "packs"]).ended(1);
    assert!(format!("{}{}", check.stdout, check.stderr).contains("permissions.exec"), "{check:?}");
    let _server = world.serve();
    assert_eq!(world.json(&["sensor", "list"]), json!([]));
    assert_eq!(lines(&world, "pids"), Vec::<String>::new());
}

#[test]
fn what_a_program_does_not_see_starts_it_not_anew_and_its_events_go_on_being_counted() {
    let world = counting();
    let _server = world.serve();
    ticks(&world, 3);
    let sensor = || world.json(&["sensor", "get", "p.watch"]);
    assert_eq!(sensor()["rules"], json!(["p.tick"]));
    let rule = "description: now told\ntrigger: { type: p.tick }\naction: { ref: core.noop }\n";
    pack(&world, "rules/tick.yaml", rule);
    let described = || world.json(&["rule", "get", "p.tick"])["description"] == "now told";
    eventually(PATIENCE, || described().then_some(()));
    let before = ticks(&world, 3).len();
    ticks(&world, before + 3);
    assert_eq!(lines(&world, "pids").len(), 1, "the program goes on");
    // A script that it may look at is another matter.
    let counted = sensor()["events"].as_u64().unwrap();
    watching(&world, &format!("# another\n{COUNTER}"));
    has_lines(&world, "pids", 2);
    assert!(sensor()["events"].as_u64().unwrap() >= counted);
}
