//! The commands that the documentation shows, typed by somebody who has a server.

use std::path::Path;
use std::process::Command;

use crate::examples::{Example, commands, examples, words};
use crate::files::{PATIENCE, executions_of, text};
use crate::git_pushes::{commit, git, looked};
use crate::support::{SOON, Server, World, eventually};

fn of(page: &str) -> Vec<Example> {
    examples().into_iter().filter(|example| example.page == page).collect()
}

/// What a shell prints to whoever types `line` in the world's folder.
fn typed(world: &World, line: &str) -> String {
    let tripline = Path::new(env!("CARGO_BIN_EXE_tripline")).parent().unwrap();
    let path = format!("{}:{}", tripline.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("({line}) 2>&1")]).current_dir(world.folder());
    shell.env("PATH", path).env("NO_COLOR", "1").env("XDG_CONFIG_HOME", world.path("config"));
    shell.env_remove("TRIPLINE_SERVER").env_remove("TRIPLINE_TOKEN");
    String::from_utf8(shell.output().unwrap().stdout).unwrap()
}

/// A line without what differs from run to run: ids, times, hashes, numbers and the widths of columns.
fn same(line: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_end_matches([',', ')']);
        let is_hash = bare.len() == 12 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        let digits = bare.trim_end_matches(['m', 's']);
        let is_duration = digits.len() < bare.len() && digits.parse::<f64>().is_ok();
        let kind = match bare {
            _ if bare.starts_with("ex_") => "ID",
            _ if bare.ends_with('Z') && bare.contains('T') => "TIME",
            _ if is_hash => "HASH",
            _ if is_duration => "DURATION",
            _ if bare.parse::<f64>().is_ok() => "N",
            other => other,
        };
        format!("{kind}{}", &word[bare.len()..])
    };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// Types `line` until what it prints has all the lines that are `shown`.
#[track_caller]
fn prints(world: &World, line: &str, shown: &str) {
    let deadline = std::time::Instant::now() + SOON;
    loop {
        let told = typed(world, line);
        let printed: Vec<String> = told.lines().map(same).collect();
        let Some(missing) = shown.lines().map(same).find(|one| !printed.contains(one)) else {
            return;
        };
        let late = std::time::Instant::now() > deadline;
        assert!(!late, "{line}\nis to print {missing:?}\n── and prints\n{told}");
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
}

/// The commands of a page with what they print, in their order.
fn shown(page: &[Example]) -> Vec<(String, String)> {
    let all = page.iter().filter(|example| example.language == "sh");
    let split = |told: &str| {
        let (command, output) = told.split_once('\n').unwrap();
        (command.to_owned(), output.to_owned())
    };
    all.flat_map(|example| example.text.split("$ ").skip(1).map(split).collect::<Vec<_>>())
        .collect()
}

/// The server of the page: its programs find a disk that is 42 % full.
fn with_disk() -> World {
    let world = World::new();
    world.write("bin/df", "#!/bin/sh\nprintf 'Filesystem\\n/dev/disk 100 42 58 42%% /\\n'\n");
    let path = format!("{}:{}", world.path("bin").display(), std::env::var("PATH").unwrap());
    world.with_variable("PATH", &path)
}

fn pack_is(world: &World, state: &str) {
    eventually(SOON, || (world.json(&["pack", "get", "disk"])["state"] == state).then_some(()));
}

#[test]
fn the_first_pack_does_what_its_page_shows() {
    let page = of("docs/guide/first-pack.md");
    let world = with_disk();
    for example in &page {
        if let Some(file) = example.file() {
            world.write(file, &example.text);
        }
    }
    let chain = world.read("packs/disk/actions/watch.rhai");
    let mut server: Option<Server> = None;
    let mut id = String::new();
    for (command, output) in shown(&page) {
        match command.as_str() {
            "tripline serve" => server = Some(world.serve()),
            "tripline pack list" => {
                let broken = chain.replace("disk.measure", "disk.mesure");
                world.write("packs/disk/actions/watch.rhai", &broken);
                prints(&world, &command, &output);
            }
            "id=$(tripline run disk.watch --detach)" => {
                let sleeps = chain.replace("log(", "sleep(\"2s\");\nlog(");
                world.write("packs/disk/actions/watch.rhai", &sleeps);
                pack_is(&world, "active");
                id = world.run(&["run", "disk.watch", "--detach"]).line();
            }
            kill if kill.starts_with("sleep 1; kill -9") => {
                world.reaches(&id, &["waiting"]);
                server.take().unwrap().kill();
                server = Some(world.serve());
            }
            get if get.starts_with("tripline execution get ex_") => {
                let failed = world.json(&["execution", "list", "--failed"]);
                let failed = text(&failed[0]["id"]);
                prints(&world, &format!("tripline execution get {failed}"), &output);
            }
            command => prints(&world, &command.replace("$id", &id), &output),
        }
    }
    assert!(server.is_some() && !id.is_empty(), "the page has other commands");
}

/// A world in which there is what the pages speak of.
fn web() -> (World, Server) {
    let world = World::new();
    let rules = of("docs/guide/rules.md");
    let example = |begin: &str| {
        let found = rules.iter().find(|example| example.text.starts_with(begin));
        found.unwrap_or_else(|| panic!("no example begins with {begin}")).text.clone()
    };
    world.write("tripline.yaml", "git: { allow_local: true }\n");
    git(&world, &["init", "--quiet", "--initial-branch=main"]);
    commit(&world, "first");
    let url = world.path("repository").display().to_string();
    let sensor = format!("type: git\nparameters: {{ url: '{url}', every: 1s }}\n");
    world.write("packs/web/sensors/app.yaml", &sensor);
    world.write("packs/web/rules/release.yaml", &example("description: A push"));
    world.write("push.yaml", &example("# push.yaml"));
    world.write("hook.txt", "a secret of a hook\n");
    let pack = "name: web\nversion: 1.0.0\npermissions: { actions: [core.*], exec: true }\n";
    world.write("packs/web/pack.yaml", pack);
    let parameters = "parameters: { commit: { required: true }, by: {} }\n";
    let release = format!("entry_point: release.rhai\n{parameters}");
    world.write("packs/web/actions/release.yaml", &release);
    let steps = "log(\"built\");\nrun(\"core.noop\");\nif get(params, \"by\", ()) != () { fail(\"no push is good\") }\nrun(\"core.noop\");";
    world.write("packs/web/actions/release.rhai", steps);
    world.write("packs/web/actions/doubt.yaml", "entry_point: doubt.sh\neffect: unsafe\n");
    world.write("packs/web/actions/doubt.sh", "#!/bin/sh\nkill -9 $$\n");
    let server = world.serve();
    (world, server)
}

/// Commands of which something is tried elsewhere: a server's own, and those that only begin with a server
/// somewhere else.
const ELSEWHERE: [&str; 2] = ["tripline serve", "tripline context set prod"];

#[test]
fn the_commands_of_the_other_pages_work_on_a_server() {
    let (world, _server) = web();
    looked(&world, "web.app");
    commit(&world, "second");
    let failed = eventually(PATIENCE, || executions_of(&world, "web.release").pop());
    let ended = world.reaches(&failed, &["failed", "succeeded", "needs_attention"]);
    assert_eq!(ended["state"], "failed", "{ended:#}");
    let done = world.run(&["run", "web.release", "commit=0a1b2c", "--detach"]).line();
    world.reaches(&done, &["succeeded"]);
    let event = text(&world.json(&["event", "list", "--type", "git.push"])[0]["key"]);
    let mut tried = 0;
    for example in examples() {
        let first_pack = example.page == "docs/guide/first-pack.md";
        if example.language != "sh" || first_pack {
            continue;
        }
        for command in commands(&example) {
            let ours = command.starts_with("tripline ");
            if !ours || ELSEWHERE.iter().any(|begin| command.starts_with(begin)) {
                continue;
            }
            let command = match command.contains(" resolve ") {
                true => command.replace("ex_…", &in_doubt(&world)),
                false => command.replace("ex_…", &done),
            };
            let command = command.replace("ev_…", &event);
            let command =
                command.replace("/var/lib/tripline", world.path("state").to_str().unwrap());
            try_one(&world, &example, &command);
            tried += 1;
        }
    }
    assert!(tried > 30, "{tried}");
}

/// An execution that waits for a person.
fn in_doubt(world: &World) -> String {
    let id = world.run(&["run", "web.doubt", "--detach"]).line();
    world.reaches(&id, &["needs_attention"]);
    id
}

fn try_one(world: &World, example: &Example, command: &str) {
    let mut words = words(command.strip_prefix("tripline ").unwrap());
    // What asks first has nobody to ask here, and the server that is used from now on is this one.
    if words.contains(&"--failed".to_owned()) && words.contains(&"rerun".to_owned()) {
        words.push("--yes".to_owned());
    }
    if words.starts_with(&["context".to_owned(), "use".to_owned(), "prod".to_owned()]) {
        "here".clone_into(&mut words[2]);
    }
    let input = if command.contains("hook.txt") {
        world.read("hook.txt")
    } else {
        "a secret value".to_owned()
    };
    let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = world.run_with_input(&arguments, &input);
    let place = example.place();
    assert_eq!(done.code, 0, "{place}: {command}\n{}{}", done.stdout, done.stderr);
}
