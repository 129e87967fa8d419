//! The Job that a step asks for.

use model::{Map, StepError, Value};
use serde_json::json;

use crate::Performing;
use crate::kubernetes::asked::{Asked, Target};
use crate::kubernetes::short;

/// Whose step made the Job.
pub(in crate::kubernetes) const KEY: &str = "tripline.dev/key";

/// What is asked of a Job.
pub(in crate::kubernetes) struct Wanted<'a> {
    pub(in crate::kubernetes) image: Value,
    /// `command`, `args` and `resources` of its container, as far as they are given.
    pub(in crate::kubernetes) container: Map,
    /// More variables, in the words of a pod.
    pub(in crate::kubernetes) env: Vec<Value>,
    pub(in crate::kubernetes) service_account: Option<&'a str>,
    /// More labels.
    pub(in crate::kubernetes) labels: Map,
    pub(in crate::kubernetes) timeout: model::Duration,
    /// How long it stays when it has ended; none: until somebody says so.
    pub(in crate::kubernetes) keep: Option<model::Duration>,
    /// Whether it is made without a pod, to be let go later.
    pub(in crate::kubernetes) suspend: bool,
}

impl Wanted<'_> {
    /// The Job: one pod, started once, as a second one could do half of the work again.
    pub(in crate::kubernetes) fn manifest(&self, job: &Target, performing: &Performing) -> Value {
        let mut labels = json!({ "app.kubernetes.io/managed-by": "tripline" });
        if let Some(all) = labels.as_object_mut() {
            all.extend(self.labels.clone());
        }
        let mut container = self.container.clone();
        container.insert("name".to_owned(), json!("program"));
        container.insert("image".to_owned(), self.image.clone());
        container.insert("env".to_owned(), self.environment(performing).into());
        let mut pod = json!({ "restartPolicy": "Never", "containers": [container] });
        if let Some(account) = self.service_account {
            pod["serviceAccountName"] = json!(account);
        }
        let mut spec = json!({
            "backoffLimit": 0, "completions": 1, "parallelism": 1,
            "activeDeadlineSeconds": self.timeout.to_std().as_secs().max(1),
            "template": { "metadata": { "labels": labels }, "spec": pod },
        });
        if let Some(keep) = self.keep {
            spec["ttlSecondsAfterFinished"] = json!(keep.to_std().as_secs());
        }
        if self.suspend {
            spec["suspend"] = json!(true);
        }
        json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {
                "name": job.name, "namespace": job.namespace, "labels": labels,
                "annotations": { KEY: performing.key.as_str() },
            },
            "spec": spec,
        })
    }

    /// What the program finds in its environment, as a program of a pack does.
    fn environment(&self, performing: &Performing) -> Vec<Value> {
        let own = [
            json!({ "name": "TRIPLINE_KEY", "value": performing.key.as_str() }),
            json!({ "name": "TRIPLINE_ATTEMPT", "value": performing.attempt.to_string() }),
        ];
        own.into_iter().chain(self.env.iter().cloned()).collect()
    }
}

/// Its name: the same for every attempt of the step.
pub(super) fn name(asked: &Asked<'_>) -> String {
    format!("{}-{}", asked.option("name").unwrap_or("tripline"), short(&asked.performing.key))
}

/// What a step of `run_job` asks for.
pub(super) fn wanted<'a>(asked: &Asked<'a>) -> Result<Wanted<'a>, StepError> {
    let parameters = asked.parameters();
    let given = |name: &&str| !parameters[*name].is_null();
    let part = |name: &str| (name.to_owned(), parameters[name].clone());
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let env = parameters["env"].as_object().into_iter().flatten();
    Ok(Wanted {
        image: parameters["image"].clone(),
        container: ["command", "args", "resources"].into_iter().filter(given).map(part).collect(),
        env: env.map(|(name, value)| json!({ "name": name, "value": text(value) })).collect(),
        service_account: asked.option("service_account"),
        labels: parameters["labels"].as_object().cloned().unwrap_or_default(),
        timeout: asked.duration("timeout")?,
        keep: Some(asked.duration("keep")?),
        suspend: false,
    })
}
