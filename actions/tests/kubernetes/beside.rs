//! What others do to the same objects at the same time.

use futures::future::join_all;
use lab::Parts;
use model::Performance;
use serde_json::{Value, json};

use super::{Lab, config_map, of};

/// A kind `Claim` whose objects have a status, and one of them.
pub(super) fn claim() -> Value {
    let any = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!([
        {
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": "claims.prsn.io" },
            "spec": {
                "group": "prsn.io", "scope": "Namespaced",
                "names": { "kind": "Claim", "plural": "claims" },
                "versions": [{ "name": "v1", "served": true, "storage": true,
                    "schema": { "openAPIV3Schema": any }, "subresources": { "status": {} } }],
            },
        },
        { "apiVersion": "prsn.io/v1", "kind": "Claim", "metadata": { "name": "one" } },
    ])
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn finalizers_and_conditions_that_several_write_at_once_all_stand() {
    let lab = Lab::start(Parts::Bare).await;
    lab.done("apply", json!({ "manifest": claim() })).await;
    let one = |more: Value| of("prsn.io/v1", "Claim", "one", more);
    let finalizer = |n: usize| one(json!({ "finalizer": format!("prsn.io/f{n}") }));
    let condition =
        |n: usize| one(json!({ "conditions": [{ "type": format!("C{n}"), "status": true }] }));
    let finalizers = (0..3).map(|n| lab.done("add_finalizer", finalizer(n)));
    let conditions = (0..3).map(|n| lab.done("patch_status", condition(n)));
    tokio::join!(join_all(finalizers), join_all(conditions));
    let found = lab.done("get", one(json!({}))).await;
    let finalizers = found["object"]["metadata"]["finalizers"].as_array().unwrap().len();
    let conditions = found["object"]["status"]["conditions"].as_array().unwrap().len();
    assert_eq!((finalizers, conditions), (3, 3), "{found:#}");
    join_all((0..3).map(|n| lab.done("remove_finalizer", finalizer(n)))).await;
    let found = lab.done("get", one(json!({}))).await;
    assert!(found["object"]["metadata"]["finalizers"].is_null(), "{found:#}");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn of_two_who_take_over_an_object_at_once_one_is_refused() {
    let lab = Lab::start(Parts::Bare).await;
    for n in 0..20 {
        let name = format!("m{n}");
        lab.done("apply", json!({ "manifest": config_map(&name, "nobody's") })).await;
        let by = |owner: &str| {
            let manifest = config_map(&name, owner);
            lab.perform("apply", json!({ "manifest": manifest, "owner": owner, "force": true }))
        };
        let both = tokio::join!(by("one"), by("other"));
        let done = [&both.0, &both.1].map(|it| matches!(it, Performance::Done(_)));
        assert!(done == [true, false] || done == [false, true], "{both:?}");
    }
}
