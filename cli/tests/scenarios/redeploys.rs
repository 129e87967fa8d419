//! What deploys do to the pods of a real cluster: how many there are, when they start and end, of
//! which kinds, and what traffic reaches.

use lab::Parts;
use serde_json::{Value, json};

use crate::deploys::{Deploys, behind_service, refused, service, version, web};
use crate::files::lines;
use crate::support::{SOON, eventually};

/// A manifest that leaves the number of pods to somebody else.
fn scaled_elsewhere(image: &str) -> Value {
    let mut parameters = version(image);
    parameters["manifest"]["spec"].as_object_mut().unwrap().remove("replicas");
    parameters
}

/// The same pods under another kind of workload.
fn of_kind(kind: &str, image: &str) -> Value {
    let mut manifest = web(image);
    manifest["kind"] = json!(kind);
    match kind {
        "DaemonSet" => _ = manifest["spec"].as_object_mut().unwrap().remove("replicas"),
        _ => manifest["spec"]["serviceName"] = json!("web"),
    }
    json!({ "manifest": manifest, "timeout": "1m" })
}

impl Deploys {
    fn ready(&self, name: &str) -> Value {
        self.get("apps/v1", "Deployment", name)["status"]["readyReplicas"].clone()
    }

    fn scale(&self, name: &str, replicas: u64) {
        let workload = json!({ "api_version": "apps/v1", "kind": "Deployment", "name": name });
        let mut scale = workload.clone();
        scale["replicas"] = json!(replicas);
        self.run("kubernetes.scale", &scale).succeeded();
        self.run("kubernetes.wait", &workload).succeeded();
    }

    /// Has all pods with these labels end again and again.
    fn crash_pods(&self, labels: &Value) {
        let pods = json!({ "api_version": "v1", "kind": "Pod", "namespace": "default", "labels": labels, "select": [] });
        let done = self.run("kubernetes.list", &pods).succeeded();
        let found: Value = serde_json::from_str(&done.stdout).unwrap();
        let crash = json!({ "lab.tripline.dev/pod": "crash" });
        for pod in found["items"].as_array().unwrap() {
            let pod =
                json!({ "api_version": "v1", "kind": "Pod", "name": pod["name"], "labels": crash });
            self.run("kubernetes.label", &pod).succeeded();
        }
    }

    fn image_of(&self, kind: &str) -> Value {
        let found = self.get("apps/v1", kind, "web");
        found["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    }

    /// What would be, as far as it ends as a whole.
    fn dry(&self, action: &str, parameters: &Value) -> Value {
        self.world.write("parameters.json", &parameters.to_string());
        let parameters = self.world.path("parameters.json");
        let parameters = parameters.to_str().unwrap();
        self.world.json(&["run", action, "--params", parameters, "--dry-run"])
    }
}

#[test]
#[ignore = "needs the lab"]
fn a_manifest_that_leaves_the_replicas_open_keeps_as_many_pods_round_after_round() {
    let deploys = Deploys::start_with(Parts::Rollouts);
    deploys.run("deploy.recreate", &scaled_elsewhere("web:1")).succeeded();
    assert_eq!(deploys.ready("web"), 1, "as many as the cluster makes by itself");
    deploys.scale("web", 3);
    for image in ["web:2", "web:3"] {
        deploys.run("deploy.recreate", &scaled_elsewhere(image)).succeeded();
        assert_eq!(deploys.ready("web"), 3, "{image}");
    }
    deploys.run("deploy.rolling", &scaled_elsewhere("web:4")).succeeded();
    assert_eq!(deploys.ready("web"), 3);

    deploys.run("kubernetes.apply", &json!({ "manifest": service() })).succeeded();
    let first = behind_service(scaled_elsewhere("web:1"));
    deploys.run("deploy.blue_green", &first).succeeded();
    assert_eq!(deploys.ready("web-blue"), 3, "as many as the Service led to before");
    deploys.scale("web-blue", 2);
    for (image, color) in [("web:2", "green"), ("web:3", "blue")] {
        let next = behind_service(scaled_elsewhere(image));
        deploys.run("deploy.blue_green", &next).succeeded();
        assert_eq!(deploys.color(), color);
        assert_eq!(deploys.ready(&format!("web-{color}")), 2, "{image}");
    }
}

#[test]
#[ignore = "needs the lab"]
fn the_first_new_pods_behind_a_service_get_no_traffic_before_they_are_checked() {
    let deploys = Deploys::start_with(Parts::Rollouts);
    deploys.run("kubernetes.apply", &json!({ "manifest": service() })).succeeded();
    deploys.run("deploy.rolling", &version("web:old")).succeeded();
    let selector = || deploys.get("v1", "Service", "web")["spec"]["selector"].clone();
    deploys.run("deploy.blue_green", &behind_service(refused("web:1"))).ended(1);
    assert_eq!(selector(), json!({ "app": "web" }), "as it was");
    let mut checked = version("web:1");
    let elsewhere = json!({ "app": "web", "tripline.dev/color": "green" });
    checked["check"] = json!({ "action": "kubernetes.wait", "parameters": {
        "api_version": "v1", "kind": "Service", "name": "web", "timeout": "1s",
        "for": { "field": "spec.selector", "equals": elsewhere },
    } });
    deploys.run("deploy.blue_green", &behind_service(checked)).succeeded();
    assert_eq!(deploys.color(), "blue");
}

#[test]
#[ignore = "needs the lab"]
fn no_pod_of_a_new_version_starts_while_one_of_the_old_still_ends() {
    let deploys = Deploys::start_with(Parts::Programs);
    let ledger = deploys.world.path("ledger");
    let version = |n: u32| {
        let told = |what: &str| format!("echo {what} {n} >>{}", ledger.display());
        let text = format!(
            "trap '{}; sleep 3; {}; exit 0' TERM; {}; while :; do sleep 0.1; done",
            told("ends"),
            told("ended"),
            told("starts")
        );
        let mut manifest = web("any");
        manifest["spec"]["replicas"] = json!(1);
        manifest["spec"]["template"]["spec"]["containers"][0]["command"] =
            json!(["/bin/sh", "-c", text]);
        json!({ "manifest": manifest, "timeout": "1m" })
    };
    deploys.run("deploy.recreate", &version(1)).succeeded();
    deploys.run("deploy.recreate", &version(2)).succeeded();
    assert_eq!(lines(&deploys.world, "ledger"), ["starts 1", "ends 1", "ended 1", "starts 2"]);
}

#[test]
#[ignore = "needs the lab"]
fn every_kind_of_workload_goes_back_from_what_cannot_run_and_on_from_it() {
    let deploys = Deploys::start_with(Parts::Rollouts);
    let stuck = |action: &str, kind: &str| {
        let failed = deploys.run(action, &of_kind(kind, "web:bad")).ended(1);
        assert!(failed.stderr.contains("ImagePullBackOff"), "{action} {kind}: {failed:?}");
        assert!(!failed.stderr.contains("handler"), "{action} {kind}: {failed:?}");
        assert_eq!(deploys.image_of(kind), "web:1", "{action} {kind}");
        let well =
            json!({ "api_version": "apps/v1", "kind": kind, "name": "web", "timeout": "20s" });
        deploys.run("kubernetes.wait", &well).succeeded();
    };
    for kind in ["DaemonSet", "StatefulSet"] {
        // One that never ran is mended by a version that does.
        if kind == "DaemonSet" {
            let bad = json!({ "manifest": of_kind(kind, "web:bad")["manifest"] });
            deploys.run("kubernetes.apply", &bad).succeeded();
        }
        deploys.run("deploy.rolling", &of_kind(kind, "web:1")).succeeded();
        stuck("deploy.rolling", kind);
    }
    stuck("deploy.recreate", "StatefulSet");
}

#[test]
#[ignore = "needs the lab"]
fn a_dry_run_of_a_deploy_waits_for_nothing_that_it_only_plans() {
    let deploys = Deploys::start_with(Parts::Rollouts);
    deploys.run("kubernetes.apply", &json!({ "manifest": service() })).succeeded();
    deploys.run("deploy.rolling", &version("web:1")).succeeded();
    deploys.run("deploy.rolling", &version("web:2")).succeeded();
    for image in ["web:1", "web:2"] {
        deploys.run("deploy.blue_green", &behind_service(version(image))).succeeded();
    }
    let color = json!({ "name": "web", "service": "web" });
    for (action, parameters) in [
        ("deploy.rolling", version("web:3")),
        ("deploy.recreate", version("web:3")),
        ("deploy.blue_green", behind_service(version("web:3"))),
        ("deploy.rollback", json!({ "name": "web" })),
        ("deploy.rollback", color),
    ] {
        let told = deploys.dry(action, &parameters);
        assert_eq!(told["end"], "complete", "{action}: {told:#}");
    }
    assert_eq!(deploys.image_of("Deployment"), "web:2", "nothing was done");
    assert_eq!(deploys.color(), "green");
}

#[test]
#[ignore = "needs the lab"]
fn a_workload_of_an_owner_is_deployed_and_compared_for_that_owner_alone() {
    let deploys = Deploys::start_with(Parts::Rollouts);
    let owned = |image: &str| {
        let mut parameters = version(image);
        parameters["owner"] = json!("shop/web");
        parameters
    };
    for action in ["deploy.rolling", "deploy.recreate"] {
        deploys.run(action, &owned("web:1")).succeeded();
        let before = deploys.writers("web");
        let denied = deploys.run(action, &version("web:2")).ended(1);
        assert!(denied.stderr.contains("it is owned by `shop/web`"), "{denied:?}");
        assert_eq!(deploys.writers("web"), before, "{action} wrote to it");
        deploys.run(action, &owned("web:bad")).ended(1);
        assert_eq!(deploys.image_of("Deployment"), "web:1", "{action}");
        deploys.run("kubernetes.delete", &json!({ "api_version": "apps/v1", "kind": "Deployment", "name": "web", "wait": true })).succeeded();
    }
}

#[test]
#[ignore = "needs the lab"]
fn a_refused_deploy_behind_a_service_leaves_anothers_workload_and_the_service_as_they_are() {
    let deploys = Deploys::start_with(Parts::Rollouts);
    deploys.run("kubernetes.apply", &json!({ "manifest": service() })).succeeded();
    let mut theirs = web("web:1");
    theirs["metadata"]["name"] = json!("web-blue");
    deploys
        .run("kubernetes.apply", &json!({ "manifest": theirs, "owner": "shop/web" }))
        .succeeded();
    let before = deploys.writers("web-blue");
    let denied = deploys.run("deploy.blue_green", &behind_service(version("web:2"))).ended(1);
    assert!(denied.stderr.contains("it is owned by `shop/web`"), "{denied:?}");
    assert_eq!(deploys.replicas("web-blue"), 2);
    assert_eq!(deploys.writers("web-blue"), before);
    assert_eq!(deploys.color(), Value::Null);
}

#[test]
#[ignore = "needs the lab"]
fn a_service_that_cannot_go_back_keeps_the_new_version_with_its_pods() {
    let deploys = Deploys::start_with(Parts::Rollouts);
    deploys.run("kubernetes.apply", &json!({ "manifest": service() })).succeeded();
    deploys.run("deploy.blue_green", &behind_service(version("web:1"))).succeeded();
    let mut next = behind_service(version("web:2"));
    next["keep"] = json!("1h");
    next["timeout"] = json!("20s");
    let id = deploys.run_with("deploy.blue_green", &next, &["--detach"]).line();
    eventually(SOON, || (deploys.color() == "green").then_some(()));
    deploys.crash_pods(&json!({ "app": "web", "tripline.dev/color": "blue" }));
    eventually(SOON, || (deploys.ready("web-blue") == Value::Null).then_some(()));
    deploys.world.run(&["execution", "cancel", &id]).succeeded();
    eventually(2 * SOON, || (deploys.world.execution(&id)["state"] == "cancelled").then_some(()));
    assert_eq!(deploys.color(), "green");
    assert_eq!((deploys.replicas("web-green"), deploys.ready("web-green")), (json!(2), json!(2)));
}
