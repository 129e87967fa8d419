//! Why a workload does not get on, as its newest pods tell it.

use host::kubernetes::{Cluster, Failure};
use model::Value;
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

/// Why the newest pods of a workload will never run, if one says so.
pub(super) async fn reason(target: &Target, object: &Value) -> Result<Option<String>, Failure> {
    let pods = pods(target, object).await?;
    let told = |pod: &Value| {
        let why = doomed(pod)?;
        Some(format!("pod {}: {why}", pod["metadata"]["name"].as_str().unwrap_or_default()))
    };
    Ok(pods.iter().find_map(told))
}

/// The newest pods that are not ready, with the last lines that they wrote, as far as that can be
/// learnt: it only explains a failure.
pub(super) async fn details(asked: &Asked<'_>, target: &Target) -> Value {
    let Ok(Some(object)) = target.find().await else { return Value::Null };
    let all = pods(target, &object).await.unwrap_or_default();
    let unready = all.iter().filter(|pod| !is_ready(pod)).take(TOLD.0);
    let mut pods = Vec::new();
    for pod in unready {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let log = last_lines(&asked.cluster, pod).await;
        pods.push(json!({ "name": name, "reason": doomed(pod), "log": log }));
    }
    if pods.is_empty() { Value::Null } else { json!({ "pods": pods }) }
}

fn is_ready(pod: &Value) -> bool {
    Object(pod).condition_is("Ready", "True").is_some()
}

/// What the first container wrote last, before it was started again where it was.
async fn last_lines(cluster: &Cluster, pod: &Value) -> Option<String> {
    let status = &pod["status"]["containerStatuses"][0];
    let previous = status["restartCount"].as_u64().unwrap_or(0) > 0;
    let request = log(cluster, pod)
        .await
        .ok()?
        .with_some("container", status["name"].as_str())
        .with("tailLines", TOLD.1)
        .with("previous", previous);
    cluster.text(&request).await.ok().filter(|log| !log.is_empty())
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
    if !matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job") {
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
