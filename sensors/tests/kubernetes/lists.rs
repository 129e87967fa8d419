//! Lists: of many objects, of several namespaces, broken off in the middle, and what they find that
//! no watch could tell.

use std::collections::BTreeMap;

use host::kubernetes::Request;
use lab::{NARROW, Part, Proxy};
use serde_json::json;

use crate::stage::{Stage, no_labels};

impl Stage {
    /// Kills the API server while a list is being compared: after two more emissions of it.
    async fn kill_in_the_middle_of_a_list(&mut self, parameters: serde_json::Value) {
        let held = self.recorder.look(|it| it.emissions.len()) + 2;
        self.recorder.look(|it| it.held = Some(held));
        let watch = self.maps(parameters.clone());
        self.recorder.until("it is in the middle", |it| it.emissions.len() >= held).await;
        self.lab.part(Part::Api).unwrap().kill();
        self.recorder.look(|it| it.held = None);
        self.fails("").await;
        let listing = self.recorder.cursor().unwrap()["listing"].clone();
        assert_eq!(listing, true, "the list was broken off");
        self.lab.part(Part::Api).unwrap().start().await.unwrap();
        self.is_watching().await;
        watch.stop().await.unwrap();
    }

    /// A cluster that was put back to what it was before its last change was told, and has come on again
    /// since then; the value that its map `b` has.
    async fn put_back_and_overtaken() -> (Self, u64) {
        let mut stage = Self::new().await;
        let (watch, backup) = stage.with_two_maps_backed_up().await;
        stage.set("a", 1).await;
        stage.tells(&["added a 0", "added b 0", "modified a 1"]).await;
        watch.stop().await.unwrap();
        stage.lab.restore(&backup).await.unwrap();
        let n = stage.overtake("default").await;
        (stage, n)
    }

    /// How often each operation was told, and that of no object anything was told twice.
    fn told_once_each(&self) -> BTreeMap<String, usize> {
        let mut told = self.told();
        let all = told.len();
        told.sort_unstable();
        told.dedup();
        assert_eq!(told.len(), all, "something was told twice");
        let mut counts = BTreeMap::new();
        for one in told {
            let operation = one.split(' ').next().unwrap().to_owned();
            *counts.entry(operation).or_default() += 1;
        }
        counts
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_list_that_is_broken_off_tells_each_object_once_and_nothing_as_deleted() {
    let mut stage = Stage::new().await;
    let names: Vec<String> = (0..1200).map(|n| format!("m{n:04}")).collect();
    stage.each(&names, async |name| stage.make(name, no_labels()).await).await;
    stage.next_second().await;
    let asked = json!({ "initial": "emit" });
    // The second page is asked of a server that is gone.
    stage.kill_in_the_middle_of_a_list(asked.clone()).await;
    assert_eq!(stage.told_once_each(), [("added".to_owned(), 1200)].into());
    let (changed, gone) = (&names[..700], &names[1190..]);
    stage.each(changed, async |name| stage.set(name, 1).await).await;
    stage.each(gone, async |name| stage.remove(name).await).await;
    stage.lab.forget_history().await.unwrap();
    stage.kill_in_the_middle_of_a_list(asked).await;
    let expected = [("added", 1200), ("deleted", 10), ("modified", 700)];
    let expected = expected.map(|(operation, count)| (operation.to_owned(), count));
    assert_eq!(stage.told_once_each(), expected.into());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn several_namespaces_are_watched_with_rights_in_these_alone() {
    let mut stage = Stage::seen_by(NARROW).await;
    for namespace in ["one", "two", "three"] {
        let made = json!({ "metadata": { "name": namespace } });
        stage.ask(Request::post("/api/v1/namespaces", made)).await;
    }
    stage.allow("narrow", "one").await;
    stage.allow("narrow", "two").await;
    let asked = json!({ "namespaces": ["two", "one"] });
    let watch = stage.maps_in(asked.clone());
    stage.is_watching().await;
    for (namespace, name) in [("three", "c"), ("one", "a"), ("two", "b")] {
        stage.make_in(namespace, name, no_labels()).await;
    }
    stage.tells_among_others(&["added a 0", "added b 0"]).await;
    watch.stop().await.unwrap();
    // In one of them by the changes since, in both by what is there.
    stage.make_in("two", "d", no_labels()).await;
    let watch = stage.maps_in(asked.clone());
    stage.tells_among_others(&["added a 0", "added b 0", "added d 0"]).await;
    watch.stop().await.unwrap();
    let b = stage.maps.object(Some("two"), "b", None);
    stage.ask(Request::delete(&b, serde_json::Value::Null)).await;
    stage.make_in("one", "b", no_labels()).await;
    stage.lab.forget_history().await.unwrap();
    let watch = stage.maps_in(asked);
    let all = ["added a 0", "added b 0", "added d 0", "added b 0", "deleted b 0"];
    stage.tells_among_others(&all).await;
    let last = stage.recorder.events().split_off(3);
    let subjects: Vec<_> = last.iter().filter_map(|it| it.envelope.subject.as_deref()).collect();
    assert_eq!(subjects, ["one/b", "two/b"]);
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn changes_at_the_paths_that_are_asked_for_are_told_and_no_others() {
    let mut stage = Stage::new().await;
    let asked = json!({ "changes": ["metadata.labels[\"example.com/tier\"]", "data.k"] });
    let label = |tier: serde_json::Value| {
        let labels = json!({ "example.com/tier": tier, "noise": tier });
        json!({ "metadata": { "labels": labels } })
    };
    let watch = stage.maps(asked.clone());
    stage.is_watching().await;
    stage.make("a", json!({ "base": "1" })).await;
    stage.patch("a", json!({ "data": { "other": "1" } })).await;
    stage.patch("a", label("web".into())).await;
    stage.patch("a", json!({ "metadata": { "labels": { "noise": "2" } } })).await;
    stage.set("a", 1).await;
    let first = ["added a 0", "modified a 0", "modified a 1"];
    stage.tells(&first).await;
    watch.stop().await.unwrap();
    // The same while nobody watches, of what the server still knows and of what it forgot.
    stage.patch("a", json!({ "data": { "other": "3" } })).await;
    let watch = stage.maps(asked.clone());
    stage.patch("a", label(serde_json::Value::Null)).await;
    stage.tells(&[&first[..], &["modified a 1"]].concat()).await;
    watch.stop().await.unwrap();
    stage.patch("a", json!({ "data": { "other": "4" } })).await;
    stage.make("b", no_labels()).await;
    stage.lab.forget_history().await.unwrap();
    let watch = stage.maps(asked);
    stage.tells(&[&first[..], &["modified a 1", "added b 0"]].concat()).await;
    let changed: Vec<_> =
        stage.recorder.events().iter().map(|it| it.data["changed"].clone()).collect();
    let labelled =
        json!(["data.other", "metadata.labels[\"example.com/tier\"]", "metadata.labels.noise"]);
    assert_eq!(
        (&changed[1], &changed[2]),
        (&labelled, &json!(["data.k", "metadata.labels.noise"]))
    );
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn the_regular_comparison_finds_what_no_watch_could_tell() {
    let (mut stage, n) = Stage::put_back_and_overtaken().await;
    stage.timing.check = model::Duration::from_secs(2);
    let watch = stage.maps(json!({}));
    let told = format!("modified b {n}");
    let all = ["added a 0", "added b 0", "modified a 1", &told, "modified a 0"];
    stage.tells_among_others(&all).await;
    let states = stage.recorder.look(|it| it.states.len());
    // Two more of them find nothing.
    stage.recorder.until("it looked again", |it| it.states.len() >= states + 2).await;
    stage.tells_among_others(&all).await;
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn the_regular_comparison_is_made_though_no_watch_lasts_until_then() {
    let (mut stage, n) = Stage::put_back_and_overtaken().await;
    stage.timing.check = model::Duration::from_secs(3);
    let proxy = Proxy::before(&stage.lab).await.unwrap();
    stage.connect(proxy.kubeconfig());
    let watch = stage.maps(json!({}));
    let told = format!("modified b {n}");
    let all = ["added a 0", "added b 0", "modified a 1", &told, "modified a 0"];
    let cut = async || {
        if proxy.asked().iter().any(|asked| asked.path.contains("watch=true")) {
            proxy.hang_up();
        }
        (stage.told().len() >= all.len()).then_some(())
    };
    lab::until("all was compared", cut).await.unwrap();
    stage.tells_among_others(&all).await;
    watch.stop().await.unwrap();
}
