//! Who may do what: every route, by every role, for every scope.
#![allow(clippy::unwrap_used)]

mod support;

use std::fmt::Write as _;

use expect_test::expect;
use model::access::TokenCreated;
use model::{Actor, BatchId, Fact, Grant, Hash, Role, Stream};
use reqwest::Method;
use serde_json::{Value, json};
use store::{Batch, Write};
use support::samples::{Samples, operations};
use support::{Served, send};

/// Tokens of each role: for the whole installation, for the pack that everything here belongs to,
/// and for another one.
const SCOPES: [(&str, &[&str]); 3] = [("all", &[]), ("shop", &["sh*"]), ("other", &["other"])];
const ROLES: [&str; 3] = ["viewer", "operator", "admin"];

struct Tokens(Vec<String>);

impl Tokens {
    async fn make(served: &Served) -> Self {
        let mut made = Vec::new();
        for role in ROLES {
            for (scope, packs) in SCOPES {
                let name = format!("{role}_{scope}");
                if role == "admin" && !packs.is_empty() {
                    made.push(of_an_earlier_version(served, &name, packs).await);
                    continue;
                }
                let body = json!({ "name": name, "role": role, "packs": packs });
                let answer = served.post("/api/v1/tokens", body).await;
                assert_eq!(answer.status, 201, "{}", answer.text);
                made.push(answer.json()["token"].as_str().unwrap().to_owned());
            }
        }
        Self(made)
    }

    fn of(&self, role: &str, scope: &str) -> &str {
        let role = ROLES.iter().position(|known| *known == role).unwrap();
        let scope = SCOPES.iter().position(|(known, _)| *known == scope).unwrap();
        &self.0[role * SCOPES.len() + scope]
    }
}

/// A token of an admin who is limited to packs, which is not made any more.
async fn of_an_earlier_version(served: &Served, name: &str, packs: &[&str]) -> String {
    let token = format!("tripline_{}", engine::random_secret());
    let packs = packs.iter().map(|pack| pack.parse().unwrap()).collect();
    let (hash, at) = (Hash::of(token.as_bytes()), served.engine.now());
    let grant = Grant { role: Role::Admin, packs };
    let made = Fact::TokenCreated(TokenCreated { hash, grant, expires_at: None, at });
    let stream = Stream::Token(name.parse().unwrap());
    let writes = vec![Write::new(stream, None, [made])];
    let id = BatchId::new(format!("token/{name}"));
    let batch = Batch { id, actor: Actor::engine(), at, writes };
    served.engine.store().append(batch).await.unwrap();
    // Known from the next start on, or once another is made.
    let body = json!({ "name": format!("after_{name}"), "role": "viewer" });
    assert_eq!(served.post("/api/v1/tokens", body).await.status, 201);
    token
}

async fn ask(served: &Served, method: &Method, path: &str, body: &Value, token: &str) -> u16 {
    let request = served.request(method.clone(), path).bearer_auth(token).json(body);
    // Only the status is of interest: a live stream has no end.
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_lets_in_exactly_the_roles_and_scopes_it_names() {
    let served = Served::start().await;
    let (tokens, samples) = (Tokens::make(&served).await, Samples::make(&served).await);
    let mut table = format!("{:44}{}\n", "", ROLES.map(|role| format!("{role:12}")).concat());
    for (method, template) in operations(&served).await {
        let (path, body) = (samples.path(&template), Samples::body(&method, &template));
        let nobody = send(served.request(method.clone(), &path).json(&body)).await;
        assert_eq!(nobody.status, 401, "{method} {path}");
        let row = format!("{method} {}", template.trim_start_matches("/api/v1"));
        let _ = write!(table, "{row:44}");
        for role in ROLES {
            let mut seen = String::new();
            for (scope, _) in SCOPES {
                let token = tokens.of(role, scope);
                let status = ask(&served, &method, &path, &body, token).await;
                assert!(status < 500 && status != 401, "{method} {path}: {status}");
                seen.push_str(if status == 403 { "- " } else { &scope[..1] });
                seen.push(' ');
            }
            let _ = write!(table, "{:12}", seen.replace("- ", "-"));
        }
        table = format!("{}\n", table.trim_end());
    }
    // a: all packs, s: the pack of the thing, o: another pack.
    expect![[r#"
                                                    viewer      operator    admin       
        GET /actions                                a s o       a s o       a s o
        GET /actions/{action}                       a s -       a s -       a s -
        GET /audit                                  - - -       - - -       a - -
        GET /backup                                 - - -       - - -       a - -
        GET /events                                 a s o       a s o       a s o
        POST /events                                - - -       a s -       a s -
        GET /events/{event}                         a s -       a s -       a s -
        GET /events/{event}/explain                 a s -       a s -       a s -
        POST /events/{event}/give-up                - - -       a - -       a - -
        POST /events/{event}/reemit                 - - -       a s -       a s -
        GET /executions                             a s o       a s o       a s o
        POST /executions                            - - -       a s -       a s -
        GET /executions/{id}                        a s -       a s -       a s -
        POST /executions/{id}/cancel                - - -       a s -       a s -
        GET /executions/{id}/export                 a s -       a s -       a s -
        GET /executions/{id}/logs                   a s -       a s -       a s -
        POST /executions/{id}/pause                 - - -       a s -       a s -
        POST /executions/{id}/rerun                 - - -       a s -       a s -
        POST /executions/{id}/resolve               - - -       a s -       a s -
        POST /executions/{id}/resume                - - -       a s -       a s -
        GET /health                                 a s o       a s o       a s o
        GET /keys                                   a s o       a s o       a s o
        DELETE /keys/{key}                          - - -       a s -       a s -
        GET /keys/{key}                             a s -       a s -       a s -
        PUT /keys/{key}                             - - -       a s -       a s -
        GET /packs                                  a s o       a s o       a s o
        GET /packs/{pack}                           a s -       a s -       a s -
        POST /plans                                 - - -       a s -       a s -
        POST /reload                                - - -       a - -       a - -
        GET /rules                                  a s o       a s o       a s o
        GET /rules/{rule}                           a s -       a s -       a s -
        POST /rules/{rule}/clear                    - - -       a s -       a s -
        POST /rules/{rule}/disable                  - - -       a s -       a s -
        POST /rules/{rule}/enable                   - - -       a s -       a s -
        GET /secrets                                - - -       - - -       a - -
        POST /secrets/rekey                         - - -       - - -       a - -
        DELETE /secrets/{path}                      - - -       - - -       a - -
        PUT /secrets/{path}                         - - -       - - -       a - -
        GET /sensors                                a s o       a s o       a s o
        GET /sensors/{name}                         a s -       a s -       a s -
        POST /sensors/{name}/confirm                - - -       a s -       a s -
        GET /sensors/{name}/logs                    a s -       a s -       a s -
        POST /sensors/{name}/restart                - - -       a s -       a s -
        PUT /step/artifacts/{file}                  - - -       - - -       - - -
        GET /step/parameters                        - - -       - - -       - - -
        GET /step/program                           - - -       - - -       - - -
        PUT /step/result                            - - -       - - -       - - -
        GET /stream                                 a s o       a s o       a s o
        GET /timers                                 a s o       a s o       a s o
        GET /tokens                                 - - -       - - -       a - -
        POST /tokens                                - - -       - - -       a - -
        DELETE /tokens/{name}                       - - -       - - -       a - -
        GET /triggers                               a s o       a s o       a s o
        GET /triggers/{type}                        a s -       a s -       a s -
    "#]]
    .assert_eq(&table);
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_leave_out_what_a_token_does_not_cover() {
    let served = Served::start().await;
    let (tokens, _) = (Tokens::make(&served).await, Samples::make(&served).await);
    for noun in ["executions", "events", "rules", "packs", "sensors", "keys", "timers"] {
        for (scope, some) in [("all", true), ("shop", true), ("other", false)] {
            let request = served.request(Method::GET, &format!("/api/v1/{noun}"));
            let listed = send(request.bearer_auth(tokens.of("viewer", scope))).await.json();
            assert_eq!(!listed["items"].as_array().unwrap().is_empty(), some, "{noun} for {scope}");
        }
    }
    // A page may be shorter then, and still not the last.
    for n in 0..3 {
        let key = served.request(Method::PUT, &format!("/api/v1/keys/other%2F{n}"));
        let set = send(key.bearer_auth(served.token()).json(&json!({ "value": n }))).await;
        assert_eq!(set.status, 204, "{}", set.text);
    }
    for (scope, expected) in [
        ("all", vec!["other/0", "other/1", "other/2", "shop/last"]),
        ("shop", vec!["shop/last"]),
        ("other", vec!["other/0", "other/1", "other/2"]),
    ] {
        assert_eq!(keys_by_pages(&served, tokens.of("viewer", scope)).await, expected, "{scope}");
    }
    let actions = served.request(Method::GET, "/api/v1/actions");
    let listed = send(actions.bearer_auth(tokens.of("viewer", "other"))).await.json();
    let listed: Vec<_> = listed["items"].as_array().unwrap().iter().collect();
    assert!(listed.iter().any(|action| action["action"] == "core.echo"), "what is built in");
    assert!(listed.iter().all(|action| action["action"] != "shop.ship"));
    for (scope, seen) in [("shop", true), ("other", false)] {
        let triggers = served.request(Method::GET, "/api/v1/triggers");
        let listed = send(triggers.bearer_auth(tokens.of("viewer", scope))).await.json();
        let types: Vec<_> =
            listed["items"].as_array().unwrap().iter().map(|it| &it["type"]).collect();
        assert!(types.contains(&&json!("timer.cron")), "what is built in: {types:?}");
        assert_eq!(types.contains(&&json!("shop.ordered")), seen, "{scope}: {types:?}");
    }
}

/// All keys that a token sees, two rows a page.
async fn keys_by_pages(served: &Served, token: &str) -> Vec<String> {
    let (mut keys, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/keys?limit=2&after={}", after.replace('/', "%2F"));
        let page = send(served.request(Method::GET, &path).bearer_auth(token)).await.json();
        let rows = page["items"].as_array().unwrap().iter();
        keys.extend(rows.map(|row| row["key"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => return keys,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_gives_no_secret_a_value_by_running_an_action() {
    let served = Served::start().await;
    let tokens = Tokens::make(&served).await;
    let set = served.request(Method::PUT, "/api/v1/secrets/databases%2Fadmin");
    let set = set.bearer_auth(served.token()).json(&json!({ "value": "the first value" }));
    assert_eq!(send(set).await.status, 200);
    let parameters = json!({ "path": "databases/admin", "value": "another value" });
    let run = served.request(Method::POST, "/api/v1/executions");
    let run = run.bearer_auth(tokens.of("operator", "all"));
    let run = run.json(&json!({ "action": "secrets.store", "parameters": parameters }));
    let id = send(run).await.json()["id"].as_str().unwrap().to_owned();
    let ended = served.ended(&id).await;
    assert_eq!(ended["outcome"]["error"]["kind"], "denied", "{ended}");
    let listed = served.get("/api/v1/secrets").await.json();
    assert_eq!(listed["items"][0]["version"], 1, "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_token_runs_and_tells_nothing_that_is_built_in() {
    let served = Served::start().await;
    let body = json!({ "name": "se", "role": "operator", "packs": ["se*", "co*", "we*", "sh*"] });
    let made = served.post("/api/v1/tokens", body).await.json();
    let token = made["token"].as_str().unwrap();
    let run = |action: &str| json!({ "action": action });
    let hook = json!({ "type": "webhook.received", "data": {} });
    for (noun, body) in [
        ("executions", run("secrets.store")),
        ("executions", run("core.echo")),
        ("plans", run("secrets.get")),
        ("events", hook),
    ] {
        let request = served.request(Method::POST, &format!("/api/v1/{noun}"));
        let answer = send(request.bearer_auth(token).json(&body)).await;
        let problem = answer.problem(403, "denied");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("is built in and belongs to no pack"), "{detail}");
    }
    let id = served.post("/api/v1/executions", run("core.noop")).await;
    let id = id.json()["id"].as_str().unwrap().to_owned();
    for path in [format!("executions/{id}"), format!("executions/{id}/logs")] {
        let request = served.request(Method::GET, &format!("/api/v1/{path}"));
        send(request.bearer_auth(token)).await.problem(403, "denied");
    }
    let listed = served.request(Method::GET, "/api/v1/executions");
    let listed = send(listed.bearer_auth(token)).await.json();
    assert!(listed["items"].as_array().unwrap().is_empty(), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_token_repeats_what_its_packs_sensors_told_and_for_nobody_else() {
    let served = Served::start().await;
    let tokens = Tokens::make(&served).await;
    let pack = served.folder.path().join("packs/shop");
    let of_other = "trigger: { type: webhook.received, parameters: { sensor: other } }\n\
                    action: { ref: core.noop }\n";
    std::fs::copy(pack.join("sensors/hook.yaml"), pack.join("sensors/other.yaml")).unwrap();
    std::fs::write(pack.join("rules/other.yaml"), of_other).unwrap();
    support::eventually(async || {
        (served.get("/api/v1/rules/shop.other").await.status == 200).then_some(())
    })
    .await;
    let body = r#"{"item": "bike"}"#;
    let signed = served.hook("/webhooks/shop/hook", body);
    let told = send(signed.header("x-signature", support::signature(body))).await;
    assert_eq!(told.status, 202, "{}", told.text);
    let data = json!({ "method": "POST", "path": "/x", "query": {}, "headers": {}, "body": { "item": "car" } });
    let by_hand = json!({ "type": "webhook.received", "data": data });
    let forged = served.post("/api/v1/events", by_hand).await.json();
    assert_eq!(
        forged["executions"].as_array().unwrap().len(),
        2,
        "an admin's is seen by all: {forged}"
    );

    let listed = served.get("/api/v1/events?type=webhook.received").await.json();
    let events: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["key"].as_str().unwrap())
        .collect();
    let reemit = |key: &str| {
        let request = served.request(Method::POST, &format!("/api/v1/events/{key}/reemit"));
        send(request.bearer_auth(tokens.of("operator", "shop")))
    };
    let real = *events.iter().find(|key| **key != forged["event"]).unwrap();
    let again = reemit(real).await;
    assert_eq!(again.status, 202, "{}", again.text);
    let started = again.json()["executions"].as_array().unwrap().len();
    assert_eq!(started, 1, "the rule of the other sensor does not see it");
    let again = again.json()["event"].as_str().unwrap().to_owned();
    let of = |event: &Value| event["envelope"]["source"].as_str().unwrap().to_owned();
    let (one, two) = (
        served.get(&format!("/api/v1/events/{real}")).await.json(),
        served.get(&format!("/api/v1/events/{again}")).await.json(),
    );
    assert_eq!(of(&one), of(&two), "it is told as that sensor's");
    let refused = reemit(forged["event"].as_str().unwrap()).await;
    let problem = refused.problem(403, "denied");
    assert!(problem["detail"].as_str().unwrap().contains("is built in"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_stream_tells_a_limited_token_of_its_packs_only() {
    let served = Served::start().await;
    let tokens = Tokens::make(&served).await;
    let open = |token: String| {
        support::Stream::open(
            served.request(Method::GET, "/api/v1/stream?after=0").bearer_auth(token),
        )
    };
    let shop = tokens.of("viewer", "shop").to_owned();
    let set = served.request(Method::PUT, "/api/v1/secrets/shop%2Fkey");
    let set = send(set.bearer_auth(served.token()).json(&json!({ "value": "a long enough one" })));
    assert!(set.await.status < 300);
    served.order("bike").await;
    let mut stream = open(shop).await;
    for message in stream.until("ExecutionFinished").await {
        let stream = message["stream"].as_str().unwrap();
        assert!(!stream.starts_with("token/") && stream != "installation", "{message}");
    }
    // A viewer of everything is told nothing that only an admin may ask for.
    let mut stream = open(tokens.of("viewer", "all").to_owned()).await;
    for message in stream.until("ExecutionFinished").await {
        let stream = message["stream"].as_str().unwrap();
        let admins = ["token/", "secret/", "refusals"];
        assert!(!admins.iter().any(|begin| stream.starts_with(begin)), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_token_is_told_of_no_other_packs_rules_on_an_event() {
    let served = Served::start().await;
    let tokens = Tokens::make(&served).await;
    let neighbour = served.folder.path().join("packs/other");
    std::fs::create_dir_all(neighbour.join("rules")).unwrap();
    let manifest = "name: other\nversion: 1.0.0\npermissions: { actions: [core.*] }\n";
    let rule = |criteria: &str, action: &str| {
        format!("trigger: {{ type: shop.ordered }}\n{criteria}\naction: {action}\n")
    };
    for (file, text) in [
        ("rules/spy.yaml", rule("criteria: { trigger.item: { ne: quiet } }", "{ ref: core.noop }")),
        ("rules/slip.yaml", rule("when: trigger.secret_plan == 1", "{ ref: core.noop }")),
        ("pack.yaml", manifest.to_owned()),
    ] {
        std::fs::write(neighbour.join(file), text).unwrap();
    }
    support::eventually(async || {
        (served.get("/api/v1/rules/other.spy").await.status == 200).then_some(())
    })
    .await;
    let event = json!({ "type": "shop.ordered", "data": { "item": "bike" } });
    let event = served.post("/api/v1/events", event).await.json()["event"].clone();
    let event = event.as_str().unwrap();
    let asks = |scope: &str, path: &str| {
        let request = served.request(Method::GET, &format!("/api/v1/{path}"));
        send(request.bearer_auth(tokens.of("viewer", scope)))
    };
    let paths = [
        "triggers/shop.ordered".to_owned(),
        "triggers".to_owned(),
        format!("events/{event}"),
        "events?type=shop.ordered".to_owned(),
        format!("events/{event}/explain"),
        format!("events/{event}/explain?now=true"),
    ];
    for path in &paths {
        let (shop, all) = (asks("shop", path).await, asks("all", path).await);
        assert_eq!((shop.status, all.status), (200, 200), "{path}: {}", shop.text);
        assert!(shop.text.contains("shop.ship") && all.text.contains("other.spy"), "{path}");
        assert!(!shop.text.contains("other."), "{path}: {}", shop.text);
        assert!(!shop.text.contains("secret_plan"), "{path}: {}", shop.text);
    }
    let foreign = asks("shop", &format!("events/{event}/explain?rule=other.spy")).await;
    foreign.problem(403, "denied");
    let stream = format!("/api/v1/stream?stream=event/{event}");
    let open = |scope: &str| {
        support::Stream::open(
            served.request(Method::GET, &stream).bearer_auth(tokens.of("viewer", scope)),
        )
    };
    let (mut all, mut shop) = (open("all").await, open("shop").await);
    assert!(format!("{:?}", all.until("RuleFailed").await).contains("other.slip"));
    let told = format!("{:?}", shop.until("EventAccepted").await);
    assert!(told.contains("shop.ship") && !told.contains("other."), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_no_pack_here_may_use_takes_an_admin_by_hand() {
    let folder = Served::start().await.stop().await;
    let environment = "connections:\n  \
        lent: { type: http, base_url: 'http://127.0.0.1:1/', packs: [shop] }\n  \
        kept: { type: http, base_url: 'http://127.0.0.1:1/', packs: [elsewhere] }\n";
    std::fs::write(folder.path().join("dev.yaml"), environment).unwrap();
    let served = Served::in_folder(folder).await;
    let tokens = Tokens::make(&served).await;
    for (role, connection, status) in [
        ("operator", "lent", 201),
        ("operator", "kept", 403),
        ("operator", "absent", 201),
        ("admin", "kept", 201),
    ] {
        let parameters = json!({ "connection": connection, "url": "x" });
        let run = served.request(Method::POST, "/api/v1/executions");
        let body = json!({ "action": "http.request", "parameters": parameters });
        let answer = send(run.bearer_auth(tokens.of(role, "all")).json(&body)).await;
        assert_eq!(answer.status, status, "{role} {connection}: {}", answer.text);
        let Some(id) = answer.json()["id"].as_str().map(ToOwned::to_owned) else { continue };
        served.ended(&id).await;
        let again = served.request(Method::POST, &format!("/api/v1/executions/{id}/rerun"));
        let again = send(again.bearer_auth(tokens.of("operator", "all")).json(&json!({}))).await;
        let expected = if connection == "kept" { 403 } else { 201 };
        assert_eq!(again.status, expected, "{role} {connection}: {}", again.text);
    }
}
