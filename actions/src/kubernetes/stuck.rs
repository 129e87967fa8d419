//! Why a workload does not get on, as its newest pods tell it.

use host::kubernetes::{Cluster, Failure};
use model::{Map, StepError, Value};
use serde_json::json;

use super::asked::{Asked, Target};
use super::health::doomed;
use super::object::Object;
use super::read::{labels, log};

/// Which replica set of a Deployment is which.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// Pods that are looked at.
const PODS: usize = 50;
/// Pods and lines of each that are told.
const TOLD: (usize, usize) = (3, 20);

/// Whether objects of this kind have pods that tell how they do.
pub(super) fn has_pods(kind: &str) -> bool {
    matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job")
}

/// Why the newest pods of a workload will never run, if one says so.
pub(super) async fn reason(target: &Target, object: &Value) -> Result<Option<String>, Failure> {
    let pods = pods(target, object).await?;
    let told = |pod: &Value| {
        let why = doomed(pod)?;
        Some(format!("pod {}: {why}", pod["metadata"]["name"].as_str().unwrap_or_default()))
    };
    Ok(pods.iter().find_map(told))
}

/// What there is to tell of a workload that does not get on.
#[derive(Default)]
pub(super) struct Told {
    /// Its newest pods that are not ready, with the last lines that they wrote.
    pub(super) pods: Vec<Value>,
    /// The right that was missing to learn more.
    pub(super) denied: Option<Failure>,
}

/// What can be learnt of it: it only explains a failure.
pub(super) async fn told(asked: &Asked<'_>, target: &Target) -> Told {
    let mut told = Told::default();
    let Ok(Some(object)) = target.find().await else { return told };
    let all = told.learnt(pods(target, &object).await).unwrap_or_default();
    for pod in all.iter().filter(|pod| !is_ready(pod)).take(TOLD.0) {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let log = told.learnt(last_lines(&asked.cluster, pod).await);
        let log = log.filter(|log| !log.is_empty());
        told.pods.push(json!({ "name": name, "reason": doomed(pod), "log": log }));
    }
    told
}

impl Told {
    /// What was learnt; what cannot be asked now is left out, and a missing right is kept.
    fn learnt<T>(&mut self, answer: Result<T, Failure>) -> Option<T> {
        match answer {
            Ok(learnt) => Some(learnt),
            Err(failure) => {
                let denied = Some(failure).filter(Failure::is_denied);
                self.denied = self.denied.take().or(denied);
                None
            }
        }
    }

    /// The error, with this told.
    pub(super) fn explain(self, mut error: StepError) -> StepError {
        let mut details = Map::new();
        if let Some(denied) = self.denied {
            error.message = format!("{}; its pods could not be looked at: {denied}", error.message);
            details.insert("missing".to_owned(), denied.details);
        }
        if !self.pods.is_empty() {
            details.insert("pods".to_owned(), self.pods.into());
        }
        match details.is_empty() {
            true => error,
            false => error.with_details(details.into()),
        }
    }
}

fn is_ready(pod: &Value) -> bool {
    Object(pod).condition_is("Ready", "True").is_some()
}

/// The first container that is not ready, whatever runs beside it.
fn unready(pod: &Value) -> Object<'_> {
    let mut all = Object(pod).list("/status/containerStatuses");
    let unready = all.find(|status| !status.is("/ready"));
    unready.unwrap_or(Object(pod).at("/status/containerStatuses/0"))
}

/// What the container in trouble wrote last, before it was started again where it was.
async fn last_lines(cluster: &Cluster, pod: &Value) -> Result<String, Failure> {
    let status = unready(pod);
    let previous = status.number("/restartCount") > 0;
    let request = log(cluster, pod)
        .await?
        .with_some("container", status.at("/name").0.as_str())
        .with("tailLines", TOLD.1)
        .with("previous", previous);
    cluster.text(&request).await
}

/// The pods of the newest version of a workload; none of anything else.
async fn pods(target: &Target, object: &Value) -> Result<Vec<Value>, Failure> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let generation = |pointer| Object(object).number(pointer);
    if generation("/status/observedGeneration") < generation("/metadata/generation")
        && kind != "Job"
    {
        // What its controller has not seen has no pods yet: those there are say nothing of it.
        return Ok(Vec::new());
    }
    if !has_pods(kind) {
        return Ok(Vec::new());
    }
    // Selectors by expression are left out: they only say more.
    let Some(mut labels) = labels(&object["spec"]["selector"]["matchLabels"]) else {
        return Ok(Vec::new());
    };
    let newest = match kind {
        "Deployment" => match newest_template(target, object, &labels).await? {
            // Nothing of the newest version is there yet, and older pods say nothing of it.
            None => return Ok(Vec::new()),
            Some(hash) => Some(format!("pod-template-hash={hash}")),
        },
        "StatefulSet" => {
            let revision = object["status"]["updateRevision"].as_str();
            revision.map(|revision| format!("controller-revision-hash={revision}"))
        }
        "DaemonSet" => match newest_revision(target, object, &labels).await? {
            None => return Ok(Vec::new()),
            Some(hash) => Some(format!("controller-revision-hash={hash}")),
        },
        _ => None,
    };
    if let Some(newest) = newest {
        labels = format!("{labels},{newest}");
    }
    target.beside("v1", "Pod", &labels, PODS).await
}

/// The hash that marks the pods of a Deployment's newest version.
async fn newest_template(
    target: &Target,
    object: &Value,
    labels: &str,
) -> Result<Option<String>, Failure> {
    let revision = |one: &Value| one["metadata"]["annotations"][REVISION].clone();
    let uid = &object["metadata"]["uid"];
    let sets = target.beside("apps/v1", "ReplicaSet", labels, PODS).await?;
    let newest = sets.iter().find(|set| {
        let owner = &set["metadata"]["ownerReferences"][0]["uid"];
        owner == uid && revision(set) == revision(object)
    });
    let hash = newest.and_then(|set| set["metadata"]["labels"]["pod-template-hash"].as_str());
    Ok(hash.map(ToOwned::to_owned))
}

/// The hash that marks the pods of a DaemonSet's newest version, of which its status says nothing.
async fn newest_revision(
    target: &Target,
    object: &Value,
    labels: &str,
) -> Result<Option<String>, Failure> {
    let uid = &object["metadata"]["uid"];
    let all = target.beside("apps/v1", "ControllerRevision", labels, PODS).await?;
    let own = all.iter().filter(|one| one["metadata"]["ownerReferences"][0]["uid"] == *uid);
    let newest = own.max_by_key(|one| one["revision"].as_i64().unwrap_or_default());
    let hash =
        newest.and_then(|one| one["metadata"]["labels"]["controller-revision-hash"].as_str());
    Ok(hash.map(ToOwned::to_owned))
}
