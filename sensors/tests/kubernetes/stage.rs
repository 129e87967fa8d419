//! A cluster of a test's own, a sensor that watches it, and what that told.

use std::sync::Arc;
use std::time::Duration;

use host::Clock;
use host::connection::{ConnectionSpec, Connections, Target};
use host::kubernetes::{Cluster, Patch, Request, Resource};
use host::secret::SecretRef;
use lab::{ADMIN, Parts};
use model::Value;
use sensors::kubernetes::{Timing, build};
use sensors::{BuildContext, SensorState};
use serde_json::{Value as Json, json};

use crate::support::{Recorder, Running, assert_fits};

pub(crate) struct Stage {
    pub(crate) lab: lab::Cluster,
    pub(crate) context: BuildContext,
    /// Asks as an admin.
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) maps: Resource,
    pub(crate) recorder: Arc<Recorder>,
    /// How long a watch may say nothing.
    pub(crate) idle: Duration,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::seen_by(ADMIN).await
    }

    /// With sensors that show this token.
    pub(crate) async fn seen_by(token: &str) -> Self {
        let lab = lab::Cluster::start(Parts::Bare).await.unwrap();
        let connections = Connections::default();
        let of = |name: &str, token: &str| ConnectionSpec {
            name: name.to_owned(),
            target: Target::Kubernetes { server: None, ca: None, context: None, burst: None },
            credentials: Some(SecretRef::File(lab.kubeconfig(token).unwrap())),
            requests_per_second: Some(5000.0),
            packs: vec!["*".to_owned()],
            at: "dev.yaml:1".to_owned(),
        };
        connections.set([of("lab", token), of("admin", ADMIN)]);
        let cluster = connections.cluster(Some("admin"), None).unwrap();
        let maps = cluster.resource("v1", "ConfigMap").await.unwrap();
        let mut context = BuildContext::new("tripline:test/kubernetes.object/1", lab.folder());
        context.connections = connections;
        let idle = Duration::from_secs(150);
        Self { lab, context, cluster, maps, recorder: Arc::default(), idle }
    }

    pub(crate) fn watch(&self, trigger: &str, mut parameters: Json) -> Running {
        parameters["connection"] = "lab".into();
        let sensor = build(trigger, parameters.as_object().unwrap(), &self.context).unwrap();
        let timing = Timing {
            length: Duration::from_secs(30),
            idle: self.idle,
            check: model::Duration::from_secs(3600),
            retry: (model::Duration::from_millis(100), model::Duration::from_secs(1)),
        };
        let sensor = Arc::new(sensor.with_timing(timing));
        Running::start(sensor, self.recorder.clone(), Clock::System)
    }

    pub(crate) fn maps(&self, mut parameters: Json) -> Running {
        parameters["api_version"] = "v1".into();
        parameters["kind"] = "ConfigMap".into();
        parameters["namespaces"] = json!(["default"]);
        self.watch("kubernetes.object", parameters)
    }

    pub(crate) async fn make(&self, name: &str, labels: Json) {
        let object =
            json!({ "metadata": { "name": name, "labels": labels }, "data": { "k": "0" } });
        let path = self.maps.collection(Some("default"));
        self.ask(Request::post(&path, object)).await;
    }

    pub(crate) async fn patch(&self, name: &str, patch: Json) -> Value {
        let path = self.maps.object(Some("default"), name, None);
        self.ask(Request::patch(&path, Patch::Merge, patch)).await
    }

    pub(crate) async fn set(&self, name: &str, value: impl ToString) {
        self.patch(name, json!({ "data": { "k": value.to_string() } })).await;
    }

    pub(crate) async fn remove(&self, name: &str) {
        let path = self.maps.object(Some("default"), name, None);
        self.ask(Request::delete(&path, Value::Null)).await;
    }

    /// What was told: the operation, the object's name and its value.
    pub(crate) fn told(&self) -> Vec<String> {
        let events = self.recorder.events();
        events.iter().for_each(assert_fits);
        let told = events.iter().map(|event| {
            let data = &event.data;
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let (name, value) = (&data["object"]["metadata"]["name"], &data["object"]["data"]["k"]);
            format!("{} {} {}", text(&data["operation"]), text(name), text(value))
        });
        told.collect()
    }

    /// Waits until so much was told as is expected; that is what was told.
    pub(crate) async fn tells(&self, expected: &[&str]) {
        let count = expected.len();
        self.recorder
            .until(&format!("{expected:?}, told: {:?}", self.told()), |recorded| {
                recorded.emissions.iter().map(|emission| emission.events.len()).sum::<usize>()
                    >= count
            })
            .await;
        assert_eq!(self.told(), expected);
    }

    /// What is made in the second in which a sensor begins counts as made after it.
    pub(crate) async fn next_second(&self) {
        let second = Clock::System.now().as_second();
        let later = async || (Clock::System.now().as_second() > second).then_some(());
        lab::until("the next second", later).await.unwrap();
    }

    pub(crate) async fn ask(&self, request: Request) -> Value {
        self.cluster.request(&request).await.unwrap()
    }

    pub(crate) async fn is_watching(&self) {
        self.recorder
            .until("it watches", |it| it.states.last() == Some(&SensorState::Running))
            .await;
        self.recorder.look(|it| it.states.clear());
    }

    pub(crate) async fn waits(&self, why: &str) {
        let waits =
            |state: &SensorState| matches!(state, SensorState::Waiting(told) if told.contains(why));
        self.recorder.until(why, |it| it.states.last().is_some_and(waits)).await;
        self.recorder.look(|it| it.states.clear());
    }
}

pub(crate) fn no_labels() -> Json {
    json!({})
}
