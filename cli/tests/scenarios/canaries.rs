//! Fifty secrets are put through every road there is; then everything is searched for them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use serde_json::{Value, json};

use crate::files::{chain, pack, program, world};
use crate::support::{SOON, Server, World, eventually};

/// Values that need escaping everywhere.
fn canary(n: usize) -> String {
    format!("canary{n:02} \"{}\" /+?&=ü{n}", n * 7_919 + 1_000)
}

/// Answers every request with all that came, as an error under `/fail`.
fn mirror() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut chunk = [0; 4096];
            loop {
                let length = stream.read(&mut chunk).unwrap_or(0);
                request.extend_from_slice(&chunk[..length]);
                let text = String::from_utf8_lossy(&request).to_lowercase();
                let Some(head) = text.find("\r\n\r\n") else { continue };
                let length = text.split("content-length: ").nth(1);
                let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
                if request.len() >= head + 4 + length.unwrap_or(0) {
                    break;
                }
            }
            let failing = request.starts_with(b"GET /fail");
            let status = if failing { "400 Bad Request" } else { "200 OK" };
            let body = json!({ "mirrored": String::from_utf8_lossy(&request) }).to_string();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            // A client may have gone.
            let _ =
                stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        }
    });
    address
}

fn roads(world: &World, mirror: SocketAddr) {
    let manifest = "name: p\nversion: 1.0.0\npermissions: { actions: ['*'], exec: true, secrets: ['p/*'], hosts: ['127.0.0.1:*'] }\n";
    pack(world, "pack.yaml", manifest);
    pack(world, "triggers/told.yaml", "description: told\npayload: { a: {} }\n");
    let outside = world.path("outside");
    let shout = "input=$(cat); printf '%s' \"$input\"; printf '%s' \"$input\" >&2; printf '%s' \"$input\" | base64 -w0 >&2";
    program(world, "shout", "idempotent", shout);
    program(world, "keep", "idempotent", &format!("cat > {}", outside.display()));
    program(world, "fail", "idempotent", "cat >&2; exit 3");
    program(
        world,
        "linger",
        "idempotent",
        &format!(
            "cat >/dev/null; touch {0}.started; while [ ! -e {0}.go ]; do sleep 0.05; done",
            outside.display()
        ),
    );
    let results: Vec<String> = (40..50).map(canary).collect();
    let printed = json!({ "sessions": results, "again": results }).to_string();
    world.write("printed.json", &printed);
    program(world, "login", "idempotent", &format!("cat {}", world.path("printed.json").display()));
    pack(
        world,
        "actions/login.yaml",
        "entry_point: login.sh\neffect: idempotent\nresult: { sessions: { type: array, items: { secret: true } }, again: {} }\n",
    );
    chain(
        world,
        "roads",
        &r#"
        let all = run("p.login").sessions;
        for typed in params.typed { all.push(typed); }
        for n in 0..20 { all.push(secret(`p/named${n}`)); }
        for n in 0..10 { all.push(run("secrets.generate", #{ length: 24 })); }
        run("p.keep", #{ a: all });
        try { run("p.child", #{ all: all }); } catch (e) { log(e.message); }
        let shouted = run("p.shout", #{ a: [all, all.map(|one| base64("x" + one))] });
        let once = #{ retry: #{ attempts: 1 } };
        let told = [shouted];
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
        "#
        .replace("MIRROR", &mirror.to_string()),
    );
    pack(
        world,
        "actions/roads.yaml",
        "entry_point: roads.rhai\nparameters: { typed: { type: array, items: { type: string, secret: true } } }\n",
    );
    chain(world, "child", r#"run("p.shout", #{ a: params.all }); fail("child: " + params.all[0])"#);
    pack(world, "actions/child.yaml", "entry_point: child.rhai\nparameters: { all: {} }\n");
}

/// What would give a value away, in any file or answer.
fn forms(value: &str) -> Vec<String> {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let json = Value::from(value).to_string();
    let escaped = json[1..json.len() - 1].to_owned();
    let mut forms = vec![
        model::token::percent_encode(value),
        value.bytes().map(|byte| format!("{byte:02x}")).collect(),
    ];
    for plain in [value, &escaped] {
        for offset in 0..3 {
            let shifted = STANDARD.encode([&b"zz"[..offset], plain.as_bytes()].concat());
            forms.push(shifted[4..shifted.len() - 4].to_owned());
        }
    }
    forms.extend([value.to_owned(), escaped]);
    forms
}

fn found(place: &str, bytes: &[u8], values: &[String], hits: &mut Vec<String>) {
    let text = String::from_utf8_lossy(bytes);
    for value in values {
        for form in forms(value) {
            if let Some(at) = text.find(&form) {
                let around: String = text[at..].chars().take(120).collect();
                hits.push(format!("{place}: {value} as {form}: {around}"));
            }
        }
    }
}

fn search(folder: &Path, values: &[String], hits: &mut Vec<String>) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files += search(&path, values, hits);
        } else if let Ok(bytes) = fs::read(&path) {
            files += 1;
            found(&path.display().to_string(), &bytes, values, hits);
        }
    }
    files
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

fn answers(world: &World, server: &Server, id: &str) -> Vec<u8> {
    let mut all = Vec::new();
    let inside = id.replace('/', "%2F");
    for path in [
        "executions?children=true&limit=1000",
        &format!("executions/{inside}"),
        "events?limit=1000",
        "keys",
        "secrets",
        "audit",
        "actions",
        "packs",
        "sensors",
    ] {
        let answer = server.ask("GET", &format!("/api/v1/{path}"), None);
        all.extend(answer.body.into_bytes());
    }
    for arguments in
        [&["execution", "get", id][..], &["execution", "list", "-o", "yaml"], &["secret", "list"]]
    {
        let done = world.run(arguments);
        all.extend((done.stdout + &done.stderr).into_bytes());
    }
    all
}

#[test]
fn fifty_secrets_go_every_road_and_none_is_found() {
    let world = world().with_variable("TRIPLINE_LOG", "trace");
    roads(&world, mirror());
    let server = world.serve();
    for n in 0..20 {
        let path = format!("p/named{n}");
        world.run_with_input(&["secret", "set", &path], &canary(n)).succeeded();
    }
    let typed: Vec<String> = (20..30).map(canary).collect();
    let given = json!({ "typed": typed }).to_string();
    let started = ["run", "p.roads", "--params", "-", "--detach"];
    let id = world.run_with_input(&started, &given).line();
    let (mut hits, mut values) =
        (Vec::new(), (0..30).chain(40..50).map(canary).collect::<Vec<_>>());
    let begun = world.path("outside.started");
    eventually(SOON * 4, || {
        let ended =
            ["failed", "succeeded"].map(Value::from).contains(&world.execution(&id)["state"]);
        (begun.exists() || ended).then_some(())
    });
    let kept: Value = serde_json::from_str(&world.read("outside")).unwrap();
    let kept: Vec<&str> = kept["a"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(kept.len(), 50);
    for value in &values {
        assert!(kept.contains(&value.as_str()), "{value} did not get to the program");
    }
    values.extend(kept[40..].iter().map(ToString::to_string));
    assert_eq!(values.len(), 50);
    found("processes", &processes(), &values, &mut hits);
    world.write("outside.go", "");
    let view = world.reaches(&id, &["succeeded", "failed"]);
    found("while it runs", &answers(&world, &server, &id), &values, &mut hits);
    server.stop();
    found("the server's log", &fs::read(world.path("server.log")).unwrap(), &values, &mut hits);
    let files = search(&world.path("state"), &values, &mut hits);
    assert!(files > 10, "{files} files are no state folder");
    assert!(hits.is_empty(), "{} hits, such as {:#?}", hits.len(), &hits[..hits.len().min(5)]);
    assert_eq!(view["state"], "succeeded", "{view:#}");
}
