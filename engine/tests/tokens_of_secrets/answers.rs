//! What a step calls secret of an answer of `http.request`, and the example of it in the guide.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use engine::Engine;
use model::{ErrorKind, ExecutionState, Map};
use serde_json::json;

use super::support::{House, ended, result, run};
use super::{VALUE, set, stored, token};

const TOKEN: &str = "opaque-value-\"1\"/é";
const COOKIE: &str = "sid=a-cookies-value";

/// Hands out [`TOKEN`] under `/token` and `/refused`, and says elsewhere how it was asked.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap();
            let request = String::from_utf8_lossy(&head[..length]).into_owned();
            let status = if request.contains(" /refused ") { "400 Bad Request" } else { "200 OK" };
            let body = match request.contains(" /orders ") {
                true => json!({ "seen": request }),
                false => json!({ "access_token": TOKEN, "expires_in": 3600, "again": [TOKEN] }),
            };
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nSet-Cookie: {COOKIE}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all([head, body].concat().as_bytes());
        }
    });
    address
}

/// A pack that may ask the server, with this chain as `p.go`.
async fn house(text: &str) -> (House, Engine) {
    let house = House::new();
    house.write(
        "pack.yaml",
        "name: p\nversion: 1.0.0\npermissions: { actions: [http.request], hosts: ['127.0.0.1:*'], secrets: ['auth/*'] }\n",
    );
    house.chain("go", "", text);
    let engine = house.start().await;
    set(&engine, "auth/deployer", VALUE).await;
    (house, engine)
}

/// The example of the guide that says `secrets: […]`, sent to `server`.
fn example(server: SocketAddr) -> String {
    let guide = include_str!("../../../docs/guide/secrets.md");
    let mut examples = guide.split("```rhai\n").skip(1).filter_map(|rest| rest.split("```").next());
    let example = examples.find(|text| text.contains("secrets: [")).unwrap();
    example.replace("https://auth.example.com", &format!("http://{server}"))
}

#[tokio::test]
async fn a_login_leaves_tokens_alone_as_the_guide_shows() {
    let text = example(server()) + "[login, orders]";
    let (house, engine) = house(&text).await;
    let id = run(&engine, "p.go", json!({})).await;
    let view = ended(&engine, &id).await;
    let told = result(&view);
    let (login, orders) = (&told[0], &told[1]);
    let got = token(&login["json"]["access_token"]);
    token(&login["headers"]["set-cookie"]);
    assert_eq!(login["json"]["again"][0], got.as_str(), "wherever it stands");
    assert_eq!((&login["json"]["expires_in"], &login["body"]), (&json!(3600), &json!(null)));
    let seen = orders["seen"].as_str().unwrap();
    assert!(
        seen.contains(&format!("authorization: Bearer {got}\r\n")),
        "the value was sent: {seen}"
    );
    let stored = stored(&house, &id).await;
    for value in ["opaque-value", "a-cookies-value", "correct-horse"] {
        assert!(!stored.contains(value), "{value} in {stored}");
    }
    assert!(
        stored.contains("names `json.refresh_token`, which the answer does not have"),
        "{stored}"
    );
}

#[tokio::test]
async fn an_answer_that_was_not_expected_is_not_shown_where_parts_of_it_are_secret() {
    let server = server();
    let text = format!(
        "run(\"http.request\", #{{ url: \"http://{server}/refused\", secrets: [\"json.access_token\"] }})"
    );
    let (house, engine) = house(&text).await;
    let id = run(&engine, "p.go", json!({})).await;
    let view = ended(&engine, &id).await;
    assert_eq!(view.row.state, ExecutionState::Failed);
    let error = view.steps[0].error.as_ref().unwrap();
    assert_eq!(error.kind, ErrorKind::Rejected);
    assert!(error.details["body"].as_str().unwrap().starts_with("(not shown"), "{error:?}");
    assert!(!stored(&house, &id).await.contains("opaque-value"));
}

#[tokio::test]
async fn a_dry_run_shows_no_part_of_an_answer_that_is_secret() {
    let server = server();
    let text = format!(
        "run(\"http.request\", #{{ url: \"http://{server}/token\", secrets: [\"json.access_token\"] }}).json"
    );
    let (_house, engine) = house(&text).await;
    let dry = engine.dry_run("p.go".parse().unwrap(), Map::new(), BTreeMap::new());
    let dry = serde_json::to_string(&dry.await.unwrap()).unwrap();
    assert!(dry.contains("tlsec_") && !dry.contains("opaque-value"), "{dry}");
}
