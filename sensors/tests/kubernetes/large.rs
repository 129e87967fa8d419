//! Objects that are too large to be remembered: what is told of them is still only what is new.

use host::kubernetes::{Patch, Request, Resource};
use model::Hash;
use serde_json::{Value as Json, json};

use crate::kinds::things;
use crate::stage::Stage;

/// Text that no compression makes small.
fn noise(bytes: usize) -> String {
    let hashes = (0..bytes / 64).map(|n| Hash::of_value(&json!(n)).to_string());
    hashes.collect()
}

fn condition(kind: &str, status: &str, reason: &str) -> Json {
    json!({ "type": kind, "status": status, "reason": reason })
}

impl Stage {
    async fn set_conditions(&self, kind: &Resource, conditions: &[Json]) {
        let path = kind.object(Some("default"), "large", Some("status"));
        let status = json!({ "status": { "conditions": conditions } });
        self.ask(Request::patch(&path, Patch::Merge, status)).await;
    }

    /// What was told of conditions.
    fn conditions(&self) -> Vec<String> {
        let text = |value: &Json| value.as_str().unwrap_or("-").to_owned();
        let shown = self.recorder.events().into_iter().map(|event| {
            ["type", "from", "old_reason", "to", "reason"]
                .map(|name| text(&event.data[name]))
                .join(" ")
        });
        shown.collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn of_a_large_object_only_the_conditions_that_changed_are_told_over_restarts_too() {
    let mut stage = Stage::new().await;
    let kind = stage.define().await;
    let asked = || {
        let mut asked = things();
        asked["changes"] = "reason".into();
        asked
    };
    let watch = stage.watch("kubernetes.condition", asked());
    stage.is_watching().await;
    let large = json!({ "apiVersion": "example.com/v1", "kind": "Thing",
        "metadata": { "name": "large" }, "spec": { "noise": noise(800_000) } });
    stage.ask(Request::post(&kind.collection(Some("default")), large)).await;
    let full = condition("Full", "False", "Room");
    stage.set_conditions(&kind, &[condition("Ready", "False", "Begun"), full.clone()]).await;
    stage.has_told(2).await;
    let packed = stage.recorder.look(|it| it.seen["default/large"]["packed"].clone());
    assert_eq!(packed, Json::Null, "it is too large to be remembered");
    stage.set_conditions(&kind, &[condition("Ready", "True", "Begun"), full.clone()]).await;
    stage.has_told(3).await;
    watch.stop().await.unwrap();
    // What was told before is known to whoever goes on, and to a list.
    let watch = stage.watch("kubernetes.condition", asked());
    stage.set_conditions(&kind, &[condition("Ready", "True", "Done"), full.clone()]).await;
    stage.has_told(4).await;
    watch.stop().await.unwrap();
    stage.set_conditions(&kind, &[condition("Ready", "False", "Lost"), full]).await;
    stage.lab.forget_history().await.unwrap();
    let watch = stage.watch("kubernetes.condition", asked());
    stage.has_told(5).await;
    watch.stop().await.unwrap();
    let told = [
        "Full - - False Room",
        "Ready - - False Begun",
        "Ready False Begun True Begun",
        "Ready True Begun True Done",
        "Ready True Done False Lost",
    ];
    assert_eq!(stage.conditions(), told);
}
