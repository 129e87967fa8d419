//! The API over a real engine: who may ask, what is answered, how refusals look.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use reqwest::Method;
use serde_json::{Value, json};
use support::{Served, send};

#[tokio::test(flavor = "multi_thread")]
async fn nobody_learns_anything_without_the_token() {
    let served = Served::start().await;
    for path in ["/api/v1/executions", "/api/v1/stream", "/api/v1/nothing", "/api/v1/keys/a%2Fb"] {
        let answer = send(served.request(Method::GET, path)).await;
        let problem = answer.problem(401, "unauthenticated");
        assert_eq!(problem["hint"], "send `Authorization: Bearer <token>`");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        let wrong = served.request(Method::GET, path).bearer_auth("tripline_wrong");
        send(wrong).await.problem(401, "unauthenticated");
    }
    assert_eq!(served.get("/api/v1/executions").await.status, 200);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(send(served.request(Method::GET, path)).await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_selects_a_rule_and_its_chain_runs() {
    let served = Served::start().await;
    let id = served.order("bike").await;
    let execution = served.ended(&id).await;
    assert_eq!(execution["state"], "succeeded", "{execution}");
    assert_eq!(execution["outcome"]["result"], json!({ "shipped": "bike" }));
    assert_eq!(execution["steps"][0]["action"], "core.echo");
    let event = execution["origin"]["rule"]["event"].as_str().unwrap().to_owned();
    let listed = served.get(&format!("/api/v1/executions?event={event}&state=succeeded")).await;
    assert_eq!(listed.json()["items"][0]["id"], id);
    let stored = served.get(&format!("/api/v1/events/{event}")).await.json();
    assert_eq!(stored["data"], json!({ "item": "bike" }));
    let explained = served.get(&format!("/api/v1/events/{event}/explain?rule=shop.ship")).await;
    let explained = explained.json()["items"][0].take();
    assert_eq!(explained["recorded"]["selected"], id);
    assert!(explained["text"].as_str().unwrap().starts_with("shop.ship: match\n"));
    let rule = served.get("/api/v1/rules/shop.ship").await.json();
    assert_eq!(rule["counts"]["matched"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_told_twice_is_one() {
    let served = Served::start().await;
    let event = |item| json!({ "type": "shop.ordered", "id": "1", "data": { "item": item } });
    let first = served.post("/api/v1/events", event("bike")).await;
    assert_eq!((first.status, &first.json()["duplicate"]), (202, &json!(false)));
    let second = served.post("/api/v1/events", event("bike")).await;
    assert_eq!((second.status, &second.json()["duplicate"]), (200, &json!(true)));
    let third = served.post("/api/v1/events", event("boat")).await;
    assert_eq!((third.status, &third.json()["differs"]), (200, &json!(true)));
    let again = first.json()["event"].as_str().unwrap().to_owned();
    let again = served.post(&format!("/api/v1/events/{again}/reemit"), json!({})).await;
    assert_eq!(again.status, 202, "{}", again.text);
    assert_eq!(again.json()["executions"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_says_what_was_wrong_and_what_to_do() {
    let served = Served::start().await;
    let event = |kind: &str, data| json!({ "type": kind, "data": data });
    let unknown = served.post("/api/v1/events", event("shop.orderd", json!({}))).await;
    let detail = unknown.problem(404, "not_found")["detail"].to_string();
    assert!(detail.contains("did you mean `shop.ordered`?"), "{detail}");
    let misfit = served.post("/api/v1/events", event("shop.ordered", json!({ "itm": 1 }))).await;
    let problem = misfit.problem(422, "invalid_parameters");
    assert_eq!(problem["violations"][0]["path"], "itm");
    assert_eq!(problem["violations"][0]["hint"], "did you mean `item`?");
    for (path, status, kind) in [
        ("/api/v1/executions/ex_nonsense", 400, "invalid_parameters"),
        ("/api/v1/executions/ex_aaaaaaaaaaaaaaaaaaaaaaaaaa", 404, "not_found"),
        ("/api/v1/executions?state=asleep", 400, "invalid_parameters"),
        ("/api/v1/executions?limit=0", 400, "invalid_parameters"),
        ("/api/v1/executions?color=red", 400, "invalid_parameters"),
        ("/api/v1/actions/core.eco", 404, "not_found"),
        ("/api/v1/rules/shop.nothing", 404, "not_found"),
        ("/api/v1/sensors/shop%2Fnothing", 404, "not_found"),
        ("/api/v1/keys/shop%2Fnothing", 404, "not_found"),
        ("/api/v1/audit?name=CancelRequsted", 400, "invalid_parameters"),
        ("/api/v1/nothing", 404, "not_found"),
        ("/nothing", 404, "not_found"),
    ] {
        served.get(path).await.problem(status, kind);
    }
    served.post("/api/v1/rules", json!({})).await.problem(405, "rejected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_body_is_told_with_its_place_and_a_huge_one_is_not_read() {
    let served = Served::start().await;
    let post = |body: String| {
        send(served.request(Method::POST, "/api/v1/events").bearer_auth(served.token()).body(body))
    };
    let broken = post("{\"type\": \"shop.ordered\",\n \"data\": }".to_owned()).await;
    let detail = broken.problem(400, "invalid_parameters")["detail"].to_string();
    assert!(detail.contains("line 2 column 10"), "{detail}");
    let unknown = post("{\"type\": \"shop.ordered\", \"dta\": {}}".to_owned()).await;
    let detail = unknown.problem(400, "invalid_parameters")["detail"].to_string();
    assert!(detail.contains("unknown field `dta`"), "{detail}");
    for (body, told) in [
        ("7", "expected an object, found 7"),
        ("{\"type\": 7}", "expected a string, found 7"),
        ("{\"type\": \"a.b\", \"id\": {}}", "expected a string, found an object"),
    ] {
        let detail =
            post(body.to_owned()).await.problem(400, "invalid_parameters")["detail"].to_string();
        assert!(detail.contains(told), "{detail}");
    }
    for number in ["9223372036854775808", "18446744073709551616"] {
        let event = format!("{{\"type\": \"shop.ordered\", \"data\": {{\n\"item\": {number}}}}}");
        let detail = post(event).await.problem(422, "invalid_parameters")["detail"].to_string();
        assert!(detail.contains("the whole number at line 2, column 9 does not fit"), "{detail}");
    }
    let asked = served.get("/api/v1/events?limit=many").await;
    let detail = asked.problem(400, "invalid_parameters")["detail"].clone();
    assert_eq!(detail, "the query does not fit: `limit`: expected a whole number");
    for (id, bytes) in [("", 0), ("i".repeat(257).as_str(), 257)] {
        let event = json!({ "type": "shop.ordered", "data": { "item": "x" }, "id": id });
        let problem = served.post("/api/v1/events", event).await.problem(422, "invalid_parameters");
        assert_eq!(
            problem["detail"],
            format!(
                "`id` has {bytes} bytes: expected 1 to 256 (leave `id` out where there is none)"
            )
        );
    }
    let huge = format!("{{\"type\": \"shop.ordered\", \"data\": \"{}\"}}", "x".repeat(6 << 20));
    post(huge).await.problem(413, "too_large");
    // Within the body's bound, above the event's.
    let large = json!({ "type": "shop.ordered", "data": { "item": "x".repeat(9 << 19) } });
    post(large.to_string()).await.problem(413, "too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_is_run_by_name_and_its_children_are_found_under_it() {
    let served = Served::start().await;
    let body = json!({ "action": "shop.ship", "parameters": { "item": "bike" } });
    let started = served.post("/api/v1/executions", body).await;
    assert_eq!(started.status, 201, "{}", started.text);
    let id = started.json()["id"].as_str().unwrap().to_owned();
    let execution = served.ended(&id).await;
    assert_eq!(execution["origin"], "manual");
    assert_eq!(execution["actor"], "token:admin");
    let misfit = json!({ "action": "shop.ship", "parameters": {} });
    served.post("/api/v1/executions", misfit).await.problem(422, "invalid_parameters");
    let token = json!({ "name": "short", "role": "viewer", "ttl": "0s" });
    served.post("/api/v1/tokens", token).await.problem(422, "invalid_parameters");
    let large = json!({ "action": "shop.ship", "parameters": { "item": "x".repeat(300_000) } });
    let refused = served.post("/api/v1/executions", large).await;
    let detail = refused.problem(413, "too_large")["detail"].to_string();
    assert!(detail.contains("300011 bytes of JSON text, more than 262144"), "{detail}");
    let cancelled = served.post(&format!("/api/v1/executions/{id}/cancel"), json!({})).await;
    cancelled.problem(409, "conflict");
    let child = served.get(&format!("/api/v1/executions/{id}%2F1")).await;
    child.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_are_read_page_by_page() {
    let served = Served::start().await;
    for n in 0..5 {
        served.order(&format!("item {n}")).await;
    }
    let (mut seen, mut before) = (Vec::new(), String::new());
    loop {
        let page =
            served.get(&format!("/api/v1/events?type=shop.ordered&limit=2{before}")).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|row| row["key"].clone()));
        match page["next"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    let all = served.get("/api/v1/events?type=shop.ordered").await.json();
    let all: Vec<_> = all["items"].as_array().unwrap().iter().map(|r| r["key"].clone()).collect();
    assert_eq!((seen.len(), seen), (5, all));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_by_name_is_read_page_by_page_and_no_page_is_short_of_what_others_own() {
    let served = Served::start().await;
    for name in ["ann", "bob", "cleo"] {
        let token = json!({ "name": name, "role": "viewer" });
        assert_eq!(served.post("/api/v1/tokens", token).await.status, 201);
        let secret = served.request(Method::PUT, &format!("/api/v1/secrets/hooks%2F{name}"));
        let secret = secret.bearer_auth(served.token()).json(&json!({ "value": "a long value" }));
        assert_eq!(send(secret).await.status, 200);
    }
    let limited = json!({ "name": "zoe", "role": "viewer", "packs": ["shop"] });
    let limited = served.post("/api/v1/tokens", limited).await.json();
    let limited = limited["token"].as_str().unwrap();
    for (noun, name, token) in [
        ("tokens", "/name", served.token()),
        ("secrets", "/path", served.token()),
        ("sensors", "/id", limited.to_owned()),
        ("timers", "/id", limited.to_owned()),
        ("rules", "/rule", limited.to_owned()),
        ("packs", "/folder", limited.to_owned()),
        ("actions", "/action", limited.to_owned()),
        ("triggers", "/type", limited.to_owned()),
    ] {
        let list = async |query: &[(&str, &str)]| {
            let request = served.request(Method::GET, &format!("/api/v1/{noun}"));
            send(request.query(query).bearer_auth(&token)).await.json()
        };
        let whole = list(&[("limit", "1000")]).await;
        assert_eq!(whole["next"], json!(null), "{noun}");
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = list(&[("limit", "2"), ("after", &after)]).await;
            let items = page["items"].as_array().unwrap();
            seen.extend(items.iter().cloned());
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut after),
                None => break,
            }
            assert_eq!(items.len(), 2, "{noun} after {after}");
        }
        let names = |rows: &[Value]| rows.iter().map(|row| row.pointer(name).cloned()).collect();
        let (seen, all): (Vec<_>, Vec<_>) =
            (names(&seen), names(whole["items"].as_array().unwrap()));
        assert_eq!(seen, all, "{noun}");
        assert!(seen.iter().all(Option::is_some), "{noun}: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switched_rule_selects_nothing_until_its_file_decides_again() {
    let served = Served::start().await;
    let event = json!({ "type": "shop.ordered", "data": { "item": "bike" } });
    let started = async || {
        let answer = served.post("/api/v1/events", event.clone()).await.json();
        answer["executions"].as_array().unwrap().len()
    };
    for (verb, enabled, switched, runs) in [
        ("disable", false, json!(false), 0),
        ("clear", true, json!(null), 1),
        ("enable", true, json!(true), 1),
    ] {
        let answer = served.post(&format!("/api/v1/rules/shop.ship/{verb}"), json!({})).await;
        assert_eq!(answer.status, 204, "{}", answer.text);
        let rule = served.get("/api/v1/rules/shop.ship").await.json();
        assert_eq!((&rule["enabled"], &rule["switched"]), (&json!(enabled), &switched), "{verb}");
        assert_eq!(started().await, runs, "{verb}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_set_listed_read_and_deleted() {
    let served = Served::start().await;
    let path = "/api/v1/keys/shop%2Flast";
    let put =
        |body| send(served.request(Method::PUT, path).bearer_auth(served.token()).json(&body));
    let set = put(json!({ "value": { "n": 1 }, "ttl": "1h" })).await;
    assert_eq!(set.status, 204, "{}", set.text);
    put(json!({ "value": 1, "ttl": "soon" })).await.problem(422, "invalid_parameters");
    let row = served.get(path).await.json();
    assert_eq!((&row["key"], &row["value"]), (&json!("shop/last"), &json!({ "n": 1 })));
    assert!(row["expires_at"].is_string());
    let listed = served.get("/api/v1/keys?prefix=shop%2F").await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let delete = || send(served.request(Method::DELETE, path).bearer_auth(served.token()));
    assert_eq!(delete().await.status, 204);
    delete().await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_listing_answers() {
    let served = Served::start().await;
    for (noun, at_least) in
        [("actions", 2), ("triggers", 2), ("sensors", 1), ("timers", 0), ("packs", 1), ("rules", 2)]
    {
        let answer = served.get(&format!("/api/v1/{noun}")).await;
        assert_eq!(answer.status, 200, "{noun}: {}", answer.text);
        assert!(answer.json()["items"].as_array().unwrap().len() >= at_least, "{noun}");
    }
    let sensor = served.get("/api/v1/sensors/shop%2Fhook").await.json();
    assert_eq!(sensor["webhook"], "/webhooks/shop/hook");
    let health = served.get("/api/v1/health").await.json();
    assert_eq!(health["ready"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_stopping_says_so_and_takes_its_addresses_back() {
    let served = Served::start().await;
    let state = served.folder.path().join("state");
    assert!(server::files::Addresses::read(&state).unwrap().is_some());
    assert_eq!(served.engine.problem(), None);
    let engine = served.engine.clone();
    let _folder = served.stop().await;
    assert!(engine.problem().is_some());
    assert_eq!(server::files::Addresses::read(&state).unwrap(), None);
    assert!(server::files::read_token(&state).unwrap().is_some(), "the token stays the same");
}
