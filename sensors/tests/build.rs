//! Making sensors of what users write.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use bytes::Bytes;
use host::git::{Git, Options};
use sensors::webhook::Request;
use sensors::{BuildContext, Built, build, check};
use serde_json::{Value, json};

fn found(kind: &str, parameters: &Value) -> Vec<String> {
    let git = Git::new(Options::default());
    let errors = check(kind, parameters.as_object().unwrap(), &git);
    errors.into_iter().map(|error| format!("{}: {}", error.path, error.message)).collect()
}

#[test]
fn a_check_needs_no_secret_and_finds_the_rest() {
    let url = "https://git.example.com/app";
    let hook =
        json!({ "secrets": [{ "env": "NOT_SET_ANYWHERE" }], "signature": { "header": "X" } });
    let git = json!({ "url": url, "credentials": { "env": "NOT_SET_ANYWHERE" } });
    for (kind, parameters) in [
        ("webhook", hook),
        ("git", git),
        ("timer.cron", json!({ "cron": "0 9 * * *" })),
        ("timer.interval", json!({ "every": "1s" })),
        ("timer.at", json!({ "time": "2026-01-01T00:00:00Z" })),
    ] {
        assert!(found(kind, &parameters).is_empty(), "{kind}");
    }
    assert_eq!(
        found("git", &json!({ "url": "ftp://x/y" })),
        ["url: the scheme `ftp` is not allowed for repositories: expected https or ssh"]
    );
    assert_eq!(
        found("webhook", &json!({ "secrets": [5, { "env": "A" }], "signature": {} })),
        [
            "secrets.0: expected a reference to a secret, found a whole number",
            "signature: `signature`: \"header\" is a required property",
        ]
    );
    assert_eq!(found("process", &json!({})), ["entry_point: missing parameter `entry_point`"]);
    assert_eq!(found("proces", &json!({})), [": unknown sensor type `proces`"]);
}

#[test]
fn what_a_webhook_tells_is_what_its_trigger_type_says() {
    let mut context = BuildContext::new("tripline:test/app/hook", ".");
    context.variable = |_| Some("It's a Secret to Everybody".to_owned());
    let parameters = json!({ "secrets": [{ "env": "KEY" }], "signature": { "header": "X-Sign" } });
    let built = build("webhook", parameters.as_object().unwrap(), &context).unwrap();
    let Built::Webhook(webhook) = built else { panic!("{built:?}") };
    assert!(!format!("{webhook:?}").contains("Everybody"));
    assert_eq!(webhook.body_limit(), 256 * 1024);
    // HMAC-SHA256 of `{}`.
    let signature = "50b0123e6e44430d2c43ecca0ee520d961ffd326425c07859f70a57161c3ebcd";
    let request = Request {
        method: "POST".to_owned(),
        path: "/webhooks/app/hook".to_owned(),
        query: Vec::new(),
        headers: [("content-type", "application/json"), ("x-sign", signature)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        body: Bytes::from_static(b"{}"),
        received_at: "2026-01-01T00:00:00Z".parse().unwrap(),
    };
    support::assert_fits(&webhook.receive(&request).unwrap());
}
