//! Very many deletions at once: told when a person says that they are right, and to nobody who never is.

use std::sync::Arc;

use host::kubernetes::Request;
use lab::{Proxy, Trouble};
use model::Value;
use serde_json::json;

use crate::kinds::things;
use crate::stage::{Stage, no_labels};
use crate::support::{Recorded, Running};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn many_deletions_at_once_wait_until_somebody_confirms_them() {
    let mut stage = Stage::new().await;
    stage.has_maps(30).await;
    stage.has_listed(stage.maps(json!({}))).await;
    for n in 0..11 {
        stage.remove(&format!("m{n}")).await;
    }
    stage.lab.forget_history().await.unwrap();
    let watch = stage.maps(json!({}));
    stage.waits("11 of 30 objects are gone at once").await;
    assert_eq!(stage.told(), [""; 0]);
    watch.confirm();
    stage.recorder.until("told", |it| it.seen.len() == 19).await;
    assert_eq!(stage.told().len(), 11);
    assert!(stage.told().iter().all(|told| told.starts_with("deleted m")));
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_guard_that_is_off_asks_nobody() {
    let mut stage = Stage::new().await;
    let names: Vec<String> = (0..30).map(|n| format!("m{n}")).collect();
    stage.each(&names, async |name| stage.make(name, no_labels()).await).await;
    stage.next_second().await;
    let asked = json!({ "delete_guard": "off" });
    stage.has_listed(stage.maps(asked.clone())).await;
    let (gone, another) = names.split_at(20);
    stage.each(&names, async |name| stage.remove(name).await).await;
    stage.each(another, async |name| stage.make(name, no_labels()).await).await;
    stage.lab.forget_history().await.unwrap();
    let watch = stage.maps(asked);
    stage.has_told(gone.len() + 2 * another.len()).await;
    stage.is_watching().await;
    let told = stage.told();
    let count = |what: &str| told.iter().filter(|told| told.starts_with(what)).count();
    assert_eq!((count("deleted m"), count("added m")), (30, 10));
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn objects_in_whose_place_others_are_count_as_deletions() {
    let mut stage = Stage::new().await;
    stage.has_maps(30).await;
    stage.has_listed(stage.maps(json!({}))).await;
    for n in 0..11 {
        stage.remove(&format!("m{n}")).await;
        stage.make(&format!("m{n}"), no_labels()).await;
    }
    stage.lab.forget_history().await.unwrap();
    let watch = stage.maps(json!({}));
    stage.waits("11 of 30 objects are gone at once").await;
    assert_eq!(stage.told(), [""; 0]);
    watch.confirm();
    stage.has_told(22).await;
    let deleted = stage.told().iter().filter(|told| told.starts_with("deleted m")).count();
    assert_eq!((deleted, stage.told().len()), (11, 22));
    watch.stop().await.unwrap();
}

impl Stage {
    /// Makes so many maps, before the second in which a sensor begins.
    async fn has_maps(&self, count: usize) {
        for n in 0..count {
            self.make(&format!("m{n}"), no_labels()).await;
        }
        self.next_second().await;
    }

    /// Ends a watch once it has seen all there is.
    async fn has_listed(&self, watch: Running) {
        self.is_watching().await;
        watch.stop().await.unwrap();
    }

    /// Removes maps while nobody can watch, and has the server forget that they were there.
    async fn remove_unseen(&mut self, proxy: &Proxy, names: std::ops::Range<usize>) {
        proxy.answer(Trouble { of: "/configmaps", status: 503, retry_after: None, times: 10_000 });
        proxy.hang_up();
        self.fails("").await;
        for n in names {
            self.remove(&format!("m{n}")).await;
        }
        self.lab.forget_history().await.unwrap();
        proxy.recover();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_confirmation_is_used_up_by_the_list_that_it_was_for() {
    let mut stage = Stage::new().await;
    stage.has_maps(40).await;
    let proxy = Proxy::before(&stage.lab).await.unwrap();
    stage.connect(proxy.kubeconfig());
    let watch = stage.maps(json!({}));
    stage.is_watching().await;
    // Nobody asked.
    watch.confirm();
    stage.remove_unseen(&proxy, 0..12).await;
    stage.waits("12 of 40 objects are gone at once").await;
    watch.confirm();
    stage.has_told(12).await;
    stage.is_watching().await;
    stage.remove_unseen(&proxy, 12..25).await;
    stage.waits("13 of 28 objects are gone at once").await;
    assert_eq!(stage.told().len(), 12);
    // Others of their names don't bring them back, and a few of them need nobody's word.
    for n in 12..25 {
        stage.make(&format!("m{n}"), no_labels()).await;
    }
    watch.confirm();
    stage.has_told(12 + 26).await;
    let told = stage.told().split_off(12);
    let count = |what: &str| told.iter().filter(|told| told.starts_with(what)).count();
    assert_eq!((count("deleted"), count("added")), (13, 13), "each is another of its name");
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn deletions_that_nobody_is_told_of_are_no_question() {
    let mut stage = Stage::new().await;
    let events = "/api/v1/namespaces/default/events".to_owned();
    let about = json!({ "kind": "Pod", "name": "p", "namespace": "default" });
    let event = json!({ "involvedObject": about });
    let maps = json!({ "api_version": "v1", "kind": "ConfigMap", "namespaces": ["default"],
        "labels": "some=are", "operations": ["added", "modified"] });
    for (trigger, parameters, path, mut object) in [
        ("kubernetes.event", json!({ "namespaces": ["default"] }), events, event),
        ("kubernetes.object", maps, stage.maps.collection(Some("default")), json!({})),
    ] {
        stage.recorder = Arc::default();
        for n in 0..30 {
            object["metadata"] = json!({ "name": format!("o{n}"), "labels": { "some": "are" } });
            stage.ask(Request::post(&path, object.clone())).await;
        }
        stage.next_second().await;
        stage.has_listed(stage.watch(trigger, parameters.clone())).await;
        stage.cluster.text(&Request::delete(&path, Value::Null)).await.unwrap();
        stage.lab.forget_history().await.unwrap();
        let watch = stage.watch(trigger, parameters);
        stage.recorder.until("they are forgotten", |it| it.seen.is_empty()).await;
        stage.is_watching().await;
        assert!(stage.recorder.events().is_empty(), "{trigger}");
        watch.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_gateway_that_answers_404_for_a_while_takes_no_kind_away() {
    let mut stage = Stage::new().await;
    stage.has_maps(30).await;
    let proxy = Proxy::before(&stage.lab).await.unwrap();
    stage.connect(proxy.kubeconfig());
    let watch = stage.maps(json!({}));
    stage.is_watching().await;
    proxy.answer(Trouble { of: "GET /", status: 404, retry_after: None, times: 10_000 });
    proxy.hang_up();
    stage.waits("").await;
    for n in 0..11 {
        stage.remove(&format!("m{n}")).await;
    }
    stage.lab.forget_history().await.unwrap();
    proxy.recover();
    stage.waits("11 of 30 objects are gone at once").await;
    assert_eq!(stage.told(), [""; 0]);
    watch.stop().await.unwrap();
}

impl Stage {
    /// A watch of a dozen things, each of which it told.
    async fn has_a_dozen_things(&self) -> Running {
        let kind = self.cluster.resource("example.com/v1", "Thing").await.unwrap();
        let watch = self.watch("kubernetes.object", things());
        self.is_watching().await;
        for n in 0..12 {
            self.make_thing(&kind, &format!("t{n}")).await;
        }
        self.has_told(12).await;
        watch
    }

    async fn has_noticed_that_they_are_taken_away(&self) {
        let noticed = |it: &Recorded| it.cursor.as_ref().is_some_and(|it| it["unserved"] == true);
        self.recorder.until("it notices that the kind is gone", noticed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn what_went_with_the_definition_of_its_kind_is_no_question() {
    let stage = Stage::new().await;
    stage.define().await;
    let watch = stage.has_a_dozen_things().await;
    stage.undefine().await;
    stage.has_noticed_that_they_are_taken_away().await;
    stage.define().await;
    stage.has_told(24).await;
    assert!(stage.told()[12..].iter().all(|told| told.starts_with("deleted t")));
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn what_went_with_the_definition_of_its_kind_as_the_cluster_was_put_back_is_a_question() {
    let mut stage = Stage::new().await;
    stage.make("b", no_labels()).await;
    let backup = stage.lab.back_up().unwrap();
    // The cluster must not have come on as far again when its kind is back: an API server that begins
    // and a definition write too.
    for n in 0..300 {
        stage.set("b", n).await;
    }
    stage.define().await;
    let watch = stage.has_a_dozen_things().await;
    stage.lab.restore(&backup).await.unwrap();
    stage.has_noticed_that_they_are_taken_away().await;
    stage.define().await;
    stage.waits("12 of 12 objects are gone at once").await;
    assert_eq!(stage.told().len(), 12);
    watch.confirm();
    stage.has_told(24).await;
    watch.stop().await.unwrap();
}
