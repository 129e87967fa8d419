//! Actions on objects of a cluster, against a real API server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod beside;
mod busy;
mod going;
mod many;
mod objects;
mod programs;
mod rollouts;
#[path = "../support/mod.rs"]
mod support;
mod waits;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use actions::{BuiltinContext, Performing, SharedAction};
use host::connection::{ConnectionSpec, Connections, Target};
use host::kubernetes::Observer;
use host::secret::SecretRef;
use lab::{ADMIN, Cluster, NARROW, Parts, Proxy};
use model::{ErrorKind, Performance, Plan, StepError, Value};
use serde_json::json;

/// A cluster and the actions on it, over the connection `lab`.
struct Lab {
    cluster: Cluster,
    actions: Vec<SharedAction>,
    /// The connection and the answer's status of each request.
    observed: Told,
}

type Told = Arc<Mutex<Vec<(String, Option<u16>)>>>;

impl Lab {
    async fn start(parts: Parts) -> Self {
        let cluster = Cluster::start(parts).await.unwrap();
        let admin = cluster.kubeconfig(ADMIN).unwrap();
        Self::over(admin, cluster)
    }

    /// One whose API server is asked through a proxy.
    async fn behind_a_proxy(parts: Parts) -> (Self, Proxy) {
        let cluster = Cluster::start(parts).await.unwrap();
        let proxy = Proxy::before(&cluster).await.unwrap();
        (Self::over(proxy.kubeconfig(), cluster), proxy)
    }

    /// One whose admin asks over this kubeconfig.
    fn over(admin: PathBuf, cluster: Cluster) -> Self {
        let observed = Told::default();
        let actions = Self::actions(admin, &cluster, &observed);
        Self { cluster, actions, observed }
    }

    /// Has a process in place of this one that has asked the cluster nothing yet.
    fn forget(&mut self) {
        let admin = self.cluster.kubeconfig(ADMIN).unwrap();
        self.actions = Self::actions(admin, &self.cluster, &self.observed);
    }

    fn actions(admin: PathBuf, cluster: &Cluster, observed: &Told) -> Vec<SharedAction> {
        let observed = observed.clone();
        let observer = Observer::new(move |told| {
            observed.lock().unwrap().push((told.connection.to_owned(), told.status));
        });
        let none = |path: &str| Err(format!("there is no secret `{path}`"));
        let connections = Connections::observed(Arc::new(none), observer);
        let connection = |name: &str, kubeconfig: PathBuf, rate: f64, burst| ConnectionSpec {
            name: name.to_owned(),
            target: Target::Kubernetes { server: None, ca: None, context: None, burst },
            credentials: Some(SecretRef::File(kubeconfig)),
            requests_per_second: Some(rate),
            packs: vec!["*".to_owned()],
            at: "test".to_owned(),
        };
        connections.set([
            connection("lab", admin.clone(), 1_000.0, None),
            connection("slow", admin, 20.0, Some(1)),
            connection("direct", cluster.kubeconfig(ADMIN).unwrap(), 1_000.0, None),
            connection("narrow", cluster.kubeconfig(NARROW).unwrap(), 1_000.0, None),
        ]);
        let context = BuiltinContext { connections, ..BuiltinContext::default() };
        actions::builtin(&context)
    }

    fn action(&self, name: &str) -> &SharedAction {
        let name = format!("kubernetes.{name}");
        self.actions.iter().find(|one| one.metadata().reference.as_str() == name).unwrap()
    }

    /// A step with these parameters, and the defaults of those it leaves out.
    fn step(&self, name: &str, parameters: Value) -> Performing {
        let Value::Object(mut full) = parameters else { panic!("{parameters}") };
        full.entry("connection").or_insert_with(|| json!("lab"));
        let schema = &self.action(name).metadata().parameters;
        schema.fill(&mut full);
        let full = Value::Object(full);
        assert_eq!(schema.violations(&full), [], "{full}");
        support::performing(full)
    }

    async fn perform(&self, name: &str, parameters: Value) -> Performance {
        self.action(name).perform(self.step(name, parameters)).await
    }

    async fn done(&self, name: &str, parameters: Value) -> Value {
        match self.perform(name, parameters).await {
            Performance::Done(result) => result,
            other => panic!("{name}: {other:?}"),
        }
    }

    async fn failed(&self, name: &str, parameters: Value) -> StepError {
        match self.perform(name, parameters).await {
            Performance::Failed(error) => error,
            other => panic!("{name}: {other:?}"),
        }
    }

    async fn plan(&self, name: &str, parameters: Value) -> Result<Plan, StepError> {
        let step = self.step(name, parameters);
        self.action(name).plan(&step).await
    }
}

fn config_map(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name },
        "data": { "key": value },
    })
}

/// The parameters that name an object, and these.
fn of(api_version: &str, kind: &str, name: &str, more: Value) -> Value {
    let mut all = json!({ "api_version": api_version, "kind": kind, "name": name });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

#[track_caller]
fn says(error: &StepError, kind: ErrorKind, part: &str) {
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.message.contains(part), "{error}");
}
