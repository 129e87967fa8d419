//! Tokens: how they end and are kept, what is held up when they are wrong, and what is noted of those who
//! show them.
#![allow(clippy::unwrap_used)]

mod support;

use reqwest::Method;
use serde_json::{Value, json};
use support::{Answer, Served, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_revoked_or_has_expired_says_so() {
    let served = Served::start().await;
    let make = async |name: &str, ttl: Option<&str>| -> Answer {
        let body = json!({ "name": name, "role": "viewer", "ttl": ttl });
        served.post("/api/v1/tokens", body).await
    };
    let asks = async |token: &str| -> Answer {
        send(served.request(Method::GET, "/api/v1/rules").bearer_auth(token)).await
    };
    let made = make("ci", None).await.json();
    let token = made["token"].as_str().unwrap();
    assert_eq!(asks(token).await.status, 200);
    make("ci", None).await.problem(409, "conflict");
    make("admin", None).await.problem(409, "conflict");
    let revoke = |name: &str| {
        let path = format!("/api/v1/tokens/{name}");
        send(served.request(Method::DELETE, &path).bearer_auth(served.token()))
    };
    assert_eq!(revoke("ci").await.status, 204);
    let problem = asks(token).await.problem(401, "unauthenticated");
    assert!(problem["detail"].as_str().unwrap().contains("revoked"), "{problem}");
    revoke("ci").await.problem(404, "not_found");
    assert_eq!(make("ci", None).await.status, 201, "its name is free again");

    let short = make("short", Some("1ms")).await.json();
    let token = short["token"].as_str().unwrap().to_owned();
    let problem = support::eventually(async || {
        let answer = asks(&token).await;
        (answer.status == 401).then(|| answer.problem(401, "unauthenticated"))
    });
    let problem = problem.await;
    assert!(problem["detail"].as_str().unwrap().contains("expired"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listing_says_what_a_revoked_token_allowed() {
    let served = Served::start().await;
    let body = json!({ "name": "ci", "role": "operator", "packs": ["sh*"], "ttl": "90d" });
    assert_eq!(served.post("/api/v1/tokens", body).await.status, 201);
    let before = served.get("/api/v1/tokens").await.json()["items"][0].clone();
    send(served.request(Method::DELETE, "/api/v1/tokens/ci").bearer_auth(served.token())).await;
    let served = Served::in_folder(served.stop().await).await;
    let after = served.get("/api/v1/tokens").await.json()["items"][0].clone();
    assert_eq!((&before["state"], &after["state"]), (&json!("active"), &json!("revoked")));
    for kept in ["role", "packs", "expires_at"] {
        assert!(before[kept] == after[kept] && !after[kept].is_null(), "{kept}: {after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_that_is_limited_to_packs_is_refused_in_a_sentence() {
    let served = Served::start().await;
    let body = json!({ "name": "ann", "role": "admin", "packs": ["shop"] });
    let problem = served.post("/api/v1/tokens", body).await.problem(422, "invalid_parameters");
    let told = problem["violations"][0].to_string();
    assert!(told.contains("an admin's token holds for the whole installation"), "{problem}");
    assert!(told.contains("take the role operator"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_each_pack_once_and_no_command_that_is_refused_too() {
    let served = Served::start().await;
    let body = json!({ "name": "ci", "role": "operator", "packs": ["web", "web"] });
    let token = served.post("/api/v1/tokens", body).await.json()["token"].clone();
    // Two of the pack's rules listen to it, whose sensor it is too.
    let path = "/api/v1/sensors/shop.hook";
    let request = served.request(Method::GET, path).bearer_auth(token.as_str().unwrap());
    let problem = send(request).await.problem(403, "denied");
    let told = "`shop.hook` belongs to `shop`; the token `ci` is limited to `web`";
    assert_eq!(problem["detail"], told);
    assert!(!problem["hint"].as_str().unwrap().contains("token list"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_outlives_the_server_and_is_stored_as_a_hash() {
    let served = Served::start().await;
    let body = json!({ "name": "ci", "role": "operator", "packs": ["shop"] });
    let made = served.post("/api/v1/tokens", body).await.json();
    let token = made["token"].as_str().unwrap().to_owned();
    let folder = served.stop().await;
    for file in std::fs::read_dir(folder.path().join("state")).unwrap().flatten() {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        let found = bytes.windows(token.len()).any(|part| part == token.as_bytes());
        assert!(!found, "{}", file.path().display());
    }
    let served = Served::in_folder(folder).await;
    let rules = send(served.request(Method::GET, "/api/v1/rules").bearer_auth(token)).await;
    assert_eq!(rules.status, 200, "{}", rules.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_tells_who_did_what() {
    let served = Served::start().await;
    let body = json!({ "name": "ci", "role": "operator" });
    let made = served.post("/api/v1/tokens", body).await.json();
    let token = made["token"].as_str().unwrap();
    let switch = served.request(Method::POST, "/api/v1/rules/shop.ship/disable");
    assert_eq!(send(switch.bearer_auth(token)).await.status, 204);
    let deeds = served.get("/api/v1/audit").await.json();
    let told: Vec<_> = deeds["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|deed| {
            format!("{} {} {}", deed["actor"], deed["name"], deed["stream"]).replace('"', "")
        })
        .collect();
    assert_eq!(told, ["token:ci RuleSwitched rule/shop.ship", "token:admin TokenCreated token/ci"]);
    let of_ci = served.get("/api/v1/audit?token=ci&limit=1").await.json();
    assert_eq!(of_ci["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_tells_who_was_refused_once_and_then_how_often() {
    let served = Served::start().await;
    let body = json!({ "name": "ci", "role": "viewer" });
    let made = served.post("/api/v1/tokens", body).await.json();
    let token = made["token"].as_str().unwrap().to_owned();
    let told = async |served: &Served| -> Vec<String> {
        let deeds = served.get("/api/v1/audit?name=RequestsRefused").await.json();
        let told = deeds["items"].as_array().unwrap().iter().map(|deed| {
            let fact = &deed["fact"];
            let said = ["reason", "method", "path", "times"].map(|name| fact[name].to_string());
            format!("{} {}", deed["actor"], said.join(" ")).replace('"', "")
        });
        let mut told: Vec<_> = told.collect();
        told.sort();
        told
    };
    for _ in 0..4 {
        let path = "/api/v1/rules/shop.ship/disable";
        send(served.request(Method::POST, path).bearer_auth(&token)).await.problem(403, "denied");
        let path = "/api/v1/rules?token=not-to-be-seen";
        send(served.request(Method::GET, path)).await.problem(401, "unauthenticated");
    }
    let once = [
        "address:127.0.0.1 unauthenticated GET /api/v1/rules 1",
        "token:ci denied POST /api/v1/rules/shop.ship/disable 1",
    ];
    let found = support::eventually(async || {
        let told = told(&served).await;
        (told.len() >= 2).then_some(told)
    });
    assert_eq!(found.await, once);
    // The end of the server ends the minute too.
    let served = Served::in_folder(served.stop().await).await;
    let more = [
        "address:127.0.0.1 unauthenticated GET /api/v1/rules 3",
        "token:ci denied POST /api/v1/rules/shop.ship/disable 3",
    ];
    assert_eq!(told(&served).await, [once[0], more[0], once[1], more[1]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_sent_again_under_its_name_starts_nothing_anew() {
    let served = Served::start().await;
    let post = |path: &str, name: &str, body: Value| {
        let path = format!("/api/v1/{path}");
        let request = served.request(Method::POST, &path).bearer_auth(served.token());
        send(request.header("Idempotency-Key", name).json(&body))
    };
    let run = |item: &str| json!({ "action": "shop.ship", "parameters": { "item": item } });
    let first = post("executions", "deploy-1", run("bike")).await;
    let again = post("executions", "deploy-1", run("bike")).await;
    assert_eq!((first.status, again.status), (201, 201), "{}", again.text);
    assert_eq!(first.json()["id"], again.json()["id"]);
    post("executions", "deploy-1", run("car")).await.problem(409, "conflict");
    let other = post("executions", "deploy-2", run("bike")).await.json();
    assert_ne!(first.json()["id"], other["id"]);
    post("executions", "", run("bike")).await.problem(400, "invalid_parameters");

    let id = first.json()["id"].as_str().unwrap().to_owned();
    served.ended(&id).await;
    let rerun = format!("executions/{id}/rerun");
    let (first, again) =
        (post(&rerun, "rerun-1", json!({})).await, post(&rerun, "rerun-1", json!({})).await);
    assert_eq!((first.status, again.status), (201, 201), "{}", again.text);
    assert_eq!(first.json()["id"], again.json()["id"]);
    assert_ne!(first.json()["id"], id);

    let event = json!({ "type": "shop.ordered", "data": { "item": "bike" } });
    let (first, again) =
        (post("events", "order-1", event.clone()).await, post("events", "order-1", event).await);
    assert_eq!((first.status, again.status), (202, 200));
    let key = first.json()["event"].as_str().unwrap().to_owned();
    assert_eq!(again.json()["event"], key);
    let with_id =
        |id: &str| json!({ "type": "shop.ordered", "id": id, "data": { "item": "bike" } });
    let same = post("events", "order-1", with_id("order-1")).await;
    assert_eq!((same.status, same.json()["event"].as_str()), (200, Some(key.as_str())));
    post("events", "order-1", with_id("order-2")).await.problem(422, "invalid_parameters");
    let reemit = format!("events/{key}/reemit");
    let (first, again) =
        (post(&reemit, "again-1", json!({})).await, post(&reemit, "again-1", json!({})).await);
    assert_eq!((first.status, again.status), (202, 200));
    assert_eq!(first.json()["event"], again.json()["event"]);
    assert_ne!(first.json()["event"], key);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_wrong_tokens_are_held_up_and_a_good_one_never_is() {
    let served = Served::start().await;
    let wrong = || send(served.request(Method::GET, "/api/v1/rules").bearer_auth("wrong"));
    let held_up = support::eventually(async || {
        let answer = wrong().await;
        (answer.status == 429).then_some(answer)
    });
    let held_up = held_up.await;
    held_up.problem(429, "rate_limited");
    let seconds: u32 = held_up.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=61).contains(&seconds), "{seconds}");
    assert_eq!(served.get("/api/v1/rules").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_not_looked_at_once_many_that_begin_like_it_were_wrong() {
    let served = Served::start().await;
    let show =
        |token: String| send(served.request(Method::GET, "/api/v1/rules").bearer_auth(token));
    let slip = format!("{}slip", served.token());
    for _ in 0..10 {
        show(slip.clone()).await.problem(401, "unauthenticated");
    }
    // Begun like the wrong ones, the right one waits too: nothing of it was looked at.
    show(served.token()).await.problem(429, "rate_limited");
}
