//! How a Job comes to its end, and what its program prints meanwhile.

use std::time::Duration;

use host::kubernetes::{Failure, Request};
use model::{ErrorKind, Performance, StepError, Value};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::begin::gone;
use super::follow::Followed;
use super::manifest::PROGRAM;
use crate::kubernetes::asked::{Asked, Target};
use crate::kubernetes::health::doomed;
use crate::kubernetes::object::Object;

/// Between two looks at a Job.
const PAUSE: Duration = Duration::from_millis(500);
/// Pods of a Job that are looked at: its program is started once.
const PODS: usize = 10;
/// How long the pod of a deleted Job may take to be gone.
const WITHDRAWAL: Duration = Duration::from_secs(60);
/// How long what runs beside a program may go on after its end.
const BESIDE: Duration = Duration::from_secs(15);

/// A Job that is over.
#[derive(Debug)]
pub(in crate::kubernetes) struct Ended {
    pub(in crate::kubernetes) job: Value,
    pub(in crate::kubernetes) pod: Option<Value>,
    pub(in crate::kubernetes) end: End,
    /// Whether something runs on beside its program.
    pub(in crate::kubernetes) is_outlived: bool,
    /// What its program printed.
    pub(in crate::kubernetes) printed: String,
    /// Whether the end of that is missing: it was too much.
    pub(in crate::kubernetes) is_cut: bool,
    /// Why what it printed, or its pod, could not be read.
    pub(in crate::kubernetes) unread: Option<String>,
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
        exit_code(self.pod.as_ref()?)
    }

    /// What its program printed: JSON where it is JSON and whole.
    pub(in crate::kubernetes) fn output(&self) -> Value {
        match (&self.unread, self.is_cut) {
            (Some(_), _) => Value::Null,
            (None, true) => json!({ "text": self.printed, "truncated": true }),
            (None, false) => model::json::printed(self.printed.as_bytes()),
        }
    }

    /// What there is to tell of it.
    pub(in crate::kubernetes) fn told(&self) -> Value {
        let name = |object: &Value| object["metadata"]["name"].clone();
        let mut told = json!({
            "job": name(&self.job), "pod": self.pod.as_ref().map(name),
            "exit_code": self.exit_code(), "output": self.output(),
        });
        if let Some(why) = &self.unread {
            told["warning"] = json!(format!("what the program printed cannot be read: {why}"));
        }
        told
    }
}

/// Waits for the end of the Job, and tells what its program printed meanwhile.
///
/// Errors: the Job is gone.
pub(in crate::kubernetes) async fn finished(
    job: &Target,
    log: &mut Followed<'_>,
) -> Result<Ended, StepError> {
    let mut alone: Option<Instant> = None;
    loop {
        let Some(looked) = look(job, log).await else {
            // It goes on, whether the API server can be asked or not.
            sleep(PAUSE).await;
            continue;
        };
        let (found, pod) = looked?;
        let running = pod.as_ref().filter(|pod| has_started(pod));
        let never = pod.as_ref().filter(|_| running.is_none()).and_then(doomed);
        let outlived = running.filter(|pod| is_accompanied(pod)).and_then(exit_code);
        let outlived =
            outlived.filter(|_| alone.get_or_insert_with(Instant::now).elapsed() > BESIDE);
        let end = ended(&found).or(never.map(End::Never));
        let is_outlived = end.is_none() && outlived.is_some();
        match (end.or(outlived.map(End::of_code)), running) {
            (Some(end), running) => {
                if let Some(running) = running {
                    log.finish(running).await;
                }
                return Ok(log.ended(found, pod, end, is_outlived));
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

/// The Job, and its newest pod as far as it can be read; none: they cannot be asked for now.
async fn look(
    job: &Target,
    log: &mut Followed<'_>,
) -> Option<Result<(Value, Option<Value>), StepError>> {
    let found = match job.get(None).await {
        Err(failure) if failure.is_not_found() => return Some(Err(gone(job))),
        Err(failure) => {
            log.missing(&failure).await;
            return None;
        }
        Ok(found) => found,
    };
    match pod(job).await {
        Ok(pod) => Some(Ok((found, pod))),
        // Its own end tells most.
        Err(failure) if failure.is_denied() => {
            log.missing(&failure).await;
            Some(Ok((found, None)))
        }
        Err(_) => None,
    }
}

/// The newest pod of the Job.
async fn pod(job: &Target) -> Result<Option<Value>, Failure> {
    let labels = format!("batch.kubernetes.io/job-name={}", job.name);
    let mut pods = job.beside("v1", "Pod", &labels, PODS).await?;
    let made = |pod: &Value| pod["metadata"]["creationTimestamp"].as_str().map(ToOwned::to_owned);
    pods.sort_by_key(made);
    Ok(pods.pop())
}

/// How the container is that runs the program, whatever others there are.
fn state(pod: &Value) -> Object<'_> {
    let mut all = Object(pod).list("/status/containerStatuses");
    let program = all.find(|status| status.text("/name") == PROGRAM);
    program.unwrap_or(Object(&Value::Null)).at("/state")
}

fn exit_code(pod: &Value) -> Option<i64> {
    state(pod).at("/terminated/exitCode").0.as_i64()
}

fn has_started(pod: &Value) -> bool {
    ["/running", "/terminated"].into_iter().any(|state_of| state(pod).at(state_of).0.is_object())
}

/// Whether something else runs in the pod, so that its Job goes on.
fn is_accompanied(pod: &Value) -> bool {
    let mut all = Object(pod).list("/status/containerStatuses");
    all.any(|status| status.text("/name") != PROGRAM && status.at("/state/running").0.is_object())
}

/// How a Job ended, if it did.
pub(super) fn ended(job: &Value) -> Option<End> {
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

impl End {
    /// As the program's exit code says.
    fn of_code(code: i64) -> Self {
        if code == 0 { Self::Complete } else { Self::Failed(format!("exit code {code}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_the_container_of_its_name() {
        let status = |name: &str, state: Value| json!({ "name": name, "state": state });
        let pod = |statuses: Value| json!({ "status": { "containerStatuses": statuses } });
        let proxy = status("proxy", json!({ "running": { "startedAt": "t" } }));
        let waits = status(PROGRAM, json!({ "waiting": { "reason": "ContainerCreating" } }));
        assert!(!has_started(&pod(json!([proxy, waits]))));
        let failed = status(PROGRAM, json!({ "terminated": { "exitCode": 3 } }));
        let pod = pod(json!([proxy, failed]));
        assert!(has_started(&pod));
        assert_eq!(exit_code(&pod), Some(3));
        assert!(is_accompanied(&pod), "the proxy goes on");
        let alone = json!({ "status": { "containerStatuses": [failed] } });
        assert!(!is_accompanied(&alone), "its Job ends when its controller has seen it");
    }
}
