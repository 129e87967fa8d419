//! Kinds that come and go, and what is told of some of them in words of their own.

use std::sync::Arc;

use host::kubernetes::{Patch, Request, Resource};
use model::Value;
use sensors::SensorState;
use serde_json::{Value as Json, json};

use crate::stage::Stage;
use crate::support::assert_fits;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn definition() -> Json {
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({ "metadata": { "name": "things.example.com" }, "spec": {
        "group": "example.com", "scope": "Namespaced",
        "names": { "plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList" },
        "versions": [{ "name": "v1", "served": true, "storage": true,
            "subresources": { "status": {} }, "schema": { "openAPIV3Schema": schema } }],
    } })
}

impl Stage {
    pub(crate) async fn define(&self) -> Resource {
        self.ask(Request::post(DEFINITIONS, definition())).await;
        let served = async || {
            let kind = self.cluster.resource("example.com/v1", "Thing").await.ok()?;
            let path = kind.collection(Some("default"));
            self.cluster.request(&Request::get(&path)).await.ok()?;
            Some(kind)
        };
        lab::until("the kind is served", served).await.unwrap()
    }

    pub(crate) async fn undefine(&self) {
        let path = format!("{DEFINITIONS}/things.example.com");
        self.ask(Request::delete(&path, Value::Null)).await;
        let gone = async || self.cluster.request(&Request::get(&path)).await.is_err().then_some(());
        lab::until("the kind is gone", gone).await.unwrap();
        self.cluster.rediscover();
    }

    pub(crate) async fn make_thing(&self, kind: &Resource, name: &str) {
        let thing = json!({ "apiVersion": "example.com/v1", "kind": "Thing",
            "metadata": { "name": name }, "spec": { "n": 1 } });
        self.ask(Request::post(&kind.collection(Some("default")), thing)).await;
    }

    async fn some_are_told(&self) {
        let some =
            |it: &crate::support::Recorded| it.emissions.iter().any(|it| !it.events.is_empty());
        self.recorder.until("something is told", some).await;
        self.recorder.events().iter().for_each(assert_fits);
    }
}

pub(crate) fn things() -> Json {
    json!({ "api_version": "example.com/v1", "kind": "Thing" })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_kind_that_is_not_there_yet_is_waited_for_also_when_it_goes_and_returns() {
    let stage = Stage::new().await;
    let watch = stage.watch("kubernetes.object", things());
    stage.waits("no kind `Thing` in `example.com/v1`").await;
    let kind = stage.define().await;
    stage.is_watching().await;
    stage.make_thing(&kind, "a").await;
    stage.tells(&["added a -"]).await;
    stage.undefine().await;
    let waits = |state: &SensorState| matches!(state, SensorState::Waiting(_));
    stage.recorder.until("it waits", |it| it.states.last().is_some_and(waits)).await;
    let kind = stage.define().await;
    stage.make_thing(&kind, "b").await;
    stage.tells(&["added a -", "deleted a -", "added b -"]).await;
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn what_is_made_of_a_kind_that_came_while_nobody_watched_is_new_to_who_waited_for_it() {
    let stage = Stage::new().await;
    let watch = stage.watch("kubernetes.object", things());
    stage.waits("no kind `Thing` in `example.com/v1`").await;
    watch.stop().await.unwrap();
    stage.next_second().await;
    let kind = stage.define().await;
    stage.make_thing(&kind, "a").await;
    stage.next_second().await;
    let watch = stage.watch("kubernetes.object", things());
    stage.tells(&["added a -"]).await;
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn namespaces_of_a_kind_that_lies_in_none_are_named_as_a_mistake() {
    let stage = Stage::new().await;
    let nodes = json!({ "api_version": "v1", "kind": "Node", "namespaces": ["default"] });
    let watch = stage.watch("kubernetes.object", nodes);
    stage.waits("objects of the kind Node lie in no namespace").await;
    watch.stop().await.unwrap();
}

/// How objects become those of another version: by asking where nobody answers, or by their name alone.
fn conversion(broken: bool) -> Json {
    let none = json!({ "spec": { "conversion": { "strategy": "None", "webhook": null } } });
    if !broken {
        return none;
    }
    // Nobody can listen there.
    let config = json!({ "url": "https://127.0.0.1:1/convert" });
    let webhook = json!({ "conversionReviewVersions": ["v1"], "clientConfig": config });
    json!({ "spec": { "conversion": { "strategy": "Webhook", "webhook": webhook } } })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_conversion_that_fails_is_named_and_harms_no_other_watch() {
    let mut stage = Stage::new().await;
    let kind = stage.define().await;
    let path = format!("{DEFINITIONS}/things.example.com");
    let second = json!([{ "op": "add", "path": "/spec/versions/1", "value": {
        "name": "v2", "served": true, "storage": false,
        "schema": definition()["spec"]["versions"][0]["schema"] } }]);
    stage.ask(Request::patch(&path, Patch::Json, second)).await;
    let convert = |broken| Request::patch(&path, Patch::Merge, conversion(broken));
    let asked = json!({ "api_version": "example.com/v2", "kind": "Thing" });
    let watch = stage.watch("kubernetes.object", asked);
    stage.is_watching().await;
    stage.make_thing(&kind, "a").await;
    stage.tells(&["added a -"]).await;
    stage.ask(convert(true)).await;
    stage.fails("conversion webhook").await;
    stage.make_thing(&kind, "b").await;
    let things = std::mem::take(&mut stage.recorder);
    let maps = stage.maps(json!({}));
    stage.is_watching().await;
    stage.make("m", json!({})).await;
    stage.tells(&["added m 0"]).await;
    stage.recorder = things;
    stage.fails("conversion webhook").await;
    assert_eq!(stage.told(), ["added a -"], "an error is no empty list");
    stage.ask(convert(false)).await;
    stage.tells(&["added a -", "added b -"]).await;
    watch.stop().await.unwrap();
    maps.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_status_that_is_written_is_no_change_of_the_object_but_one_of_its_condition() {
    let stage = Stage::new().await;
    let kind = stage.define().await;
    let watch = stage.watch("kubernetes.object", things());
    stage.is_watching().await;
    stage.make_thing(&kind, "a").await;
    let status = |status: &str, message: &str| {
        let condition = json!({ "type": "Ready", "status": status, "message": message });
        let path = kind.object(Some("default"), "a", Some("status"));
        Request::patch(&path, Patch::Merge, json!({ "status": { "conditions": [condition] } }))
    };
    stage.ask(status("False", "1")).await;
    let path = kind.object(Some("default"), "a", None);
    stage.ask(Request::patch(&path, Patch::Merge, json!({ "spec": { "n": 2 } }))).await;
    stage.tells(&["added a -", "modified a -"]).await;
    watch.stop().await.unwrap();
    stage.next_second().await;
    let stage = Stage { recorder: Arc::default(), ..stage };
    let watch = stage.watch("kubernetes.condition", things());
    stage.is_watching().await;
    stage.ask(status("False", "2")).await;
    stage.ask(status("True", "3")).await;
    stage.some_are_told().await;
    let events = stage.recorder.events();
    assert_eq!(events.len(), 1);
    let data = &events[0].data;
    let told = [&data["type"], &data["from"], &data["to"], &data["message"]];
    assert_eq!(told, ["Ready", "False", "True", "3"]);
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_condition_with_another_reason_and_the_same_status_is_told_to_who_asks_for_reasons() {
    let mut stage = Stage::new().await;
    let kind = stage.define().await;
    stage.make_thing(&kind, "a").await;
    stage.share(&[("status", json!({})), ("reason", json!({ "changes": "reason" }))]);
    let watch = stage.watch("kubernetes.condition", things());
    stage.is_watching().await;
    for (status, reason) in
        [("True", "Begun"), ("True", "Done"), ("True", "Done"), ("False", "Done")]
    {
        let condition = json!({ "type": "Ready", "status": status, "reason": reason });
        let path = kind.object(Some("default"), "a", Some("status"));
        let status = json!({ "status": { "conditions": [condition], "n": reason } });
        stage.ask(Request::patch(&path, Patch::Merge, status)).await;
    }
    stage.has_told(5).await;
    let events = stage.recorder.events();
    events.iter().for_each(assert_fits);
    let of = |source: &str| -> Vec<String> {
        let told = events.iter().filter(|event| event.envelope.source == source);
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let shown = told.map(|event| {
            let data = &event.data;
            ["from", "old_reason", "to", "reason"].map(|name| text(&data[name])).join(" ")
        });
        shown.collect()
    };
    assert_eq!(of("status"), ["- - True Begun", "True Done False Done"]);
    let all = ["- - True Begun", "True Begun True Done", "True Done False Done"];
    assert_eq!(of("reason"), all);
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn an_event_of_the_cluster_is_told_once_however_often_it_is_counted_up() {
    let stage = Stage::new().await;
    let watch = stage.watch("kubernetes.event", json!({ "namespaces": ["default"] }));
    stage.is_watching().await;
    let events = "/api/v1/namespaces/default/events";
    let event = |name: &str, reason: &str| {
        json!({ "metadata": { "name": name }, "type": "Warning", "reason": reason, "count": 1,
            "message": "again",
            "involvedObject": { "kind": "Pod", "name": "p", "namespace": "default" } })
    };
    stage.ask(Request::post(events, event("e1", "BackOff"))).await;
    let counted = json!({ "count": 2 });
    stage.ask(Request::patch(&format!("{events}/e1"), Patch::Merge, counted)).await;
    stage.ask(Request::post(events, event("e2", "Pulled"))).await;
    let reasons = || -> Vec<Value> {
        stage.recorder.events().iter().map(|event| event.data["reason"].clone()).collect()
    };
    stage.recorder.until("both", |it| it.seen.len() == 2).await;
    assert_eq!(reasons(), ["BackOff", "Pulled"]);
    stage.some_are_told().await;
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_secret_is_told_without_its_values() {
    let stage = Stage::new().await;
    let secrets = json!({ "api_version": "v1", "kind": "Secret", "namespaces": ["default"] });
    let watch = stage.watch("kubernetes.object", secrets);
    stage.is_watching().await;
    let values = json!({ "password": "hunter2hunter2" });
    let secret = json!({ "metadata": { "name": "s" }, "stringData": values });
    stage.ask(Request::post("/api/v1/namespaces/default/secrets", secret)).await;
    stage.some_are_told().await;
    let told = stage.recorder.look(|it| format!("{:?} {:?}", it.emissions, it.seen));
    assert!(!told.contains("hunter2") && !told.contains("aHVudGVyMmh1bnRlcjI="), "{told}");
    let data = &stage.recorder.events()[0].data["object"]["data"]["password"];
    assert!(data.as_str().unwrap().starts_with("sha256:"), "{data}");
    watch.stop().await.unwrap();
}
