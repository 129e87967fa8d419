//! Webhooks: signed requests become events, everything else is refused and counted.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use support::{Served, send, signature};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HOOK: &str = "/webhooks/shop/hook";
const BODY: &str = r#"{"item": "bike"}"#;

fn signed(served: &Served, body: &str) -> RequestBuilder {
    served.hook(HOOK, body).header("x-signature", signature(body))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_request_is_an_event_and_told_again_it_is_a_duplicate() {
    let served = Served::start().await;
    let deliver = || send(signed(&served, BODY).header("x-delivery", "d-1"));
    assert_eq!(deliver().await.status, 202);
    assert_eq!(deliver().await.status, 200);
    let executions = served.get("/api/v1/executions?rule=shop.hook").await.json();
    assert_eq!(executions["items"].as_array().unwrap().len(), 1);
    let id = executions["items"][0]["id"].as_str().unwrap();
    let execution = served.ended(id).await;
    assert_eq!(execution["outcome"]["result"], json!({ "shipped": "bike" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_refused_counted_and_not_stored() {
    let served = Served::start().await;
    let unsigned = served.hook(HOOK, BODY);
    send(unsigned).await.problem(401, "missing_signature");
    let forged = served.hook(HOOK, BODY).header("x-signature", signature("other"));
    send(forged).await.problem(401, "bad_signature");
    let large = format!(r#"{{"item": "{}"}}"#, "x".repeat(1024));
    send(signed(&served, &large)).await.problem(413, "too_large");
    send(signed(&served, "not json")).await.problem(400, "malformed");
    let number = send(signed(&served, r#"{"item": 9223372036854775808}"#)).await;
    let detail = number.problem(400, "malformed")["detail"].to_string();
    assert!(detail.contains("the whole number at line 1, column 10"), "{detail}");
    let twice = send(signed(&served, r#"{"item": "bike", "item": "boat"}"#)).await;
    let detail = twice.problem(400, "malformed")["detail"].to_string();
    assert!(detail.contains("the key `item` stands twice in one object at line 1"), "{detail}");
    for path in ["/webhooks/shop/nothing", "/webhooks/shop", "/api/v1/executions", "/healthz"] {
        send(served.hook(path, BODY)).await.problem(404, "not_found");
    }
    let sensor = served.get("/api/v1/sensors/shop.hook").await.json();
    let refused = &sensor["refused"];
    for (kind, count) in
        [("missing_signature", 1), ("bad_signature", 1), ("too_large", 1), ("malformed", 3)]
    {
        assert_eq!(refused[kind], count, "{kind}: {refused}");
    }
    let events = served.get("/api/v1/events?type=webhook.received").await.json();
    assert_eq!(events["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn something_else_than_json_is_refused_by_its_type() {
    let served = Served::start().await;
    let address = served.running.webhooks().borrow().unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let form = client
        .request(Method::POST, format!("http://{address}{HOOK}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-signature", signature("a=1"))
        .body("a=1");
    send(form).await.problem(415, "not_json");
    let untyped = client.post(format!("http://{address}{HOOK}")).body(BODY);
    let detail = send(untyped).await.problem(415, "not_json")["detail"].to_string();
    assert!(detail.contains("no `Content-Type` was sent: expected application/json"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_posted_is_told_to_be_and_counted() {
    let served = Served::start().await;
    let address = served.running.webhooks().borrow().unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let ask = |method: Method, path: &str| {
        let request = client.request(method, format!("http://{address}{path}"));
        send(request.header("x-signature", signature(BODY)).body(BODY))
    };
    for method in [Method::GET, Method::PUT, Method::OPTIONS] {
        let answer = ask(method.clone(), HOOK).await;
        let detail = answer.problem(405, "not_posted")["detail"].clone();
        assert_eq!(detail, format!("a webhook is sent by POST; this was {method}"));
        assert_eq!(answer.headers["allow"], "POST");
    }
    ask(Method::GET, "/webhooks/shop/nothing").await.problem(404, "not_found");
    let sensor = served.get("/api/v1/sensors/shop.hook").await.json();
    assert_eq!(sensor["refused"], json!({ "not_posted": 3 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_is_there_exactly_while_a_webhook_sensor_is() {
    let served = Served::start().await;
    let mut webhooks = served.running.webhooks();
    assert!(webhooks.borrow_and_update().is_some());
    let sensor = served.folder.path().join("packs/shop/sensors/hook.yaml");
    let rule = served.folder.path().join("packs/shop/rules/hook.yaml");
    let (kept, kept_rule) = (std::fs::read(&sensor).unwrap(), std::fs::read(&rule).unwrap());
    let changed = async |webhooks: &mut tokio::sync::watch::Receiver<_>| {
        let soon = Duration::from_secs(30);
        tokio::time::timeout(soon, webhooks.changed()).await.unwrap().unwrap();
    };
    std::fs::remove_file(&rule).unwrap();
    std::fs::remove_file(&sensor).unwrap();
    served.post("/api/v1/reload", json!({})).await;
    changed(&mut webhooks).await;
    assert_eq!(*webhooks.borrow_and_update(), None);
    std::fs::write(&sensor, kept).unwrap();
    std::fs::write(&rule, kept_rule).unwrap();
    served.post("/api/v1/reload", json!({})).await;
    changed(&mut webhooks).await;
    let open = webhooks.borrow_and_update().is_some();
    assert!(open);
    assert_eq!(send(signed(&served, BODY)).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_without_its_secret_asks_to_come_again() {
    let served = Served::start().await;
    let sensor = served.folder.path().join("packs/shop/sensors/hook.yaml");
    let text = std::fs::read_to_string(&sensor).unwrap().replace("secret }", "missing }");
    std::fs::write(&sensor, text).unwrap();
    served.post("/api/v1/reload", json!({})).await;
    let answer = send(signed(&served, BODY)).await;
    answer.problem(503, "unavailable");
    assert!(answer.headers.contains_key("retry-after"));
}

/// A signed request of which the last byte of the body is still to come.
async fn unfinished(served: &Served, delivery: usize) -> TcpStream {
    let address = served.running.webhooks().borrow().unwrap();
    let head = format!(
        "POST {HOOK} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-signature: {}\r\n\
         x-delivery: slow-{delivery}\r\ncontent-length: {}\r\n\r\n",
        signature(BODY),
        BODY.len()
    );
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&BODY.as_bytes()[..BODY.len() - 1]).await.unwrap();
    connection
}

async fn status(connection: &mut TcpStream) -> String {
    let mut answer = [0; 12];
    let read = connection.read_exact(&mut answer);
    tokio::time::timeout(Duration::from_secs(60), read).await.expect("an answer").unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_every_place_is_taken_senders_are_asked_to_come_again() {
    let served = Served::start().await;
    let mut slow = Vec::new();
    for n in 0..256 {
        slow.push(unfinished(&served, n).await);
    }
    let refused = loop {
        let answer = send(signed(&served, BODY).header("x-delivery", "d-1")).await;
        match answer.status {
            // Some have not come as far as being read, or have been given up already.
            202 | 200 => slow.push(unfinished(&served, slow.len()).await),
            _ => break answer,
        }
    };
    refused.problem(503, "unavailable");
    assert_eq!(refused.headers["retry-after"], "5");

    for quick in slow.iter_mut().step_by(2) {
        // It may have been given up by now.
        quick.write_all(&BODY.as_bytes()[BODY.len() - 1..]).await.ok();
    }
    let mut taken = 0;
    for (n, sender) in slow.iter_mut().enumerate() {
        match status(sender).await.as_str() {
            "HTTP/1.1 202" if n % 2 == 0 => taken += 1,
            "HTTP/1.1 408" | "HTTP/1.1 503" => {}
            other => panic!("{n}: {other}"),
        }
    }
    assert!(taken > 0, "who ends in time is served");
    assert_eq!(send(signed(&served, BODY).header("x-delivery", "d-2")).await.status, 202);
}
