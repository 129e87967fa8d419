//! The rights that `pack rbac` prints are enough for what the pack does in a real cluster, and none
//! of them can be left out.

use host::kubernetes::Request;
use lab::{ADMIN, Parts};
use serde_json::{Value, json};

use crate::clusters::{MAPS, Stage, in_cluster, map};
use crate::files::{PATIENCE, chain, events_of, pack, world};
use crate::support::{World, eventually};

const PACK: &str = "name: p\nversion: 1.0.0\n\
                    permissions: { actions: [kubernetes.*], connections: [default] }\n";
const RULE: &str = "trigger: { type: kubernetes.object, parameters: { api_version: v1, kind: ConfigMap, \
                    namespaces: [shop], operations: [added], labels: record } }\n\
                    action: { ref: p.record, parameters: { name: '${trigger.object.metadata.name}' } }\n";
const RECORD: &str = r#"
let settings = run("kubernetes.get", #{ api_version: "v1", kind: "ConfigMap", name: "settings", namespace: "shop" });
let record = #{
    apiVersion: "v1", kind: "Secret", metadata: #{ name: params.name, namespace: "records" },
    stringData: #{ of: settings.object.data.of },
};
run("kubernetes.apply", #{ manifest: record });
run("kubernetes.label", #{
    api_version: "v1", kind: "ConfigMap", name: "settings", namespace: "shop", labels: #{ last: params.name },
});
run("kubernetes.create_event", #{
    api_version: "v1", kind: "ConfigMap", name: "settings", namespace: "shop", reason: "Recorded", message: "so it is",
});
run("kubernetes.list", #{ api_version: "v1", kind: "Secret", namespace: "records" });
run("kubernetes.delete", #{ api_version: "v1", kind: "Secret", name: params.name, namespace: "records" })
"#;

/// The role with one verb of one rule taken away.
fn without(role: &Value, rule: usize, verb: usize) -> Value {
    let mut less = role.clone();
    let verbs = less["rules"][rule]["verbs"].as_array_mut().unwrap();
    verbs.remove(verb);
    if verbs.is_empty() {
        less["rules"].as_array_mut().unwrap().remove(rule);
    }
    less
}

fn files(world: &World) {
    pack(world, "pack.yaml", PACK);
    pack(world, "rules/record.yaml", RULE);
    pack(world, "actions/record.rhai", RECORD);
    let declared =
        "entry_point: record.rhai\nparameters: { name: { type: string, required: true } }\n";
    pack(world, "actions/record.yaml", declared);
}

#[test]
#[ignore = "needs the lab"]
fn the_rights_of_a_pack_are_all_that_it_needs_and_it_needs_all_of_them() {
    let stage = Stage::set();
    let (token, account) = stage.account();
    let world = in_cluster(world(), &stage.lab, &token);
    files(&world);
    let printed = world.json(&["pack", "rbac", "packs/p"]);
    let manifests = printed["items"].as_array().unwrap();
    for object in manifests {
        stage.apply(object);
    }

    let _server = world.serve();
    eventually(PATIENCE, || {
        (world.json(&["sensor", "list"])[0]["state"] == "running").then_some(())
    });
    stage.admin(&Request::post(MAPS, map("first", &json!({ "record": "yes" }))));
    eventually(PATIENCE, || {
        let all = world.json(&["execution", "list", "--action", "p.record"]);
        (all[0]["state"] == "succeeded").then_some(())
    });
    assert_eq!(events_of(&world, "kubernetes.object").len(), 1);

    let mut refused = Vec::new();
    let roles = manifests.iter().filter(|object| object["rules"].is_array());
    for role in roles.filter(|role| role["kind"] == "Role") {
        for (r, rule) in role["rules"].as_array().unwrap().iter().enumerate() {
            for (v, verb) in rule["verbs"].as_array().unwrap().iter().enumerate() {
                let verb = verb.as_str().unwrap();
                let what =
                    format!("{verb} {} in {}", rule["resources"][0], role["metadata"]["namespace"]);
                stage.apply(&without(role, r, v));
                eventually(PATIENCE, || (!stage.allows(&account, role, rule, verb)).then_some(()));
                // What watches holds on to what it was allowed when it began.
                if verb != "watch" && what != r#"list "configmaps" in "shop""# {
                    let failed = world
                        .run(&["run", "p.record", &format!("name=n{}", refused.len())])
                        .ended(1);
                    assert!(failed.stderr.contains("denied"), "{what}: {failed:?}");
                }
                refused.push(what);
                stage.apply(role);
                eventually(PATIENCE, || stage.allows(&account, role, rule, verb).then_some(()));
            }
        }
    }
    assert!(refused.len() > 8, "{refused:?}");
    world.run(&["run", "p.record", "name=last"]).succeeded();
}

/// Applies a workload whose pods never get ready, and waits for it.
const WAITS: &str = r#"
let labels = #{ app: "KIND" };
labels["lab.tripline.dev/pod"] = "never-ready";
let made = #{
    apiVersion: "apps/v1", kind: "KIND", metadata: #{ name: "web", namespace: "shop" },
    spec: #{
        selector: #{ matchLabels: #{ app: "KIND" } },
        template: #{ metadata: #{ labels: labels }, spec: #{ containers: [#{ name: "main", image: "web:1" }] } },
    },
};
run("kubernetes.apply", #{ manifest: made, wait: #{ timeout: "2s" } })
"#;

#[test]
#[ignore = "needs the lab"]
fn a_pack_that_waits_for_workloads_may_look_at_their_pods_and_says_which_right_it_lacks() {
    let stage = Stage::set_with(Parts::Rollouts);
    let (token, account) = stage.account();
    let world = in_cluster(world(), &stage.lab, &token);
    pack(&world, "pack.yaml", PACK);
    for kind in ["DaemonSet", "Deployment"] {
        chain(&world, &kind.to_lowercase(), &WAITS.replace("KIND", kind));
    }
    let printed = world.json(&["pack", "rbac", "packs/p"]);
    let manifests = printed["items"].as_array().unwrap();
    for object in manifests {
        stage.apply(object);
    }
    let _server = world.serve();
    let late = |kind: &str| {
        let late = world.run(&["run", &format!("p.{kind}")]).ended(1).stderr;
        assert!(late.contains("not within 2s"), "{late}");
        late
    };
    for kind in ["daemonset", "deployment"] {
        eventually(PATIENCE, || late(kind).contains("are available").then_some(()));
        assert!(!late(kind).contains("could not be looked at"), "all rights are there");
    }

    let role = manifests.iter().find(|object| object["kind"] == "Role").unwrap();
    let mut refused = Vec::new();
    for (r, rule) in role["rules"].as_array().unwrap().iter().enumerate() {
        let resource = rule["resources"][0].as_str().unwrap();
        if ["daemonsets", "deployments"].contains(&resource) {
            continue;
        }
        let verb = rule["verbs"][0].as_str().unwrap();
        stage.apply(&without(role, r, 0));
        eventually(PATIENCE, || (!stage.allows(&account, role, rule, verb)).then_some(()));
        let kind = if resource == "controllerrevisions" { "daemonset" } else { "deployment" };
        let told = late(kind);
        let missing = format!(
            "could not be looked at: `system:serviceaccount:tripline:tripline` may not {verb} {resource}"
        );
        assert!(told.contains(&missing), "{verb} {resource}: {told}");
        refused.push(resource);
        stage.apply(role);
        eventually(PATIENCE, || stage.allows(&account, role, rule, verb).then_some(()));
    }
    refused.sort_unstable();
    assert_eq!(refused, ["controllerrevisions", "pods", "pods/log", "replicasets"]);
}

#[test]
#[ignore = "needs the lab"]
fn a_cluster_says_how_kinds_of_its_own_are_called_in_rights() {
    let stage = Stage::set();
    let world = world();
    let asks =
        "name: p\nversion: 1.0.0\npermissions: { actions: [core.noop], connections: [default] }\n";
    pack(&world, "pack.yaml", asks);
    let rule = "trigger: { type: kubernetes.object, parameters: { api_version: lab.tripline.dev/v1, kind: Datum } }\n\
                action: { ref: core.noop }\n";
    pack(&world, "rules/seen.yaml", rule);
    let kubeconfig = stage.lab.kubeconfig(ADMIN).unwrap();
    let asked = ["pack", "rbac", "packs/p", "--kubeconfig", kubeconfig.to_str().unwrap()];
    let unknown = world.run(&asked).ended(1);
    assert!(unknown.stderr.contains("knows no kind `Datum`"), "{unknown:?}");
    stage.apply(&json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "data.lab.tripline.dev" },
        "spec": {
            "group": "lab.tripline.dev", "scope": "Cluster", "names": { "kind": "Datum", "plural": "data" },
            "versions": [{ "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object" } } }],
        },
    }));
    let printed = eventually(PATIENCE, || {
        let done = world.run(&asked);
        (done.code == 0).then_some(done.stdout)
    });
    let expected = "- { apiGroups: [lab.tripline.dev], resources: [data], verbs: [list, watch] }";
    assert!(printed.contains(expected), "{printed}");
}
