//! Files that a program in a cluster hands in are kept as they come; what they hold is nowhere else.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::roads::{NAMED, canary};
use super::search::Search;
use super::{TOKEN, stream};
use crate::cluster_programs::Here;
use crate::files::{chain, start, text};

/// It tells all that it was given on every way that it has.
const TELLS: &str = r#"
    input=$(cat)
    printf '%s' "$input" >&2
    printf '%s' "$input" >"$TRIPLINE_ARTIFACTS/given.json"
    printf '%s' "$input" | base64 -w0 >"$TRIPLINE_ARTIFACTS/given.base64"
    printf '%s' "$input""#;

const CHAIN: &str = r#"
    let all = [];
    for n in 0..20 { all.push(secret(`p/named${n}`)); }
    let told = run("p.tell", #{ a: all });
    log(told);
    told
"#;

#[test]
#[ignore = "needs the lab"]
fn secrets_in_a_file_that_a_program_in_a_cluster_hands_in_are_in_that_file_alone() {
    let here = Here::new();
    let here = Here { world: here.world.with_variable("TRIPLINE_LOG", "trace"), ..here };
    here.program("tell", "idempotent", TELLS, "");
    let world = &here.world;
    chain(world, "all", CHAIN);
    let server = here.serve();
    let values: Vec<String> = NAMED.map(canary).collect();
    for (n, value) in values.iter().enumerate() {
        world.run_with_input(&["secret", "set", &format!("p/named{n}")], value).succeeded();
    }
    let id = start(world, "p.all");
    let ended = world.reaches(&id, &["succeeded", "failed", "needs_attention"]);
    assert_eq!(ended["state"], "succeeded", "{ended:#}");

    let search = &mut Search::new(&values);
    let files = ["given.json", "given.base64"].map(|name| {
        let kept = text(&ended["outcome"]["result"]["artifacts"][name]["path"]);
        world.path("").join(kept)
    });
    let given: Value = serde_json::from_slice(&fs::read(&files[0]).unwrap()).unwrap();
    assert_eq!(given["a"], Value::from(values), "it is kept as it came");
    for file in &files {
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is its owner's alone", file.display());
    }

    let metrics = server.ask("GET", "/metrics", None).body;
    search.road("/stream", stream(&server, &metrics), TOKEN);
    for (arguments, witness) in [
        (&["execution", "get", &id][..], "p.tell"),
        (&["execution", "get", &id, "-o", "json"], "given.json"),
        (&["execution", "logs", &id], TOKEN),
        (&["execution", "export", &id], "given.json"),
    ] {
        let done = world.run(arguments).succeeded();
        search.road(&arguments.join(" "), done.stdout + &done.stderr, witness);
    }
    for file in files {
        fs::remove_file(file).unwrap();
    }
    world.run(&["backup", "it.tar"]).succeeded();
    search.road("the backup", fs::read(world.path("it.tar")).unwrap(), TOKEN);
    server.stop();
    search.folder(&world.path("state"), 10);
    let log = fs::read(world.path("server.log")).unwrap();
    search.road("the server's log", log, "step/artifacts/given.json");
    assert!(std::mem::replace(search, Search::new(&[])).found_nothing() > 5);
}
