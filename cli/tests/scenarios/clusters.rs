//! Clusters of the lab as scenarios use them: asked as their admin, and by an account of a server.

use std::sync::Arc;
use std::time::Duration;

use host::clock::Clock;
use host::kubernetes::{Access, Cluster, Patch, Request};
use host::rate::Limiter;
use host::secret::SecretRef;
use lab::{ADMIN, Parts};
use model::Timestamp;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::files::PATIENCE;
use crate::support::{World, eventually};

/// A cluster of these parts, and what asks it.
pub(crate) fn started(parts: Parts) -> (Runtime, lab::Cluster) {
    let runtime = Runtime::new().unwrap();
    let lab = runtime.block_on(lab::Cluster::start(parts)).unwrap();
    (runtime, lab)
}

/// The world, in which the cluster is the server's own and lent to all packs, and the server is the owner
/// of `token`.
pub(crate) fn in_cluster(world: World, lab: &lab::Cluster, token: &str) -> World {
    let kubeconfig = lab.kubeconfig(token).unwrap();
    let lent = "connections: { default: { type: kubernetes, packs: ['*'] } }\n";
    world.write("lent.yaml", lent);
    let environment = world.path("lent.yaml").display().to_string();
    let world = world.with_variable("TRIPLINE_ENVIRONMENT", &environment);
    world.with_variable("KUBECONFIG", kubeconfig.to_str().unwrap())
}

/// A cluster with namespaces `tripline`, `shop` and `records`.
pub(crate) struct Stage {
    pub(crate) runtime: Runtime,
    pub(crate) lab: lab::Cluster,
    admin: Cluster,
}

impl Stage {
    pub(crate) fn set() -> Self {
        Self::set_with(Parts::Bare)
    }

    pub(crate) fn set_with(parts: Parts) -> Self {
        let (runtime, lab) = started(parts);
        let admin = cluster(&lab, ADMIN);
        let stage = Self { runtime, lab, admin };
        for name in ["tripline", "shop", "records"] {
            let namespace =
                json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
            stage.admin(&Request::post("/api/v1/namespaces", namespace));
        }
        let made = stage.admin(&Request::post(MAPS, map("settings", &json!({}))));
        let made = made["metadata"]["creationTimestamp"].as_str().unwrap().parse().unwrap();
        // What is made in the second in which a sensor begins counts as made after it.
        let is_past = |made: Timestamp| Clock::System.now().as_second() > made.as_second();
        eventually(PATIENCE, || is_past(made).then_some(()));
        stage
    }

    pub(crate) fn admin(&self, request: &Request) -> Value {
        self.runtime.block_on(self.admin.request(request)).unwrap()
    }

    /// Applies an object as `kubectl apply --server-side` does.
    pub(crate) fn apply(&self, object: &Value) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let applied = async {
            let kind =
                self.admin.resource(&text(&object["apiVersion"]), &text(&object["kind"])).await?;
            let metadata = &object["metadata"];
            let path = kind.object(metadata["namespace"].as_str(), &text(&metadata["name"]), None);
            let request = Request::patch(&path, Patch::Apply, object.clone());
            self.admin.request(&request.with("fieldManager", "test").with("force", true)).await
        };
        self.runtime.block_on(applied).unwrap();
    }

    /// A token of the service account `tripline`, and the cluster as it sees it.
    pub(crate) fn account(&self) -> (String, Cluster) {
        let token = self.lab.account_token("tripline", "tripline", Duration::from_secs(3600));
        let token = self.runtime.block_on(token).unwrap();
        let seen = cluster(&self.lab, &token);
        (token, seen)
    }

    /// Whether the account may do what a rule of a role says, as the API server tells it.
    pub(crate) fn allows(&self, account: &Cluster, role: &Value, rule: &Value, verb: &str) -> bool {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let whole = text(&rule["resources"][0]).unwrap();
        let (resource, part) = whole.split_once('/').unwrap_or((&whole, ""));
        let attributes = json!({
            "verb": verb, "group": rule["apiGroups"][0], "resource": resource, "subresource": part,
            "name": rule["resourceNames"][0], "namespace": text(&role["metadata"]["namespace"]),
        });
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": attributes },
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let answer = self.runtime.block_on(account.request(&Request::post(path, review))).unwrap();
        answer["status"]["allowed"] == true
    }
}

/// The ConfigMaps of `shop`.
pub(crate) const MAPS: &str = "/api/v1/namespaces/shop/configmaps";

pub(crate) fn map(name: &str, labels: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "labels": labels }, "data": { "of": "shop" } })
}

/// The cluster, as whom this token belongs to.
pub(crate) fn cluster(lab: &lab::Cluster, token: &str) -> Cluster {
    let kubeconfig = SecretRef::File(lab.kubeconfig(token).unwrap());
    let access = Access::Kubeconfig { kubeconfig, context: None };
    let no_secrets: host::secret::Lookup = Arc::new(|path| Err(format!("no secret {path}")));
    Cluster::new("lab", access, Limiter::per_second(1e4), no_secrets)
}
