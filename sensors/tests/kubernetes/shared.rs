//! Several who want to be told different things of the same objects, by one watch.

use host::kubernetes::{Patch, Request};
use serde_json::{Value as Json, json};

use crate::stage::{Stage, no_labels};
use crate::support::Recorded;

impl Stage {
    /// Those who share the next watch, by the sources of what they are told.
    pub(crate) fn share(&mut self, shares: &[(&str, Json)]) {
        let own = |own: &Json| own.as_object().unwrap().clone();
        self.context.shares =
            shares.iter().map(|(source, of)| ((*source).to_owned(), own(of))).collect();
    }

    /// What was told under this source.
    pub(crate) fn told_to(&self, source: &str) -> Vec<String> {
        let told = self.told().into_iter().zip(self.recorder.events());
        told.filter(|(_, event)| event.envelope.source == source).map(|(told, _)| told).collect()
    }

    /// How many watches of maps in namespaces the API server serves.
    async fn watches(&self) -> u64 {
        let of = [r#"resource="configmaps""#, r#"scope="namespace""#, r#"verb="WATCH""#];
        self.metric("apiserver_longrunning_requests{", &of).await
    }

    /// Waits until what is there was looked at for those who count in this way.
    async fn has_joined(&self, way: &str) {
        let marked = |it: &Recorded| {
            it.cursor.as_ref().is_some_and(|cursor| cursor["ways"][way]["marked"] == true)
        };
        self.recorder.until("all are marked", marked).await;
    }

    async fn relabel(&self, name: &str, tier: &str) {
        self.patch(name, json!({ "metadata": { "labels": { "tier": tier } } })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn those_who_differ_in_what_they_are_told_share_one_watch() {
    let mut stage = Stage::new().await;
    stage.share(&[
        ("new", json!({ "operations": ["added", "deleted"] })),
        ("k", json!({ "changes": ["data.k"] })),
        ("any", json!({ "changes": "any", "operations": ["modified"] })),
    ]);
    // The API server watches maps of its own.
    let before = stage.watches().await;
    let watch = stage.maps(json!({}));
    stage.is_watching().await;
    stage.make("a", no_labels()).await;
    stage.relabel("a", "web").await;
    stage.set("a", 1).await;
    let watches = async || (stage.watches().await == before + 1).then_some(());
    lab::until("there is one watch more", watches).await.unwrap();
    stage.has_told(5).await;
    watch.stop().await.unwrap();
    // The same while nobody watches, of what the server still knows and of what it forgot.
    stage.relabel("a", "db").await;
    stage.set("a", 2).await;
    let watch = stage.maps(json!({}));
    stage.has_told(8).await;
    watch.stop().await.unwrap();
    stage.relabel("a", "none").await;
    stage.make("b", no_labels()).await;
    stage.lab.forget_history().await.unwrap();
    let watch = stage.maps(json!({}));
    stage.has_told(11).await;
    stage.remove("a").await;
    stage.has_told(13).await;
    watch.stop().await.unwrap();
    assert_eq!(stage.told_to("new"), ["added a 0", "added b 0", "deleted a 2"]);
    let k = ["added a 0", "modified a 1", "modified a 2", "added b 0", "deleted a 2"];
    assert_eq!(stage.told_to("k"), k);
    let any = ["modified a 0", "modified a 1", "modified a 1", "modified a 2", "modified a 2"];
    assert_eq!(stage.told_to("any"), any);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn whoever_joins_a_watch_begins_with_what_is_there_and_takes_nothing_from_the_others() {
    let mut stage = Stage::new().await;
    let first = ("k", json!({ "changes": ["data.k"] }));
    let joining = ("any", json!({ "changes": "any", "operations": ["modified"] }));
    stage.share(std::slice::from_ref(&first));
    let watch = stage.maps(json!({}));
    stage.is_watching().await;
    stage.make("a", no_labels()).await;
    stage.make("b", no_labels()).await;
    stage.has_told(2).await;
    watch.stop().await.unwrap();
    stage.relabel("b", "unseen").await;
    for n in 1..=5 {
        stage.set("a", n).await;
    }
    stage.share(&[first.clone(), joining.clone()]);
    let watch = stage.maps(json!({}));
    stage.has_joined("any").await;
    stage.relabel("b", "seen").await;
    stage.has_told(8).await;
    watch.stop().await.unwrap();
    // Who left and comes back begins anew.
    stage.share(std::slice::from_ref(&first));
    let watch = stage.maps(json!({}));
    stage.is_watching().await;
    stage.relabel("b", "alone").await;
    stage.set("b", 1).await;
    stage.has_told(9).await;
    watch.stop().await.unwrap();
    stage.relabel("a", "between").await;
    stage.share(&[first, joining]);
    let watch = stage.maps(json!({}));
    stage.has_joined("any").await;
    stage.set("a", 6).await;
    stage.has_told(11).await;
    watch.stop().await.unwrap();
    let all = ["added a 0", "added b 0", "modified a 1", "modified a 2", "modified a 3"];
    let rest = ["modified a 4", "modified a 5", "modified b 1", "modified a 6"];
    assert_eq!(stage.told_to("k"), [&all[..], &rest[..]].concat());
    assert_eq!(stage.told_to("any"), ["modified b 0", "modified a 6"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn types_of_conditions_are_told_apart_by_one_watch() {
    let mut stage = Stage::new().await;
    stage.share(&[("ready", json!({ "types": ["Ready"] })), ("all", json!({}))]);
    let pods = json!({ "api_version": "v1", "kind": "Node" });
    let watch = stage.watch("kubernetes.condition", pods);
    stage.is_watching().await;
    let node = json!({ "metadata": { "name": "n" } });
    stage.ask(Request::post("/api/v1/nodes", node)).await;
    let condition = |of: &str| json!({ "type": of, "status": "True" });
    let status = json!({ "status": { "conditions": [condition("Ready"), condition("Full")] } });
    stage.ask(Request::patch("/api/v1/nodes/n/status", Patch::Merge, status)).await;
    stage.has_told(3).await;
    let of = |source: &str| -> Vec<Json> {
        let all = stage.recorder.events().into_iter();
        let told = all.filter(|event| event.envelope.source == source);
        told.map(|event| event.data["type"].clone()).collect()
    };
    assert_eq!(
        (of("ready"), of("all")),
        (vec!["Ready".into()], vec!["Full".into(), "Ready".into()])
    );
    watch.stop().await.unwrap();
}
