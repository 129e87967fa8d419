//! What the documentation shows of shells besides our own commands, run as it is written.

use crate::examples::{Example, examples, type_into_shell};
use crate::files::{PATIENCE, executions_of};
use crate::support::{World, eventually};

const SENSORS: &str = "docs/guide/sensors.md";
/// Held by `server/tests/step.rs`.
const PROGRAMS: &str = "docs/guide/cluster-programs.md";
const SECRET: &str = "a secret of GitHub";

fn with_curl() -> Vec<Example> {
    let all = examples().into_iter();
    all.filter(|example| example.language == "sh" && example.text.contains("curl")).collect()
}

/// The example of the guide's page on sensors that has this in it.
fn example(part: &str) -> String {
    let mut all = examples().into_iter().filter(|example| example.page == SENSORS);
    all.find(|example| example.text.contains(part)).unwrap().text
}

#[test]
fn every_example_with_curl_is_run_by_a_test() {
    let pages: Vec<String> = with_curl().into_iter().map(|example| example.page).collect();
    assert_eq!(pages, [PROGRAMS, SENSORS]);
}

#[test]
fn a_webhook_is_tried_without_its_sender_as_the_guide_shows() {
    let world = World::new().with_variable("GITHUB_WEBHOOK_SECRET", SECRET);
    let pack =
        "name: web\nversion: 1.0.0\npermissions: { secrets: ['env:GITHUB_WEBHOOK_SECRET'] }\n";
    world.write("packs/web/pack.yaml", pack);
    world.write("packs/web/sensors/hooks.yaml", &example("# sensors/hooks.yaml"));
    world.write("packs/web/rules/announce.yaml", &example("parameters: { sensor: hooks }"));
    let announce = "entry_point: announce.rhai\nparameters: { version: { required: true } }\n";
    world.write("packs/web/actions/announce.yaml", announce);
    world.write("packs/web/actions/announce.rhai", "`announced ${params.version}`");
    let server = world.serve();

    let sender = with_curl().into_iter().find(|example| example.page == SENSORS).unwrap();
    // Tests have free ports.
    let text = sender.text.replace("http://127.0.0.1:7411", &server.webhooks());
    assert_ne!(text, sender.text);
    let told = type_into_shell(&text, world.folder(), &[("GITHUB_WEBHOOK_SECRET", SECRET)]);
    assert!(told.starts_with("HTTP/1.1 202 Accepted"), "{}: {told}", sender.place());
    let id = eventually(PATIENCE, || executions_of(&world, "web.announce").pop());
    let ended = world.reaches(&id, &["succeeded", "failed"]);
    assert_eq!(ended["outcome"]["result"], "announced v1.2.0", "{ended:#}");
}
