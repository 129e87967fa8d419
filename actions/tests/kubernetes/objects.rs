//! What needs no controllers: objects are stored, changed and removed.

use lab::Parts;
use model::ErrorKind;
use serde_json::{Value, json};

use super::{Lab, config_map, of, says};

#[tokio::test]
#[ignore = "needs the lab"]
async fn applying_says_what_became_of_each_object_and_a_plan_says_it_before() {
    let lab = Lab::start(Parts::Bare).await;
    let yaml = "
apiVersion: v1
kind: ConfigMap
metadata: { name: settings, namespace: shop }
data: { key: one }
---
apiVersion: v1
kind: Namespace
metadata: { name: shop }
";
    let apply = json!({ "manifest": yaml });
    let plan = lab.plan("apply", apply.clone()).await.unwrap();
    assert_eq!(plan.summary, "creates v1 Namespace shop, creates v1 ConfigMap shop/settings");
    let diff = plan.changes[1].diff.as_ref().unwrap();
    assert!(diff.contains("+  key: one"), "{diff}");
    let results = |result: &Value| -> Vec<(String, String)> {
        let objects = result["objects"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        objects.map(|one| (text(&one["kind"]), text(&one["result"]))).collect()
    };
    let both = |result: &str| {
        ["Namespace", "ConfigMap"].map(|kind| (kind.to_owned(), result.to_owned())).to_vec()
    };
    assert_eq!(results(&lab.done("apply", apply.clone()).await), both("created"));
    let again = lab.done("apply", apply.clone()).await;
    assert_eq!(results(&again), both("unchanged"));
    assert_eq!(again["changed"], false);
    assert_eq!(
        lab.plan("apply", apply).await.unwrap().summary,
        "nothing: the cluster says so already"
    );
    let other = json!({ "manifest": config_map("settings", "two"), "namespace": "shop" });
    let diff = lab.done("diff", other.clone()).await;
    assert_eq!(diff["objects"][0]["paths"], json!(["data.key"]));
    let changed = lab.done("apply", other).await;
    assert_eq!(results(&changed), [("ConfigMap".to_owned(), "configured".to_owned())]);
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn fields_of_others_and_objects_of_others_are_left_alone() {
    let lab = Lab::start(Parts::Bare).await;
    let by = |manager: &str, value: &str, more: Value| {
        let mut all = json!({ "manifest": config_map("shared", value), "field_manager": manager });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    lab.done("apply", by("argo", "one", json!({}))).await;
    let error = lab.failed("apply", by("tripline", "two", json!({}))).await;
    says(&error, ErrorKind::Conflict, "conflict with \"argo\": .data.key");
    says(&error, ErrorKind::Conflict, "take it over with `force: true`");
    lab.done("apply", by("tripline", "two", json!({ "force": true }))).await;

    let owned = json!({ "manifest": config_map("owned", "one"), "owner": "shop/orders" });
    lab.done("apply", owned.clone()).await;
    lab.done("apply", owned).await;
    for owner in [json!({}), json!({ "owner": "other" })] {
        let mut apply = json!({ "manifest": config_map("owned", "two") });
        apply.as_object_mut().unwrap().extend(owner.as_object().unwrap().clone());
        let error = lab.failed("apply", apply).await;
        says(&error, ErrorKind::Denied, "it is owned by `shop/orders`");
    }
    let manifest = config_map("owned", "two");
    let error = lab.failed("diff", json!({ "manifest": manifest })).await;
    says(&error, ErrorKind::Denied, "who applies for its owner says `owner: shop/orders`");
    let diff = lab.done("diff", json!({ "manifest": manifest, "owner": "shop/orders" })).await;
    assert_eq!(diff["objects"][0]["paths"], json!(["data.key"]));

    let mut named = config_map("named", "one");
    named["metadata"]["annotations"] = json!({ "tripline.dev/owner": "shop/orders" });
    for _ in 0..2 {
        lab.done("apply", json!({ "manifest": named })).await;
    }
    let error = lab.failed("apply", json!({ "manifest": config_map("named", "two") })).await;
    says(&error, ErrorKind::Denied, "it is owned by `shop/orders`");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_step_that_fails_in_the_middle_says_what_was_done() {
    let lab = Lab::start(Parts::Bare).await;
    let mut bad = config_map("bad", "x");
    bad["data"] = json!({ "key": 7 });
    let manifest = json!([config_map("good", "x"), bad]);
    let error = lab.failed("apply", json!({ "manifest": manifest })).await;
    says(&error, ErrorKind::Rejected, "v1 ConfigMap bad: ");
    assert_eq!(error.details["done"][0]["name"], "good");
    assert_eq!(error.details["object"]["name"], "bad");
    let kind =
        json!({ "apiVersion": "prsn.io/v1", "kind": "MysqlDb", "metadata": { "name": "a" } });
    let error = lab.failed("apply", json!({ "manifest": kind })).await;
    says(&error, ErrorKind::NotFound, "knows no kind `MysqlDb` in `prsn.io/v1`");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_kind_and_its_first_object_go_in_one_step_and_its_status_is_patched_in_good_form() {
    let lab = Lab::start(Parts::Bare).await;
    let any = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "mysqldbs.prsn.io" },
        "spec": {
            "group": "prsn.io", "scope": "Namespaced",
            "names": { "kind": "MysqlDb", "plural": "mysqldbs" },
            "versions": [{ "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": any }, "subresources": { "status": {} } }],
        },
    });
    let claim = json!({ "apiVersion": "prsn.io/v1", "kind": "MysqlDb",
        "metadata": { "name": "orders" }, "spec": { "size": 1 } });
    let both = json!({ "manifest": [claim, definition] });
    let plan = lab.plan("apply", both.clone()).await.unwrap();
    assert_eq!(plan.changes.len(), 2, "{plan:?}");
    lab.done("apply", both).await;
    let healthy = of("prsn.io/v1", "MysqlDb", "orders", json!({ "timeout": "1s" }));
    let error = lab.failed("wait", healthy).await;
    says(&error, ErrorKind::Deadline, "it has no status: its controller has not looked at it");

    let ready = |status: bool| {
        let condition = json!({ "type": "Ready", "status": status, "reason": "Made" });
        of(
            "prsn.io/v1",
            "MysqlDb",
            "orders",
            json!({
                "status": { "endpoint": "db.example" }, "conditions": [condition],
            }),
        )
    };
    let first = lab.done("patch_status", ready(true)).await;
    let condition = &first["object"]["status"]["conditions"][0];
    assert_eq!(condition["observedGeneration"], 1);
    assert!(condition["lastTransitionTime"].is_string());
    let again = lab.done("patch_status", ready(true)).await;
    assert_eq!(again["changed"], false);
    assert_eq!(
        again["object"]["metadata"]["resourceVersion"],
        first["object"]["metadata"]["resourceVersion"],
        "nothing was written"
    );
    let other = lab.done("patch_status", ready(false)).await;
    assert_eq!(other["object"]["status"]["endpoint"], "db.example");
    let wait = |wanted: Value| {
        of("prsn.io/v1", "MysqlDb", "orders", json!({ "for": wanted, "timeout": "1s" }))
    };
    lab.done("wait", wait(json!({ "condition": "Ready", "status": "False" }))).await;
    lab.done("wait", wait(json!({ "field": "status.endpoint", "equals": "db.example" }))).await;
    let error = lab.failed("wait", wait(json!({ "condition": "Ready" }))).await;
    says(&error, ErrorKind::Deadline, "not within 1s: its condition `Ready` is False");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_finalizer_holds_an_object_until_it_is_removed() {
    let lab = Lab::start(Parts::Bare).await;
    lab.done("apply", json!({ "manifest": config_map("held", "x") })).await;
    let held = |more: Value| of("v1", "ConfigMap", "held", more);
    let finalizer = json!({ "finalizer": "tripline.dev/cleanup" });
    assert_eq!(lab.done("add_finalizer", held(finalizer.clone())).await["changed"], true);
    assert_eq!(lab.done("add_finalizer", held(finalizer.clone())).await["changed"], false);
    let error = lab.failed("delete", held(json!({ "wait": true, "timeout": "1s" }))).await;
    says(&error, ErrorKind::Deadline, "held by its finalizers tripline.dev/cleanup");
    lab.done("remove_finalizer", held(finalizer.clone())).await;
    lab.done("wait", held(json!({ "for": "deleted", "timeout": "10s" }))).await;
    assert_eq!(lab.done("remove_finalizer", held(finalizer)).await["changed"], false);
    assert_eq!(lab.done("delete", held(json!({}))).await["existed"], false);
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn only_the_object_that_was_meant_is_deleted_and_nothing_in_protected_namespaces() {
    let lab = Lab::start(Parts::Bare).await;
    let map = |more: Value| of("v1", "ConfigMap", "one", more);
    let uid = async || {
        let found = lab.done("get", map(json!({}))).await;
        found["object"]["metadata"]["uid"].as_str().unwrap().to_owned()
    };
    let apply = json!({ "manifest": config_map("one", "x") });
    lab.done("apply", apply.clone()).await;
    let first = uid().await;
    let plan = lab.plan("delete", map(json!({}))).await.unwrap();
    assert_eq!(plan.summary, "deletes v1 ConfigMap default/one");
    assert_eq!(uid().await, first, "a plan deletes nothing");
    assert_eq!(lab.done("delete", map(json!({ "wait": true }))).await["existed"], true);
    lab.done("apply", apply).await;
    let gone = lab.done("delete", map(json!({ "uid": first }))).await;
    assert_eq!(gone["existed"], false, "the one that has its name now is another");
    uid().await;
    let error = lab.failed("delete", map(json!({ "resource_version": "1" }))).await;
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    for (kind, name, namespace) in [
        ("Namespace", "kube-system", json!({})),
        ("ConfigMap", "x", json!({ "namespace": "kube-public" })),
    ] {
        let error = lab.failed("delete", of("v1", kind, name, namespace)).await;
        says(&error, ErrorKind::Denied, "is protected");
    }
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn objects_are_read_labelled_and_patched() {
    let lab = Lab::start(Parts::Bare).await;
    let maps: Vec<Value> = (0..3).map(|n| config_map(&format!("m{n}"), "x")).collect();
    lab.done("apply", json!({ "manifest": maps })).await;
    let m0 = |more: Value| of("v1", "ConfigMap", "m0", more);
    let labels = json!({ "labels": { "tier": "web" } });
    assert_eq!(lab.done("label", m0(labels.clone())).await["changed"], true);
    assert_eq!(lab.done("label", m0(labels)).await["changed"], false);
    let kind = json!({ "api_version": "v1", "kind": "ConfigMap", "namespace": "default" });
    let list = |more: Value| {
        let mut all = kind.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let found = lab
        .done("list", list(json!({ "labels": { "tier": "web" }, "select": ["data.key"] })))
        .await;
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    assert_eq!(found["items"][0]["data.key"], "x");
    let error = lab.failed("list", list(json!({ "limit": 2 }))).await;
    says(&error, ErrorKind::TooLarge, "there are more than 2 objects");
    lab.done("label", m0(json!({ "labels": { "tier": null } }))).await;
    let none = lab.done("list", list(json!({ "labels": "tier=web" }))).await;
    assert_eq!(none["items"], json!([]));
    lab.done("annotate", m0(json!({ "annotations": { "a.b/c": "d" } }))).await;
    let patch = json!({ "type": "json", "patch": [{ "op": "replace", "path": "/data/key", "value": "y" }] });
    let patched = lab.done("patch", m0(patch)).await;
    assert_eq!(patched["object"]["data"]["key"], "y");
    assert_eq!(patched["object"]["metadata"]["annotations"]["a.b/c"], "d");
    let missing = lab.failed("get", of("v1", "ConfigMap", "none", json!({}))).await;
    says(&missing, ErrorKind::NotFound, "v1 ConfigMap default/none: it is not there");
    let null = lab.done("get", of("v1", "ConfigMap", "none", json!({ "missing": "null" }))).await;
    assert_eq!(null, json!({ "object": null, "found": false }));
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_secret_is_shown_by_hashes_and_read_by_values_apart() {
    let lab = Lab::start(Parts::Bare).await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "db" },
        "stringData": { "password": "correct horse" },
    });
    let applied = json!({ "manifest": secret });
    let plan = lab.plan("apply", applied.clone()).await.unwrap();
    assert!(!format!("{plan:?}").contains("correct horse"), "{plan:?}");
    assert!(!format!("{plan:?}").contains("Y29ycmVjdCBob3JzZQ"), "{plan:?}");
    lab.done("apply", applied).await;
    let found = lab.done("get", of("v1", "Secret", "db", json!({}))).await;
    assert_eq!(found["values"], json!({ "password": "correct horse" }));
    let hash = found["object"]["data"]["password"].as_str().unwrap();
    assert!(hash.starts_with("sha256:"), "{hash}");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn an_event_is_told_once_for_each_step() {
    let lab = Lab::start(Parts::Bare).await;
    lab.done("apply", json!({ "manifest": config_map("about", "x") })).await;
    let event = of(
        "v1",
        "ConfigMap",
        "about",
        json!({
            "type": "Warning", "reason": "RolledBack", "message": "the image cannot be pulled",
        }),
    );
    let first = lab.done("create_event", event.clone()).await;
    assert_eq!(lab.done("create_event", event).await, first, "told again by the same step");
    let events = json!({ "api_version": "v1", "kind": "Event", "namespace": "default",
        "fields": "involvedObject.name=about" });
    let found = lab.done("list", events).await;
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    assert_eq!(found["items"][0]["reason"], "RolledBack");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn what_is_written_while_the_api_server_is_away_is_not_called_done() {
    let mut lab = Lab::start(Parts::Bare).await;
    let get = of("v1", "ConfigMap", "kube-root-ca.crt", json!({ "missing": "null" }));
    lab.done("get", get.clone()).await;
    lab.cluster.part(lab::Part::Api).unwrap().kill();
    let error = lab.failed("get", get).await;
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    let apply = json!({ "manifest": config_map("late", "x") });
    let error = lab.failed("apply", apply.clone()).await;
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    lab.cluster.part(lab::Part::Api).unwrap().start().await.unwrap();
    assert_eq!(lab.done("apply", apply).await["changed"], true);
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_plan_of_a_change_shows_it_and_changes_nothing() {
    let lab = Lab::start(Parts::Bare).await;
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "main", "image": "web:1" }] },
            },
        },
    });
    lab.done("apply", json!({ "manifest": deployment })).await;
    let web = |more: Value| of("apps/v1", "Deployment", "web", more);
    let version = async || {
        let found = lab.done("get", web(json!({}))).await;
        found["object"]["metadata"]["resourceVersion"].clone()
    };
    let finalizer = json!({ "finalizer": "tripline.dev/cleanup" });
    lab.done("add_finalizer", web(json!({ "finalizer": "tripline.dev/held" }))).await;
    let before = version().await;
    for (verb, parameters, expected) in [
        ("scale", json!({ "replicas": 3 }), "+  replicas: 3"),
        ("restart", json!({}), "tripline.dev/restarted-by:"),
        ("annotate", json!({ "annotations": { "a.b/c": "d" } }), "a.b/c: d"),
        ("label", json!({ "labels": { "tier": "web" } }), "tier: web"),
        ("add_finalizer", finalizer.clone(), "- tripline.dev/cleanup"),
        ("remove_finalizer", json!({ "finalizer": "tripline.dev/held" }), "- tripline.dev/held"),
    ] {
        let plan = lab.plan(verb, web(parameters)).await.unwrap();
        let diff = plan.changes[0].diff.as_ref().unwrap();
        assert!(diff.contains(expected), "{verb}: {diff}");
        assert!(plan.summary.ends_with("Deployment default/web"), "{verb}: {plan:?}");
        assert_eq!(version().await, before, "{verb} was only planned");
    }
    for (verb, parameters) in [
        ("scale", json!({ "replicas": 1 })),
        ("label", json!({ "labels": { "none": null } })),
        ("remove_finalizer", finalizer),
    ] {
        let plan = lab.plan(verb, web(parameters)).await.unwrap();
        assert_eq!(plan.summary, "nothing: the cluster says so already", "{verb}");
    }
}
