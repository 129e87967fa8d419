//! Less than all: metadata alone, objects by their fields, some operations.

use host::kubernetes::{Patch, Request};
use serde_json::{Value as Json, json};

use crate::stage::{Stage, no_labels};

const PODS: &str = "/api/v1/namespaces/default/pods";

fn chosen(by: &str) -> Json {
    json!({ "metadata": { "labels": { "app": by } } })
}

impl Stage {
    async fn make_pod(&self, name: &str) {
        let container = json!({ "name": "main", "image": "any" });
        let pod = json!({ "metadata": { "name": name }, "spec": { "containers": [container] } });
        self.ask(Request::post(PODS, pod)).await;
    }

    async fn set_phase(&self, name: &str, phase: &str) {
        let status = json!({ "status": { "phase": phase } });
        let path = format!("{PODS}/{name}/status");
        self.ask(Request::patch(&path, Patch::Merge, status)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn where_the_metadata_is_asked_for_nothing_else_is_told_or_remembered() {
    let mut stage = Stage::new().await;
    let asked = json!({ "metadata_only": true, "labels": "app", "initial": "emit" });
    stage.make("old", json!({ "app": "web" })).await;
    stage.next_second().await;
    let watch = stage.maps(asked.clone());
    stage.tells(&["added old -"]).await;
    stage.is_watching().await;
    stage.make("a", json!({ "app": "web" })).await;
    // What is no metadata changes nothing.
    stage.set("a", 1).await;
    stage.patch("a", chosen("db")).await;
    stage.tells(&["added old -", "added a -", "modified a -"]).await;
    watch.stop().await.unwrap();
    stage.set("a", 2).await;
    stage.patch("a", json!({ "metadata": { "annotations": { "by": "us" } } })).await;
    stage.lab.forget_history().await.unwrap();
    let watch = stage.maps(asked);
    let all =
        ["added old -", "added a -", "modified a -", "modified a -", "left a -", "deleted old -"];
    stage.tells(&all[..4]).await;
    stage.patch("a", json!({ "metadata": { "labels": null } })).await;
    stage.remove("old").await;
    stage.tells(&all).await;
    for event in stage.recorder.events() {
        let of = &event.data["object"];
        let names: Vec<&String> = of.as_object().unwrap().keys().collect();
        assert_eq!(names, ["apiVersion", "kind", "metadata"], "{of}");
        assert_eq!((&of["apiVersion"], &of["kind"]), (&json!("v1"), &json!("ConfigMap")));
    }
    assert_eq!(stage.recorder.events()[3].data["changed"], json!(["metadata.annotations"]));
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn objects_are_chosen_by_their_fields_and_leave_when_these_change() {
    let mut stage = Stage::new().await;
    let asked = json!({ "api_version": "v1", "kind": "Pod", "namespaces": ["default"],
        "fields": "status.phase=Running",
        "operations": ["added", "entered", "left", "deleted"] });
    stage.make_pod("waits").await;
    stage.next_second().await;
    let watch = stage.watch("kubernetes.object", asked.clone());
    stage.is_watching().await;
    stage.make_pod("a").await;
    stage.set_phase("a", "Running").await;
    stage.tells(&["added a -"]).await;
    stage.set_phase("a", "Succeeded").await;
    stage.tells(&["added a -", "left a -"]).await;
    let left = &stage.recorder.events()[1].data;
    assert_eq!(
        (&left["old"]["status"]["phase"], &left["object"]["status"]["phase"]),
        (&json!("Running"), &json!("Succeeded"))
    );
    watch.stop().await.unwrap();
    // While nobody watches, of what the server forgot.
    stage.set_phase("waits", "Running").await;
    stage.lab.forget_history().await.unwrap();
    let watch = stage.watch("kubernetes.object", asked);
    stage.tells(&["added a -", "left a -", "entered waits -"]).await;
    stage.ask(Request::delete(&format!("{PODS}/waits"), json!({ "gracePeriodSeconds": 0 }))).await;
    stage.tells(&["added a -", "left a -", "entered waits -", "deleted waits -"]).await;
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn one_object_is_watched_by_its_name_with_a_right_to_no_other() {
    let stage = Stage::seen_by(lab::NARROW).await;
    let api = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = json!({ "metadata": { "name": "one" }, "rules": [{ "apiGroups": [""],
        "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["get", "list", "watch"] }] });
    stage.ask(Request::post(&format!("{api}/roles"), role)).await;
    let binding = json!({ "metadata": { "name": "one" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "one" },
        "subjects": [{ "kind": "ServiceAccount", "name": "narrow", "namespace": "default" }] });
    stage.ask(Request::post(&format!("{api}/rolebindings"), binding)).await;
    let watch = stage.maps(json!({ "fields": "metadata.name=mine" }));
    stage.is_watching().await;
    stage.make("other", no_labels()).await;
    stage.make("mine", no_labels()).await;
    stage.set("other", 1).await;
    stage.set("mine", 1).await;
    stage.remove("other").await;
    stage.remove("mine").await;
    stage.tells(&["added mine 0", "modified mine 1", "deleted mine 1"]).await;
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn operations_that_are_not_asked_for_are_not_told() {
    let mut stage = Stage::new().await;
    let asked = json!({ "labels": "app=web", "operations": ["entered", "left"] });
    let watch = stage.maps(asked.clone());
    stage.is_watching().await;
    stage.make("a", json!({ "app": "web" })).await;
    stage.set("a", 1).await;
    stage.patch("a", chosen("db")).await;
    stage.tells(&["left a 1"]).await;
    stage.patch("a", chosen("web")).await;
    stage.make("b", json!({ "app": "web" })).await;
    stage.remove("b").await;
    stage.tells(&["left a 1", "entered a 1"]).await;
    watch.stop().await.unwrap();
    // The same of what the server forgot.
    stage.make("c", json!({ "app": "web" })).await;
    stage.patch("a", chosen("db")).await;
    stage.lab.forget_history().await.unwrap();
    let watch = stage.maps(asked);
    stage.tells(&["left a 1", "entered a 1", "left a 1"]).await;
    stage.patch("c", chosen("db")).await;
    stage.tells(&["left a 1", "entered a 1", "left a 1", "left c 0"]).await;
    watch.stop().await.unwrap();
}
