//! Contexts: several servers by name, and which one a command goes to.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use support::{Done, World};

/// A server with a pack of this name, so that it can be told from others.
fn named(pack: &str) -> World {
    let world = World::new();
    world.write(&format!("packs/{pack}/pack.yaml"), &format!("name: {pack}\nversion: 1.0.0\n"));
    world
}

fn packs(done: Done) -> String {
    let rows: serde_json::Value = serde_json::from_str(&done.succeeded().stdout).unwrap();
    rows[0]["name"].as_str().unwrap().to_owned()
}

#[test]
fn a_command_goes_where_the_first_of_flag_variable_context_and_folder_says() {
    let (here, far) = (named("here"), named("far"));
    let (_server, server) = (here.serve(), far.serve());
    let list = ["pack", "list", "-o", "json"];
    here.write("far.token", &server.token());
    here.run(&["context", "set", "far", "--server", &server.api(), "--token-file", "far.token"])
        .succeeded();
    here.run(&["context", "set", "near", "--state", "state"]).succeeded();
    assert_eq!(packs(here.run(&list)), "here");
    assert_eq!(packs(here.run(&[&list[..], &["--context", "far"]].concat())), "far");
    here.run(&["context", "use", "far"]).succeeded();
    assert_eq!(packs(here.run(&list)), "far");
    assert_eq!(packs(here.run(&[&list[..], &["--context", "near"]].concat())), "here");
    assert_eq!(packs(here.run(&[&list[..], &["--state", "state"]].concat())), "here");
    let with_variable = |name: &str, value: &str| {
        let output = here.client(&list).env(name, value).output().unwrap();
        let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        rows[0]["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(with_variable("TRIPLINE_CONTEXT", "near"), "here");
    here.run(&["context", "use", "--none"]).succeeded();
    assert_eq!(with_variable("TRIPLINE_CONTEXT", "far"), "far");
    assert_eq!(packs(here.run(&list)), "here");
}

#[test]
fn the_token_of_a_context_is_sent_to_its_own_server_alone_and_never_shown() {
    let (here, far) = (named("here"), named("far"));
    let server = far.serve();
    here.write("far.token", &server.token());
    here.run(&["context", "set", "far", "--server", &server.api(), "--token-file", "far.token"])
        .succeeded();
    here.run(&["context", "use", "far"]).succeeded();
    // The same server, named by its address: the context's token is not for that.
    here.run(&["pack", "list", "--server", &server.api()]).ended(5);
    let shown = here.run(&["context", "list", "-o", "yaml"]).succeeded().stdout;
    assert!(!shown.contains("tripline_"), "{shown}");
    // Another server is not sent what was for this one.
    here.run(&["context", "set", "moved", "--server", &server.api(), "--token-file", "far.token"])
        .succeeded();
    let moved = here.run(&["context", "set", "moved", "--server", "127.0.0.1:1"]).succeeded();
    assert!(moved.stderr.contains("its token was for the server"), "{moved:?}");
    let tokens = here.json(&["context", "list"]);
    assert_eq!(tokens[1]["token"], false, "{tokens}");
    here.run(&["context", "delete", "moved"]).succeeded();
    assert_eq!(
        here.json(&["context", "list"]),
        json!([{ "name": "far", "current": true, "server": server.api(), "token": true }])
    );
    let file = here.path("config/tripline/contexts.yaml");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = here.run(&["pack", "list"]).ended(2);
    assert!(refused.stderr.contains("chmod 600"), "{}", refused.stderr);
}

#[test]
fn the_token_of_the_local_state_folder_goes_to_no_other_server() {
    let world = named("here");
    let server = world.serve();
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = foreign.local_addr().unwrap().to_string();
    let sent = |arguments: &[&str], variable: Option<&str>| {
        let mut client = world.client(&[&["pack", "list"], arguments].concat());
        let child = client.envs(variable.map(|server| ("TRIPLINE_SERVER", server))).spawn();
        let mut child = child.unwrap();
        let (mut asked, mut request) = (foreign.accept().unwrap().0, [0; 4096]);
        let length = asked.read(&mut request).unwrap();
        asked.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").unwrap();
        drop(asked);
        child.wait().unwrap();
        String::from_utf8_lossy(&request[..length]).to_lowercase().contains("authorization: bearer")
    };
    let by_name = address.replace("127.0.0.1", "localhost");
    assert!(!sent(&["--server", &address], None));
    assert!(!sent(&["--server", &by_name], None));
    assert!(!sent(&[], Some(&address)));
    assert!(sent(&["--server", &address, "--state", "state"], None), "who names it asks for it");
    let own = server.api();
    world.run(&["pack", "list", "--server", &own]).succeeded();
    world.run(&["pack", "list", "--server", &own.replace("127.0.0.1", "localhost")]).succeeded();
}

#[test]
fn slips_with_contexts_say_what_to_do() {
    let world = World::new();
    let told = |arguments: &[&str]| world.run(arguments).ended(2).stderr;
    assert!(told(&["context", "set", "prod"]).contains("give --server URL"));
    assert!(told(&["context", "set", "a b", "--server", "x:1"]).contains("expected letters"));
    assert!(told(&["context", "set", "prod", "--server", "garbage"]).contains("not a server's"));
    world.run(&["context", "set", "prod", "--server", "127.0.0.1:1"]).succeeded();
    assert!(told(&["context", "use", "prd"]).contains("did you mean `prod`?"));
    assert!(told(&["pack", "list", "--context", "prd"]).contains("did you mean `prod`?"));
    assert!(told(&["context", "use"]).contains("--none"));
    world.run(&["pack", "list", "--context", "prod"]).ended(4);
    world.run(&["context", "use", "prod"]).succeeded();
    world.run(&["context", "delete", "prod"]).succeeded();
    assert_eq!(world.run(&["context", "list"]).line(), "nothing found");
    world.write("config/tripline/contexts.yaml", "curent: prod\n");
    let file = world.path("config/tripline/contexts.yaml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let broken = told(&["pack", "list"]);
    assert!(broken.contains("contexts.yaml:1:1") && broken.contains("`current`"), "{broken}");
}
