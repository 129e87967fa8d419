//! An engine that takes nothing for so long that the API server forgets where the watch stands.

use std::collections::{BTreeMap, BTreeSet};

use lab::Proxy;
use serde_json::json;

use crate::stage::{Stage, no_labels};

/// Maps that change, how often each does, and by how many bytes: far more than may be held.
const MAPS: u64 = 10;
const CHANGES: u64 = 9;
const LARGE: usize = 900_000;
/// What a watch reads ahead (32 MiB), and what lies on its way in buffers of sockets.
const AT_MOST: u64 = 64 << 20;

impl Stage {
    async fn make_large_changes(&self, names: &[String]) {
        let text = "x".repeat(LARGE);
        let change = async |name: &str| {
            for n in 1..=CHANGES {
                self.patch(name, json!({ "data": { "k": n.to_string(), "text": text } })).await;
            }
        };
        self.each(names, change).await;
    }
}

/// What somebody knows who was told this: values by names.
fn known(told: &[String]) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for one in told {
        let [operation, name, value] = one.split(' ').collect::<Vec<_>>().try_into().unwrap();
        match operation {
            "deleted" => drop(known.remove(name)),
            _ => drop(known.insert(name.to_owned(), value.to_owned())),
        }
    }
    known
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn an_engine_so_slow_that_its_place_is_forgotten_holds_little_misses_nothing_and_repeats_nothing()
 {
    let mut stage = Stage::new().await;
    let proxy = Proxy::before(&stage.lab).await.unwrap();
    stage.connect(proxy.kubeconfig());
    let watch = stage.maps(json!({}));
    stage.is_watching().await;
    let names: Vec<String> = (0..MAPS).map(|n| format!("m{n}")).collect();
    stage.each(&names, async |name| stage.make(name, no_labels()).await).await;
    stage.has_told(names.len()).await;
    // From the next change on the engine takes nothing.
    stage.recorder.look(|it| it.held = Some(it.emissions.len() + 1));
    let before = proxy.passed();
    stage.make_large_changes(&names).await;
    stage.remove("m9").await;
    stage.make("new", no_labels()).await;
    let full = async || (proxy.passed() - before > 30 << 20).then_some(());
    lab::until("it has read ahead", full).await.unwrap();
    stage.lab.forget_history().await.unwrap();
    let held = proxy.passed() - before;
    assert!(held < AT_MOST, "{held} bytes are held");

    stage.recorder.look(|it| (it.held, it.states) = (None, Vec::new()));
    let there = |it: &crate::support::Recorded| {
        it.seen.contains_key("default/new") && !it.seen.contains_key("default/m9")
    };
    stage.recorder.until("all was compared", there).await;
    stage.set("new", "last").await;
    stage
        .recorder
        .until("it goes on", |it| {
            let last = it.emissions.last().and_then(|emission| emission.events.last());
            last.is_some_and(|event| event.data["object"]["data"]["k"] == "last")
        })
        .await;
    watch.stop().await.unwrap();
    let told = stage.told();
    let each: BTreeSet<&String> = told.iter().collect();
    assert_eq!(each.len(), told.len(), "something was told twice: {told:?}");
    let left = names.iter().filter(|name| *name != "m9");
    let last = left.map(|name| (name.clone(), CHANGES.to_string()));
    let last = last.chain([("new".to_owned(), "last".to_owned())]);
    assert_eq!(known(&told), last.collect(), "{told:?}");
    let changes = told.iter().filter(|one| one.starts_with("modified m")).count() as u64;
    assert!(changes < MAPS * CHANGES, "what the server had forgotten became one: {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_namespace_with_a_backlog_keeps_no_other_waiting_until_it_is_done() {
    let stage = Stage::new().await;
    let watch = stage.maps_in(json!({ "namespaces": ["default", "kube-public"] }));
    stage.is_watching().await;
    stage.recorder.look(|it| it.held = Some(it.emissions.len() + 1));
    let names: Vec<String> = (0..2500).map(|n| format!("m{n}")).collect();
    stage.each(&names, async |name| stage.make(name, no_labels()).await).await;
    stage.make_in("kube-public", "elsewhere", no_labels()).await;
    stage.recorder.look(|it| it.held = None);
    stage.has_told(names.len() + 1).await;
    let place = stage.told().iter().position(|told| told == "added elsewhere 0").unwrap();
    // After what was taken before it came, and one turn of the other.
    assert!(place <= 1000, "it was told after {place} others");
    watch.stop().await.unwrap();
}
