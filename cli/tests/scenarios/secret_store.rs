//! The secret store as people use it: set, listed, rotated, encrypted anew, its key lost.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::files::{pack, sensor_is, text, world};
use crate::support::{SOON, World, client, eventually, send};

const KEY: &str = "AGE-SECRET-KEY-1";

/// A webhook whose key is in the secret store.
fn hooked() -> World {
    let world = world();
    pack(
        &world,
        "sensors/hook.yaml",
        "type: webhook\nparameters:\n  secrets: [hooks/app]\n  signature: { header: X-Signature }\n",
    );
    pack(
        &world,
        "rules/take.yaml",
        "trigger: { type: webhook.received, parameters: { sensor: hook } }\naction: { ref: core.noop }\n",
    );
    world
}

pub(crate) fn signed(secret: &str, body: &str) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_sensor_gets_its_secret_from_the_store_and_a_rotated_one_at_once() {
    let world = hooked();
    let server = world.serve();
    let sensor = sensor_is(&world, "p/hook", "waiting");
    assert!(text(&sensor["message"]).contains("tripline secret set hooks/app"), "{sensor:#}");
    let deliver = |secret: &str| {
        let request = client().post(format!("{}/webhooks/p/hook", server.webhooks())).body("{}");
        let request = request.header("content-type", "application/json");
        send(request.header("x-signature", signed(secret, "{}"))).status
    };
    let set = world.run_with_input(&["secret", "set", "hooks/app"], "the first secret\n");
    assert_eq!(set.line(), "hooks/app: version 1");
    sensor_is(&world, "p/hook", "running");
    assert_eq!((deliver("the first secret"), deliver("the second secret")), (202, 401));
    world.run_with_input(&["secret", "set", "hooks/app"], "the second secret").succeeded();
    eventually(SOON, || (deliver("the second secret") == 202).then_some(()));
    assert_eq!(deliver("the first secret"), 401);
    let deleted = world.run(&["secret", "delete", "hooks/app"]);
    let said =
        "hooks/app: 2 versions deleted; steps of executions that were given it fail from now on";
    assert_eq!(deleted.line(), said);
    sensor_is(&world, "p/hook", "waiting");
    world.run(&["secret", "delete", "hooks/app"]).ended(2);
}

#[test]
fn values_come_from_standard_input_and_are_never_told() {
    let world = world();
    let server = world.serve();
    world.run_with_input(&["secret", "set", "a/b"], "not to be seen\n").succeeded();
    let short = world.run_with_input(&["secret", "set", "a/c"], "1234567\n").ended(2);
    assert!(short.stderr.contains("7 characters, fewer than 8"), "{}", short.stderr);
    world.run(&["secret", "set", "a/b", "on the command line"]).ended(2);
    let listed = world.run(&["secret", "list"]).succeeded();
    assert!(listed.stdout.contains("a/b") && !listed.stdout.contains("seen"), "{}", listed.stdout);
    let answer = server.ask("GET", "/api/v1/secrets", None);
    assert_eq!(answer.json()["items"][0]["version"], 1);
    for method in ["GET", "POST"] {
        assert_eq!(server.ask(method, "/api/v1/secrets/a%2Fb", None).status, 405);
    }
    let everything = [answer.body, server.log(), world.json(&["secret", "list"]).to_string()];
    assert!(everything.iter().all(|text| !text.contains("not to be seen")));
}

#[test]
fn keys_are_rotated_by_adding_the_new_one_first() {
    let world = world();
    for name in ["old", "new"] {
        // Each of these worlds makes its own key when it gets its first secret.
        let maker = World::new();
        let server = maker.serve();
        maker.run_with_input(&["secret", "set", "x"], "long enough").succeeded();
        server.stop();
        let key = maker.read("state.key");
        assert!(key.contains(KEY), "{key}");
        world.write(name, &key);
    }
    let keys = |list: &str| world.write("tripline.yaml", &format!("secrets: {{ keys: {list} }}\n"));
    keys("[{ file: old }]");
    let server = world.serve();
    world.run_with_input(&["secret", "set", "a/b"], "long enough").succeeded();
    server.stop();
    keys("[{ file: new }, { file: old }]");
    let server = world.serve();
    let rekeyed = world.run(&["secret", "rekey"]);
    assert_eq!(rekeyed.line(), "1 records encrypted anew");
    server.stop();
    keys("[{ file: old }]");
    let mut refused = world.spawn(&[]);
    assert!(!refused.wait().success());
    let log = refused.log();
    assert!(log.contains("can only be opened with the key age1"), "{log}");
    keys("[{ command: [cat, new] }]");
    world.serve().stop();
}

#[test]
fn a_key_comes_from_an_environment_variable_and_none_is_made_then() {
    let maker = World::new();
    let server = maker.serve();
    maker.run_with_input(&["secret", "set", "x"], "long enough").succeeded();
    server.stop();
    let world = hooked().with_variable("SECRETS_KEY", &maker.read("state.key"));
    world.write("tripline.yaml", "secrets: { keys: [{ env: SECRETS_KEY }] }\n");
    let server = world.serve();
    world.run_with_input(&["secret", "set", "hooks/app"], "the first secret").succeeded();
    server.stop();
    assert!(!world.path("state.key").exists());
    let server = world.serve();
    sensor_is(&world, "p/hook", "running");
    let request = client().post(format!("{}/webhooks/p/hook", server.webhooks())).body("{}");
    let request = request.header("content-type", "application/json");
    let request = request.header("x-signature", signed("the first secret", "{}"));
    assert_eq!(send(request).status, 202);
    assert!(!server.log().contains(KEY));
}

#[test]
fn the_prompt_shows_nothing_of_what_is_typed() {
    let world = hooked();
    let server = world.serve();
    let terminal = nix::pty::openpty(None, None).unwrap();
    let shows = || {
        let settings = nix::sys::termios::tcgetattr(&terminal.slave).unwrap();
        settings.local_flags.contains(nix::sys::termios::LocalFlags::ECHO)
    };
    let mut command = world.client(&["secret", "set", "hooks/app"]);
    command.stdin(terminal.slave.try_clone().unwrap());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually(SOON, || (!shows()).then_some(()));
    let mut keyboard = std::fs::File::from(terminal.master);
    keyboard.write_all(b"typed by hand\n").unwrap();
    eventually(SOON, || child.try_wait().unwrap());
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(told, "hooks/app: version 1\nvalue of hooks/app: \n");
    let settings = nix::sys::termios::tcgetattr(&terminal.slave).unwrap();
    assert!(settings.local_flags.contains(nix::sys::termios::LocalFlags::ECHO), "as it was");
    drop((terminal.slave, command));
    // What the terminal showed; reading it fails once nobody is on its other side.
    let mut screen = Vec::new();
    let _ = keyboard.read_to_end(&mut screen);
    assert!(!String::from_utf8_lossy(&screen).contains("typed"), "{screen:?}");
    sensor_is(&world, "p/hook", "running");
    let request = client().post(format!("{}/webhooks/p/hook", server.webhooks())).body("{}");
    let request = request.header("content-type", "application/json");
    assert_eq!(send(request.header("x-signature", signed("typed by hand", "{}"))).status, 202);
}

/// As a terminal does it: its session is the command's own, and a typed Ctrl-C a signal.
fn at_a_terminal(command: &Command, terminal: &std::os::fd::OwnedFd) -> Command {
    let mut session = Command::new("setsid");
    session.arg("--ctty").arg(command.get_program()).args(command.get_args());
    session.current_dir(command.get_current_dir().unwrap());
    session.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    session.stdin(terminal.try_clone().unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
    session
}

#[test]
fn a_prompt_that_is_interrupted_leaves_the_terminal_as_it_was_and_sets_nothing() {
    let world = world();
    let _server = world.serve();
    let terminal = nix::pty::openpty(None, None).unwrap();
    let settings = || nix::sys::termios::tcgetattr(&terminal.slave).unwrap();
    let before = settings();
    let shows = || settings().local_flags.contains(nix::sys::termios::LocalFlags::ECHO);
    let set = world.client(&["secret", "set", "a/b"]);
    let mut child = at_a_terminal(&set, &terminal.slave).spawn().unwrap();
    eventually(SOON, || (!shows()).then_some(()));
    let mut keyboard = std::fs::File::from(terminal.master);
    keyboard.write_all(b"half a valu\x03").unwrap();
    let status = eventually(SOON, || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
    assert_eq!(settings(), before);
    assert_eq!(world.json(&["secret", "list"]), serde_json::json!([]));
}

#[test]
fn a_prompt_that_is_suspended_leaves_the_terminal_as_it_was_and_asks_again() {
    let world = world();
    let _server = world.serve();
    let terminal = nix::pty::openpty(None, None).unwrap();
    let settings = || nix::sys::termios::tcgetattr(&terminal.slave).unwrap();
    let shows = || settings().local_flags.contains(nix::sys::termios::LocalFlags::ECHO);
    let set = world.client(&["secret", "set", "a/b"]);
    // A shell with job control, of which the user knows that the job stands and brings it back.
    let mut shell = Command::new("bash");
    shell
        .args(["--norc", "--noprofile", "-ic", "\"$@\"; stty -a > stopped; fg", "bash"])
        .arg(set.get_program());
    shell.args(set.get_args()).current_dir(set.get_current_dir().unwrap());
    shell.envs(set.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = at_a_terminal(&shell, &terminal.slave).spawn().unwrap();
    eventually(SOON, || (!shows()).then_some(()));
    let mut keyboard = std::fs::File::from(terminal.master);
    keyboard.write_all(b"\x1a").unwrap();
    eventually(SOON, || world.path("stopped").exists().then_some(()));
    eventually(SOON, || (!shows()).then_some(()));
    keyboard.write_all(b"typed by hand\n").unwrap();
    let status = eventually(SOON, || child.try_wait().unwrap());
    let told = child.wait_with_output().unwrap();
    let told = String::from_utf8([told.stdout, told.stderr].concat()).unwrap();
    assert!(status.success(), "{told}");
    assert_eq!(told.matches("value of a/b: ").count(), 2, "{told}");
    assert!(world.read("stopped").contains(" echo "), "{}", world.read("stopped"));
    assert_eq!(world.json(&["secret", "list"]).as_array().unwrap().len(), 1);
}
