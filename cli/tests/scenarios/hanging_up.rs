//! Hundreds of clients and senders hang up at any moment while a real server stores what they ask for.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::files::{PATIENCE, pack};
use crate::support::{Server, World, eventually};
use crate::webhooks::{Delivery, receiver};

/// Requests of each kind.
const EACH: u64 = 200;

/// Sends the request, and hangs up after so long unless it was answered before.
fn hang_up(address: &str, request: &[u8], after: Duration) {
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    stream.write_all(request).unwrap();
    stream.set_read_timeout(Some(after)).unwrap();
    // An answer, or the end of patience.
    let _ = stream.read(&mut [0]);
}

fn asked(server: &Server, path: &str, body: &serde_json::Value) -> Vec<u8> {
    let (body, token) = (body.to_string(), server.token());
    let length = body.len();
    let head = "Host: tripline\r\nContent-Type: application/json";
    format!("POST {path} HTTP/1.1\r\n{head}\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn executions(world: &World, more: &[&str]) -> usize {
    let listed = world.json(&[&["execution", "list", "--limit", "1000"], more].concat());
    listed.as_array().unwrap().len()
}

#[test]
fn whatever_is_stored_of_what_they_asked_ends() {
    let world = receiver();
    pack(&world, "triggers/asked.yaml", "payload: {}\n");
    let rule = "trigger: { type: p.asked }\naction: { ref: core.noop }\n";
    pack(&world, "rules/asked.yaml", rule);
    let server = world.serve();
    let (api, hooks) = (server.api(), server.webhooks());
    for n in 0..EACH {
        // At any moment of the milliseconds that a request takes.
        let after = |salt: u64| Duration::from_micros(100 + (n * 7_919 + salt * 2_741) % 6_000);
        let event = json!({ "type": "p.asked", "data": {} });
        hang_up(&api, &asked(&server, "/api/v1/events", &event), after(0));
        let action = json!({ "action": "core.noop", "parameters": {} });
        hang_up(&api, &asked(&server, "/api/v1/executions", &action), after(1));
        hang_up(&hooks, &Delivery::of(&n.to_string(), b"{}").text(), after(2));
    }
    let open = ["--states", "queued,running,waiting"];
    eventually(PATIENCE, || (executions(&world, &open) == 0).then_some(()));
    let stored = executions(&world, &[]);
    assert!(stored > 0, "everybody hung up before anything was stored");
    assert_eq!(executions(&world, &["--states", "succeeded"]), stored);
}
