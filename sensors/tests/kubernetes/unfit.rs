//! Objects that no rule can be given: each is left out visibly, and takes no other with it.

use host::kubernetes::{Patch, Request, Resource};
use serde_json::{Value as Json, json};

use crate::kinds::things;
use crate::stage::{Stage, no_labels};

/// A value of so many levels.
fn nested(levels: usize) -> Json {
    (1..levels).fold(json!(1), |inner, _| json!({ "d": inner }))
}

impl Stage {
    /// What is too deep for this test's own client to read, too.
    async fn ask_unread(&self, request: Request) {
        self.cluster.text(&request).await.unwrap();
    }

    async fn make_deep(&self, kind: &Resource, name: &str, levels: usize) {
        let spec = json!({ "n": 1, "deep": nested(levels) });
        let thing = json!({ "apiVersion": "example.com/v1", "kind": "Thing",
            "metadata": { "name": name, "labels": { "deep": "yes" } }, "spec": spec });
        self.ask_unread(Request::post(&kind.collection(Some("default")), thing)).await;
    }

    async fn deepen(&self, kind: &Resource, name: &str, n: u64, deep: Json) {
        let spec = json!({ "spec": { "n": n, "deep": deep } });
        let path = kind.object(Some("default"), name, None);
        self.ask_unread(Request::patch(&path, Patch::Merge, spec)).await;
    }

    /// What was left out: the operation, the object, and in which word it says why.
    fn left_out(&self, why: &str) -> Vec<String> {
        let all = self.recorder.look(|it| -> Vec<sensors::LeftOut> {
            it.emissions.iter().flat_map(|one| one.left_out.clone()).collect()
        });
        assert!(all.iter().all(|one| one.reason.contains(why)), "{all:?}");
        all.into_iter().map(|one| format!("{} {}", one.operation, one.subject)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn an_object_that_is_nested_too_deep_is_left_out_and_told_once_it_is_not() {
    let mut stage = Stage::new().await;
    let kind = stage.define().await;
    let watch = stage.watch("kubernetes.object", things());
    stage.is_watching().await;
    stage.make_deep(&kind, "fine", 61).await;
    stage.make_deep(&kind, "deep", 62).await;
    // Deeper than a parser of JSON goes.
    stage.make_deep(&kind, "deeper", 200).await;
    stage.make_deep(&kind, "last", 1).await;
    stage.tells(&["added fine -", "added last -"]).await;
    let left = ["added default/deep", "added default/deeper"];
    assert_eq!(stage.left_out("deeper than 63 levels"), left);
    watch.stop().await.unwrap();
    // Lists meet them too, and what is remembered knows of them.
    stage.deepen(&kind, "fine", 2, nested(70)).await;
    stage.deepen(&kind, "deep", 2, json!(null)).await;
    stage.make_deep(&kind, "new", 200).await;
    stage.lab.forget_history().await.unwrap();
    let watch = stage.watch("kubernetes.object", things());
    stage.is_watching().await;
    let told = ["added fine -", "added last -", "added deep -"];
    stage.tells(&told).await;
    let more = ["modified default/fine", "added default/new"];
    assert_eq!(stage.left_out("levels"), [&left[..], &more[..]].concat());
    watch.stop().await.unwrap();
    stage.lab.forget_history().await.unwrap();
    let watch = stage.watch("kubernetes.object", things());
    stage.is_watching().await;
    stage.deepen(&kind, "fine", 3, json!(null)).await;
    for name in ["deeper", "last"] {
        let path = kind.object(Some("default"), name, None);
        stage.ask_unread(Request::delete(&path, Json::Null)).await;
    }
    let rest = ["modified fine -", "deleted deeper -", "deleted last -"];
    stage.tells(&[&told[..], &rest[..]].concat()).await;
    let events = stage.recorder.events();
    let (fine, deeper) = (&events[3].data, &events[4].data);
    let n = |object: &Json| object["spec"]["n"].clone();
    assert_eq!((n(&fine["old"]), n(&fine["object"])), (1.into(), 3.into()), "as it was told last");
    let labels = &deeper["object"]["metadata"]["labels"];
    assert_eq!((labels, deeper["object"].get("spec")), (&json!({ "deep": "yes" }), None));
    // A watch meets the last state of what was deleted, a list does not.
    let mut all = stage.left_out("levels");
    all.retain(|one| one != "deleted default/deeper");
    assert_eq!(all, [&left[..], &more[..]].concat(), "each once");
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn an_object_that_a_selector_no_longer_chooses_may_be_deep() {
    let stage = Stage::new().await;
    let kind = stage.define().await;
    let mut asked = things();
    asked["labels"] = "deep=yes".into();
    let watch = stage.watch("kubernetes.object", asked);
    stage.is_watching().await;
    stage.make_deep(&kind, "deep", 200).await;
    stage.make_deep(&kind, "fine", 1).await;
    let labels = json!({ "metadata": { "labels": { "deep": "no" } } });
    let path = kind.object(Some("default"), "deep", None);
    stage.ask_unread(Request::patch(&path, Patch::Merge, labels)).await;
    stage.tells(&["added fine -", "left deep -"]).await;
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn an_object_that_is_larger_than_an_event_is_left_out_and_told_once_it_is_not() {
    let mut stage = Stage::new().await;
    let watch = stage.maps(json!({}));
    stage.is_watching().await;
    stage.make("a", no_labels()).await;
    // Each character is six in JSON: the API server takes few of them at once, and holds many.
    let half = "\u{1}".repeat(400_000);
    for name in ["x", "y"] {
        stage.patch("a", json!({ "data": { name: half } })).await;
    }
    stage.make("b", no_labels()).await;
    let told = ["added a 0", "modified a 0", "added b 0"];
    stage.tells(&told).await;
    assert_eq!(stage.left_out("larger than an event"), ["modified default/a"]);
    watch.stop().await.unwrap();
    stage.lab.forget_history().await.unwrap();
    let watch = stage.maps(json!({}));
    stage.is_watching().await;
    stage.patch("a", json!({ "data": { "k": "1", "x": null } })).await;
    stage.tells(&[&told[..], &["modified a 1"]].concat()).await;
    assert_eq!(stage.recorder.events()[3].data["changed"], json!(["data.k", "data.y", "data.x"]));
    assert_eq!(stage.left_out("larger than an event").len(), 1);
    watch.stop().await.unwrap();
}
