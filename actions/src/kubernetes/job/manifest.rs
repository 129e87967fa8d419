//! The Job that a step asks for.

use host::redact::Redactor;
use model::{Map, StepError, Value, token};
use serde_json::json;

use crate::Performing;
use crate::kubernetes::asked::{Asked, Target};
use crate::kubernetes::read::DEFAULT_CONTAINER;
use crate::kubernetes::short;

/// Whose step made the Job.
pub(in crate::kubernetes) const KEY: &str = "tripline.dev/key";
/// Says of a Job that its pod was let go once.
pub(in crate::kubernetes) const BEGUN: &str = "tripline.dev/begun";
/// The container that is the step's: others may be put beside it as the pod is made.
pub(in crate::kubernetes) const PROGRAM: &str = "program";
/// How long a Job that has ended waits for somebody to look at it: so long a server may be away.
const UNSEEN: model::Duration = model::Duration::from_secs(7 * 24 * 3_600);

/// What is asked of a Job.
pub(in crate::kubernetes) struct Wanted<'a> {
    pub(in crate::kubernetes) image: Value,
    /// `command`, `args` and `resources` of its container, as far as they are given.
    pub(in crate::kubernetes) container: Map,
    /// More variables, in the words of a pod.
    pub(in crate::kubernetes) env: Vec<Value>,
    /// Variables whose values are no manifest's business.
    pub(in crate::kubernetes) hidden: Vec<Hidden>,
    pub(in crate::kubernetes) service_account: Option<&'a str>,
    /// More labels.
    pub(in crate::kubernetes) labels: Map,
    pub(in crate::kubernetes) timeout: model::Duration,
    /// How long it stays once its end was seen.
    pub(in crate::kubernetes) keep: model::Duration,
}

/// A variable whose value lies in the Secret that belongs to the Job.
pub(in crate::kubernetes) struct Hidden {
    pub(in crate::kubernetes) variable: String,
    /// Under which key of the Secret.
    pub(in crate::kubernetes) key: String,
    pub(in crate::kubernetes) value: String,
}

impl Wanted<'_> {
    /// The Job: one pod, started once, as a second one could do half of the work again. One with a
    /// Secret is made without its pod, which is let go once the Secret is there.
    pub(in crate::kubernetes) fn manifest(&self, job: &Target, performing: &Performing) -> Value {
        let mut labels = json!({ "app.kubernetes.io/managed-by": "tripline" });
        if let Some(all) = labels.as_object_mut() {
            all.extend(self.labels.clone());
        }
        let mut container = self.container.clone();
        container.insert("name".to_owned(), json!(PROGRAM));
        container.insert("image".to_owned(), self.image.clone());
        container.insert("env".to_owned(), self.environment(job, performing).into());
        let mut pod = json!({ "restartPolicy": "Never", "containers": [container] });
        if let Some(account) = self.service_account {
            pod["serviceAccountName"] = json!(account);
        }
        let annotations = json!({ DEFAULT_CONTAINER: PROGRAM });
        let mut spec = json!({
            "backoffLimit": 0, "completions": 1, "parallelism": 1,
            "activeDeadlineSeconds": self.timeout.to_std().as_secs().max(1),
            "ttlSecondsAfterFinished": self.keep.max(UNSEEN).to_std().as_secs(),
            "template": {
                "metadata": { "labels": labels, "annotations": annotations }, "spec": pod,
            },
        });
        if !self.hidden.is_empty() {
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

    /// The Secret of the Job that was `made`, which goes with it.
    pub(super) fn secret(&self, job: &Target, made: &Value) -> Value {
        let entry = |hidden: &Hidden| (hidden.key.clone(), json!(hidden.value));
        let values: Map = self.hidden.iter().map(entry).collect();
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {
                "name": job.name, "namespace": job.namespace,
                "labels": { "app.kubernetes.io/managed-by": "tripline" },
                "ownerReferences": [{
                    "apiVersion": "batch/v1", "kind": "Job",
                    "name": job.name, "uid": made["metadata"]["uid"],
                }],
            },
            "stringData": values,
        })
    }

    /// What the program finds in its environment, as a program of a pack does.
    fn environment(&self, job: &Target, performing: &Performing) -> Vec<Value> {
        let own = [
            json!({ "name": "TRIPLINE_KEY", "value": performing.key.as_str() }),
            json!({ "name": "TRIPLINE_ATTEMPT", "value": performing.attempt.to_string() }),
        ];
        let hidden = self.hidden.iter().map(|hidden| {
            let from = json!({ "secretKeyRef": { "name": job.name, "key": hidden.key } });
            json!({ "name": hidden.variable, "valueFrom": from })
        });
        own.into_iter().chain(self.env.iter().cloned()).chain(hidden).collect()
    }
}

/// The name of a step's Job: each run has its own, and all attempts at that run the same. What comes
/// before the run is `base`.
pub(super) fn name(base: &str, performing: &Performing, run: u32) -> String {
    let name = format!("{base}-{}", short(&performing.key));
    if run == 1 { name } else { format!("{name}-{run}") }
}

/// What a step of `run_job` asks for.
pub(super) fn wanted<'a>(asked: &Asked<'a>) -> Result<Wanted<'a>, StepError> {
    let parameters = asked.parameters();
    let given = |name: &&str| !parameters[*name].is_null();
    let part = |name: &str| (name.to_owned(), parameters[name].clone());
    let (env, hidden) = variables(&parameters["env"], &asked.performing.redactor);
    Ok(Wanted {
        image: parameters["image"].clone(),
        container: ["command", "args", "resources"].into_iter().filter(given).map(part).collect(),
        env,
        hidden,
        service_account: asked.option("service_account"),
        labels: parameters["labels"].as_object().cloned().unwrap_or_default(),
        timeout: asked.duration("timeout")?,
        keep: asked.duration("keep")?,
    })
}

/// The variables that a manifest may show, and those that hold a secret.
fn variables(env: &Value, redactor: &Redactor) -> (Vec<Value>, Vec<Hidden>) {
    let (mut plain, mut hidden) = (Vec::new(), Vec::new());
    for (name, value) in env.as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        // In a plan a token still stands for it.
        if token::is_in(&value) || redactor.text(&value) != value.as_str() {
            hidden.push(Hidden { variable: name.clone(), key: name.clone(), value });
        } else {
            plain.push(json!({ "name": name, "value": value }));
        }
    }
    (plain, hidden)
}
