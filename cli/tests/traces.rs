//! Traces: one for each event, from whoever told it to the programs that its steps run; the same
//! over a `kill -9`.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/collector.rs"]
mod collector;
mod support;

use std::collections::{BTreeMap, BTreeSet};

use collector::{Collector, Received};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use support::{SOON, World, client, eventually, send};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OUTER: &str = "b7ad6b7169203331";
/// What tracing systems know of that trace.
const STATE: &str = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";

/// A pack whose rule runs a chain: a request, a program that writes its place in the trace to the
/// file `told` and ends once the file `hold` is gone, and a child.
fn world(collector: &Collector) -> World {
    let world = World::new();
    world.write(
        "packs/shop/pack.yaml",
        "name: shop\nversion: 1.0.0\n\
         permissions: { actions: ['*'], exec: true, hosts: ['127.0.0.1:*'] }\n",
    );
    world.write("packs/shop/triggers/ordered.yaml", "payload: { item: { type: string } }\n");
    world.write(
        "packs/shop/rules/ship.yaml",
        "trigger: { type: shop.ordered }\n\
         action: { ref: shop.ship, parameters: { item: '${trigger.item}' } }\n",
    );
    let ship = "entry_point: ship.rhai\nparameters: { item: {} }\n";
    world.write("packs/shop/actions/ship.yaml", ship);
    let chain = format!(
        "run(\"http.request\", #{{ url: \"{}/ask\", query: #{{ item: params.item }} }});\n\
         run(\"shop.tell\", #{{}});\n\
         run(\"shop.child\", #{{}})\n",
        collector.url()
    );
    world.write("packs/shop/actions/ship.rhai", &chain);
    world.write("packs/shop/actions/child.yaml", "entry_point: child.rhai\n");
    world.write(
        "packs/shop/actions/child.rhai",
        "let fail = #{ message: \"a-secret\" };\n\
         try { run(\"core.fail\", fail, #{ retry: #{ attempts: 1 } }) } catch (e) { e.kind }\n",
    );
    world.write("packs/shop/actions/tell.yaml", "entry_point: tell.sh\neffect: idempotent\n");
    let (told, hold) = (world.path("told"), world.path("hold"));
    let tell = format!(
        "#!/bin/sh\necho \"${{TRACEPARENT-none}} ${{TRACESTATE-none}}\" >> {}\n\
         while [ -e {} ]; do sleep 0.05; done\n",
        told.display(),
        hold.display()
    );
    world.write("packs/shop/actions/tell.sh", &tell);
    world
}

fn with_traces(world: World, collector: &Collector) -> World {
    world.write("tripline.yaml", &format!("telemetry: {{ endpoint: '{}' }}\n", collector.url()));
    world
}

/// Tells an event from a place in a trace; the execution that it causes.
fn emit_from(world: &World, place: &str) -> String {
    world.write("order.json", r#"{"item":"a-bike"}"#);
    let arguments = ["event", "emit", "shop.ordered", "--data", "order.json", "-o", "json"];
    let done = world
        .client(&arguments)
        .env("TRACEPARENT", place)
        .env("TRACESTATE", STATE)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let emitted: Value = serde_json::from_slice(&done.stdout).unwrap();
    emitted["executions"][0].as_str().unwrap().to_owned()
}

/// The spans of a trace by name, once the execution that began it is among them.
fn spans_of(collector: &Collector, trace: &str) -> BTreeMap<String, Received> {
    eventually(SOON, || {
        let spans = collector.spans().into_iter().filter(|received| received.trace() == trace);
        let spans: BTreeMap<_, _> = spans.map(|one| (one.span.name.clone(), one)).collect();
        spans.contains_key("execution shop.ship").then_some(spans)
    })
}

/// `a < b`: a is a part of b.
fn parts(spans: &BTreeMap<String, Received>) -> Vec<String> {
    let named = |id: &str| {
        let found = spans.values().find(|one| one.id() == id);
        found.map_or_else(|| id.to_owned(), |one| one.span.name.clone())
    };
    spans.values().map(|one| format!("{} < {}", one.span.name, named(&one.parent()))).collect()
}

#[test]
fn one_trace_goes_from_who_told_the_event_to_what_its_steps_run() {
    let collector = Collector::start();
    let world = with_traces(world(&collector), &collector);
    let _server = world.serve();
    world.reaches(&emit_from(&world, &format!("00-{TRACE}-{OUTER}-01")), &["succeeded"]);

    let spans = spans_of(&collector, TRACE);
    let expected = [
        "attempt core.fail < step core.fail",
        "attempt http.request < step http.request",
        "attempt shop.tell < step shop.tell",
        &format!("event shop.ordered < {OUTER}"),
        "execution shop.child < step shop.child",
        "execution shop.ship < event shop.ordered",
        "rules < event shop.ordered",
        "step core.fail < execution shop.child",
        "step http.request < execution shop.ship",
        "step shop.child < execution shop.ship",
        "step shop.tell < execution shop.ship",
    ];
    assert_eq!(parts(&spans), expected);

    let place = |name: &str| format!("00-{TRACE}-{}-01", spans[name].id());
    assert_eq!(world.read("told").trim(), format!("{} {STATE}", place("attempt shop.tell")));
    assert_eq!(collector.asked_from(), [[place("attempt http.request"), STATE.to_owned()]]);
    let failed = &spans["step core.fail"];
    assert_eq!(failed.attribute("error.type").as_deref(), Some("failed"));
    assert_eq!(failed.span.status.as_ref().unwrap().code, 2);
    assert_eq!(spans["execution shop.ship"].attribute("tripline.rule").unwrap(), "shop.ship");
    assert!(spans.values().all(|one| one.service == "tripline"));
    assert!(spans.values().all(|one| one.span.trace_state == STATE), "{spans:#?}");
    assert!(spans.values().all(|one| one.span.end_time_unix_nano >= one.span.start_time_unix_nano));
    let sent = String::from_utf8_lossy(&collector.bytes()).into_owned();
    assert!(!sent.contains("a-bike") && !sent.contains("a-secret"), "values are in attributes");
}

#[test]
fn a_trace_goes_on_over_a_kill() {
    let collector = Collector::start();
    let world = with_traces(world(&collector), &collector);
    world.write("hold", "");
    let server = world.serve();
    let id = world.emit("shop.ordered", &json!({ "item": "car" })).remove(0);
    eventually(SOON, || world.path("told").exists().then_some(()));
    let event = eventually(SOON, || {
        collector.spans().into_iter().find(|one| one.span.name == "event shop.ordered")
    });
    assert_eq!(event.parent(), "", "nobody told it from a trace");
    server.kill();
    std::fs::remove_file(world.path("hold")).unwrap();
    let _server = world.serve();
    world.reaches(&id, &["succeeded"]);

    let spans = spans_of(&collector, &event.trace());
    let told = parts(&spans);
    assert!(spans.values().all(|one| one.span.trace_state.is_empty()), "{spans:#?}");
    for part in [
        "execution shop.ship < event shop.ordered",
        "step shop.tell < execution shop.ship",
        "attempt shop.tell < step shop.tell",
        "execution shop.child < step shop.child",
    ] {
        assert!(told.contains(&part.to_owned()), "{part}: {told:#?}");
    }
    let places = world.read("told");
    let places: Vec<&str> = places.lines().collect();
    assert_eq!(places.len(), 2, "one attempt before the kill, one after");
    assert!(places.iter().all(|place| place[3..].starts_with(&event.trace())), "{places:?}");
    assert_ne!(places[0], places[1], "each attempt is a span of its own");
}

#[test]
fn who_does_not_record_a_trace_gets_no_spans_of_it_and_is_told_on() {
    let collector = Collector::start();
    let world = with_traces(world(&collector), &collector);
    let server = world.serve();
    world.reaches(&emit_from(&world, &format!("00-{TRACE}-{OUTER}-00")), &["succeeded"]);
    let told = world.read("told");
    assert!(told.starts_with(&format!("00-{TRACE}-")), "{told}");
    assert!(told.trim().ends_with(&format!("-00 {STATE}")), "{told}");
    // Its end sends what there is.
    server.stop();
    assert!(collector.spans().iter().all(|received| received.trace() != TRACE));
}

#[test]
fn of_the_traces_that_begin_here_a_share_is_sent_whole_and_others_say_themselves() {
    let collector = Collector::start();
    let world = world(&collector);
    let settings = format!("telemetry: {{ endpoint: '{}', sample: 0.5 }}\n", collector.url());
    world.write("tripline.yaml", &settings);
    let server = world.serve();
    let begun: Vec<String> = (0..24)
        .map(|n| world.emit("shop.ordered", &json!({ "item": n.to_string() })).remove(0))
        .chain([emit_from(&world, &format!("00-{TRACE}-{OUTER}-01"))])
        .collect();
    for id in &begun {
        world.reaches(id, &["succeeded"]);
    }
    // Its end sends what there is.
    server.stop();
    let (spans, told) = (collector.spans(), world.read("told"));
    let places = told.lines().map(|place| (&place[3..35], &place[53..55] == "01"));
    let (sent, left): (Vec<_>, Vec<_>) = places.partition(|(_, recorded)| *recorded);
    assert!(sent.contains(&(TRACE, true)), "its own beginner records it: {told}");
    assert!(sent.len() > 1 && !left.is_empty(), "half of 24: {told}");
    assert_eq!(sent.len() + left.len(), 25);
    for (trace, recorded) in sent.into_iter().chain(left) {
        let of_it = spans.iter().filter(|received| received.trace() == trace);
        let names: BTreeSet<&str> = of_it.map(|one| one.span.name.as_str()).collect();
        let whole = ["event shop.ordered", "execution shop.ship", "step shop.child"];
        assert!(!recorded || whole.iter().all(|name| names.contains(name)), "{names:?}");
        assert!(recorded || names.is_empty(), "{trace}: {names:?}");
    }
}

#[test]
fn a_collector_that_never_answers_holds_nothing_up() {
    let collector = Collector::start();
    collector.be_silent();
    let world = with_traces(world(&collector), &collector);
    let server = world.serve();
    for item in ["a", "b"] {
        let id = world.emit("shop.ordered", &json!({ "item": item })).remove(0);
        world.reaches(&id, &["succeeded"]);
    }
    server.stop();
    assert_eq!(collector.spans().len(), 0);
}

#[test]
fn lines_of_the_log_about_an_execution_say_its_trace() {
    let collector = Collector::start();
    let world = world(&collector);
    world.write(
        "packs/shop/actions/child.yaml",
        "entry_point: child.rhai\nresult: { n: { type: integer } }\n",
    );
    world.write("packs/shop/actions/child.rhai", "#{ n: \"none\" }\n");
    let server = world.serve();
    world.reaches(&emit_from(&world, &format!("00-{TRACE}-{OUTER}-01")), &["succeeded"]);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("the result of `shop.child`"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains(&format!("execution{{trace=\"{TRACE}\"}}")), "{line}");
}

#[test]
fn without_a_collector_nothing_is_sent_along() {
    let collector = Collector::start();
    let world = world(&collector);
    let _server = world.serve();
    world.reaches(&emit_from(&world, &format!("00-{TRACE}-{OUTER}-01")), &["succeeded"]);
    assert_eq!(world.read("told"), "none none\n");
    assert_eq!(collector.asked_from(), [["", ""]]);
    assert_eq!(collector.spans().len(), 0);
}

/// A rule on any event of a type, and the parents of its event and execution in the outer trace.
fn continues(collector: &Collector, world: &World, kind: &str) {
    let spans = eventually(SOON, || {
        let spans = collector.spans().into_iter().filter(|one| one.trace() == TRACE);
        let spans: BTreeMap<_, _> = spans.map(|one| (one.span.name.clone(), one)).collect();
        spans.contains_key("execution core.noop").then_some(spans)
    });
    let told = parts(&spans);
    for part in [
        format!("event {kind} < {OUTER}"),
        format!("rules < event {kind}"),
        format!("execution core.noop < event {kind}"),
    ] {
        assert!(told.contains(&part), "{part}: {told:#?}");
    }
    let events = world.json(&["event", "list", "--type", kind]);
    let place = events[0]["envelope"]["traceparent"].as_str();
    assert_eq!(place, Some(format!("00-{TRACE}-{OUTER}-01").as_str()));
    assert_eq!(events[0]["envelope"]["tracestate"], STATE);
}

fn on(world: &World, kind: &str) {
    let rule = format!("trigger: {{ type: {kind} }}\naction: {{ ref: core.noop }}\n");
    world.write("packs/shop/rules/any.yaml", &rule);
}

#[test]
fn a_webhook_s_sender_finds_in_its_own_trace_what_was_made_of_it() {
    let collector = Collector::start();
    let world = with_traces(world(&collector), &collector);
    on(&world, "webhook.received");
    world.write("hook.secret", "0123456789abcdef");
    let file = world.path("hook.secret");
    let sensor = format!(
        "type: webhook\nparameters:\n  secrets: [{{ file: {} }}]\n  \
         signature: {{ header: X-Signature }}\n",
        file.display()
    );
    world.write("packs/shop/sensors/hook.yaml", &sensor);
    let secret = format!("  secrets: ['file:{}']\n", file.display());
    let pack = world.read("packs/shop/pack.yaml");
    let permissions = "permissions: { actions: ['*'], exec: true, hosts: ['127.0.0.1:*'] }\n";
    assert!(pack.contains(permissions));
    let spelled =
        format!("permissions:\n  actions: ['*']\n  exec: true\n  hosts: ['127.0.0.1:*']\n{secret}");
    world.write("packs/shop/pack.yaml", &pack.replace(permissions, &spelled));
    let server = world.serve();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"0123456789abcdef").unwrap();
    mac.update(b"{}");
    let signature = mac.finalize().into_bytes();
    let signature = signature.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let request = client().post(format!("{}/webhooks/shop/hook", server.webhooks()));
    let request = request.header("content-type", "application/json").body("{}");
    let request = request.header("x-signature", signature);
    let answer = send(
        request.header("traceparent", format!("00-{TRACE}-{OUTER}-01")).header("tracestate", STATE),
    );
    assert_eq!(answer.status, 202, "{answer:?}");
    continues(&collector, &world, "webhook.received");
}

#[test]
fn a_sensor_s_program_says_by_which_trace_it_tells() {
    let collector = Collector::start();
    let world = with_traces(world(&collector), &collector);
    on(&world, "shop.seen");
    world.write("packs/shop/triggers/seen.yaml", "payload: {}\n");
    world.write(
        "packs/shop/sensors/watch.yaml",
        "type: process\nparameters: { entry_point: watch.sh }\n",
    );
    let line = format!(
        r#"{{"type": "seen", "id": "1", "data": {{}}, "traceparent": "00-{TRACE}-{OUTER}-01", "tracestate": "{STATE}"}}"#
    );
    let watch = format!(
        "#!/bin/sh\necho '{line}'\nwhile [ -d '{}' ]; do sleep 0.1; done\n",
        world.folder().display()
    );
    world.write("packs/shop/sensors/watch.sh", &watch);
    let _server = world.serve();
    continues(&collector, &world, "shop.seen");
}
