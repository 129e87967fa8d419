//! A cluster of a test's own, a sensor that watches it, and what that told.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use host::Clock;
use host::connection::{ConnectionSpec, Connections, Target};
use host::kubernetes::{Cluster, Patch, Request, Resource};
use host::secret::SecretRef;
use lab::{ADMIN, Backup, Parts};
use model::Value;
use sensors::kubernetes::{Timing, build};
use sensors::{BuildContext, SensorState};
use serde_json::{Value as Json, json};

use crate::support::{Recorded, Recorder, Running, assert_fits};

pub(crate) struct Stage {
    pub(crate) lab: lab::Cluster,
    pub(crate) context: BuildContext,
    /// Asks as an admin.
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) maps: Resource,
    pub(crate) recorder: Arc<Recorder>,
    /// How long what the next sensor does takes.
    pub(crate) timing: Timing,
    /// What the next sensor takes for the time.
    pub(crate) clock: Clock,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::seen_by(ADMIN).await
    }

    /// With sensors that show this token.
    pub(crate) async fn seen_by(token: &str) -> Self {
        let lab = lab::Cluster::start(Parts::Bare).await.unwrap();
        let connections = Connections::default();
        let admin = connection("admin", lab.kubeconfig(ADMIN).unwrap());
        connections.set([connection("lab", lab.kubeconfig(token).unwrap()), admin]);
        let cluster = connections.cluster(Some("admin"), None).unwrap();
        let maps = cluster.resource("v1", "ConfigMap").await.unwrap();
        let mut context = BuildContext::new("tripline:test/kubernetes.object/1", lab.folder());
        context.connections = connections;
        let timing = Timing {
            length: Duration::from_secs(30),
            retry: (model::Duration::from_millis(100), model::Duration::from_secs(1)),
            ..Timing::default()
        };
        let recorder = Arc::default();
        Self { lab, context, cluster, maps, recorder, timing, clock: Clock::System }
    }

    /// Lets sensors see the cluster by another kubeconfig.
    pub(crate) fn connect(&self, kubeconfig: PathBuf) {
        let admin = connection("admin", self.lab.kubeconfig(ADMIN).unwrap());
        self.context.connections.set([connection("lab", kubeconfig), admin]);
    }

    /// Lets sensors ask so often at most.
    pub(crate) fn connect_at(&self, rate: f64) {
        let admin = || self.lab.kubeconfig(ADMIN).unwrap();
        let slow = ConnectionSpec { requests_per_second: Some(rate), ..connection("lab", admin()) };
        self.context.connections.set([slow, connection("admin", admin())]);
    }

    /// Gives a service account of the namespace `default` the right to watch maps in `namespace`;
    /// what takes it back when it is deleted.
    pub(crate) async fn allow(&self, account: &str, namespace: &str) -> Right {
        let api = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}");
        let role = json!({ "metadata": { "name": "maps" }, "rules": [
            { "apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"] }] });
        self.ask(Request::post(&format!("{api}/roles"), role)).await;
        let binding = json!({ "metadata": { "name": "maps" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "maps" },
            "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": "default" }] });
        let right = Right { bindings: format!("{api}/rolebindings"), binding };
        self.ask(right.give()).await;
        right
    }

    pub(crate) fn watch(&self, trigger: &str, mut parameters: Json) -> Running {
        parameters["connection"] = "lab".into();
        let sensor = build(trigger, parameters.as_object().unwrap(), &self.context).unwrap();
        let sensor = Arc::new(sensor.with_timing(self.timing.clone()));
        Running::start(sensor, self.recorder.clone(), self.clock.clone())
    }

    pub(crate) fn maps(&self, mut parameters: Json) -> Running {
        parameters["namespaces"] = json!(["default"]);
        self.maps_in(parameters)
    }

    pub(crate) fn maps_in(&self, mut parameters: Json) -> Running {
        parameters["api_version"] = "v1".into();
        parameters["kind"] = "ConfigMap".into();
        self.watch("kubernetes.object", parameters)
    }

    pub(crate) async fn make(&self, name: &str, labels: Json) {
        self.make_in("default", name, labels).await;
    }

    pub(crate) async fn make_in(&self, namespace: &str, name: &str, labels: Json) {
        let object =
            json!({ "metadata": { "name": name, "labels": labels }, "data": { "k": "0" } });
        let path = self.maps.collection(Some(namespace));
        self.ask(Request::post(&path, object)).await;
    }

    /// Does something to many objects, some at a time.
    pub(crate) async fn each(&self, names: &[String], work: impl AsyncFn(&str)) {
        let all = futures::stream::iter(names);
        all.for_each_concurrent(50, async |name| work(name).await).await;
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

    /// The same, in whatever order: of several watches, or several objects at once.
    pub(crate) async fn tells_among_others(&self, expected: &[&str]) {
        self.has_told(expected.len()).await;
        let (mut told, mut expected) = (self.told(), expected.to_vec());
        told.sort_unstable();
        expected.sort_unstable();
        assert_eq!(told, expected);
    }

    pub(crate) async fn has_told(&self, count: usize) {
        let told = |it: &Recorded| it.emissions.iter().map(|one| one.events.len()).sum::<usize>();
        self.recorder.until(&format!("{count} events"), |it| told(it) >= count).await;
    }

    pub(crate) async fn fails(&self, why: &str) {
        let fails = |state: &SensorState| matches!(state, SensorState::Failing { error, .. } if error.contains(why));
        self.recorder.until(why, |it| it.states.last().is_some_and(fails)).await;
    }

    /// The sum of what the API server counts under this name with these labels.
    pub(crate) async fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let metrics = self.cluster.text(&Request::get("/metrics")).await.unwrap();
        let all = metrics.lines().filter(|line| line.starts_with(name));
        let ours = all.filter(|line| labels.iter().all(|label| line.contains(label)));
        ours.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// Has the maps `a` and `b` told by the watch that it leaves running, and the cluster backed up.
    pub(crate) async fn with_two_maps_backed_up(&mut self) -> (Running, Backup) {
        let watch = self.maps(json!({}));
        self.is_watching().await;
        self.make("a", no_labels()).await;
        self.make("b", no_labels()).await;
        self.tells(&["added a 0", "added b 0"]).await;
        (watch, self.lab.back_up().unwrap())
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
        let told = |state: &SensorState| state.message().is_some_and(|told| told.contains(why));
        let waits = |state: &SensorState| state.name() == "waiting" && told(state);
        self.recorder.until(why, |it| it.states.last().is_some_and(waits)).await;
        self.recorder.look(|it| it.states.clear());
    }
}

/// A right of somebody.
pub(crate) struct Right {
    bindings: String,
    binding: Json,
}

impl Right {
    pub(crate) fn give(&self) -> Request {
        Request::post(&self.bindings, self.binding.clone())
    }

    pub(crate) fn take(&self) -> Request {
        Request::delete(&format!("{}/maps", self.bindings), Value::Null)
    }
}

fn connection(name: &str, kubeconfig: PathBuf) -> ConnectionSpec {
    ConnectionSpec {
        name: name.to_owned(),
        target: Target::Kubernetes { server: None, ca: None, context: None, burst: None },
        credentials: Some(SecretRef::File(kubeconfig)),
        requests_per_second: Some(5000.0),
        packs: vec!["*".to_owned()],
        at: "dev.yaml:1".to_owned(),
    }
}

pub(crate) fn no_labels() -> Json {
    json!({})
}
