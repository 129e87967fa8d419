#![allow(clippy::unwrap_used)]

use expect_test::{Expect, expect};
use model::Timestamp;
use serde_json::json;

use super::*;
use crate::{Built, build};

mod secret_fields;

const GITHUB_SECRET: &str = "It's a Secret to Everybody";
const NEW_SECRET: &str = "a secret that follows";
/// `whsec_` and the base64 of `0123456789abcdef0123456789abcdef`.
const STANDARD_SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const STANDARD_KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: i64 = 1_700_000_000;

fn variable(name: &str) -> Option<String> {
    let value = match name {
        "OLD" => GITHUB_SECRET,
        "NEW" => NEW_SECRET,
        "STANDARD" => STANDARD_SECRET,
        "BROKEN" => "whsec_not base64!",
        _ => return None,
    };
    Some(value.to_owned())
}

fn make(parameters: &Value) -> Result<Webhook, Vec<BuildError>> {
    let mut context = BuildContext::new("tripline:test/app/hook", ".");
    context.variable = variable;
    context.random = || Some([0xab; 16]);
    match build("webhook", parameters.as_object().unwrap(), &context)? {
        Built::Webhook(webhook) => Ok(std::sync::Arc::into_inner(webhook).unwrap()),
        Built::Task(_) => unreachable!(),
    }
}

fn github() -> Value {
    json!({
        "secrets": [{ "env": "OLD" }],
        "signature": { "header": "X-Hub-Signature-256", "prefix": "sha256=" },
        "id": { "header": "X-GitHub-Delivery" },
    })
}

fn standard() -> Value {
    json!({
        "secrets": [{ "env": "STANDARD" }],
        "signature": { "header": "webhook-signature", "encoding": "base64", "prefix": "v1,",
            "signed": "{id}.{timestamp}.{body}" },
        "timestamp": { "header": "webhook-timestamp", "tolerance": "5m" },
        "id": { "header": "webhook-id" },
    })
}

fn request(body: &str, headers: &[(&str, &str)]) -> Request {
    let json = [("Content-Type", "application/json; charset=utf-8")];
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Request {
        method: "POST".to_owned(),
        path: "/webhooks/app/hook".to_owned(),
        query: Vec::new(),
        headers: json.iter().chain(headers).map(own).collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        received_at: Timestamp::from_second(NOW).unwrap(),
    }
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(key: &[u8], text: &str) -> String {
    sign(key, text).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// The event's id, or the refusal's status, kind and message.
fn answer(parameters: &Value, request: &Request) -> String {
    match make(parameters).unwrap().receive(request) {
        Ok(event) => event.envelope.id,
        Err(refusal) => format!("{} {}: {refusal}", refusal.status(), refusal.kind()),
    }
}

#[test]
fn the_signature_of_githubs_documentation_is_right() {
    assert_eq!(
        hex(GITHUB_SECRET.as_bytes(), "Hello, World!"),
        "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    );
    let vector = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    // The body is signed and is not JSON: it came as far as being read.
    let request = request("Hello, World!", &[("x-hub-signature-256", vector)]);
    expect!["400 malformed: the body is not JSON: expected value at line 1 column 1"]
        .assert_eq(&answer(&github(), &request));
}

#[test]
fn each_sender_s_own_signature_is_understood() {
    let body = r#"{"ref":"refs/heads/main"}"#;
    let old = GITHUB_SECRET.as_bytes();
    let plain = hex(old, body);
    let time = NOW.to_string();
    let slack = format!("v0={}", hex(old, &format!("v0:{time}:{body}")));
    let signed = STANDARD.encode(sign(STANDARD_KEY, &format!("msg_1.{time}.{body}")));
    let slack_config = json!({
        "secrets": [{ "env": "OLD" }],
        "signature": { "header": "X-Slack-Signature", "prefix": "v0=",
            "signed": "v0:{timestamp}:{body}" },
        "timestamp": { "header": "X-Slack-Request-Timestamp" },
    });
    let bare = |signature: &str, id: &str| {
        json!({ "secrets": [{ "env": "OLD" }], "signature": { "header": signature },
            "id": { "header": id } })
    };
    let bitbucket = json!({ "secrets": [{ "env": "OLD" }],
        "signature": { "header": "X-Hub-Signature", "prefix": "sha256=" },
        "id": { "header": "X-Request-UUID" } });
    let prefixed = format!("sha256={plain}");
    for (sender, config, headers, id) in [
        (
            "GitHub",
            github(),
            vec![("X-Hub-Signature-256", prefixed.as_str()), ("X-GitHub-Delivery", "72d3")],
            "72d3",
        ),
        (
            "Gitea",
            bare("X-Gitea-Signature", "X-Gitea-Delivery"),
            vec![("X-Gitea-Signature", plain.as_str()), ("X-Gitea-Delivery", "f6")],
            "f6",
        ),
        (
            "Forgejo",
            bare("X-Forgejo-Signature", "X-Forgejo-Delivery"),
            vec![("X-Forgejo-Signature", plain.as_str()), ("X-Forgejo-Delivery", "f7")],
            "f7",
        ),
        (
            "Bitbucket",
            bitbucket,
            vec![("X-Hub-Signature", prefixed.as_str()), ("X-Request-UUID", "u1")],
            "u1",
        ),
        (
            "Slack",
            slack_config,
            vec![("X-Slack-Signature", slack.as_str()), ("X-Slack-Request-Timestamp", &time)],
            "abababababababababababababababab",
        ),
        (
            "GitLab with a signing token, and Standard Webhooks",
            standard(),
            vec![
                ("webhook-signature", &format!("v1a,Zm9v v1,{signed}")),
                ("webhook-id", "msg_1"),
                ("webhook-timestamp", &time),
            ],
            "msg_1",
        ),
    ] {
        assert_eq!(answer(&config, &request(body, &headers)), id, "{sender}");
    }
}

#[test]
fn what_is_not_signed_by_a_known_secret_is_refused() {
    let body = "{}";
    let right = hex(GITHUB_SECRET.as_bytes(), body);
    let check = |signature: Option<&str>, expected: Expect| {
        let headers: Vec<_> = signature.iter().map(|s| ("X-Hub-Signature-256", *s)).collect();
        expected.assert_eq(&answer(&github(), &request(body, &headers)));
    };
    let missing =
        || expect!["401 missing_signature: the header `x-hub-signature-256` is missing or empty"];
    let bad = || {
        expect![
            "401 bad_signature: the signature in `x-hub-signature-256` does not fit the body and any of the secrets"
        ]
    };
    check(None, missing());
    check(Some(""), missing());
    check(Some("sha256="), bad());
    check(Some(&right), bad());
    check(Some(&format!("sha1={right}")), bad());
    check(Some(&format!("sha256={}", hex(NEW_SECRET.as_bytes(), body))), bad());
    check(Some(&format!("sha256={}", &right[..62])), bad());
    check(Some(&format!("sha256={right}00")), bad());
    check(Some("sha256=ü"), bad());
    check(Some(&format!("sha256={}", hex(GITHUB_SECRET.as_bytes(), "{ }"))), bad());
}

#[test]
fn while_a_secret_rotates_both_are_good() {
    let mut config = github();
    config["secrets"] = json!([{ "env": "OLD" }, { "env": "NEW" }]);
    for secret in [GITHUB_SECRET, NEW_SECRET] {
        let signature = format!("sha256={}", hex(secret.as_bytes(), "{}"));
        let headers = [("X-Hub-Signature-256", signature.as_str()), ("X-GitHub-Delivery", "1")];
        assert_eq!(answer(&config, &request("{}", &headers)), "1");
    }
    // A sender that rotates signs with both, the new one first.
    let [old, new] = [STANDARD_KEY, b"another key"]
        .map(|key| STANDARD.encode(sign(key, &format!("m.{NOW}.{{}}"))));
    let list = format!("v1,{new} v1,{old}");
    let time = NOW.to_string();
    let headers =
        [("webhook-signature", list.as_str()), ("webhook-id", "m"), ("webhook-timestamp", &time)];
    assert_eq!(answer(&standard(), &request("{}", &headers)), "m");
}

#[test]
fn a_time_too_far_off_is_refused_in_both_directions() {
    for (sent, fits) in [
        (NOW.to_string(), true),
        ((NOW - 300).to_string(), true),
        ((NOW + 300).to_string(), true),
        ((NOW - 302).to_string(), false),
        ((NOW + 302).to_string(), false),
        ("now".to_owned(), false),
        ("99999999999999999999".to_owned(), false),
    ] {
        let signature = STANDARD.encode(sign(STANDARD_KEY, &format!("m.{sent}.{{}}")));
        let signature = format!("v1,{signature}");
        let headers = [
            ("webhook-signature", signature.as_str()),
            ("webhook-id", "m"),
            ("webhook-timestamp", sent.as_str()),
        ];
        let answer = answer(&standard(), &request("{}", &headers));
        let expected = if fits {
            "m"
        } else {
            "401 stale: the time in `webhook-timestamp` is not within 5m of now"
        };
        assert_eq!(answer, expected, "{sent}");
    }
}

#[test]
fn a_time_or_id_that_the_signature_does_not_cover_is_not_believed() {
    let time = NOW.to_string();
    let signature = STANDARD.encode(sign(STANDARD_KEY, &format!("m.{time}.{{}}")));
    let signature = format!("v1,{signature}");
    let later = (NOW + 1).to_string();
    for (id, time) in [("other", &time), ("m", &later)] {
        let headers = [
            ("webhook-signature", signature.as_str()),
            ("webhook-id", id),
            ("webhook-timestamp", time),
        ];
        assert!(answer(&standard(), &request("{}", &headers)).starts_with("401 bad_signature"));
    }
    let headers = [("webhook-signature", signature.as_str()), ("webhook-timestamp", &time)];
    expect!["401 missing_signature: the header `webhook-id` is missing or empty"]
        .assert_eq(&answer(&standard(), &request("{}", &headers)));
}

#[test]
fn only_json_of_bounded_size_is_taken() {
    let mut config = github();
    config["body_limit"] = json!("1KiB");
    let long = format!("\"{}\"", "x".repeat(1023));
    expect!["413 too_large: the body has 1025 bytes, more than 1024"]
        .assert_eq(&answer(&config, &request(&long, &[])));
    for (content_type, taken) in [
        ("application/json", true),
        ("Application/JSON;charset=UTF-8", true),
        ("application/cloudevents+json", true),
        ("application/x-www-form-urlencoded", false),
        ("text/json", false),
        ("", false),
    ] {
        let mut request = request("{}", &[]);
        request.headers = vec![("content-type".to_owned(), content_type.to_owned())];
        let refusal = make(&config).unwrap().receive(&request).unwrap_err();
        assert_eq!(refusal.status(), if taken { 401 } else { 415 }, "{content_type}");
    }
}

#[test]
fn a_request_without_an_id_gets_a_random_one_and_never_one_of_its_body() {
    let signature = format!("sha256={}", hex(GITHUB_SECRET.as_bytes(), "{}"));
    let request = request("{}", &[("X-Hub-Signature-256", &signature)]);
    assert_eq!(answer(&github(), &request), "abababababababababababababababab");
    let context = BuildContext::new("s", ".");
    assert_ne!((context.random)(), (context.random)());
}

#[test]
fn an_id_that_is_not_signed_is_the_senders_word_unless_the_content_is_the_id() {
    let mut by_content = github();
    by_content["secrets"] = json!([{ "env": "OLD" }, { "env": "NEW" }]);
    by_content["id"] = json!({ "content": true });
    let told = |config: &Value, secret: &str, body: &str, id: &str| {
        let signature = format!("sha256={}", hex(secret.as_bytes(), body));
        let headers = [("X-Hub-Signature-256", signature.as_str()), ("X-GitHub-Delivery", id)];
        answer(config, &request(body, &headers))
    };
    // A recorded delivery, sent again under an id of the recorder's choice.
    assert_ne!(
        told(&github(), GITHUB_SECRET, "{}", "1"),
        told(&github(), GITHUB_SECRET, "{}", "2")
    );
    let first = told(&by_content, GITHUB_SECRET, "{}", "1");
    assert_eq!(told(&by_content, GITHUB_SECRET, "{}", "2"), first);
    assert_eq!(told(&by_content, NEW_SECRET, "{}", "2"), first, "whichever key has signed it");
    assert_ne!(told(&by_content, GITHUB_SECRET, "[]", "1"), first);
    assert!(!first.contains(&hex(GITHUB_SECRET.as_bytes(), "{}")), "it is no signature");
}

#[test]
fn a_rule_sees_the_request_without_what_is_secret() {
    let body = r#"{"ref":"refs/heads/main","n":[1,null]}"#;
    let signature = format!("sha256={}", hex(GITHUB_SECRET.as_bytes(), body));
    let mut request = request(
        body,
        &[
            ("X-Hub-Signature-256", &signature),
            ("X-GitHub-Event", "push"),
            ("X-GitHub-Delivery", "72d3"),
            ("Authorization", "Bearer s3cr3t"),
            ("X-Forwarded-For", "10.0.0.1"),
            ("X-Forwarded-For", "10.0.0.2"),
        ],
    );
    request.query = [("env", "prod"), ("tag", "a"), ("tag", "b"), ("tag", "c")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    let event = make(&github()).unwrap().receive(&request).unwrap();
    assert_eq!(event.envelope.source, "tripline:test/app/hook");
    assert_eq!(event.envelope.kind.as_str(), "webhook.received");
    assert_eq!(event.envelope.time, request.received_at);
    expect![[r#"
        {
          "body": {
            "n": [
              1,
              null
            ],
            "ref": "refs/heads/main"
          },
          "headers": {
            "content-type": "application/json; charset=utf-8",
            "x-forwarded-for": "10.0.0.1, 10.0.0.2",
            "x-github-delivery": "72d3",
            "x-github-event": "push"
          },
          "method": "POST",
          "path": "/webhooks/app/hook",
          "query": {
            "env": "prod",
            "tag": [
              "a",
              "b",
              "c"
            ]
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&event.data).unwrap());
}

#[test]
fn a_configuration_that_would_not_protect_is_an_error_at_load() {
    let with = |path: &str, value: Value| {
        let mut config = standard();
        *config.pointer_mut(path).unwrap() = value;
        config
    };
    let signed = |text: &str| with("/signature/signed", text.into());
    let check = |config: Value, expected: Expect| {
        let errors = make(&config).unwrap_err();
        let shown: Vec<String> =
            errors.iter().map(|error| format!("{}: {}", error.path, error.message)).collect();
        expected.assert_eq(&shown.join("\n"));
    };
    check(
        signed("{id}.{body}"),
        expect![
            "signature.signed: `timestamp` requires {timestamp} in `signed`: an unsigned time proves nothing"
        ],
    );
    check(
        signed("{timestamp}"),
        expect![
            "signature.signed: `{timestamp}` lacks {body}: the signature would not cover the body"
        ],
    );
    check(signed("{boddy}"), expect!["signature.signed: `{boddy}` stands for nothing"]);
    check(signed("{body"), expect!["signature.signed: `{body`: a `{` without its `}`"]);
    check(
        json!({ "secrets": [{ "env": "OLD" }],
            "signature": { "header": "x", "signed": "{timestamp}{id}{body}" } }),
        expect![
            "signature.signed: {timestamp} requires `timestamp`: nothing says where the time stands"
        ],
    );
    check(with("/secrets", json!([])), expect![[r#"secrets: `secrets`: [] has less than 1 item"#]]);
    check(
        with("/secrets", json!([{ "env": "NONE" }, { "env": "BROKEN" }])),
        expect![[r#"
            secrets.0: the environment variable NONE is not set where the server was started
            secrets.1: the secret in the environment variable BROKEN is not `whsec_` and base64"#]],
    );
    check(
        with("/secrets", json!(["hooks/app"])),
        expect!["secrets.0: there is no secret store here, and so no secret `hooks/app`"],
    );
    check(
        with("/id", json!({ "header": "x-id", "content": true })),
        expect![[r#"id: `id`: {"content":true,"header":"x-id"} has more than 1 property"#]],
    );
    check(
        with("/id", json!({ "content": false })),
        expect!["id.content: `id.content`: true was expected"],
    );
    check(
        with("/id", json!({ "content": true })),
        expect!["signature.signed: {id} requires `id`: nothing says where the id stands"],
    );
    check(
        with("/signature/header", "bad header".into()),
        expect!["signature.header: `bad header` is not the name of a header"],
    );
    check(
        with("/timestamp/tolerance", "5".into()),
        expect![
            "timestamp.tolerance: `timestamp.tolerance`: `5` is not a duration: expected numbers with units ms, s, m, h, d or w, such as `30s` or `1h30m`, at most ten years"
        ],
    );
    let mut config = github();
    config["body_limit"] = json!("5MiB");
    check(
        config,
        expect![[r#"body_limit: `body_limit: "5MiB"` is not a size from 1 byte to 4MiB"#]],
    );
    let mut config = github();
    config["signature"]["algorithm"] = json!("sha1");
    check(
        config,
        expect![
            "signature: `signature`: Additional properties are not allowed ('algorithm' was unexpected)"
        ],
    );
}
