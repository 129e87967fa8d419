//! What a token that is limited to packs may see of events and executions.
#![allow(clippy::unwrap_used)]

mod support;

use reqwest::Method;
use serde_json::json;
use support::{Served, eventually, send, signature};

/// A token of the role viewer, limited to what fits `pattern`.
async fn limited(served: &Served, pattern: &str) -> String {
    let name = format!("of_{}", pattern.replace('*', "any"));
    let body = json!({ "name": name, "role": "viewer", "packs": [pattern] });
    let made = served.post("/api/v1/tokens", body).await.json();
    made["token"].as_str().unwrap().to_owned()
}

/// Whether the one event of this type is listed for `pattern`, and shown by itself: both or none.
async fn sees(served: &Served, pattern: &str, kind: &str) -> bool {
    let all = served.get(&format!("/api/v1/events?type={kind}")).await.json();
    let key = all["items"][0]["key"].as_str().unwrap().to_owned();
    let token = limited(served, pattern).await;
    let get = |path: String| send(served.request(Method::GET, &path).bearer_auth(&token));
    let listed = get(format!("/api/v1/events?type={kind}")).await.json();
    let listed = !listed["items"].as_array().unwrap().is_empty();
    let shown = get(format!("/api/v1/events/{key}")).await.status;
    assert_eq!(shown, if listed { 200 } else { 403 }, "{kind} for {pattern}");
    listed
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_tells_is_seen_by_whom_it_tells_of() {
    let served = Served::start().await;
    let pack = served.folder.path().join("packs/toys");
    std::fs::create_dir_all(pack.join("rules")).unwrap();
    std::fs::write(pack.join("rules/broken.yaml"), "trigger: {}\n").unwrap();
    std::fs::write(pack.join("pack.yaml"), "name: toys\nversion: 1.0.0\n").unwrap();
    let told = eventually(async || {
        served.post("/api/v1/reload", json!({})).await;
        let told = served.get("/api/v1/events?type=tripline.pack.rejected").await.json();
        (told["items"][0]["envelope"]["subject"] == "toys").then_some(())
    });
    told.await;
    for (pattern, seen) in [("toys", true), ("*", true), ("shop", false), ("tripline*", false)] {
        assert_eq!(sees(&served, pattern, "tripline.pack.rejected").await, seen, "{pattern}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_what_is_built_in_is_no_packs_name() {
    let served = Served::start().await;
    let body = r#"{"item":"bike"}"#;
    let hook = served.hook("/webhooks/shop/hook", body).header("x-signature", signature(body));
    assert_eq!(send(hook).await.status, 202);
    for (pattern, seen) in [("sh*", true), ("web*", false)] {
        assert_eq!(sees(&served, pattern, "webhook.received").await, seen, "{pattern}");
    }
    let nothing = json!({ "type": "shop.ordered", "data": { "item": "nothing" } });
    assert_eq!(served.post("/api/v1/events", nothing).await.status, 202);
    for (pattern, seen) in [("shop", true), ("api", false)] {
        assert_eq!(sees(&served, pattern, "shop.ordered").await, seen, "{pattern}");
    }
}

/// Writes files of a pack, and waits until the server has read them.
async fn write_pack(served: &Served, name: &str, state: &str, files: &[(&str, &str)]) {
    for (file, text) in files {
        let path = served.folder.path().join("packs").join(name).join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let read = eventually(async || {
        served.post("/api/v1/reload", json!({})).await;
        let pack = served.get(&format!("/api/v1/packs/{name}")).await.json();
        (pack["state"] == state).then_some(())
    });
    read.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_cover_a_packs_name_is_not_told_what_is_below_it() {
    let served = Served::start().await;
    write_pack(&served, "broken", "rejected", &[("pack.yaml", "name: broken\nversion: [\n")]).await;
    let (other, broken) = (limited(&served, "other").await, limited(&served, "broken").await);
    let ask = async |path: &str, token: &str| {
        let request = served.request(Method::GET, &format!("/api/v1/{path}"));
        send(request.bearer_auth(token)).await
    };
    assert_eq!(ask("packs/broken", &broken).await.status, 200);
    for path in ["packs/broken", "packs/shoq", "rules/shop.shp", "actions/shop.shp"] {
        let refused = ask(path, &other).await;
        assert_eq!(refused.status, 403, "{path}: {}", refused.text);
        assert!(!refused.text.contains("ship"), "{path}: {}", refused.text);
    }
    for path in ["triggers/shop.orderd", "sensors/shop.hok", "sensors/shop.hok/logs"] {
        let refused = ask(path, &other).await;
        assert_eq!(refused.status, 403, "{path}: {}", refused.text);
    }
    let shop = limited(&served, "shop").await;
    let missing = ask("rules/shop.shp", &shop).await;
    assert_eq!(missing.status, 404);
    assert!(missing.text.contains("did you mean `shop.ship`?"), "{}", missing.text);
    assert_eq!(ask("actions/core.echo", &other).await.status, 200, "what is built in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_is_listed_for_who_sees_its_root() {
    let served = Served::start().await;
    let chain = "entry_point: go.rhai\n";
    let of_b = "name: b\nversion: 1.0.0\n";
    let of_a = "name: a\nversion: 1.0.0\npermissions: { actions: [b.*] }\n";
    let files = [("pack.yaml", of_b), ("actions/go.yaml", chain), ("actions/go.rhai", "1")];
    write_pack(&served, "b", "active", &files).await;
    let files =
        [("pack.yaml", of_a), ("actions/go.yaml", chain), ("actions/go.rhai", r#"run("b.go")"#)];
    write_pack(&served, "a", "active", &files).await;
    let asked = json!({ "action": "a.go", "parameters": {} });
    let root = served.post("/api/v1/executions", asked).await.json()["id"].clone();
    let root = root.as_str().unwrap();
    let ended = served.ended(root).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    for (pattern, seen) in [("a", 1), ("b", 0), ("*", 1)] {
        let token = limited(&served, pattern).await;
        for query in ["children=true&action=b.go".to_owned(), format!("parent={root}")] {
            let path = format!("/api/v1/executions?{query}");
            let listed = send(served.request(Method::GET, &path).bearer_auth(&token)).await.json();
            let items = listed["items"].as_array().unwrap();
            assert_eq!(items.len(), seen, "{query} for {pattern}: {listed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_much_others_have_to_do_is_not_told_to_who_covers_one_pack() {
    let served = Served::start().await;
    served.ended(&served.order("bike").await).await;
    assert_eq!(served.get("/api/v1/health").await.json()["executions"]["succeeded"], 1);
    let token = limited(&served, "toys").await;
    let health = send(served.request(Method::GET, "/api/v1/health").bearer_auth(&token)).await;
    assert_eq!(health.json(), json!({ "ready": true, "problem": null, "stuck": {} }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_packs_share_takes_its_own_name_or_a_token_without_a_limit() {
    let served = Served::start().await;
    let path = "/api/v1/keys/global%2Fshared";
    for (n, (packs, covers)) in [
        (json!([]), true),
        (json!(["global"]), true),
        (json!(["shop", "global"]), true),
        (json!(["*"]), false),
        (json!(["g*", "shop"]), false),
        (json!(["shop"]), false),
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({ "name": format!("t{n}"), "role": "operator", "packs": packs });
        let made = served.post("/api/v1/tokens", body).await.json();
        let token = made["token"].as_str().unwrap();
        let ask = |method, path: &str| send(served.request(method, path).bearer_auth(token));
        let set = served.request(Method::PUT, path).json(&json!({ "value": n }));
        let set = send(set.bearer_auth(token)).await;
        let known = served.request(Method::PUT, path).json(&json!({ "value": "there" }));
        assert_eq!(send(known.bearer_auth(served.token())).await.status, 204);
        let got = ask(Method::GET, path).await;
        let listed = ask(Method::GET, "/api/v1/keys").await;
        let deleted = ask(Method::DELETE, path).await;
        let statuses = (set.status, got.status, deleted.status);
        let expected = if covers { (204, 200, 204) } else { (403, 403, 403) };
        assert_eq!(statuses, expected, "{packs}");
        assert_eq!(listed.text.contains("global/shared"), covers, "{packs}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_of_a_pack_is_exported_to_who_covers_that_pack_alone() {
    let served = Served::start().await;
    let write = |name: &str, text: &str| {
        let path = served.folder.path().join("packs").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("depot/actions/send.yaml", "entry_point: send.rhai\n");
    write("depot/actions/send.rhai", "7");
    write(
        "depot/pack.yaml",
        "name: depot\nversion: 1.0.0\nconfig_schema: { place: { type: string, default: gate-nine } }\n",
    );
    write("desk/actions/forward.yaml", "entry_point: forward.rhai\n");
    write("desk/actions/forward.rhai", "run(\"depot.send\")");
    write("desk/pack.yaml", "name: desk\nversion: 1.0.0\npermissions: { actions: [depot.send] }\n");
    for action in ["depot.send", "desk.forward"] {
        eventually(async || {
            (served.get(&format!("/api/v1/actions/{action}")).await.status == 200).then_some(())
        })
        .await;
    }
    let made = served.post("/api/v1/executions", json!({ "action": "desk.forward" })).await.json();
    let id = made["id"].as_str().unwrap();
    assert_eq!(served.ended(id).await["outcome"]["result"], 7);
    let path = format!("/api/v1/executions/{id}%2F1/export");
    let whole = served.get(&path).await.json();
    assert_eq!(whole["config"], json!({ "place": "gate-nine" }), "{whole}");
    for (pattern, expected) in [("desk", json!(null)), ("de*", json!({ "place": "gate-nine" }))] {
        let token = limited(&served, pattern).await;
        let answer = send(served.request(Method::GET, &path).bearer_auth(token)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json()["config"], expected, "{pattern}");
        assert_eq!(answer.json()["outcome"]["result"], 7, "{pattern}: the rest is its own");
    }
}
