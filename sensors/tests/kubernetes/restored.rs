//! Clusters that came back from a backup and counted on, as if nothing had been.

use host::kubernetes::{Patch, Request};
use serde_json::{Value as Json, json};

use crate::stage::Stage;

const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";

impl Stage {
    /// Writes to the map `b` until the cluster's versions overtake what is known of `scope`, so that
    /// nothing seems to have gone back; its last value.
    pub(crate) async fn overtake(&self, scope: &str) -> u64 {
        let cursor = self.recorder.cursor().unwrap();
        let known: u64 = cursor["versions"][scope].as_str().unwrap().parse().unwrap();
        let mut n = 0;
        while self.version_after(n).await <= known {
            n += 1;
        }
        n
    }

    /// Writes `n` into the map `b`; the version that makes.
    async fn version_after(&self, n: u64) -> u64 {
        let patched = self.patch("b", json!({ "data": { "k": n.to_string() } })).await;
        patched["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
    }

    async fn allow_from(&self, app: &str) -> Json {
        let spec = json!({ "spec": { "podSelector": { "matchLabels": { "app": app } } } });
        self.ask(Request::patch(&format!("{POLICIES}/p"), Patch::Merge, spec)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn an_object_that_came_by_the_same_generation_in_another_way_is_found_by_its_content() {
    let mut stage = Stage::new().await;
    let asked = json!({ "api_version": "networking.k8s.io/v1", "kind": "NetworkPolicy" });
    stage.make("b", json!({})).await;
    let watch = stage.watch("kubernetes.object", asked.clone());
    stage.is_watching().await;
    let spec = json!({ "podSelector": { "matchLabels": { "app": "one" } } });
    let policy = json!({ "metadata": { "name": "p" }, "spec": spec });
    stage.ask(Request::post(POLICIES, policy)).await;
    stage.tells(&["added p -"]).await;
    let backup = stage.lab.back_up().unwrap();
    let lost = stage.allow_from("lost").await;
    stage.tells(&["added p -", "modified p -"]).await;
    watch.stop().await.unwrap();
    stage.lab.restore(&backup).await.unwrap();
    stage.overtake("").await;
    let other = stage.allow_from("other").await;
    assert_eq!(lost["metadata"]["generation"], other["metadata"]["generation"]);
    stage.timing.check = model::Duration::from_secs(2);
    let watch = stage.watch("kubernetes.object", asked);
    stage.tells(&["added p -", "modified p -", "modified p -"]).await;
    let told = &stage.recorder.events()[2].data;
    let app = |object: &Json| object["spec"]["podSelector"]["matchLabels"]["app"].clone();
    assert_eq!((app(&told["old"]), app(&told["object"])), ("lost".into(), "other".into()));
    // Two more comparisons find nothing.
    let states = stage.recorder.look(|it| it.states.len());
    stage.recorder.until("it looked again", |it| it.states.len() >= states + 2).await;
    assert_eq!(stage.told().len(), 3);
    watch.stop().await.unwrap();
}
