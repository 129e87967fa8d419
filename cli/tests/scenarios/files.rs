//! What the scenarios' worlds are furnished with: a pack `p`, chains, programs that leave traces.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::support::{World, eventually};

/// How long a scenario waits for anything: the machine may be busy with others.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A world with a pack `p` that has nothing in it yet.
pub(crate) fn world() -> World {
    let world = World::new();
    world.write("tripline.yaml", "git: { allow_local: true }\n");
    pack(
        &world,
        "pack.yaml",
        "name: p\nversion: 1.0.0\npermissions: { actions: [core.*, datastore.*], secrets: ['hooks/*', 'env:*', 'file:/*'], hosts: ['127.0.0.1:*'], exec: true }\n",
    );
    world
}

/// Writes a file of the pack.
pub(crate) fn pack(world: &World, name: &str, text: &str) {
    world.write(&format!("packs/p/{name}"), text);
}

/// Writes a chain as the action `p.<name>`, which takes a parameter `a`.
pub(crate) fn chain(world: &World, name: &str, text: &str) {
    pack(world, &format!("actions/{name}.rhai"), text);
    let declared = format!("entry_point: {name}.rhai\nparameters: {{ a: {{}} }}\n");
    pack(world, &format!("actions/{name}.yaml"), &declared);
}

/// Writes a shell script as the action `p.<name>`. It may use the world's folder as `$W`.
pub(crate) fn program(world: &World, name: &str, effect: &str, text: &str) {
    let folder = world.folder().display();
    pack(world, &format!("actions/{name}.sh"), &format!("#!/bin/sh\nW='{folder}'\n{text}\n"));
    let declared = format!("entry_point: {name}.sh\neffect: {effect}\nparameters: {{ a: {{}} }}\n");
    pack(world, &format!("actions/{name}.yaml"), &declared);
}

/// The program `p.note`: its effect is a line with its key in `ledger`, made once however often it
/// runs; each run is a line in `attempts`. It does not begin before its gate is open.
pub(crate) fn note(world: &World) {
    let text = r#"
        step=${TRIPLINE_KEY#*/}
        until [ -e "$W/gates" ] || [ -e "$W/gate-$step" ]; do
            [ -d "$W" ] || exit 1
            sleep 0.02
        done
        grep -qxF "$TRIPLINE_KEY" "$W/ledger" 2>/dev/null || echo "$TRIPLINE_KEY" >>"$W/ledger"
        echo "$TRIPLINE_KEY $TRIPLINE_ATTEMPT" >>"$W/attempts""#;
    program(world, "note", "idempotent", text);
}

/// Opens the gate of `p.note` for one step.
pub(crate) fn open_gate(world: &World, step: &str) {
    world.write(&format!("gate-{step}"), "");
}

/// Opens all of them.
pub(crate) fn open_gates(world: &World) {
    world.write("gates", "");
}

/// The lines of a file; none while it is not there.
pub(crate) fn lines(world: &World, name: &str) -> Vec<String> {
    let text = fs::read_to_string(world.path(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Waits until a file has so many lines.
#[track_caller]
pub(crate) fn has_lines(world: &World, name: &str, count: usize) {
    eventually(PATIENCE, || (lines(world, name).len() >= count).then_some(()));
}

/// Starts an action in the background.
#[track_caller]
pub(crate) fn start(world: &World, action: &str) -> String {
    world.run(&["run", action, "--detach"]).line()
}

/// The ids of all executions of an action.
pub(crate) fn executions_of(world: &World, action: &str) -> Vec<String> {
    let listed = world.json(&["execution", "list", "--action", action]);
    listed.as_array().unwrap().iter().map(|row| text(&row["id"])).collect()
}

/// The data of all events of a type, oldest first.
pub(crate) fn events_of(world: &World, kind: &str) -> Vec<Value> {
    let listed = world.json(&["event", "list", "--type", kind, "--limit", "500"]);
    let newest_first = listed.as_array().unwrap().iter();
    let event = |row: &Value| world.json(&["event", "get", &text(&row["key"])])["data"].clone();
    newest_first.rev().map(event).collect()
}

/// Waits until a sensor stands so; the sensor.
#[track_caller]
pub(crate) fn sensor_is(world: &World, id: &str, state: &str) -> Value {
    eventually(PATIENCE, || {
        let sensor = world.json(&["sensor", "get", id]);
        (sensor["state"] == state).then_some(sensor)
    })
}

/// A JSON text without its quotes.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
