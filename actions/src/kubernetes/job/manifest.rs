//! The Job that a step asks for.

use model::{StepError, Value};
use serde_json::json;

use crate::kubernetes::asked::{Asked, Target};
use crate::kubernetes::short;

/// Whose step made the Job.
pub(super) const KEY: &str = "tripline.dev/key";

/// Its name: the same for every attempt of the step.
pub(super) fn name(asked: &Asked<'_>) -> String {
    format!("{}-{}", asked.option("name").unwrap_or("tripline"), short(&asked.performing.key))
}

/// The Job: one pod, started once, as a second one could do half of the work again.
pub(super) fn job(asked: &Asked<'_>, job: &Target) -> Result<Value, StepError> {
    let parameters = asked.parameters();
    let timeout = asked.duration("timeout")?.to_std().as_secs().max(1);
    let keep = asked.duration("keep")?.to_std().as_secs();
    let mut labels = json!({ "app.kubernetes.io/managed-by": "tripline" });
    if let (Some(all), Some(more)) = (labels.as_object_mut(), parameters["labels"].as_object()) {
        all.extend(more.clone());
    }
    let mut container = json!({
        "name": "program", "image": parameters["image"], "env": environment(asked),
    });
    for name in ["command", "args", "resources"] {
        if !parameters[name].is_null() {
            container[name] = parameters[name].clone();
        }
    }
    let mut pod = json!({ "restartPolicy": "Never", "containers": [container] });
    if let Some(account) = asked.option("service_account") {
        pod["serviceAccountName"] = json!(account);
    }
    Ok(json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": job.name, "namespace": job.namespace, "labels": labels,
            "annotations": { KEY: asked.performing.key.as_str() },
        },
        "spec": {
            "backoffLimit": 0, "completions": 1, "parallelism": 1,
            "activeDeadlineSeconds": timeout, "ttlSecondsAfterFinished": keep,
            "template": { "metadata": { "labels": labels }, "spec": pod },
        },
    }))
}

/// What the program finds in its environment, as a program of a pack does.
fn environment(asked: &Asked<'_>) -> Vec<Value> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let given = asked.parameters()["env"].as_object().into_iter().flatten();
    let given = given.map(|(name, value)| json!({ "name": name, "value": text(value) }));
    let own = [
        json!({ "name": "TRIPLINE_KEY", "value": asked.performing.key.as_str() }),
        json!({ "name": "TRIPLINE_ATTEMPT", "value": asked.performing.attempt.to_string() }),
    ];
    own.into_iter().chain(given).collect()
}
