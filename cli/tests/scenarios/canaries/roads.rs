//! The pack whose chains, rules and sensors send secrets along every road.

use std::net::SocketAddr;

use serde_json::json;

use crate::files::{chain, pack, program};
use crate::support::World;

/// Values that need escaping everywhere.
pub(crate) fn canary(n: usize) -> String {
    format!("canary{n:02} \"{}\" /+?&=ü{n}", n * 7_919 + 1_000)
}

/// Which canary is what; those that `secrets.generate` makes come on top.
pub(crate) const NAMED: std::ops::Range<usize> = 0..20;
pub(crate) const TYPED: std::ops::Range<usize> = 20..30;
const RESULTS: std::ops::Range<usize> = 40..50;
const SETTING_IN_FILE: usize = 50;
pub(crate) const SETTING_IN_STORE: usize = 51;
const HTTP_CREDENTIALS: usize = 52;
const GIT_CREDENTIALS: usize = 53;
pub(crate) const WEBHOOK: usize = 54;
pub(crate) const PROGRAM_SENSOR: usize = 55;
pub(crate) const RESOLVED: usize = 56;
pub(crate) const REFUSED: usize = 57;
const CHAINED: usize = 58;
pub(crate) const LOGGED_IN: usize = 59;
pub(crate) const COOKIE: usize = 60;

/// All of them.
pub(crate) fn canaries() -> Vec<String> {
    let alone = [
        SETTING_IN_FILE,
        SETTING_IN_STORE,
        CHAINED,
        LOGGED_IN,
        COOKIE,
        HTTP_CREDENTIALS,
        GIT_CREDENTIALS,
        WEBHOOK,
        PROGRAM_SENSOR,
        RESOLVED,
        REFUSED,
    ];
    NAMED.chain(TYPED).chain(RESULTS).chain(alone).map(canary).collect()
}

pub(crate) fn furnish(world: &World, mirror: SocketAddr) {
    let manifest = "name: p\nversion: 1.0.0\n\
        permissions: { actions: ['*'], exec: true, secrets: ['p/*'], hosts: ['127.0.0.1:*'], connections: [mirror, repo] }\n\
        config_schema: { one: { type: string, secret: true }, other: { type: string, secret: true } }\n";
    pack(world, "pack.yaml", manifest);
    environment(world, mirror);
    programs(world);
    chains(world, mirror);
    sensors(world);
}

fn environment(world: &World, mirror: SocketAddr) {
    let environment = format!(
        "connections:\n\
         \x20 mirror: {{ type: http, base_url: 'http://{mirror}/', credentials: {{ file: mirror }}, auth: basic, packs: [p] }}\n\
         \x20 repo: {{ type: git, url: 'https://127.0.0.1:1/team', credentials: {{ file: repo }}, packs: [p] }}\n\
         packs:\n\
         \x20 p: {{ config: {{ one: {{ file: setting }}, other: {{ secret: p/setting }} }} }}\n"
    );
    world.write("outside/environment.yaml", &environment);
    world.write("outside/mirror", &format!("user:{}", canary(HTTP_CREDENTIALS)));
    world.write("outside/repo", &format!("user:{}", canary(GIT_CREDENTIALS)));
    world.write("outside/setting", &canary(SETTING_IN_FILE));
}

fn programs(world: &World) {
    let shout = "input=$(cat); printf '%s' \"$input\"; printf '%s' \"$input\" >&2; printf '%s' \"$input\" | base64 -w0 >&2";
    program(world, "shout", "idempotent", shout);
    program(world, "show", "read", shout);
    program(world, "keep", "idempotent", r#"cat > "$W/kept""#);
    program(world, "fail", "idempotent", "cat >&2; exit 3");
    let linger =
        r#"cat >/dev/null; touch "$W/lingers"; while [ ! -e "$W/go" ]; do sleep 0.05; done"#;
    program(world, "linger", "idempotent", linger);
    let results: Vec<String> = RESULTS.map(canary).collect();
    let printed = json!({ "sessions": results, "again": results }).to_string();
    world.write("outside/printed.json", &printed);
    program(world, "login", "idempotent", r#"cat "$W/outside/printed.json""#);
    let sessions = "result: { sessions: { type: array, items: { secret: true } }, again: {} }\n";
    pack(
        world,
        "actions/login.yaml",
        &format!("entry_point: login.sh\neffect: idempotent\n{sessions}"),
    );
    program(world, "pay", "unsafe", "kill -9 $$");
    pack(
        world,
        "actions/pay.yaml",
        "entry_point: pay.sh\neffect: unsafe\nresult: { session: { secret: true } }\n",
    );
}

/// A chain that takes `typed`, a list of secrets.
fn typed(world: &World, name: &str, text: &str) {
    chain(world, name, text);
    let declared = "parameters: { typed: { type: array, items: { type: string, secret: true } } }";
    pack(
        world,
        &format!("actions/{name}.yaml"),
        &format!("entry_point: {name}.rhai\n{declared}\n"),
    );
}

fn chains(world: &World, mirror: SocketAddr) {
    let roads = ROADS.replace("MIRROR", &mirror.to_string());
    typed(world, "roads", &roads);
    // As it may be changed after an execution was exported.
    world.write("outside/changed.rhai", &roads.replace("p.linger", "p.shout"));
    chain(world, "child", r#"run("p.shout", #{ a: params.a }); fail("child: " + params.a[0])"#);
    typed(world, "planned", &PLANNED.replace("MIRROR", &mirror.to_string()));
    // What a chain makes stands in no file as it is.
    let made = canary(CHAINED).replace('"', "\\\"").replacen("nary", "\" + \"nary", 1);
    let made = format!("let key = \"{made}\"; #{{ key: key, again: [`so ${{key}}`] }}");
    chain(world, "made", &made);
    let secret = "result: { key: { type: string, secret: true }, again: {} }";
    pack(world, "actions/made.yaml", &format!("entry_point: made.rhai\n{secret}\n"));
    chain(world, "paying", r#"run("p.shout", #{ a: run("p.pay").session })"#);
    typed(world, "told", r#"for one in params.typed { log(one) } params.typed"#);
}

/// What everything goes through.
const ROADS: &str = r#"
    let all = run("p.login").sessions;
    for typed in params.typed { all.push(typed); }
    for n in 0..20 { all.push(secret(`p/named${n}`)); }
    all.push(config.one);
    all.push(config.other);
    let made = run("p.made");
    all.push(made.key);
    let login = run("http.request", #{ url: "http://MIRROR/login", method: "POST",
        secrets: ["json.access_token", "headers.set-cookie"] });
    all.push(login.json.access_token);
    all.push(login.headers["set-cookie"]);
    for n in 0..10 { all.push(run("secrets.generate", #{ length: 24 })); }
    run("p.keep", #{ a: all });
    try { run("p.child", #{ a: all }); } catch (e) { log(e.message); }
    let shouted = run("p.shout", #{ a: [all, all.map(|one| base64("x" + one))] });
    let once = #{ retry: #{ attempts: 1 } };
    let told = [shouted, made, login, run("http.request", #{ connection: "mirror", url: "connected" })];
    told.push(run("http.request", #{ url: "http://MIRROR/", method: "POST", json: all,
        download: #{ to: "mirrored.json" } }));
    for one in all {
        try { run("p.fail", #{ a: one }, once); } catch (e) { told.push(e); log(e.message); }
        let asked = #{ url: "http://MIRROR/" + url_encode(one), method: "POST",
            headers: #{ "authorization": "Basic " + base64("u:" + one) }, json: #{ one: one } };
        told.push(run("http.request", asked));
        for url in ["http://MIRROR/fail/" + url_encode(one), "http://127.0.0.1:1/" + url_encode(one), one] {
            try { run("http.request", #{ url: url }, once); } catch (e) { told.push(e); }
        }
    }
    try { emit("p.told", #{ a: all }); } catch (e) { told.push(e); }
    try { run("datastore.set", #{ key: "k", value: all }); } catch (e) { told.push(e); }
    run("p.linger", #{ a: all });
    told
"#;

/// What a dry run follows to its end.
const PLANNED: &str = r#"
    let all = [secret("p/named0"), config.one, config.other, run("secrets.generate", #{ length: 24 })];
    for typed in params.typed { all.push(typed); }
    all.push(run("p.made").key);
    all.push(run("http.request", #{ url: "http://MIRROR/login", secrets: ["json.access_token", "headers.set-cookie"] }).json.access_token);
    run("p.show", #{ a: all });
    run("p.shout", #{ a: all });
    for one in all {
        run("http.request", #{ url: "http://MIRROR/" + url_encode(one) });
        run("http.request", #{ url: "http://MIRROR/", method: "POST", json: #{ one: base64(one) } });
        try { run("http.request", #{ url: "http://MIRROR/fail/" + url_encode(one) }); } catch (e) { log(e.message); }
    }
    run("http.request", #{ connection: "mirror", url: "connected" });
    fail("planned: " + all[0] + all[4])
"#;

fn sensors(world: &World) {
    pack(world, "triggers/told.yaml", "description: told\npayload: { a: {} }\n");
    pack(world, "triggers/spied.yaml", "description: spied\npayload: { a: {} }\n");
    pack(
        world,
        "sensors/hook.yaml",
        "type: webhook\nparameters:\n  secrets: [p/hook]\n  signature: { header: X-Signature }\n",
    );
    let spy = "type: process\nparameters: { entry_point: spy.sh, secrets: { key: p/spy } }\n";
    pack(world, "sensors/spy.yaml", spy);
    let text = r#"input=$(cat)
        printf '%s\n' "$input" >&2
        printf '{"type":"spied","id":"1","data":{"a":%s}}\n' "$input"
        while [ -d "$W" ]; do sleep 0.1; done"#;
    let folder = world.folder().display();
    pack(world, "sensors/spy.sh", &format!("#!/bin/sh\nW='{folder}'\n{text}\n"));
    let repo = "type: git\nparameters: { connection: repo, url: app.git, refs: ['refs/heads/*'], every: 1s }\n";
    pack(world, "sensors/repo.yaml", repo);
    let to_told = |name: &str, trigger: &str, passed: &str| {
        let action = format!("action: {{ ref: p.told, parameters: {{ typed: [{passed}] }} }}");
        pack(world, &format!("rules/{name}.yaml"), &format!("trigger: {trigger}\n{action}\n"));
    };
    to_told(
        "hooked",
        "{ type: webhook.received, parameters: { sensor: hook } }",
        "'${config.one}', 'x ${config.other}'",
    );
    to_told("spied", "{ type: p.spied }", "'${config.one} and ${trigger.a}'");
    to_told("failed", "{ type: tripline.execution.failed }", "'${trigger.error.message}'");
    let pushed =
        "trigger: { type: git.push, parameters: { sensor: repo } }\naction: { ref: core.noop }\n";
    pack(world, "rules/pushed.yaml", pushed);
}
