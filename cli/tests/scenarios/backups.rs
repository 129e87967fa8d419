//! A backup is taken in the middle of work; the server is lost; the work goes on elsewhere.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::json;

use crate::files::{PATIENCE, chain, executions_of, lines, pack, program, start, text, world};
use crate::git_pushes::{commit, looked, pushes, watched};
use crate::support::{Server, World, eventually};

/// The server is lost after what it did since the backup; another one has what was restored.
fn lose_and_restore(world: &World, server: Server) -> Server {
    server.kill();
    fs::rename(world.path("state"), world.path("lost")).unwrap();
    let restored = world.run(&["restore", "it.tar"]).succeeded();
    assert!(restored.stdout.contains("needs_attention"), "{}", restored.stdout);
    world.run(&["doctor"]).succeeded();
    let server = world.serve();
    assert!(!world.read("server.log").contains("blobs are not there"));
    server
}

/// A world in which paying leaves a line, and `p.hold` waits until the file `go` is there.
fn shop() -> World {
    let world = world();
    program(&world, "pay", "unsafe", r#"echo "$TRIPLINE_KEY" >>"$W/ledger""#);
    let linger =
        r#"echo "$TRIPLINE_KEY" >>"$W/ledger"; while [ ! -e "$W/go" ]; do sleep 0.02; done"#;
    program(&world, "linger", "unsafe", linger);
    let hold = r#"touch "$W/holds"; while [ ! -e "$W/go" ]; do sleep 0.02; done"#;
    program(&world, "hold", "idempotent", hold);
    chain(&world, "buy", r#"run("p.hold"); run("p.child"); run("core.echo", #{ value: 1 })"#);
    chain(&world, "child", r#"run("p.pay")"#);
    pack(&world, "triggers/sold.yaml", "description: sold\npayload: { n: {} }\n");
    pack(
        &world,
        "rules/sold.yaml",
        "trigger: { type: p.sold }\naction: { ref: core.echo, parameters: { value: '${trigger.n}' } }\n",
    );
    world
}

#[test]
fn work_goes_on_from_a_backup_and_nothing_unsafe_is_done_twice_unasked() {
    let world = shop();
    let server = world.serve();
    let done = start(&world, "p.pay");
    world.reaches(&done, &["succeeded"]);
    let (buying, lingering) = (start(&world, "p.buy"), start(&world, "p.linger"));
    eventually(PATIENCE, || (lines(&world, "ledger").len() == 2).then_some(()));
    eventually(PATIENCE, || world.path("holds").exists().then_some(()));
    let sold: Vec<_> = (0..20).flat_map(|n| world.emit("p.sold", &json!({ "n": n }))).collect();
    let told = world.run(&["backup", "it.tar"]).succeeded().stdout;
    assert!(told.contains("checked") && told.contains("the key"), "{told}");
    let mode = fs::metadata(world.path("it.tar")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The lost server goes on, and even pays.
    world.write("go", "");
    world.reaches(&buying, &["succeeded"]);
    let late = start(&world, "p.pay");
    world.reaches(&late, &["succeeded"]);
    let ledger = lines(&world, "ledger");
    assert_eq!(ledger.len(), 4, "{ledger:?}");

    let _server = lose_and_restore(&world, server);
    for id in &sold {
        world.reaches(id, &["succeeded"]);
    }
    world.reaches(&done, &["succeeded"]);
    world.run(&["execution", "get", &late]).ended(2);
    let was_running = world.reaches(&lingering, &["needs_attention"]);
    assert_eq!(was_running["attention"]["path"], "1", "{was_running:#}");
    // Not even intended when the backup was made, and yet it may have been done.
    let child = format!("{buying}/2");
    let asked = world.reaches(&child, &["needs_attention"]);
    let why = asked["attention"]["error"]["message"].to_string();
    assert!(why.contains("restored from a backup of"), "{asked:#}");
    world.run(&["execution", "resolve", &child, "--done", "--result", "{}"]).succeeded();
    world.reaches(&buying, &["succeeded"]);
    assert_eq!(lines(&world, "ledger"), ledger, "nothing was done again unasked");
    // What begins now is nobody's doubt; a person's word is taken.
    world.reaches(&start(&world, "p.pay"), &["succeeded"]);
    world.run(&["execution", "resolve", &lingering, "--retry"]).succeeded();
    world.reaches(&lingering, &["succeeded"]);
    assert_eq!(lines(&world, "ledger").len(), 6);
}

#[test]
fn what_an_event_of_a_doubted_chain_leads_to_is_doubted_and_verify_is_asked_before_a_person() {
    let world = shop();
    chain(&world, "sell", r#"run("p.hold"); emit("p.sold", #{ n: 1 }); run("p.ship")"#);
    pack(&world, "rules/sold.yaml", "trigger: { type: p.sold }\naction: { ref: p.pay }\n");
    program(&world, "ship", "unsafe", r#"echo "$TRIPLINE_KEY" >>"$W/ledger""#);
    let declared = "entry_point: ship.sh\neffect: unsafe\nverify: p.shipped\n";
    pack(&world, "actions/ship.yaml", declared);
    let shipped = r#"key=$(sed 's/.*"key": *"\([^"]*\)".*/\1/')
        echo "$key" >>"$W/asked"
        if grep -qxF "$key" "$W/ledger"; then outcome=done; else outcome=failed; fi
        echo "{ \"outcome\": \"$outcome\", \"result\": {} }""#;
    program(&world, "shipped", "read", shipped);
    let declared =
        "entry_point: shipped.sh\neffect: read\nparameters: { parameters: {}, key: {} }\n";
    pack(&world, "actions/shipped.yaml", declared);
    let server = world.serve();
    let selling = start(&world, "p.sell");
    eventually(PATIENCE, || world.path("holds").exists().then_some(()));
    world.run(&["backup", "it.tar"]).succeeded();
    world.write("go", "");
    world.reaches(&selling, &["succeeded"]);
    eventually(PATIENCE, || (lines(&world, "ledger").len() == 2).then_some(()));
    let ledger = lines(&world, "ledger");

    let _server = lose_and_restore(&world, server);
    // The event and what it caused are told anew, by a chain that was there when the backup was made.
    let paying = eventually(PATIENCE, || executions_of(&world, "p.pay").first().cloned());
    let doubted = world.reaches(&paying, &["needs_attention"]);
    let why = doubted["attention"]["error"]["message"].to_string();
    assert!(why.contains("restored from a backup of"), "{doubted:#}");
    let sold = world.reaches(&selling, &["succeeded", "needs_attention", "failed"]);
    assert_eq!(sold["state"], "succeeded", "verify found it shipped: {sold:#}");
    assert_eq!(lines(&world, "asked"), [format!("{selling}/3")]);
    assert_eq!(lines(&world, "ledger"), ledger, "nothing was done again");
}

#[test]
fn a_server_that_ends_in_the_middle_of_a_backup_leaves_no_backup_and_makes_the_next_one() {
    let world = shop();
    let mut server = world.serve();
    // Larger than what waits in pipes and sockets: the server cannot be done while nobody reads.
    fs::create_dir_all(world.path("state/exports")).unwrap();
    let large = fs::File::create(world.path("state/exports/large")).unwrap();
    large.set_len(256 << 20).unwrap();
    for in_order in [true, false] {
        let mut backup = world.client(&["backup", "-"]);
        let mut backup = backup.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut half = vec![0; 4096];
        backup.stdout.as_mut().unwrap().read_exact(&mut half).unwrap();
        if in_order {
            server.stop();
        } else {
            server.kill();
        }
        let ended = backup.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success(), "half a backup is not said to be one: {said}");
        half.extend(ended.stdout);
        fs::write(world.path("half.tar"), &half).unwrap();
        world.run(&["restore", "half.tar", "--state", "new"]).ended(1);
        server = world.serve();
    }
    fs::remove_file(world.path("state/exports/large")).unwrap();
    world.run(&["backup", "it.tar"]).succeeded();
    // Copies for backups are tidied away, once whoever sends one notices that it is taken.
    eventually(PATIENCE, || (!world.path("state/backup").exists()).then_some(()));
    world.run(&["restore", "it.tar", "--state", "new"]).succeeded();
    drop(server);
}

#[test]
fn a_restored_sensor_tells_what_it_missed_and_nothing_that_it_told_before() {
    let world = watched();
    let server = world.serve();
    looked(&world, "p.app");
    let b = commit(&world, "second");
    let main = |commit: &str| json!(["refs/heads/main", commit]);
    assert_eq!(pushes(&world, 1), [main(&b)]);
    world.run(&["backup", "it.tar"]).succeeded();
    let c = commit(&world, "third");
    pushes(&world, 2);
    let server = lose_and_restore(&world, server);
    assert_eq!(pushes(&world, 2), [main(&b), main(&c)]);
    let runs = world.json(&["execution", "list", "--rule", "p.pushed"]);
    assert_eq!(runs.as_array().unwrap().len(), 2);
    server.stop();
    world.run(&["doctor"]).succeeded();
}

#[test]
fn a_program_that_has_to_catch_up_since_a_restore_is_seen_to_await_somebodys_word() {
    let world = world();
    let script = format!(
        "#!/bin/sh\necho '{{\"cursor\": 1}}'\nwhile [ -d '{}' ]; do sleep 0.1; done\n",
        world.folder().display()
    );
    pack(&world, "sensors/watch.sh", &script);
    pack(&world, "sensors/watch.yaml", "type: process\nparameters: { entry_point: watch.sh }\n");
    pack(&world, "triggers/tick.yaml", "payload: {}\n");
    let server = world.serve();
    let stands = || world.json(&["sensor", "get", "p.watch"]);
    eventually(PATIENCE, || (stands()["cursor"] == 1).then_some(()));
    assert_eq!(stands()["message"], json!(null));
    world.run(&["backup", "it.tar"]).succeeded();
    let server = lose_and_restore(&world, server);
    let command = "tripline sensor confirm p.watch";
    eventually(PATIENCE, || stands()["message"].as_str()?.contains(command).then_some(()));
    assert_eq!(stands()["state"], "running");
    let listed = world.run(&["sensor", "list"]).succeeded().stdout;
    assert!(listed.contains(command), "{listed}");
    let examined = || world.run(&["doctor"]).succeeded().stdout;
    let told = "p/watch has not caught up since the state was restored";
    eventually(PATIENCE, || examined().contains(told).then_some(()));
    world.run(&["sensor", "confirm", "p.watch"]).succeeded();
    assert_eq!(stands()["message"], json!(null));
    assert!(!examined().contains("has not caught up"));
    drop(server);
}

#[test]
fn who_watches_an_execution_over_a_restore_is_told_that_the_rest_is_gone() {
    let world = shop();
    chain(&world, "slow", r#"run("p.hold"); log("on it goes"); sleep("1h")"#);
    let server = world.serve();
    let id = start(&world, "p.slow");
    eventually(PATIENCE, || world.path("holds").exists().then_some(()));
    world.run(&["backup", "it.tar"]).succeeded();
    for n in 0..100 {
        world.emit("p.sold", &json!({ "n": n }));
    }
    world.write("go", "");
    world.reaches(&id, &["waiting"]);
    let mut watch = world.client(&["execution", "watch", &id]);
    let seen = fs::File::create(world.path("watch.out")).unwrap();
    let watch = watch.stdout(seen).stderr(Stdio::piped()).spawn().unwrap();
    eventually(PATIENCE, || world.read("watch.out").contains("on it goes").then_some(()));
    fs::remove_file(world.path("go")).unwrap();
    let _server = lose_and_restore(&world, server);
    let ended = watch.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot go on after position"), "{said}");
    assert!(said.contains("hint: the server's state was restored from a backup"), "{said}");
}

#[test]
fn secrets_are_in_a_backup_as_they_are_stored_and_open_with_the_key_beside_it() {
    let world = world();
    let manifest =
        "name: p\nversion: 1.0.0\npermissions: { actions: ['*'], exec: true, secrets: ['p/*'] }\n";
    pack(&world, "pack.yaml", manifest);
    program(
        &world,
        "take",
        "idempotent",
        r#"cat > "$W/taken"; while [ ! -e "$W/go" ]; do sleep 0.02; done"#,
    );
    chain(
        &world,
        "use",
        r#"run("p.take", #{ a: [secret("p/s"), run("secrets.generate", #{ length: 24 })] })"#,
    );
    let server = world.serve();
    let canary = "canary of the backup";
    world.run_with_input(&["secret", "set", "p/s"], canary).succeeded();
    let id = start(&world, "p.use");
    let taken = eventually(PATIENCE, || {
        let taken: Option<serde_json::Value> =
            serde_json::from_str(&fs::read_to_string(world.path("taken")).ok()?).ok();
        taken
    });
    assert_eq!(taken["a"][0], canary);
    world.run(&["backup", "it.tar"]).succeeded();
    let backup = fs::read(world.path("it.tar")).unwrap();
    let (admin, generated) = (server.token(), text(&taken["a"][1]));
    let key = world.read("state.key");
    let identity = key.lines().find(|line| line.starts_with("AGE-SECRET-KEY")).unwrap();
    for value in [canary, &generated, &admin, identity] {
        let found = backup.windows(value.len()).any(|window| window == value.as_bytes());
        assert!(!found, "`{value}` is in the backup");
    }
    fs::remove_file(world.path("taken")).unwrap();
    world.write("go", "");
    let _server = lose_and_restore(&world, server);
    world.reaches(&id, &["succeeded"]);
    let again: serde_json::Value = serde_json::from_str(&world.read("taken")).unwrap();
    assert_eq!(again, taken, "the same values, to the same step, with the same key");
}

#[test]
fn a_backup_that_is_damaged_cut_short_or_newer_is_refused_and_changes_nothing() {
    let world = shop();
    let server = world.serve();
    world.emit("p.sold", &json!({ "n": "x".repeat(700_000) }));
    world.run(&["backup", "it.tar"]).succeeded();
    server.stop();
    let whole = fs::read(world.path("it.tar")).unwrap();
    let refused = |bytes: &[u8], code: i32, why: &str| {
        fs::write(world.path("bad.tar"), bytes).unwrap();
        let done = world.run(&["restore", "bad.tar", "--state", "new"]).ended(code);
        assert!(done.stderr.contains(why), "{why}: {}", done.stderr);
        assert!(!world.path("new").exists(), "{why}");
    };
    refused(b"", 2, "no backup");
    refused(b"hello, hello", 2, "no backup");
    for part in [1, 2, 3] {
        refused(&whole[..whole.len() * part / 4], 1, "cut short");
    }
    for part in 1..20 {
        let mut changed = whole.clone();
        changed[whole.len() * part / 20] ^= 1;
        refused(&changed, 1, "damaged");
    }
    let text = String::from_utf8_lossy(&whole[512..1024]).into_owned();
    let own = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
    let other = own.replace("\"0", "\"9");
    for (changes, told) in [
        (&[("backup/1", "backup/2")][..], "another build of this version made it"),
        (&[("\"schema\": ", "\"schema\":9")], "another build of this version made it"),
        (&[("backup/1", "backup/2"), (&own, &other)], "hint: use Tripline 9"),
    ] {
        let changed = changes.iter().fold(text.clone(), |text, (from, to)| text.replace(from, to));
        let mut newer = whole.clone();
        newer[512..1024].copy_from_slice(changed.as_bytes());
        refused(&newer, 1, told);
    }
    world.run(&["restore", "it.tar", "--state", "new"]).succeeded();
    world.run(&["doctor", "--state", "new"]).succeeded();
}

#[test]
fn a_state_folder_that_is_used_is_not_overwritten_and_replaced_when_that_is_asked_for() {
    let world = shop();
    let server = world.serve();
    let id = start(&world, "p.pay");
    world.reaches(&id, &["succeeded"]);
    world.run(&["backup", "it.tar"]).succeeded();
    let held = world.run(&["restore", "it.tar", "--replace"]).ended(2);
    assert!(held.stderr.contains(&format!("process {}", server.pid())), "{}", held.stderr);
    let later = start(&world, "p.pay");
    world.reaches(&later, &["succeeded"]);
    server.stop();
    let taken = world.run(&["restore", "it.tar"]).ended(2);
    assert!(taken.stderr.contains("not empty") && taken.stderr.contains("--replace"));
    world.run(&["restore", "it.tar", "--replace"]).succeeded();
    world.run(&["doctor"]).succeeded();
    let server = world.serve();
    world.reaches(&id, &["succeeded"]);
    world.run(&["execution", "get", &later]).ended(2);
    server.stop();
    let mut aside = fs::read_dir(world.path("state")).unwrap().flatten().map(|it| it.path());
    let aside = aside.find(|it| it.to_string_lossy().contains("replaced-")).unwrap();
    world.run(&["doctor", "--state", &aside.to_string_lossy()]).succeeded();
}

#[test]
fn a_backup_needs_a_server_and_an_admin_and_leaves_no_half_file() {
    let world = shop();
    world.run(&["backup", "it.tar"]).ended(4);
    let _server = world.serve();
    let token = world.run(&["token", "create", "eve", "--role", "operator"]).line();
    world.run(&["backup", "it.tar", "--token", &token]).ended(5);
    world.run(&["backup", "packs"]).ended(2);
    let names = fs::read_dir(world.folder()).unwrap().flatten().map(|it| it.file_name());
    let names: Vec<_> = names.filter(|it| it.to_string_lossy().contains(".tar")).collect();
    assert!(names.is_empty(), "{names:?}");
    let told = world.json(&["backup", "it.tar"]);
    assert_eq!(told["manifest"]["format"], "tripline.backup/1");
    assert_eq!(told["bytes"], fs::metadata(world.path("it.tar")).unwrap().len());
    let piped = world.client(&["backup", "-"]).output().unwrap().stdout;
    let mut restore = world.client(&["restore", "-", "--state", "new"]);
    let mut restore = restore.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    restore.stdin.take().unwrap().write_all(&piped).unwrap();
    assert!(restore.wait().unwrap().success());
    world.run(&["doctor", "--state", "new"]).succeeded();
}
