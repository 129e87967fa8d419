//! The secret store as people use it: set, listed, rotated, encrypted anew, its key lost.

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

fn signed(secret: &str, body: &str) -> String {
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
    world.run(&["secret", "delete", "hooks/app"]).succeeded();
    sensor_is(&world, "p/hook", "waiting");
    world.run(&["secret", "delete", "hooks/app"]).ended(2);
}

#[test]
fn values_come_from_standard_input_and_are_never_told() {
    let world = world();
    let server = world.serve();
    world.run_with_input(&["secret", "set", "a/b"], "not to be seen\n").succeeded();
    let short = world.run_with_input(&["secret", "set", "a/c"], "1234567\n").ended(2);
    assert!(short.stderr.contains("7 bytes, fewer than 8"), "{}", short.stderr);
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
