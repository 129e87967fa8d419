//! Bodies that say something else than they seem to: refused by every route.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use reqwest::Method;
use serde_json::{Value, json};
use support::samples::{Samples, operations};
use support::{Served, send};

/// Operations whose body has named fields. A step's result may be any JSON.
async fn with_fields(served: &Served) -> Vec<(Method, String)> {
    let document = served.get("/openapi.json").await.json();
    let mut found = operations(served).await;
    found.retain(|(method, path)| {
        let operation = &document["paths"][path][method.as_str().to_lowercase()];
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        !schema.is_null() && path != "/api/v1/step/result"
    });
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn no_list_of_values_is_taken_for_an_object() {
    let served = Served::start().await;
    let samples = Samples::make(&served).await;
    let operations = with_fields(&served).await;
    assert!(operations.len() >= 10, "{operations:?}");
    for (method, template) in operations {
        let fields = Samples::body(&method, &template);
        let values: Vec<&Value> = fields.as_object().unwrap().values().collect();
        for body in [json!([]), json!(["admin", "viewer"]), json!(values)] {
            let request = served.request(method.clone(), &samples.path(&template));
            let refused = send(request.bearer_auth(served.token()).json(&body)).await;
            let problem = refused.problem(400, "invalid_parameters");
            let detail = problem["detail"].as_str().unwrap();
            let told = "the body does not fit: expected an object, found a list at line 1";
            assert!(detail.starts_with(told), "{method} {template} {body}: {detail}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_stands_twice_however_deep_it_lies_and_however_it_is_written() {
    let served = Served::start().await;
    let post = |body: &'static str| {
        let request = served.request(Method::POST, "/api/v1/events");
        send(request.bearer_auth(served.token()).body(body))
    };
    for (body, told) in [
        (r#"{"type": "shop.ordered", "type": "shop.paid"}"#, "duplicate field `type`"),
        (
            r#"{"type": "shop.ordered", "data": {"item": "bike", "item": "boat"}}"#,
            "the key `item` stands twice in one object at line 1",
        ),
        (
            r#"{"type": "shop.ordered", "data": {"item": [{"a": 1, "\u0061": 2}]}}"#,
            "the key `a` stands twice in one object at line 1",
        ),
    ] {
        let detail = post(body).await.problem(400, "invalid_parameters")["detail"].to_string();
        assert!(detail.contains(told), "{detail}");
    }
    let once = post(r#"{"type": "shop.ordered", "data": {"item": "bike"}}"#).await;
    assert_eq!(once.status, 202, "{}", once.text);
}
