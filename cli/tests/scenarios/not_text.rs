//! Bytes that are no UTF-8, wherever a user or another system may hand them in.

use std::io::Write;
use std::process::Stdio;

use crate::files::{events_of, pack, world};
use crate::support::{Answer, Server, client, send};
use crate::webhooks::{Delivery, receiver};

/// A JSON string with a byte that begins no character.
const BYTES: &[u8] = b"{\"a\": \"\xff\"}";

fn post(server: &Server, path: &str, body: &'static [u8]) -> Answer {
    let request = client().post(format!("{}{path}", server.api())).bearer_auth(server.token());
    send(request.header("content-type", "application/json").body(body))
}

#[test]
fn the_api_refuses_them_as_a_body_with_what_is_wrong() {
    let world = world();
    let server = world.serve();
    let bodies: [(&str, &[u8]); 3] = [
        ("/api/v1/events", b"{\"type\": \"p.\xff\"}"),
        ("/api/v1/executions", b"{\"action\": \"core.noop\", \"parameters\": {\"\xc3\": 1}}"),
        ("/api/v1/executions", b"\xff\xfe{\0}\0"),
    ];
    for (path, body) in bodies {
        let refused = post(&server, path, body);
        assert_eq!(refused.status, 400, "{path}: {refused:?}");
        let problem = refused.json();
        assert_eq!(problem["kind"], "invalid_parameters", "{path}: {problem:#}");
        assert!(problem["detail"].to_string().contains("not JSON"), "{path}: {problem:#}");
    }
    world.run(&["run", "core.noop"]).succeeded();
}

#[test]
fn a_webhook_refuses_them_however_well_they_are_signed() {
    let world = receiver();
    let server = world.serve();
    let refused = Delivery::of("d-1", BYTES).send(&server);
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.json()["detail"].to_string().contains("JSON"), "{refused:?}");
    assert_eq!(Delivery::of("d-1", b"{\"n\": 1}").send(&server).status, 202);
    assert_eq!(events_of(&world, "webhook.received").len(), 1);
}

#[test]
fn the_data_of_an_emitted_event_and_files_of_a_pack_are_refused_with_their_place() {
    let world = world();
    pack(&world, "triggers/told.yaml", "payload: { a: { type: string } }\n");
    let _server = world.serve();
    std::fs::write(world.path("data.json"), BYTES).unwrap();
    let refused = world.run(&["event", "emit", "p.told", "--data", "data.json"]).ended(2);
    assert!(
        refused.stderr.contains("data.json") && refused.stderr.contains("UTF-8"),
        "{refused:?}"
    );
    let mut command = world.client(&["event", "emit", "p.told", "--data", "-"]);
    command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(BYTES).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("standard input") && told.contains("UTF-8"), "{told}");
    assert!(events_of(&world, "p.told").is_empty());
    std::fs::write(world.path("packs/p/triggers/told.yaml"), b"description: \xff\n").unwrap();
    let checked = world.run(&["check", "packs"]).ended(1);
    let told = checked.stdout + checked.stderr.as_str();
    assert!(told.contains("told.yaml") && told.contains("UTF-8"), "{told}");
}
