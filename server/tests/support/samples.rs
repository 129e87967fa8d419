//! A request to each operation that the API describes.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Served, send};

/// The operations that the API's description lists.
pub(crate) async fn operations(served: &Served) -> Vec<(Method, String)> {
    let document = served.get("/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap().clone();
    let operations = paths.into_iter().flat_map(|(path, methods)| {
        let methods: Vec<_> = methods.as_object().unwrap().keys().cloned().collect();
        methods
            .into_iter()
            .map(move |method| (method.to_uppercase().parse().unwrap(), path.clone()))
    });
    operations.collect()
}

/// A request that would work, had the sender the right to it.
pub(crate) struct Samples {
    execution: String,
    event: String,
}

impl Samples {
    pub(crate) async fn make(served: &Served) -> Self {
        let execution = served.order("bike").await;
        served.ended(&execution).await;
        let events = served.get("/api/v1/events?type=shop.ordered").await.json();
        let event = events["items"][0]["key"].as_str().unwrap().to_owned();
        let key = served.request(Method::PUT, "/api/v1/keys/shop%2Flast");
        let set = send(key.bearer_auth(served.token()).json(&json!({ "value": 1 }))).await;
        assert_eq!(set.status, 204, "{}", set.text);
        Self { execution, event }
    }

    pub(crate) fn path(&self, template: &str) -> String {
        let filled = [
            ("{event}", self.event.as_str()),
            ("{key}", "shop%2Flast"),
            ("{path}", "shop%2Fadmin"),
            ("{pack}", "shop"),
            ("{rule}", "shop.ship"),
            ("{action}", "shop.ship"),
            ("{type}", "shop.ordered"),
            ("{name}", if template.contains("/sensors/") { "shop.hook" } else { "nobody" }),
            ("{id}", self.execution.as_str()),
            ("{file}", "report.txt"),
        ];
        let path = filled
            .iter()
            .fold(template.to_owned(), |path, (name, value)| path.replace(name, value));
        assert!(!path.contains('{'), "{template}: say here what its object is");
        path
    }

    pub(crate) fn body(method: &Method, template: &str) -> Value {
        match (method.as_str(), template.trim_start_matches("/api/v1/")) {
            ("POST", "executions" | "plans") => {
                json!({ "action": "shop.ship", "parameters": { "item": "a" } })
            }
            ("POST", "events") => json!({ "type": "shop.ordered", "data": { "item": "b" } }),
            ("PUT", "keys/{key}") => json!({ "value": 2 }),
            ("PUT", "secrets/{path}") => json!({ "value": "long enough" }),
            ("POST", "tokens") => json!({ "name": "admin", "role": "viewer" }),
            _ => json!({}),
        }
    }
}
