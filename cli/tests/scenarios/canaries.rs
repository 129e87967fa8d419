//! More than fifty secrets are put through every road there is; then everything is searched for
//! them. Each road must have carried something: most of all a token, where a value would have been.

mod cluster;
mod mirror;
mod roads;
mod search;

use std::fs;

use serde_json::{Value, json};

use self::mirror::mirror;
use self::roads::{
    NAMED, PROGRAM_SENSOR, REFUSED, RESOLVED, SETTING_IN_STORE, TYPED, WEBHOOK, canaries, canary,
    furnish,
};
use self::search::Search;
use crate::collector::Collector;
use crate::files::{PATIENCE, sensor_is, start, text};
use crate::secret_store::signed;
use crate::support::{Server, World, client, eventually, send};

/// What each token begins with.
const TOKEN: &str = "tlsec_";

fn world(collector: &Collector) -> World {
    let world = World::new().with_variable("TRIPLINE_LOG", "trace");
    let settings = format!(
        "environment: outside/environment.yaml\ntelemetry: {{ endpoint: '{}' }}\n",
        collector.url()
    );
    world.write("tripline.yaml", &settings);
    furnish(&world, mirror());
    world
}

fn set_secrets(world: &World) {
    let named = NAMED.map(|n| (format!("named{n}"), n));
    let alone = [("setting", SETTING_IN_STORE), ("hook", WEBHOOK), ("spy", PROGRAM_SENSOR)];
    let alone = alone.map(|(name, n)| (name.to_owned(), n));
    for (name, n) in named.chain(alone) {
        world.run_with_input(&["secret", "set", &format!("p/{name}")], &canary(n)).succeeded();
    }
}

fn typed() -> String {
    json!({ "typed": TYPED.map(canary).collect::<Vec<_>>() }).to_string()
}

/// The command lines and environments of every process that can be read.
fn processes() -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        for name in ["cmdline", "environ"] {
            all.extend(fs::read(entry.path().join(name)).unwrap_or_default());
        }
    }
    all
}

/// The chain of all roads, until its last step waits; its id, and what it was given to know.
fn start_roads(world: &World) -> (String, Vec<String>) {
    let started = ["run", "p.roads", "--params", "-", "--detach"];
    let id = world.run_with_input(&started, &typed()).line();
    eventually(PATIENCE * 2, || {
        let state = world.execution(&id)["state"].clone();
        let ended = ["failed", "succeeded"].map(Value::from).contains(&state);
        (world.path("lingers").exists() || ended).then_some(())
    });
    let kept: Value = serde_json::from_str(&world.read("kept")).unwrap();
    let kept = kept["a"].as_array().unwrap().iter().map(text).collect();
    (id, kept)
}

/// A program dies in the middle, and a person says what it came to.
fn resolve(world: &World, server: &Server, search: &mut Search) -> String {
    let id = start(world, "p.paying");
    world.reaches(&id, &["needs_attention"]);
    let said = json!({ "resolution": { "done": { "session": canary(RESOLVED) } } });
    let answer = server.ask("POST", &format!("/api/v1/executions/{id}/resolve"), Some(&said));
    assert_eq!(answer.status, 202, "{answer:?}");
    world.reaches(&id, &["succeeded"]);
    let told = world.execution(&id).to_string();
    search.road("what a person said that a step came to", told, TOKEN);
    id
}

/// What is refused is not told back.
fn refused(world: &World, server: &Server, search: &mut Search) {
    let parameters = json!({ "typed": [[canary(REFUSED)]] });
    let done = world.run_with_input(&["run", "p.told", "--params", "-"], &parameters.to_string());
    search.road("a refusal", done.ended(2).stderr, "not shown");
    for path in ["executions", "plans"] {
        let body = json!({ "action": "p.told", "parameters": parameters });
        let answer = server.ask("POST", &format!("/api/v1/{path}"), Some(&body));
        search.road(&format!("a refusal of /{path}"), answer.body, "not shown");
    }
}

fn plans(world: &World, server: &Server, search: &mut Search) {
    for format in ["table", "json"] {
        let dry = ["run", "p.planned", "--params", "-", "--dry-run", "-o", format];
        let done = world.run_with_input(&dry, &typed()).ended(1);
        assert!(done.stdout.contains("planned: "), "it went to its end: {}", done.stdout);
        search.road(&format!("a dry run as {format}"), done.stdout + &done.stderr, TOKEN);
    }
    let body =
        json!({ "action": "p.planned", "parameters": { "typed": [canary(20), canary(21)] } });
    let answer = server.ask("POST", "/api/v1/plans", Some(&body));
    search.road("/plans", answer.body, TOKEN);
}

fn deliver(server: &Server, search: &mut Search) {
    let good = signed(&canary(WEBHOOK), "{}");
    for (signature, body, status) in
        [(good.as_str(), "{}", 202), ("00", "{}", 401), (good.as_str(), "{ }", 401)]
    {
        let request = client().post(format!("{}/webhooks/p/hook", server.webhooks())).body(body);
        let request = request.header("content-type", "application/json");
        let answer = send(request.header("x-signature", signature));
        assert_eq!(answer.status, status, "{answer:?}");
        let told = format!("{:?} {}", answer.headers, answer.body);
        search.road(&format!("a webhook's {status}"), told, "content-length");
    }
}

/// The events as a listing tells them, once rules have asked for what follows from them.
fn events(world: &World) -> Vec<Value> {
    eventually(PATIENCE, || {
        let events = world.json(&["event", "list", "--limit", "500"]);
        let events = events.as_array().unwrap().clone();
        let told = |kind: &str| events.iter().any(|event| event["envelope"]["type"] == kind);
        let all = ["webhook.received", "p.spied", "tripline.execution.failed"];
        all.into_iter().all(told).then_some(events)
    })
}

/// Everything that the API says, and every command.
fn answers(world: &World, server: &Server, id: &str, search: &mut Search) {
    for (path, witness) in [
        ("executions?children=true&limit=1000", "p.roads"),
        (&format!("executions/{id}"), TOKEN),
        (&format!("executions/{id}%2F{}", child(world, id)), TOKEN),
        (&format!("executions/{id}/logs"), TOKEN),
        (&format!("executions/{id}/export"), TOKEN),
        ("events?limit=1000", "p.spied"),
        ("keys?limit=1000", "items"),
        ("secrets?limit=1000", "p/named0"),
        ("audit?limit=1000", "p/named0"),
        ("actions?limit=1000", "p.roads"),
        ("packs?limit=1000", "\"p\""),
        ("rules?limit=1000", "p.hooked"),
        ("sensors?limit=1000", "p/spy"),
        ("sensors/p%2Frepo", "127.0.0.1"),
        ("tokens?limit=1000", "reader"),
        ("triggers?limit=1000", "p.spied"),
    ] {
        let answer = server.ask("GET", &format!("/api/v1/{path}"), None);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        search.road(&format!("/{path}"), answer.body, witness);
    }
    let metrics = server.ask("GET", "/metrics", None).body;
    search.road("/metrics", &metrics, "tripline_executions{");
    search.road("/stream", stream(server, &metrics), TOKEN);
    for (arguments, witness) in [
        (&["execution", "list", "-o", "yaml"][..], "p.roads"),
        (&["execution", "list", "--children"], "p.child"),
        (&["execution", "get", id], "p.shout"),
        (&["execution", "get", id, "-o", "yaml"], TOKEN),
        (&["execution", "logs", id], TOKEN),
        (&["execution", "watch", id], "p.shout"),
        (&["execution", "export", id], TOKEN),
        (&["event", "list", "-o", "yaml"], "p.spied"),
        (&["rule", "list"], "p.hooked"),
        (&["rule", "get", "p.hooked"], "p.told"),
        (&["sensor", "list"], "p.spy"),
        (&["sensor", "get", "p/spy"], "spy.sh"),
        (&["pack", "get", "p"], "p"),
        (&["action", "get", "p.roads"], "typed"),
        (&["secret", "list"], "p/named0"),
        (&["audit", "list", "--limit", "500"], "p/named0"),
        (&["config", "show"], "outside/environment.yaml"),
        (&["doctor"], "the process"),
    ] {
        let done = world.run(arguments).succeeded();
        search.road(&arguments.join(" "), done.stdout + &done.stderr, witness);
    }
    for event in events(world) {
        let (key, kind) = (text(&event["key"]), text(&event["envelope"]["type"]));
        let told = world.run(&["event", "get", &key, "-o", "json"]).succeeded();
        let witness = match kind.as_str() {
            "p.spied" => "[secret key]",
            "tripline.execution.failed" if told.stdout.contains("p.child") => TOKEN,
            _ => kind.as_str(),
        };
        search.road(&format!("event get of a {kind}"), &told.stdout, witness);
        for now in [&[][..], &["--now"]] {
            let explain = [&["rule", "explain", key.as_str()], now].concat();
            let told = world.run(&explain).succeeded().stdout;
            let all = world.json(&[&explain[..], &["--all"]].concat()).to_string();
            search.road(&format!("rule explain {now:?} of a {kind}"), told + &all, "p.");
        }
    }
}

/// The step under which the failing chain ran.
fn child(world: &World, id: &str) -> String {
    let all = world.json(&["execution", "list", "--action", "p.child", "--children"]);
    let child = text(&all[0]["id"]);
    child.strip_prefix(&format!("{id}/")).unwrap().to_owned()
}

/// All facts so far, as the live stream tells them.
fn stream(server: &Server, metrics: &str) -> Vec<u8> {
    let total = metrics.lines().find_map(|line| line.strip_prefix("tripline_store_facts_total "));
    let last = format!("id: {}\n", total.unwrap());
    let url = format!("{}/api/v1/stream?after=0", server.api());
    let request = client().get(url).bearer_auth(server.token()).timeout(PATIENCE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut response, mut all) = (request.send().await.unwrap(), Vec::new());
        while !String::from_utf8_lossy(&all).contains(&last) {
            let chunk = response.chunk().await.unwrap();
            all.extend(chunk.expect("the stream goes on"));
        }
        all
    })
}

/// An exported run is a test; its chain changed, the test says how.
fn export(world: &World, id: &str, search: &mut Search) {
    world.run(&["execution", "export", id, "run.json"]).succeeded();
    search.road("the export", fs::read(world.path("run.json")).unwrap(), TOKEN);
    let test = ["pack", "test", "packs/p", "--from-execution", "run.json"];
    let passed = world.run(&test).succeeded();
    search.road("pack test of the export", passed.stdout + &passed.stderr, "1 passed");
    let chain = world.read("packs/p/actions/roads.rhai");
    world.write("packs/p/actions/roads.rhai", &world.read("outside/changed.rhai"));
    let failed = world.run(&[&test[..], &["--junit", "report.xml"]].concat()).ended(1);
    search.road("pack test of a changed chain", failed.stdout + &failed.stderr, TOKEN);
    search.road("its report", fs::read(world.path("report.xml")).unwrap(), TOKEN);
    world.write("packs/p/actions/roads.rhai", &chain);
}

#[test]
fn fifty_secrets_go_every_road_and_none_is_found() {
    let collector = Collector::start();
    let world = world(&collector);
    let server = world.serve();
    set_secrets(&world);
    world.run(&["token", "create", "reader", "--role", "viewer"]).succeeded();
    let (id, kept) = start_roads(&world);
    let mut values = canaries();
    for value in values.iter().take(45) {
        assert!(kept.contains(value), "{value} did not get to the program");
    }
    let generated = kept.len() - 10;
    values.extend(kept[generated..].iter().cloned());
    assert_eq!((kept.len(), values.len()), (55, 61));
    let search = &mut Search::new(&values);
    search.road("processes", processes(), "linger.sh");
    world.write("go", "");
    let view = world.reaches(&id, &["succeeded", "failed"]);
    assert_eq!(view["state"], "succeeded", "{view:#}");

    let downloaded = fs::read(world.path("state/exports/mirrored.json")).unwrap();
    search.road("a download", downloaded, TOKEN);

    sensor_is(&world, "p/repo", "failing");
    deliver(&server, search);
    resolve(&world, &server, search);
    refused(&world, &server, search);
    plans(&world, &server, search);
    events(&world);
    answers(&world, &server, &id, search);
    export(&world, &id, search);

    let backup = world.run(&["backup", "it.tar"]).succeeded();
    search.road("backup", backup.stdout + &backup.stderr, "checked");
    search.road("the backup", fs::read(world.path("it.tar")).unwrap(), TOKEN);
    server.stop();
    search.folder(&world.path("state"), 10);
    fs::rename(world.path("state"), world.path("lost")).unwrap();
    let restored = world.run(&["restore", "it.tar"]).succeeded();
    search.road("restore", restored.stdout + &restored.stderr, "needs_attention");
    search.folder(&world.path("state"), 5);
    let server = world.serve();
    answers(&world, &server, &id, search);
    server.stop();
    search.folder(&world.path("state"), 10);
    search.road("the server's log", fs::read(world.path("server.log")).unwrap(), "p.roads");
    search.road("spans", collector.bytes(), "step p.shout");
    let search = std::mem::replace(search, Search::new(&[]));
    assert!(search.found_nothing() > 100);
}
