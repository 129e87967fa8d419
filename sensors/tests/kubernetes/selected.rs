//! Objects that a selector chooses: what left, what is gone, and how much asking that takes.

use std::collections::{BTreeMap, BTreeSet};

use host::Clock;
use host::kubernetes::{Patch, Request};
use lab::Proxy;
use model::{Duration, Value};
use serde_json::{Value as Json, json};

use crate::stage::{Stage, no_labels};

fn chosen(by: &str) -> Json {
    json!({ "metadata": { "labels": { "app": by } } })
}

impl Stage {
    /// How often single maps were asked for.
    async fn looks(&self) -> u64 {
        let of = [r#"resource="configmaps""#, r#"scope="resource""#, r#"verb="GET""#];
        self.metric("apiserver_request_total{", &of).await
    }

    /// Deletes all maps of a namespace that carry this label, as one who deletes the namespace does.
    async fn sweep(&self, namespace: &str, label: &str) {
        let path = self.maps.collection(Some(namespace));
        let request = Request::delete(&path, Value::Null).with("labelSelector", label);
        self.cluster.text(&request).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn an_object_that_leaves_twice_in_a_moment_is_told_so_twice() {
    let stage = Stage::new().await;
    let asked = json!({ "labels": "app=web" });
    let watch = stage.maps(asked.clone());
    stage.is_watching().await;
    stage.make("a", json!({ "app": "web" })).await;
    stage.tells(&["added a 0"]).await;
    watch.stop().await.unwrap();
    // Whoever looks when the first of these is told sees the last.
    for by in ["other", "web", "other"] {
        stage.patch("a", chosen(by)).await;
    }
    let watch = stage.maps(asked);
    stage.tells(&["added a 0", "left a 0", "entered a 0", "left a 0"]).await;
    let events = stage.recorder.events();
    let ids: BTreeSet<&str> = events.iter().map(|event| event.envelope.id.as_str()).collect();
    assert_eq!(ids.len(), events.len(), "the same id is the same event: {ids:?}");
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn hundreds_of_objects_that_go_or_leave_at_once_are_not_asked_for_one_by_one() {
    let mut stage = Stage::new().await;
    let web = json!({ "app": "web" });
    let names: Vec<String> = (0..700).map(|n| format!("m{n:04}")).collect();
    stage.each(&names, async |name| stage.make(name, web.clone()).await).await;
    stage.make("bystander", no_labels()).await;
    stage.next_second().await;
    let asked = json!({ "labels": "app=web", "delete_guard": "off" });
    stage.connect_at(20.0);
    let watch = stage.maps(asked.clone());
    stage.is_watching().await;
    let before = stage.looks().await;
    let (going, rest) = names.split_at(300);
    stage.each(going, async |name| stage.remove(name).await).await;
    stage.has_told(300).await;
    let (leaving, rest) = rest.split_at(100);
    stage.each(leaving, async |name| drop(stage.patch(name, chosen("db")).await)).await;
    stage.has_told(400).await;
    let looks = stage.looks().await - before;
    // Those that are asked for as fast as they go, and few after that.
    assert!(looks <= 200, "{looks} looks at 400 objects");
    watch.stop().await.unwrap();
    // The same while nobody watches, and the server forgot it.
    stage.each(&rest[..50], async |name| drop(stage.patch(name, chosen("db")).await)).await;
    stage.sweep("default", "app=web").await;
    stage.lab.forget_history().await.unwrap();
    // Since its start.
    let after = stage.looks().await;
    let watch = stage.maps(asked);
    stage.has_told(700).await;
    watch.stop().await.unwrap();
    let told = stage.told();
    let count = |what: &str| told.iter().filter(|told| told.starts_with(what)).count();
    assert_eq!((count("deleted m"), count("left m"), told.len()), (550, 150, 700));
    let looks = stage.looks().await - after;
    assert!(looks <= 10, "{looks} looks at 300 objects");
}

/// One that is an hour ahead of everybody's, and stands.
fn wrong_clock() -> Clock {
    Clock::simulated(Duration::from_secs(3600).after(Clock::System.now()))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn what_is_made_unheard_is_added_and_what_was_there_entered_however_wrong_the_clock_is() {
    let mut stage = Stage::new().await;
    stage.clock = wrong_clock();
    stage.make("there", no_labels()).await;
    stage.next_second().await;
    let asked = json!({ "labels": "app=web" });
    let watch = stage.maps(asked.clone());
    stage.is_watching().await;
    watch.stop().await.unwrap();
    stage.make("new", json!({ "app": "web" })).await;
    stage.patch("there", chosen("web")).await;
    stage.lab.forget_history().await.unwrap();
    let watch = stage.maps(asked);
    stage.tells_among_others(&["added new 0", "entered there 0"]).await;
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn what_is_made_while_an_engine_lags_behind_is_added() {
    let mut stage = Stage::new().await;
    let proxy = Proxy::before(&stage.lab).await.unwrap();
    stage.connect(proxy.kubeconfig());
    let web = json!({ "app": "web" });
    let watch = stage.maps(json!({ "labels": "app=web" }));
    stage.is_watching().await;
    stage.make("a", web.clone()).await;
    stage.tells(&["added a 0"]).await;
    // The engine takes the next change and no other, which waits here.
    let held = stage.recorder.look(|it| *it.held.insert(it.emissions.len() + 1));
    stage.set("a", 1).await;
    stage.recorder.until("it lags", |it| it.emissions.len() >= held).await;
    let before = proxy.passed();
    stage.set("a", 2).await;
    lab::until("it is heard", async || (proxy.passed() > before).then_some(())).await.unwrap();
    proxy.hang_up();
    stage.next_second().await;
    stage.make("new", web).await;
    stage.next_second().await;
    stage.next_second().await;
    stage.lab.forget_history().await.unwrap();
    stage.recorder.look(|it| it.held = None);
    stage.tells(&["added a 0", "modified a 1", "modified a 2", "added new 0"]).await;
    watch.stop().await.unwrap();
}

const EVENTS: &str = "/api/v1/namespaces/default/events";

impl Stage {
    async fn make_event(&self, name: &str, labels: Json) {
        let event = json!({ "metadata": { "name": name, "labels": labels }, "type": "Warning",
            "reason": name, "message": "m",
            "involvedObject": { "kind": "Pod", "name": "p", "namespace": "default" } });
        self.ask(Request::post(EVENTS, event)).await;
    }

    fn reasons(&self) -> Vec<Value> {
        self.recorder.events().iter().map(|event| event.data["reason"].clone()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn an_event_of_the_cluster_that_a_selector_chooses_is_told_once_however_it_came_to_that() {
    let mut stage = Stage::new().await;
    stage.clock = wrong_clock();
    let of = |selector: &str, chosen: &str| json!({ "namespaces": ["default"], selector: chosen });
    let watch = stage.watch("kubernetes.event", of("fields", "type=Warning"));
    stage.is_watching().await;
    watch.stop().await.unwrap();
    stage.make_event("unheard", no_labels()).await;
    // What is newest is remembered.
    stage.make("newest", no_labels()).await;
    stage.lab.forget_history().await.unwrap();
    let watch = stage.watch("kubernetes.event", of("fields", "type=Warning"));
    stage.has_told(1).await;
    watch.stop().await.unwrap();
    // One that is labelled after it was made.
    stage.recorder.look(|it| (it.cursor, it.seen) = (None, BTreeMap::new()));
    let watch = stage.watch("kubernetes.event", of("labels", "app=web"));
    stage.is_watching().await;
    stage.make_event("labelled", no_labels()).await;
    stage.next_second().await;
    let patch = Request::patch(&format!("{EVENTS}/labelled"), Patch::Merge, chosen("web"));
    stage.ask(patch).await;
    stage.has_told(2).await;
    stage.make_event("last", json!({ "app": "web" })).await;
    stage.has_told(3).await;
    assert_eq!(stage.reasons(), ["unheard", "labelled", "last"]);
    watch.stop().await.unwrap();
}
