//! The shipped pack `deploy` brings versions into a real cluster, and takes bad ones back.

use host::kubernetes::Request;
use lab::{ADMIN, Cluster, Parts};
use serde_json::{Value, json};

use crate::clusters::{cluster, in_cluster, started};
use crate::support::{Done, SOON, Server, World, eventually};

/// A cluster with controllers and pods that do what their labels say, and a server that is in it.
pub(crate) struct Deploys {
    pub(crate) world: World,
    _server: Server,
    lab: Cluster,
    runtime: tokio::runtime::Runtime,
}

impl Deploys {
    fn start() -> Self {
        Self::start_with(Parts::Rollouts)
    }

    pub(crate) fn start_with(parts: Parts) -> Self {
        let (runtime, lab) = started(parts);
        let world = in_cluster(World::new(), &lab, ADMIN);
        let server = world.serve_with(&["--packs", "builtin:deploy"]);
        Self { world, _server: server, lab, runtime }
    }

    pub(crate) fn run(&self, action: &str, parameters: &Value) -> Done {
        self.run_with(action, parameters, &["-o", "json"])
    }

    pub(crate) fn run_with(&self, action: &str, parameters: &Value, more: &[&str]) -> Done {
        self.world.write("parameters.json", &parameters.to_string());
        let parameters = self.world.path("parameters.json");
        let arguments = ["run", action, "--params", parameters.to_str().unwrap()];
        self.world.run(&[&arguments, more].concat())
    }

    pub(crate) fn get(&self, api_version: &str, kind: &str, name: &str) -> Value {
        let parameters = json!({ "api_version": api_version, "kind": kind, "name": name });
        let done = self.run("kubernetes.get", &parameters).succeeded();
        let result: Value = serde_json::from_str(&done.stdout).unwrap();
        result["object"].clone()
    }

    fn image(&self) -> String {
        let web = self.get("apps/v1", "Deployment", "web");
        let image = &web["spec"]["template"]["spec"]["containers"][0]["image"];
        assert_eq!(web["status"]["availableReplicas"], 2, "{:#}", web["status"]);
        image.as_str().unwrap().to_owned()
    }

    /// Who wrote what of a Deployment, and when, apart from its status.
    pub(crate) fn writers(&self, name: &str) -> Vec<Value> {
        let path = format!("/apis/apps/v1/namespaces/default/deployments/{name}");
        let admin = cluster(&self.lab, ADMIN);
        let found = self.runtime.block_on(admin.request(&Request::get(&path))).unwrap();
        let mut all = found["metadata"]["managedFields"].as_array().unwrap().clone();
        all.retain(|writer| writer["subresource"] != "status");
        all
    }

    pub(crate) fn color(&self) -> Value {
        self.get("v1", "Service", "web")["spec"]["selector"]["tripline.dev/color"].clone()
    }

    pub(crate) fn replicas(&self, name: &str) -> Value {
        self.get("apps/v1", "Deployment", name)["spec"]["replicas"].clone()
    }
}

pub(crate) fn web(image: &str) -> Value {
    let labels = json!({ "app": "web", "lab.tripline.dev/pod": "ready" });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": {
            "replicas": 2, "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "main", "image": image }] },
            },
        },
    })
}

pub(crate) fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web" },
        "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80 }] },
    })
}

pub(crate) fn behind_service(mut parameters: Value) -> Value {
    parameters["service"] = json!("web");
    parameters["keep"] = json!("100ms");
    parameters
}

pub(crate) fn version(image: &str) -> Value {
    json!({ "manifest": web(image), "timeout": "1m", "check": { "action": "core.noop" } })
}

/// The check that finds fault with everything.
pub(crate) fn refused(image: &str) -> Value {
    let check = json!({ "action": "core.fail", "parameters": { "message": "errors at the edge" } });
    json!({ "manifest": web(image), "timeout": "1m", "check": check })
}

#[test]
#[ignore = "needs the lab"]
fn a_rolling_or_recreated_version_that_cannot_run_or_fails_its_check_gives_way_to_the_one_before() {
    let deploys = Deploys::start();
    for action in ["deploy.rolling", "deploy.recreate"] {
        deploys.run(action, &version("web:1")).succeeded();
        assert_eq!(deploys.image(), "web:1");
        let stuck = deploys.run(action, &version("web:bad")).ended(1);
        assert!(stuck.stderr.contains("ImagePullBackOff"), "{stuck:?}");
        assert_eq!(deploys.image(), "web:1");
        let refused = deploys.run(action, &refused("web:2")).ended(1);
        assert!(refused.stderr.contains("errors at the edge"), "{refused:?}");
        assert_eq!(deploys.image(), "web:1");
    }
    deploys.run("deploy.rolling", &version("web:3")).succeeded();
    deploys.run("deploy.rollback", &json!({ "name": "web", "timeout": "1m" })).succeeded();
    assert_eq!(deploys.image(), "web:1");
    let none = json!({ "name": "web", "revision": 99 });
    let none = deploys.run("deploy.rollback", &none).ended(1);
    assert!(none.stderr.contains("web has no revision 99"), "{none:?}");
}

#[test]
#[ignore = "needs the lab"]
fn a_service_leads_to_the_new_color_once_it_is_checked_and_stays_where_it_was_otherwise() {
    let deploys = Deploys::start();
    deploys.run("kubernetes.apply", &json!({ "manifest": service() })).succeeded();
    let next = |parameters: Value| deploys.run("deploy.blue_green", &behind_service(parameters));
    next(version("web:1")).succeeded();
    assert_eq!(deploys.color(), "blue");
    next(version("web:2")).succeeded();
    assert_eq!(deploys.color(), "green");
    assert_eq!((deploys.replicas("web-blue"), deploys.replicas("web-green")), (json!(0), json!(2)));
    next(refused("web:3")).ended(1);
    next(version("web:bad")).ended(1);
    assert_eq!(deploys.color(), "green");
    assert_eq!((deploys.replicas("web-blue"), deploys.replicas("web-green")), (json!(0), json!(2)));
    // What was tried last lies there; the last that ran comes back once it is brought there again.
    next(version("web:3")).succeeded();
    let back = json!({ "name": "web", "service": "web", "keep": "100ms", "timeout": "1m" });
    deploys.run("deploy.rollback", &back).succeeded();
    assert_eq!(deploys.color(), "green");
    assert_eq!((deploys.replicas("web-blue"), deploys.replicas("web-green")), (json!(0), json!(2)));
}

#[test]
#[ignore = "needs the lab"]
fn whoever_goes_back_while_the_old_version_stays_keeps_it() {
    let deploys = Deploys::start();
    deploys.run("kubernetes.apply", &json!({ "manifest": service() })).succeeded();
    deploys.run("deploy.blue_green", &behind_service(version("web:1"))).succeeded();
    let mut next = behind_service(version("web:2"));
    next["keep"] = json!("10s");
    let id = deploys.run_with("deploy.blue_green", &next, &["--detach"]).line();
    eventually(SOON, || (deploys.color() == "green").then_some(()));
    let back = json!({ "name": "web", "service": "web", "keep": "100ms", "timeout": "1m" });
    deploys.run("deploy.rollback", &back).succeeded();
    assert_eq!(deploys.color(), "blue");
    deploys.world.reaches(&id, &["succeeded"]);
    assert_eq!(deploys.color(), "blue");
    assert_eq!((deploys.replicas("web-blue"), deploys.replicas("web-green")), (json!(2), json!(0)));
}
