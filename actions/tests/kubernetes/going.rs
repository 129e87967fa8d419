//! Objects that are on their way out while somebody applies them.

use lab::Parts;
use model::ErrorKind;
use serde_json::{Value, json};

use super::{Lab, config_map, of, says};

const FINALIZER: &str = "lab.tripline.dev/cleanup";

/// A ConfigMap that was deleted, and is held by a finalizer.
async fn held(lab: &Lab, map: Value) -> Value {
    lab.done("apply", json!({ "manifest": map })).await;
    let namespace = map["metadata"]["namespace"].as_str().unwrap_or("default");
    let of = |more: Value| {
        let mut all = of("v1", "ConfigMap", map["metadata"]["name"].as_str().unwrap(), more);
        all["namespace"] = json!(namespace);
        all
    };
    lab.done("add_finalizer", of(json!({ "finalizer": FINALIZER }))).await;
    lab.done("delete", of(json!({}))).await;
    of(json!({ "finalizer": FINALIZER }))
}

fn result(applied: &Value, n: usize) -> (&str, &str) {
    let one = &applied["objects"][n];
    (one["name"].as_str().unwrap(), one["result"].as_str().unwrap())
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn what_is_being_deleted_is_waited_for_and_made_anew() {
    let lab = Lab::start(Parts::Bare).await;
    let map = config_map("held", "x");
    let holding = held(&lab, map.clone()).await;
    let uid = async || {
        let found = lab.done("get", of("v1", "ConfigMap", "held", json!({}))).await;
        found["object"]["metadata"]["uid"].clone()
    };
    let first = uid().await;

    let apply = |timeout: &str| json!({ "manifest": map, "wait": { "timeout": timeout } });
    let plan = lab.plan("apply", apply("1s")).await.unwrap();
    assert_eq!(plan.summary, "creates v1 ConfigMap held");
    let error = lab.failed("apply", apply("1s")).await;
    says(
        &error,
        ErrorKind::Unavailable,
        "v1 ConfigMap held: it is being deleted, and not gone yet",
    );
    says(&error, ErrorKind::Unavailable, &format!("held by its finalizers {FINALIZER}"));
    assert_eq!(uid().await, first, "nothing was called done");

    let freed = async {
        let seen = of("v1", "ConfigMap", "held", json!({ "for": { "field": "metadata.uid" } }));
        lab.done("wait", seen).await;
        lab.done("remove_finalizer", holding).await;
    };
    let (applied, ()) = tokio::join!(lab.done("apply", apply("30s")), freed);
    assert_eq!(result(&applied, 0), ("held", "created"));
    assert_ne!(uid().await, first, "it is another object");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_namespace_that_is_being_deleted_is_made_anew_with_what_is_in_it() {
    let lab = Lab::start(Parts::Rollouts).await;
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    let mut map = config_map("settings", "x");
    map["metadata"]["namespace"] = json!("shop");
    lab.done("apply", json!({ "manifest": namespace })).await;
    let holding = held(&lab, map.clone()).await;
    lab.done("delete", of("v1", "Namespace", "shop", json!({}))).await;

    let both =
        |timeout: &str| json!({ "manifest": [namespace, map], "wait": { "timeout": timeout } });
    let plan = lab.plan("apply", both("1s")).await.unwrap();
    assert_eq!(plan.summary, "creates v1 Namespace shop, creates v1 ConfigMap shop/settings");
    let remaining =
        json!({ "for": { "condition": "NamespaceFinalizersRemaining" }, "timeout": "60s" });
    lab.done("wait", of("v1", "Namespace", "shop", remaining)).await;
    let error = lab.failed("apply", both("1s")).await;
    says(
        &error,
        ErrorKind::Unavailable,
        "v1 Namespace shop: it is being deleted, and not gone yet",
    );
    says(&error, ErrorKind::Unavailable, FINALIZER);

    let (applied, _) =
        tokio::join!(lab.done("apply", both("60s")), lab.done("remove_finalizer", holding));
    assert_eq!(result(&applied, 0), ("shop", "created"));
    assert_eq!(result(&applied, 1), ("settings", "created"));
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn what_is_written_into_a_namespace_that_is_going_is_not_called_applied() {
    // Without controllers nobody empties it.
    let lab = Lab::start(Parts::Bare).await;
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    let mut map = config_map("settings", "x");
    map["metadata"]["namespace"] = json!("shop");
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": "maps" },
        "rules": [{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch"] }],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": "maps" },
        "subjects": [{ "kind": "ServiceAccount", "name": "narrow", "namespace": "default" }],
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "maps" },
    });
    lab.done("apply", json!({ "manifest": [namespace, role, binding, map] })).await;
    map["data"]["key"] = json!("y");
    let apply = json!({ "manifest": map, "wait": { "timeout": "1s" } });
    assert_eq!(result(&lab.done("apply", apply.clone()).await, 0), ("settings", "configured"));
    lab.done("delete", of("v1", "Namespace", "shop", json!({}))).await;

    let error = lab.failed("apply", apply.clone()).await;
    says(
        &error,
        ErrorKind::Unavailable,
        "v1 ConfigMap shop/settings: its namespace `shop` is being deleted",
    );
    // Who may not see namespaces is told what the API server says of the object.
    let mut blind = apply;
    blind["connection"] = json!("narrow");
    assert_eq!(result(&lab.done("apply", blind).await, 0), ("settings", "unchanged"));
}
