//! Why a workload does not get on, as its newest pods tell it.

use host::kubernetes::{Cluster, Failure, Request, Selected};
use model::Value;
use serde_json::{Value as Json, json};

use super::asked::{Asked, Target};
use super::health::doomed;

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
    let Ok(Some(object)) = target.find().await else { return Json::Null };
    let all = pods(target, &object).await.unwrap_or_default();
    let unready = all.iter().filter(|pod| !is_ready(pod)).take(TOLD.0);
    let mut pods = Vec::new();
    for pod in unready {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let log = last_lines(&asked.cluster, pod, name).await;
        pods.push(json!({ "name": name, "reason": doomed(pod), "log": log }));
    }
    if pods.is_empty() { Json::Null } else { json!({ "pods": pods }) }
}

fn is_ready(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// What the first container wrote last, before it was started again where it was.
async fn last_lines(cluster: &Cluster, pod: &Value, name: &str) -> Option<String> {
    let resource = cluster.resource("v1", "Pod").await.ok()?;
    let status = &pod["status"]["containerStatuses"][0];
    let path = resource.object(pod["metadata"]["namespace"].as_str(), name, Some("log"));
    let previous = status["restartCount"].as_u64().unwrap_or(0) > 0;
    let request = Request::get(&path)
        .with_some("container", status["name"].as_str())
        .with("tailLines", TOLD.1)
        .with("previous", previous);
    cluster.text(&request).await.ok().filter(|log| !log.is_empty())
}

/// The pods of the newest version of a workload; none of anything else.
async fn pods(target: &Target, object: &Value) -> Result<Vec<Value>, Failure> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let generation = |pointer| object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    if generation("/status/observedGeneration") < generation("/metadata/generation")
        && kind != "Job"
    {
        // What its controller has not seen has no pods yet: those there are say nothing of it.
        return Ok(Vec::new());
    }
    if !matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job") {
        return Ok(Vec::new());
    }
    let Some(mut labels) = selector(object) else { return Ok(Vec::new()) };
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
        _ => None,
    };
    if let Some(newest) = newest {
        labels = format!("{labels},{newest}");
    }
    of_kind(target, "v1", "Pod", &labels).await
}

/// The labels of a workload's pods. Selectors by expression are left out: they only say more.
fn selector(object: &Value) -> Option<String> {
    let labels = object["spec"]["selector"]["matchLabels"].as_object()?;
    let pairs =
        labels.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)));
    Some(pairs.collect::<Vec<_>>().join(","))
}

/// The hash that marks the pods of a Deployment's newest version.
async fn newest_template(
    target: &Target,
    object: &Value,
    labels: &str,
) -> Result<Option<String>, Failure> {
    let revision = |one: &Value| one["metadata"]["annotations"][REVISION].clone();
    let uid = &object["metadata"]["uid"];
    let sets = of_kind(target, "apps/v1", "ReplicaSet", labels).await?;
    let newest = sets.iter().find(|set| {
        let owner = &set["metadata"]["ownerReferences"][0]["uid"];
        owner == uid && revision(set) == revision(object)
    });
    let hash = newest.and_then(|set| set["metadata"]["labels"]["pod-template-hash"].as_str());
    Ok(hash.map(ToOwned::to_owned))
}

async fn of_kind(
    target: &Target,
    api_version: &str,
    kind: &str,
    labels: &str,
) -> Result<Vec<Value>, Failure> {
    let resource = target.cluster.resource(api_version, kind).await?;
    let selected = Selected {
        namespace: target.namespace.as_deref(),
        labels: Some(labels),
        ..Selected::all(&resource)
    };
    Ok(target.cluster.list(&selected, PODS, None).await?.objects)
}
