//! Pushes to a real repository: forced, two at once, while it is away, while the server is down.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::files::{PATIENCE, events_of, pack, sensor_is, text, world};
use crate::https::{self, GitHttps};
use crate::secret_store::signed;
use crate::support::{World, client, eventually, send};

/// A world with a repository of one commit, and a sensor on it.
pub(crate) fn watched() -> World {
    let world = world();
    git(&world, &["init", "--quiet", "--initial-branch=main"]);
    commit(&world, "first");
    let url = world.path("repository").display().to_string();
    let sensor = format!("type: git\nparameters: {{ url: '{url}', every: 1s }}\n");
    pack(&world, "sensors/app.yaml", &sensor);
    pack(
        &world,
        "rules/pushed.yaml",
        "trigger: { type: git.push, parameters: { sensor: app } }\naction: { ref: core.noop }\n",
    );
    world
}

pub(crate) fn git(world: &World, arguments: &[&str]) -> String {
    let repository = world.path("repository");
    fs::create_dir_all(&repository).unwrap();
    let who = ["-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"];
    let mut command = Command::new("git");
    let output = command.arg("-C").arg(repository).args(who).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn commit(world: &World, message: &str) -> String {
    git(world, &["commit", "--quiet", "--allow-empty", "--message", message]);
    git(world, &["rev-parse", "HEAD"])
}

/// What a git that is killed while it writes leaves in the sensor's mirror.
fn leave_locks(world: &World) {
    let mirrors = fs::read_dir(world.path("state/git")).unwrap();
    let folders: Vec<_> = mirrors.map(|mirror| mirror.unwrap().path()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    for lock in ["packed-refs.lock", "config.lock", "refs/heads/main.lock"] {
        fs::write(folders[0].join(lock), "").unwrap();
    }
}

/// Waits until a sensor has looked, and so stands somewhere.
pub(crate) fn looked(world: &World, sensor: &str) {
    eventually(PATIENCE, || {
        (!world.json(&["sensor", "get", sensor])["cursor"].is_null()).then_some(())
    });
}

/// Ref and commit of each push, once there are so many.
#[track_caller]
pub(crate) fn pushes(world: &World, count: usize) -> Vec<Value> {
    let events = eventually(PATIENCE, || {
        let events = events_of(world, "git.push");
        (events.len() >= count).then_some(events)
    });
    events.iter().map(|data| json!([data["ref"], data["after"]])).collect()
}

#[test]
fn a_hosts_webhook_makes_its_sensor_look_at_once() {
    let world = watched();
    let sensor = world.read("packs/p/sensors/app.yaml").replace("every: 1s", "every: 3h");
    pack(&world, "sensors/app.yaml", &sensor);
    let hook = "type: webhook\nparameters:\n  secrets: [hooks/app]\n  signature: { header: X-Signature }\n  pokes: POKED\n";
    pack(&world, "sensors/hook.yaml", &hook.replace("POKED", "hook"));
    let check = world.run(&["check", "packs"]).ended(1);
    assert!((check.stdout + &check.stderr).contains("no git sensor of this name"));
    pack(&world, "sensors/hook.yaml", &hook.replace("POKED", "app"));
    world.run(&["check", "packs"]).succeeded();
    let server = world.serve();
    world.run_with_input(&["secret", "set", "hooks/app"], "a secret of hooks").succeeded();
    sensor_is(&world, "p.hook", "running");
    looked(&world, "p.app");
    for n in 1..=2 {
        let second = commit(&world, "another");
        let request = client().post(format!("{}/webhooks/p/hook", server.webhooks())).body("{}");
        let request = request.header("content-type", "application/json");
        let request = request.header("x-signature", signed("a secret of hooks", "{}"));
        assert_eq!(send(request).status, 202);
        assert_eq!(pushes(&world, n).pop().unwrap(), json!(["refs/heads/main", second]));
    }
}

#[test]
fn a_repository_whose_authority_only_the_settings_name_is_watched_over_https() {
    let world = watched();
    let site = GitHttps::serve(world.folder(), "robot", "of the robot");
    world.write("login", "robot:of the robot");
    let sensor = format!(
        "type: git\nparameters: {{ url: '{}', every: 1s, credentials: {{ file: {} }} }}\n",
        site.url("repository/.git"),
        world.path("login").display()
    );
    pack(&world, "sensors/app.yaml", &sensor);
    let server = world.serve();
    let failing = sensor_is(&world, "p.app", "failing");
    assert!(text(&failing["message"]).contains("tls: { ca_file: FILE }"), "{failing:#}");
    server.stop();
    let settings = format!("tls: {{ ca_file: {} }}\n", https::authority().display());
    world.write("tripline.yaml", &settings);
    let _server = world.serve();
    looked(&world, "p.app");
    let second = commit(&world, "second");
    assert_eq!(pushes(&world, 1), [json!(["refs/heads/main", second])]);
}

#[test]
fn a_sensor_keeps_the_rate_of_its_connection_while_it_runs() {
    let world = watched();
    let connected = |rate: &str| {
        let url = world.path("repository").display().to_string();
        let connection = format!(
            "connections:\n  repo: {{ type: git, url: '{url}', requests_per_second: {rate}, packs: [p] }}\n"
        );
        world.write("environments/e.yaml", &connection);
    };
    world.write("tripline.yaml", "git: { allow_local: true }\nenvironment: environments/e.yaml\n");
    connected("0.001");
    let manifest = world.read("packs/p/pack.yaml").replace("exec:", "connections: [repo], exec:");
    pack(&world, "pack.yaml", &manifest);
    pack(&world, "sensors/slow.yaml", "type: git\nparameters: { connection: repo, every: 1s }\n");
    let _server = world.serve();
    looked(&world, "p.app");
    let cursor = || world.json(&["sensor", "get", "p.slow"])["cursor"].clone();
    let first = eventually(PATIENCE, || Some(cursor()).filter(|cursor| !cursor.is_null()));
    // Each of them is a look of the other sensor, which has no such bound.
    for n in 1..=3 {
        commit(&world, "one more");
        pushes(&world, n);
    }
    assert_eq!(cursor(), first, "its second look is some quarter of an hour away");
    connected("100");
    eventually(PATIENCE, || (cursor() != first).then_some(()));
}

#[test]
fn a_branch_that_is_forced_there_and_back_is_told_each_time() {
    let world = watched();
    let a = git(&world, &["rev-parse", "HEAD"]);
    let _server = world.serve();
    looked(&world, "p.app");
    let b = commit(&world, "second");
    let main = |commit: &str| json!(["refs/heads/main", commit]);
    assert_eq!(pushes(&world, 1), [main(&b)]);
    git(&world, &["reset", "--quiet", "--hard", &a]);
    assert_eq!(pushes(&world, 2), [main(&b), main(&a)]);
    git(&world, &["reset", "--quiet", "--hard", &b]);
    assert_eq!(pushes(&world, 3), [main(&b), main(&a), main(&b)]);
    let forced: Vec<_> =
        events_of(&world, "git.push").iter().map(|data| data["forced"].clone()).collect();
    assert_eq!(forced, [false, true, false]);
    let runs = world.json(&["execution", "list", "--rule", "p.pushed"]);
    assert_eq!(runs.as_array().unwrap().len(), 3, "each is a run of its own");
}

#[test]
fn refs_that_moved_between_two_looks_are_all_told() {
    let world = watched();
    let _server = world.serve();
    looked(&world, "p.app");
    let b = commit(&world, "second");
    git(&world, &["branch", "side"]);
    git(&world, &["branch", "third"]);
    let mut told = pushes(&world, 3);
    told.sort_by_key(|push| text(&push[0]));
    let of = |name: &str| json!([format!("refs/heads/{name}"), b]);
    assert_eq!(told, [of("main"), of("side"), of("third")]);
}

#[test]
fn a_repository_that_goes_away_fails_visibly_and_goes_on_where_it_was() {
    let world = watched();
    let _server = world.serve();
    looked(&world, "p.app");
    let b = commit(&world, "second");
    pushes(&world, 1);
    let (here, away) = (world.path("repository"), world.path("away"));
    fs::rename(&here, &away).unwrap();
    let sensor = sensor_is(&world, "p/app", "failing");
    assert!(text(&sensor["message"]).contains("repository"), "{sensor:#}");
    assert!(sensor["next_try"].is_string(), "{sensor:#}");
    fs::rename(&away, &here).unwrap();
    let c = commit(&world, "third");
    let main = |commit: &str| json!(["refs/heads/main", commit]);
    assert_eq!(pushes(&world, 2), [main(&b), main(&c)]);
    assert!(sensor_is(&world, "p/app", "running")["message"].is_null());
}

#[test]
fn a_push_while_the_server_is_down_is_told_once_it_is_up() {
    let world = watched();
    let server = world.serve();
    looked(&world, "p.app");
    let b = commit(&world, "second");
    let main = |commit: &str| json!(["refs/heads/main", commit]);
    pushes(&world, 1);
    // Between a push and the look that finds it, and while nobody looks.
    let c = commit(&world, "third");
    server.kill();
    leave_locks(&world);
    let d = commit(&world, "fourth");
    let _server = world.serve();
    let told = eventually(PATIENCE, || {
        let told = pushes(&world, 2);
        (told.last() == Some(&main(&d))).then_some(told)
    });
    let in_between = [main(&b), main(&c), main(&d)];
    assert!(told == [main(&b), main(&d)] || told == in_between, "{told:?}");
    let ids: Vec<_> = events_of(&world, "git.push");
    let commits = ids.iter().map(|data| data["commits"].as_array().unwrap().len()).sum::<usize>();
    assert_eq!(commits, 3, "each commit stands in one push");
}
