//! An API server that is busy or in trouble for a while: it is left alone for as long as it asks, and nothing
//! is missed or told twice.

use std::time::Duration;

use lab::{Asked, Proxy, Trouble};
use model::Timestamp;
use sensors::SensorState;
use serde_json::json;

use crate::stage::{Stage, no_labels};

/// What watches are asked by, and what lists and watches both are.
const WATCH: &str = "watch=true";
const MAPS: &str = "/namespaces/default/configmaps";

/// Where a sensor takes its chances from.
type Chance = fn() -> Option<[u8; 16]>;

impl Stage {
    /// A watch that goes through a proxy.
    async fn behind_a_proxy() -> (Self, Proxy) {
        let stage = Self::new().await;
        let proxy = Proxy::before(&stage.lab).await.unwrap();
        stage.connect(proxy.kubeconfig());
        (stage, proxy)
    }

    /// When it tries again, whenever it failed.
    fn tries(&self) -> Vec<Timestamp> {
        let tries = |state: &SensorState| match state {
            SensorState::Failing { next_try, .. } => Some(*next_try),
            _ => None,
        };
        self.recorder.look(|it| it.states.iter().filter_map(tries).collect())
    }
}

/// The pauses after requests that were answered so.
fn pauses(asked: &[Asked], status: u16) -> Vec<Duration> {
    let pairs = asked.windows(2).filter(|pair| pair[0].status == status);
    pairs.map(|pair| pair[1].after(&pair[0])).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_server_that_is_busy_is_asked_again_when_it_said_and_nothing_is_missed() {
    let (mut stage, proxy) = Stage::behind_a_proxy().await;
    for n in 0..3 {
        stage.make(&format!("m{n}"), no_labels()).await;
    }
    stage.next_second().await;
    let busy = |of, times| Trouble { of, status: 429, retry_after: Some(2), times };
    // The first list, its watch, and another one in the middle.
    proxy.answer(busy(MAPS, 2));
    let watch = stage.maps(json!({ "initial": "emit" }));
    stage.tells(&["added m0 0", "added m1 0", "added m2 0"]).await;
    stage.is_watching().await;
    proxy.answer(busy(WATCH, 2));
    proxy.hang_up();
    stage.set("m0", 1).await;
    stage.set("m0", 2).await;
    let all = ["added m0 0", "added m1 0", "added m2 0", "modified m0 1", "modified m0 2"];
    stage.tells(&all).await;
    let asked = proxy.asked();
    let pauses = pauses(&asked, 429);
    assert_eq!(pauses.len(), 4, "{asked:?}");
    let obeyed = |pause: &Duration| *pause >= Duration::from_secs(2);
    assert!(pauses.iter().all(obeyed), "{pauses:?}");
    // A list in the middle of a life.
    watch.stop().await.unwrap();
    stage.remove("m1").await;
    stage.lab.forget_history().await.unwrap();
    proxy.answer(busy("limit=500", 1));
    let watch = stage.maps(json!({ "initial": "emit" }));
    stage.tells(&[&all[..], &["deleted m1 0"]].concat()).await;
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_server_in_trouble_is_asked_ever_more_seldom_and_nothing_is_missed_or_told_twice() {
    let (mut stage, proxy) = Stage::behind_a_proxy().await;
    let names: Vec<String> = (0..1200).map(|n| format!("m{n:04}")).collect();
    stage.each(&names, async |name| stage.make(name, no_labels()).await).await;
    stage.next_second().await;
    stage.timing.retry = (model::Duration::from_millis(100), model::Duration::from_millis(800));
    let broken = |of, status, times| Trouble { of, status, retry_after: None, times };
    // The second page of the list fails, some times over.
    proxy.answer(broken("continue=", 500, 2));
    proxy.answer(broken("continue=", 503, 2));
    let watch = stage.maps(json!({ "initial": "emit" }));
    stage.has_told(1200).await;
    stage.is_watching().await;
    for n in 1..=5 {
        proxy.answer(broken(WATCH, 502, n));
        proxy.hang_up();
        stage.set("m0000", n).await;
    }
    stage.has_told(1205).await;
    let tries = stage.tries();
    assert!(tries.len() >= 5, "{tries:?}");
    stage.set("m0001", 1).await;
    stage.has_told(1206).await;
    watch.stop().await.unwrap();
    let mut told = stage.told();
    let all = told.len();
    told.sort_unstable();
    told.dedup();
    assert_eq!((all, told.len()), (1206, 1206), "none missed, none twice");
    // As long as it lasts the pauses grow, to a half more than the longest by chance.
    proxy.asked();
    stage.recorder.look(|it| it.states.clear());
    proxy.answer(broken("/", 503, 7));
    let watch = stage.maps(json!({}));
    stage.is_watching().await;
    watch.stop().await.unwrap();
    let pauses = pauses(&proxy.asked(), 503);
    for (n, least) in [100, 200, 400, 800, 800, 800].into_iter().enumerate() {
        let least = Duration::from_millis(least);
        assert!(pauses[n] >= least, "{n}: {pauses:?}");
        assert!(pauses[n] <= least * 3 / 2 + Duration::from_secs(2), "{n}: {pauses:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn watches_that_lose_one_server_together_do_not_come_back_together() {
    let (mut stage, proxy) = Stage::behind_a_proxy().await;
    stage.timing.retry = (model::Duration::from_secs(10), model::Duration::from_secs(10));
    let (least, middle, most): (Chance, Chance, Chance) =
        (|| Some([0; 16]), || Some([128; 16]), || Some([255; 16]));
    for (chance, more) in [(least, 0), (middle, 2500), (most, 4980)] {
        stage.context.random = chance;
        proxy.answer(Trouble { of: "/", status: 503, retry_after: None, times: 1 });
        let begun = host::Clock::System.now();
        let watch = stage.maps(json!({}));
        stage.fails("").await;
        let pause = stage.tries()[0].duration_since(begun).as_millis() - 10_000;
        assert!((more..more + 2000).contains(&pause), "{pause} ms more, for {more}");
        watch.stop().await.unwrap();
        stage.recorder.look(|it| it.states.clear());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_page_that_is_too_large_is_asked_for_in_smaller_ones() {
    let (stage, proxy) = Stage::behind_a_proxy().await;
    for n in 0..7 {
        stage.make(&format!("m{n}"), no_labels()).await;
    }
    stage.next_second().await;
    for limit in ["limit=500", "limit=125", "limit=32", "limit=8"] {
        proxy.answer(Trouble { of: limit, status: 413, retry_after: None, times: 1 });
    }
    let watch = stage.maps(json!({ "initial": "emit" }));
    stage.has_told(7).await;
    stage.is_watching().await;
    let asked = proxy.asked();
    let limits = asked.iter().filter(|asked| asked.path.contains("limit=2"));
    assert_eq!(limits.count(), 4, "{asked:?}");
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_watch_that_ends_at_once_is_begun_again_ever_more_seldom() {
    let (mut stage, proxy) = Stage::behind_a_proxy().await;
    stage.timing.retry = (model::Duration::from_millis(100), model::Duration::from_millis(800));
    proxy.answer(Trouble { of: WATCH, status: 200, retry_after: None, times: 10_000 });
    let watch = stage.maps(json!({}));
    stage.recorder.until("it tries again some times", |it| it.states.len() > 12).await;
    stage.fails("the watch ended at once").await;
    let asked = proxy.asked();
    let watches: Vec<&Asked> = asked.iter().filter(|one| one.path.contains(WATCH)).collect();
    let pauses: Vec<Duration> = watches.windows(2).map(|pair| pair[1].after(pair[0])).collect();
    let last = pauses.last().unwrap();
    assert!(*last >= Duration::from_millis(800), "{pauses:?}");
    proxy.recover();
    stage.make("a", no_labels()).await;
    stage.tells(&["added a 0"]).await;
    watch.stop().await.unwrap();
}
