//! Many executions that sleep while the server is killed.

use futures::StreamExt;
use host::Clock;
use model::Duration;
use serde_json::{Value, json};

use crate::files::{PATIENCE, chain, world};
use crate::support::{Server, client, eventually};

const COUNT: u64 = 1_000;

/// Starts so many executions over the API, some at the same time.
fn start_many(server: &Server, count: u64, parameters: &Value) {
    let (url, token) = (format!("{}/api/v1/executions", server.api()), server.token());
    let (client, body) = (client(), json!({ "action": "p.sleeps", "parameters": parameters }));
    let one = |_| {
        let request = client.post(&url).bearer_auth(&token).json(&body);
        async { assert!(request.send().await.unwrap().status().is_success()) }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(futures::stream::iter(0..count).map(one).buffer_unordered(16).count());
}

/// Executions by state, and how many are in memory.
fn health(server: &Server) -> Value {
    server.ask("GET", "/api/v1/health", None).json()
}

fn waiting_are(server: &Server, count: u64) {
    eventually(PATIENCE, || (health(server)["executions"]["waiting"] == count).then_some(()));
}

#[test]
fn a_thousand_sleepers_wait_through_a_kill_and_wake_in_time() {
    let world = world();
    chain(&world, "sleeps", "sleep(params.a); \"awake\"");
    let server = world.serve();
    start_many(&server, COUNT, &json!({ "a": "1h" }));
    waiting_are(&server, COUNT);
    let short = world.run(&["run", "p.sleeps", "a=3s", "--detach"]).line();
    world.reaches(&short, &["waiting"]);
    server.kill();
    let server = world.serve();
    let execution = world.reaches(&short, &["succeeded"]);
    assert_eq!(execution["outcome"]["result"], "awake");
    let (wakes, ended) = (&execution["steps"][0]["next_at"], &execution["finished_at"]);
    assert!(wakes.is_null() && ended.is_string(), "{execution:#}");
    let health = health(&server);
    assert_eq!(health["executions"], json!({ "waiting": COUNT, "succeeded": 1 }));
    assert_eq!(health["active"], 0, "who sleeps takes no memory: {health}");
}

#[test]
fn a_thousand_sleepers_whose_time_came_while_nobody_was_there_all_wake_once() {
    let world = world();
    let text = "sleep_until(params.a); run(\"datastore.increment\", #{ key: \"woken\" }).value";
    chain(&world, "sleeps", text);
    let server = world.serve();
    let wakes = Duration::from_secs(20).after(Clock::System.now());
    start_many(&server, COUNT, &json!({ "a": wakes.to_string() }));
    // On a machine so slow that some of them wake before the kill, these count too.
    eventually(PATIENCE, || {
        let states = &health(&server)["executions"];
        let count = |state: &str| states[state].as_u64().unwrap_or(0);
        (count("waiting") + count("succeeded") == COUNT).then_some(())
    });
    server.kill();
    eventually(PATIENCE, || (Clock::System.now() > wakes).then_some(()));
    let server = world.serve();
    let all = json!({ "succeeded": COUNT });
    eventually(PATIENCE, || (health(&server)["executions"] == all).then_some(()));
    let woken = world.json(&["key", "get", "p/woken"]);
    assert_eq!(woken["value"], COUNT, "{woken:#}");
}
