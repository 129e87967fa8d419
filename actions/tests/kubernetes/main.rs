//! Actions on objects of a cluster, against a real API server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod beside;
mod going;
mod objects;
mod programs;
mod rollouts;
#[path = "../support/mod.rs"]
mod support;

use actions::{BuiltinContext, Performing, SharedAction};
use host::connection::{ConnectionSpec, Connections, Target};
use host::secret::SecretRef;
use lab::{ADMIN, Cluster, NARROW, Parts};
use model::{ErrorKind, Performance, Plan, StepError, Value};
use serde_json::json;

/// A cluster and the actions on it, over the connection `lab`.
struct Lab {
    cluster: Cluster,
    actions: Vec<SharedAction>,
}

impl Lab {
    async fn start(parts: Parts) -> Self {
        let cluster = Cluster::start(parts).await.unwrap();
        let actions = Self::actions(&cluster);
        Self { cluster, actions }
    }

    /// The actions of a process that has asked the cluster nothing yet.
    fn actions(cluster: &Cluster) -> Vec<SharedAction> {
        let connections = Connections::default();
        let connection = |name: &str, token: &str| ConnectionSpec {
            name: name.to_owned(),
            target: Target::Kubernetes { server: None, ca: None, context: None, burst: None },
            credentials: Some(SecretRef::File(cluster.kubeconfig(token).unwrap())),
            requests_per_second: Some(1_000.0),
            packs: vec!["*".to_owned()],
            at: "test".to_owned(),
        };
        connections.set([connection("lab", ADMIN), connection("narrow", NARROW)]);
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
        full.insert("connection".to_owned(), json!("lab"));
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
