//! How a Job comes to its end, and what its program prints meanwhile.

use std::time::Duration;

use host::kubernetes::{Failure, Request};
use model::{ErrorKind, Performance, StepError, Value};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::follow::Followed;
use crate::kubernetes::asked::{Asked, Target, Trouble};
use crate::kubernetes::health::doomed;
use crate::kubernetes::object::Object;

/// Between two looks at a Job.
const PAUSE: Duration = Duration::from_millis(500);
/// Pods of a Job that are looked at: its program is started once.
const PODS: usize = 10;
/// How long the pod of a deleted Job may take to be gone.
const WITHDRAWAL: Duration = Duration::from_secs(60);

/// A Job that is over.
#[derive(Debug)]
pub(in crate::kubernetes) struct Ended {
    pub(in crate::kubernetes) job: Value,
    pub(in crate::kubernetes) pod: Option<Value>,
    pub(in crate::kubernetes) end: End,
    /// What its program printed: JSON where it is JSON.
    pub(in crate::kubernetes) output: Value,
}

/// How it came to that.
#[derive(Debug)]
pub(in crate::kubernetes) enum End {
    /// Its program ended with 0.
    Complete,
    /// It did not, and why.
    Failed(String),
    /// It ran longer than it may.
    TooLate,
    /// Its program was not begun and will not be, and why.
    Never(String),
}

impl Ended {
    /// How its program ended, where that is known.
    pub(in crate::kubernetes) fn exit_code(&self) -> Option<i64> {
        state(self.pod.as_ref()?)["terminated"]["exitCode"].as_i64()
    }

    /// What there is to tell of it.
    pub(in crate::kubernetes) fn told(&self) -> Value {
        let name = |object: &Value| object["metadata"]["name"].clone();
        json!({
            "job": name(&self.job), "pod": self.pod.as_ref().map(name),
            "exit_code": self.exit_code(), "output": self.output,
        })
    }
}

/// Waits for the end of the Job, and tells what its program printed meanwhile.
pub(in crate::kubernetes) async fn finished(
    job: &Target,
    log: &mut Followed<'_>,
) -> Result<Ended, Trouble> {
    loop {
        let state = match look(job).await {
            // It goes on, whether the API server can be asked or not.
            Err(failure) if failure.kind != ErrorKind::NotFound => None,
            state => Some(state?),
        };
        let Some((job, pod)) = state else {
            sleep(PAUSE).await;
            continue;
        };
        let running = pod.as_ref().filter(|pod| has_started(pod));
        let never = pod.as_ref().filter(|_| running.is_none()).and_then(doomed);
        match (ended(&job).or(never.map(End::Never)), running) {
            (Some(end), running) => {
                if let Some(running) = running {
                    log.finish(running).await;
                }
                return Ok(Ended { job, pod, end, output: log.output() });
            }
            (None, Some(running)) => log.advance(running, PAUSE).await,
            (None, None) => sleep(PAUSE).await,
        }
    }
}

/// A server that ends leaves the Job to its successor; whoever is cancelled wants it ended.
pub(in crate::kubernetes) async fn given_up(asked: &Asked<'_>, job: &Target) -> Performance {
    let told = if asked.performing.stopping.is_cancelled() {
        "the server ended while the Job ran: it goes on, and is found again"
    } else {
        match remove(job).await {
            Ok(()) => "the Job was deleted before it ended",
            Err(_) => "the Job could not be deleted: it may still run",
        }
    };
    Performance::Unknown(StepError::new(ErrorKind::Cancelled, told))
}

/// Deletes the Job, and with it its pod.
pub(in crate::kubernetes) async fn remove(job: &Target) -> Result<(), Failure> {
    let options =
        json!({ "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background" });
    match job.cluster.request(&Request::delete(&job.path(None), options)).await {
        Err(failure) if !failure.is_not_found() => Err(failure),
        _ => Ok(()),
    }
}

/// Deletes a Job whose program was not begun. False: it was begun meanwhile, or nobody can tell.
pub(in crate::kubernetes) async fn withdraw(job: &Target) -> bool {
    let gone = async {
        if remove(job).await.is_err() {
            return false;
        }
        // A pod stays until its kubelet has told how its containers ended.
        loop {
            match pod(job).await {
                Ok(None) => return true,
                Ok(Some(pod)) if has_started(&pod) => return false,
                _ => sleep(PAUSE).await,
            }
        }
    };
    timeout(WITHDRAWAL, gone).await.unwrap_or(false)
}

/// The Job, and its newest pod.
async fn look(job: &Target) -> Result<(Value, Option<Value>), Failure> {
    Ok((job.get(None).await?, pod(job).await?))
}

/// The newest pod of the Job.
async fn pod(job: &Target) -> Result<Option<Value>, Failure> {
    let labels = format!("batch.kubernetes.io/job-name={}", job.name);
    let mut pods = job.beside("v1", "Pod", &labels, PODS).await?;
    let made = |pod: &Value| pod["metadata"]["creationTimestamp"].as_str().map(ToOwned::to_owned);
    pods.sort_by_key(made);
    Ok(pods.pop())
}

fn state(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]["state"]
}

fn has_started(pod: &Value) -> bool {
    state(pod)["running"].is_object() || state(pod)["terminated"].is_object()
}

/// How a Job ended, if it did.
fn ended(job: &Value) -> Option<End> {
    let is = |kind| Object(job).condition_is(kind, "True");
    let failed = || {
        let why = is("Failed")?;
        Some(match why.reason {
            "DeadlineExceeded" => End::TooLate,
            _ => End::Failed(why.message),
        })
    };
    is("Complete").map(|_| End::Complete).or_else(failed)
}
