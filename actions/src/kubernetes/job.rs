//! `kubernetes.run_job`: a program in the cluster, once for each step.
//!
//! The Job's name follows from the step's key: whoever performs the step again, in this process or
//! after a kill in the next, finds the Job that runs already and waits for that one.

mod follow;
mod manifest;

use std::time::Duration;

use host::kubernetes::{Failure, Request};
use model::{ErrorKind, Performance, StepError, Value};
use serde_json::json;
use tokio::time::sleep;

use self::follow::Followed;
use self::manifest::KEY;
use super::acted::{Acted, Moved};
use super::asked::{Asked, Target, Trouble, refused};
use super::object::{Condition, Object};

/// Between two looks at a Job.
const PAUSE: Duration = Duration::from_millis(500);
/// Pods of a Job that are looked at: its program is started once.
const PODS: usize = 10;

/// What would be made.
pub(super) async fn plan(asked: &Asked<'_>) -> Result<Acted, Trouble> {
    let job = target(asked).await?;
    let body = manifest::job(asked, &job)?;
    let after = asked.send(Request::post(&collection(&job), body)).await?;
    let moved = Moved::new(job.identity(), None, Some(after));
    Ok(Acted { moved: vec![moved], result: None })
}

/// Makes the Job, or finds it, and waits for its end.
pub(super) async fn run(asked: &Asked<'_>) -> Performance {
    let job = match made(asked).await {
        Ok(job) => job,
        Err(trouble) => return trouble.performance(),
    };
    let cancel = &asked.performing.cancel;
    tokio::select! {
        biased;
        ended = finished(asked, &job) => ended.unwrap_or_else(Trouble::performance),
        () = cancel.cancelled() => given_up(asked, &job).await,
    }
}

async fn target(asked: &Asked<'_>) -> Result<Target, Trouble> {
    let jobs = asked.cluster.resource("batch/v1", "Job").await?;
    Ok(asked.target_of(jobs, None, manifest::name(asked)).await?)
}

fn collection(job: &Target) -> String {
    job.resource.collection(job.namespace.as_deref())
}

async fn made(asked: &Asked<'_>) -> Result<Target, Trouble> {
    let job = target(asked).await?;
    let body = manifest::job(asked, &job)?;
    match asked.send(Request::post(&collection(&job), body)).await {
        Err(failure) if failure.reason == "AlreadyExists" => {
            let found = job.get(None).await?;
            if found["metadata"]["annotations"][KEY] == asked.performing.key.as_str() {
                return Ok(job);
            }
            let message = format!("{} is there, and no step of this key made it", job.identity());
            Err(refused(ErrorKind::Conflict, message))
        }
        made => made.map(|_| job).map_err(Trouble::from),
    }
}

/// A server that ends leaves the Job to its successor; whoever is cancelled wants it ended.
async fn given_up(asked: &Asked<'_>, job: &Target) -> Performance {
    let told = if asked.performing.stopping.is_cancelled() {
        "the server ended while the Job ran: it goes on, and is found again"
    } else {
        let options = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background" });
        match asked.cluster.request(&Request::delete(&job.path(None), options)).await {
            Ok(_) => "the Job was deleted before it ended",
            Err(_) => "the Job could not be deleted: it may still run",
        }
    };
    Performance::Unknown(StepError::new(ErrorKind::Cancelled, told))
}

/// Waits for the end of the Job, and tells what its program printed meanwhile.
async fn finished(asked: &Asked<'_>, job: &Target) -> Result<Performance, Trouble> {
    let mut log = Followed::new(asked);
    loop {
        let state = match look(job).await {
            // It goes on, whether the API server can be asked or not.
            Err(failure) if failure.kind != ErrorKind::NotFound => None,
            state => Some(state?),
        };
        let started = |pod: &&Value| has_started(pod);
        let Some((found, pod)) = state else {
            sleep(PAUSE).await;
            continue;
        };
        let pod = pod.as_ref();
        match (ended(&found), pod.filter(started)) {
            (Some(end), running) => {
                if let Some(running) = running {
                    log.finish(running).await;
                }
                return Ok(outcome(&found, pod, end, &log));
            }
            (None, Some(running)) => log.advance(running, PAUSE).await,
            (None, None) => sleep(PAUSE).await,
        }
    }
}

/// The Job, and its newest pod.
async fn look(job: &Target) -> Result<(Value, Option<Value>), Failure> {
    let found = job.get(None).await?;
    let labels = format!("batch.kubernetes.io/job-name={}", job.name);
    let mut pods = job.beside("v1", "Pod", &labels, PODS).await?;
    let made = |pod: &Value| pod["metadata"]["creationTimestamp"].as_str().map(ToOwned::to_owned);
    pods.sort_by_key(made);
    Ok((found, pods.pop()))
}

fn state(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]["state"]
}

fn has_started(pod: &Value) -> bool {
    state(pod)["running"].is_object() || state(pod)["terminated"].is_object()
}

/// How a Job ended.
enum End<'a> {
    Complete,
    Failed(Condition<'a>),
}

fn ended(job: &Value) -> Option<End<'_>> {
    let is = |kind| Object(job).condition_is(kind, "True");
    is("Complete").map(|_| End::Complete).or_else(|| is("Failed").map(End::Failed))
}

fn outcome(job: &Value, pod: Option<&Value>, end: End<'_>, log: &Followed<'_>) -> Performance {
    let terminated = pod.map(|pod| &state(pod)["terminated"]);
    let code = terminated.and_then(|terminated| terminated["exitCode"].as_i64());
    let name = |object: &Value| object["metadata"]["name"].clone();
    let output = log.output();
    let mut result = json!({
        "job": name(job), "pod": pod.map(name), "exit_code": code, "output": output,
    });
    let End::Failed(why) = end else {
        result["exit_code"] = json!(code.unwrap_or(0));
        return Performance::Done(result);
    };
    let (kind, message) = match (why.reason, code) {
        ("DeadlineExceeded", _) => {
            (ErrorKind::Deadline, "the Job ran longer than its `timeout`".to_owned())
        }
        (_, Some(code)) => {
            let kind = if code == 75 { ErrorKind::Unavailable } else { ErrorKind::Program };
            (kind, format!("the program ended with exit code {code}"))
        }
        (_, None) => (ErrorKind::Program, format!("the Job failed: {}", why.message)),
    };
    Performance::Failed(StepError::new(kind, message).with_details(result))
}
