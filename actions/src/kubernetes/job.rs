//! `kubernetes.run_job`: a program in the cluster, once for each step.
//!
//! The Job's name follows from the step's key: whoever performs the step again, in this process or
//! after a kill in the next, finds the Job that runs already and waits for that one. The Jobs of
//! packs' programs ([`super::program`]) are made and followed by the same code.

mod end;
mod follow;
mod manifest;

use host::kubernetes::Request;
use model::{ErrorKind, Performance, StepError};
use serde_json::json;

use self::end::remove;
pub(super) use self::end::{End, Ended, finished, given_up, withdraw};
pub(super) use self::follow::Followed;
pub(super) use self::manifest::{KEY, Wanted};
use super::acted::{Acted, Moved};
use super::asked::{Asked, Target, Trouble, refused};

/// What would be made.
pub(super) async fn plan(asked: &Asked<'_>) -> Result<Acted, Trouble> {
    let job = target(asked).await?;
    planned(asked, &job, &manifest::wanted(asked)?).await
}

/// The same for any Job.
pub(super) async fn planned(
    asked: &Asked<'_>,
    job: &Target,
    wanted: &Wanted<'_>,
) -> Result<Acted, Trouble> {
    let body = wanted.manifest(job, asked.performing);
    let after = asked.send(Request::post(&collection(job), body)).await?;
    let moved = Moved::new(job.identity(), None, Some(after));
    Ok(Acted { moved: vec![moved], result: None })
}

/// Makes the Job, or finds it, and waits for its end.
pub(super) async fn run(asked: &Asked<'_>) -> Performance {
    let job = match begun(asked).await {
        Ok(job) => job,
        Err(trouble) => return trouble.performance(),
    };
    let cancel = &asked.performing.cancel;
    let mut log = Followed::new(asked);
    tokio::select! {
        biased;
        ended = finished(&job, &mut log) => match ended {
            Ok(ended) => outcome(&job, &ended).await,
            Err(trouble) => trouble.performance(),
        },
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

async fn begun(asked: &Asked<'_>) -> Result<Target, Trouble> {
    let job = target(asked).await?;
    made(asked, &job, &manifest::wanted(asked)?).await?;
    Ok(job)
}

/// The Job: made now, or found where a performance of the same step made it.
pub(super) async fn made(
    asked: &Asked<'_>,
    job: &Target,
    wanted: &Wanted<'_>,
) -> Result<model::Value, Trouble> {
    let body = wanted.manifest(job, asked.performing);
    match asked.send(Request::post(&collection(job), body)).await {
        Err(failure) if failure.reason == "AlreadyExists" => {
            let found = job.get(None).await?;
            if found["metadata"]["annotations"][KEY] == asked.performing.key.as_str() {
                return Ok(found);
            }
            let message = format!("{} is there, and no step of this key made it", job.identity());
            Err(refused(ErrorKind::Conflict, message))
        }
        made => made.map_err(Trouble::from),
    }
}

async fn outcome(job: &Target, ended: &Ended) -> Performance {
    let mut result = ended.told();
    let (kind, message) = match (&ended.end, ended.exit_code()) {
        (End::Complete, code) => {
            result["exit_code"] = json!(code.unwrap_or(0));
            return Performance::Done(result);
        }
        (End::Never(why), _) => {
            remove(job).await.ok();
            (ErrorKind::Failed, format!("the Job's pod will not run: {why}"))
        }
        (End::TooLate, _) => {
            (ErrorKind::Deadline, "the Job ran longer than its `timeout`".to_owned())
        }
        (End::Failed(_), Some(code)) => {
            let kind = if code == 75 { ErrorKind::Unavailable } else { ErrorKind::Program };
            (kind, format!("the program ended with exit code {code}"))
        }
        (End::Failed(why), None) => (ErrorKind::Program, format!("the Job failed: {why}")),
    };
    Performance::Failed(StepError::new(kind, message).with_details(result))
}
