//! Waits that are told of what they wait for, and what they do where nobody tells them.

use std::time::{Duration, Instant};

use futures::future::join_all;
use lab::{Asked, Parts, Proxy, Trouble};
use serde_json::{Value, json};

use super::beside::claim;
use super::{Lab, config_map, of};

/// A look that no watch asked for comes after 30 s.
const AT_ONCE: Duration = Duration::from_secs(15);

fn map(more: Value) -> Value {
    of("v1", "ConfigMap", "one", more)
}

fn until_it_says(value: &str) -> Value {
    map(json!({ "for": { "field": "data.key", "equals": value }, "timeout": "120s" }))
}

fn is_watch(one: &Asked) -> bool {
    one.path.contains("watch=true") && one.status == 200
}

/// Waits until as many watches have begun since this was asked last.
async fn watches(proxy: &Proxy, count: usize) {
    let mut begun = 0;
    let enough = async || {
        begun += proxy.asked().iter().filter(|one| is_watch(one)).count();
        (begun >= count).then_some(())
    };
    lab::until("the watches have begun", enough).await.unwrap();
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn the_end_of_a_wait_is_noticed_as_it_comes_and_a_wait_asks_little() {
    let (lab, proxy) = Lab::behind_a_proxy(Parts::Bare).await;
    lab.done("apply", json!({ "manifest": config_map("one", "x") })).await;
    proxy.asked();
    let said = async {
        watches(&proxy, 1).await;
        let begun = Instant::now();
        lab.done("apply", json!({ "manifest": config_map("one", "y") })).await;
        begun
    };
    let (_, begun) = tokio::join!(lab.done("wait", until_it_says("y")), said);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    let looks = proxy.asked();
    let looks = looks.iter().filter(|one| one.path.ends_with("configmaps/one"));
    assert!(looks.count() <= 4, "the apply has one of them");

    let deleted = async {
        watches(&proxy, 1).await;
        let begun = Instant::now();
        lab.done("delete", map(json!({}))).await;
        begun
    };
    let gone = lab.done("wait", map(json!({ "for": "deleted" })));
    let (_, begun) = tokio::join!(gone, deleted);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());

    let made = async {
        watches(&proxy, 1).await;
        let begun = Instant::now();
        lab.done("apply", json!({ "manifest": config_map("one", "z") })).await;
        begun
    };
    let (_, begun) = tokio::join!(lab.done("wait", until_it_says("z")), made);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_wait_whose_watch_breaks_begins_another_and_misses_nothing_meanwhile() {
    let (lab, proxy) = Lab::behind_a_proxy(Parts::Bare).await;
    lab.done("apply", json!({ "manifest": config_map("one", "x") })).await;
    proxy.asked();
    let said = async {
        watches(&proxy, 1).await;
        proxy.hang_up();
        watches(&proxy, 1).await;
        // From here on nobody tells it anything.
        proxy.answer(Trouble { of: "watch=true", status: 503, retry_after: None, times: 1_000 });
        proxy.hang_up();
        let begun = Instant::now();
        lab::until("it is said", async || {
            let step = lab.step("apply", json!({ "manifest": config_map("one", "y") }));
            match lab.action("apply").perform(step).await {
                model::Performance::Done(_) => Some(()),
                _ => None,
            }
        })
        .await
        .unwrap();
        begun
    };
    let (_, begun) = tokio::join!(lab.done("wait", until_it_says("y")), said);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn who_may_not_watch_is_not_hindered_and_who_may_watch_one_object_does() {
    let lab = Lab::start(Parts::Bare).await;
    for (verbs, refusals) in [(json!(["get"]), 1), (json!(["get", "watch"]), 0)] {
        let rules = json!([{ "apiGroups": [""], "resources": ["configmaps"],
            "resourceNames": ["one"], "verbs": verbs }]);
        let allowed = json!([
            {
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                "metadata": { "name": "one" }, "rules": rules,
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": { "name": "one" },
                "subjects": [{ "kind": "ServiceAccount", "name": "narrow", "namespace": "default" }],
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "one" },
            },
            config_map("one", "x"),
        ]);
        lab.done("apply", json!({ "manifest": allowed })).await;
        let told = lab.observed.lock().unwrap().len();
        let refused = || {
            let told = lab.observed.lock().unwrap();
            let of_narrow = told.iter().filter(|(connection, _)| connection == "narrow");
            of_narrow.filter(|(_, status)| *status == Some(403)).count()
        };
        let before = refused();
        let mut wait = until_it_says("y");
        wait["connection"] = json!("narrow");
        let said = async {
            let looked = async || {
                let all = lab.observed.lock().unwrap();
                let narrow = all[told..].iter().filter(|(connection, _)| connection == "narrow");
                (narrow.count() >= 3).then_some(())
            };
            lab::until("it has looked, and tried to watch", looked).await.unwrap();
            lab.done("apply", json!({ "manifest": config_map("one", "y") })).await;
        };
        tokio::join!(lab.done("wait", wait), said);
        assert_eq!(refused() - before, refusals, "{verbs}");
    }
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn many_objects_that_are_waited_for_share_a_few_watches() {
    let (lab, proxy) = Lab::behind_a_proxy(Parts::Bare).await;
    let definition = claim()[0].clone();
    lab.done("apply", json!({ "manifest": definition, "wait": {} })).await;
    let name = |n: usize| format!("c{n}");
    let claims: Vec<Value> = (0..20)
        .map(|n| json!({ "apiVersion": "prsn.io/v1", "kind": "Claim", "metadata": { "name": name(n) } }))
        .collect();
    proxy.asked();
    let ready = async {
        watches(&proxy, 16).await;
        let set = |n: usize| {
            let condition = json!({ "conditions": [{ "type": "Ready", "status": true }] });
            lab.done("patch_status", of("prsn.io/v1", "Claim", &name(n), condition))
        };
        // The last ones first, of which no watch tells.
        join_all((0..20).rev().map(set)).await;
    };
    let wait = json!({ "for": { "condition": "Ready" }, "timeout": "60s" });
    let applied = lab.done("apply", json!({ "manifest": claims, "wait": wait }));
    let (applied, ()) = tokio::join!(applied, ready);
    assert_eq!(applied["objects"].as_array().unwrap().len(), 20);
}
