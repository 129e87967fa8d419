//! Webhooks as a git host sends them: signed, repeated, forged, too large, no text; and a kill after
//! 202.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::files::{
    chain, events_of, executions_of, lines, note, open_gates, pack, program, world,
};
use crate::support::{Answer, Server, World, client, send};

const SECRETS: [(&str, &str); 2] = [("hooks", "0123456789abcdef"), ("others", "fedcba9876543210")];

/// Two senders, each with a sensor; what either sends is noted.
pub(crate) fn receiver() -> World {
    let world = world();
    note(&world);
    open_gates(&world);
    chain(&world, "take", r#"run("p.note")"#);
    for (name, secret) in SECRETS {
        world.write(&format!("{name}.secret"), secret);
        let file = world.path(&format!("{name}.secret"));
        let sensor = format!(
            "type: webhook\nparameters:\n  secrets: [{{ file: {} }}]\n  \
             signature: {{ header: X-Signature, prefix: 'sha256=' }}\n  id: {{ header: X-Delivery }}\n  \
             body_limit: 1KiB\n",
            file.display()
        );
        pack(&world, &format!("sensors/{name}.yaml"), &sensor);
    }
    pack(
        &world,
        "rules/take.yaml",
        "trigger: { type: webhook.received }\naction: { ref: p.take, parameters: { a: '${trigger.body}' } }\n",
    );
    world
}

fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    let bytes = mac.finalize().into_bytes();
    bytes.iter().fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// A request of a sender to its sensor.
pub(crate) struct Delivery<'a> {
    sensor: &'a str,
    id: &'a str,
    body: &'a [u8],
    signed: &'a [u8],
    content_type: &'a str,
    api_key: &'a str,
}

impl<'a> Delivery<'a> {
    /// As it should be.
    pub(crate) fn of(id: &'a str, body: &'a [u8]) -> Self {
        let content_type = "application/json";
        Self { sensor: "hooks", id, body, signed: body, content_type, api_key: "none" }
    }

    fn status(&self, server: &Server) -> u16 {
        self.send(server).status
    }

    pub(crate) fn send(&self, server: &Server) -> Answer {
        let secret = SECRETS.iter().find(|(name, _)| *name == self.sensor).map_or("", |s| s.1);
        let url = format!("{}/webhooks/p/{}", server.webhooks(), self.sensor);
        let request = client().post(url).header("content-type", self.content_type);
        let request = request.header("x-delivery", self.id).header("x-api-key", self.api_key);
        let request = request.header("x-signature", signature(secret, self.signed));
        send(request.body(self.body.to_owned()))
    }

    /// As it goes over the wire.
    pub(crate) fn text(&self) -> Vec<u8> {
        let secret = SECRETS.iter().find(|(name, _)| *name == self.sensor).map_or("", |s| s.1);
        let head = format!(
            "POST /webhooks/p/{} HTTP/1.1\r\nHost: tripline\r\nContent-Type: {}\r\nX-Delivery: {}\r\nX-Signature: {}\r\nContent-Length: {}\r\n\r\n",
            self.sensor,
            self.content_type,
            self.id,
            signature(secret, self.signed),
            self.body.len()
        );
        [head.as_bytes(), self.body].concat()
    }
}

#[test]
fn a_delivery_counts_once_and_only_with_its_senders_signature() {
    let world = receiver();
    let server = world.serve();
    let (body, large) = (br#"{"n": 1}"#, format!("\"{}\"", "x".repeat(1024)));
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let (deep, deepest) = (nested(63), nested(62));
    let good = || Delivery::of("d-1", body);
    assert_eq!(good().status(&server), 202);
    assert_eq!(good().status(&server), 200, "redelivered");
    assert_eq!(Delivery { sensor: "others", ..good() }.status(&server), 202, "another sender");
    let refused = [
        (401, Delivery { signed: br#"{"n": 2}"#, ..Delivery::of("d-2", body) }),
        (415, Delivery { content_type: "text/plain", ..Delivery::of("d-3", body) }),
        (400, Delivery::of("d-4", b"{\"n\": ")),
        (413, Delivery::of("d-5", large.as_bytes())),
        (404, Delivery { sensor: "nobody", ..Delivery::of("d-6", body) }),
        (400, Delivery::of("d-7", deep.as_bytes())),
    ];
    for (status, delivery) in refused {
        assert_eq!(delivery.status(&server), status, "{}", delivery.id);
    }
    assert_eq!(Delivery::of("d-8", deepest.as_bytes()).status(&server), 202);
    assert_eq!(events_of(&world, "webhook.received").len(), 3);
    for id in executions_of(&world, "p.take") {
        world.reaches(&id, &["succeeded"]);
    }
    assert_eq!(executions_of(&world, "p.take").len(), 3);
    assert_eq!(lines(&world, "attempts").len(), 3);
}

#[test]
fn what_was_answered_with_202_is_there_after_a_kill_and_runs_once() {
    let world = receiver();
    let mut server = world.serve();
    for n in 1..=3 {
        let (id, body) = (format!("d-{n}"), format!("{{\"n\": {n}}}"));
        assert_eq!(Delivery::of(&id, body.as_bytes()).status(&server), 202);
        server.kill();
        server = world.serve();
        assert_eq!(
            Delivery::of(&id, body.as_bytes()).status(&server),
            200,
            "the sender tells it again"
        );
    }
    let told: Vec<_> = events_of(&world, "webhook.received");
    let told: Vec<_> = told.iter().map(|data| data["body"]["n"].clone()).collect();
    assert_eq!(told, [1, 2, 3]);
    let ids = executions_of(&world, "p.take");
    assert_eq!(ids.len(), 3);
    for id in &ids {
        world.reaches(id, &["succeeded"]);
    }
    let mut keys: Vec<String> = ids.iter().map(|id| format!("{id}/1")).collect();
    keys.sort();
    let mut ledger = lines(&world, "ledger");
    ledger.sort();
    assert_eq!(ledger, keys);
}

/// The files below `folder` that hold `value`.
fn holding(folder: &std::path::Path, value: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| match path.is_dir() {
        true => holding(&path, value),
        false => vec![path],
    });
    let holds = |bytes: Vec<u8>| bytes.windows(value.len()).any(|part| part == value.as_bytes());
    found.filter(|path| std::fs::read(path).is_ok_and(holds)).collect()
}

#[test]
fn what_a_sensor_calls_secret_is_a_token_for_all_but_the_action_that_uses_it() {
    let world = receiver();
    let sensor = world.read("packs/p/sensors/hooks.yaml");
    pack(
        &world,
        "sensors/hooks.yaml",
        &format!("{sensor}  secret_fields: [body.users.password, headers.X-Api-Key]\n"),
    );
    program(&world, "keep", "idempotent", r#"cat >>"$W/kept""#);
    chain(&world, "take", r#"run("p.keep", #{ a: params.a.users[0].password })"#);
    let server = world.serve();
    let (value, nested, key) = ("hunter2-of-ada", "swordfish-of-bob", "key-of-the-sender");
    let body = format!(
        r#"{{"users": [{{"name": "ada", "password": "{value}"}}, [[{{"password": "{nested}"}}]]], "note": "ada has {value} now"}}"#
    );
    let delivery = || Delivery { api_key: key, ..Delivery::of("d-1", body.as_bytes()) };
    assert_eq!((delivery().status(&server), delivery().status(&server)), (202, 200));
    for id in executions_of(&world, "p.take") {
        world.reaches(&id, &["succeeded"]);
    }
    assert_eq!(world.read("kept"), format!(r#"{{"a":"{value}"}}"#));
    let told = &events_of(&world, "webhook.received")[0];
    let (body, user) = (&told["body"], &told["body"]["users"][0]);
    assert_eq!(user["name"], "ada");
    for place in [user, &body["users"][1][0][0]].map(|user| &user["password"]) {
        assert!(place.as_str().unwrap().starts_with("tlsec_"), "{told}");
    }
    assert!(told["headers"]["x-api-key"].as_str().unwrap().starts_with("tlsec_"), "{told}");
    let token = user["password"].as_str().unwrap();
    assert_eq!(body["note"], format!("ada has {token} now"));
    let listed = world.json(&["event", "list", "--type", "webhook.received"]);
    assert_eq!((&listed[0]["duplicates"], &listed[0]["differing"]), (&1.into(), &0.into()));
    for value in [value, nested, key] {
        assert_eq!(holding(&world.path("state"), value), Vec::<std::path::PathBuf>::new());
    }
}
