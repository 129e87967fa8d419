//! How a Job comes to be: once for each run of its step, whoever performs that and however often.
//!
//! ```text
//!  former runs are over ─▶ Job, suspended where it has a Secret ─▶ Secret, owned by it ─▶ let go
//! ```
//! A lost answer is no answer: what may have been made is looked for before anything else is done.

use std::time::Duration;

use host::kubernetes::{Failure, Patch, Request, Selected};
use model::{ErrorKind, Performance, StepError, Value};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::end::{remove, withdraw};
use super::manifest::{BEGUN, KEY, Wanted};
use crate::kubernetes::asked::{Asked, Target, Trouble, refused};
use crate::kubernetes::patience::patiently;

/// Between two tries to learn of what may be there.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a Job is looked for whose making failed: the API server may have gone on with it.
const LATE: Duration = Duration::from_secs(5);
/// How long what an earlier run began may take to be gone.
const FORMER: Duration = Duration::from_secs(90);
/// Most earlier runs that are looked at.
const LOOKED_AT: usize = 20;

/// The runs before this one of the same question: a poll counts each of its own by the thousand.
pub(in crate::kubernetes) fn former(run: u32) -> impl Iterator<Item = u32> {
    (run / 1_000 * 1_000 + 1..run).rev().take(LOOKED_AT)
}

/// The Job of this run, let go: found where it was made before, else made now. Nothing runs any more
/// of the Jobs `former`, which earlier runs of the step made.
///
/// A Job that an earlier process may have made and that is not there is made again only where its
/// program may run twice.
pub(in crate::kubernetes) async fn begun(
    asked: &Asked<'_>,
    job: &Target,
    wanted: &Wanted<'_>,
    former: &[String],
    may_repeat: bool,
) -> Result<(), Performance> {
    let before = found_before(asked, job, may_repeat).await?;
    let made = if let Some(found) = before {
        found
    } else {
        let over = over(asked, job, former).await;
        over.map_err(|trouble| Performance::Failed(trouble.error))?;
        made(asked, job, wanted, may_repeat).await?
    };
    let go = patiently(asked, || let_go(asked, job, wanted, &made)).await;
    let Err(failure) = go else { return Ok(()) };
    // What was made for a Job that could not be let go is taken away again.
    Err(match withdraw(job).await {
        true => Performance::Failed(Trouble::from(failure).error),
        false => Performance::Unknown(Trouble::from(failure).error),
    })
}

/// What an earlier process made for this run.
async fn found_before(
    asked: &Asked<'_>,
    job: &Target,
    may_repeat: bool,
) -> Result<Option<Value>, Performance> {
    if !asked.performing.resumed {
        return Ok(None);
    }
    match found(asked, job).await? {
        None if !may_repeat => {
            let why = "or was never made: nobody knows whether its program ran";
            let message = format!("{} is gone, {why}", job.identity());
            Err(Performance::Unknown(StepError::new(ErrorKind::Unavailable, message)))
        }
        found => Ok(found),
    }
}

/// The Job of this name, which must be this step's, once the cluster can be asked.
async fn found(asked: &Asked<'_>, job: &Target) -> Result<Option<Value>, Performance> {
    let found = patiently(asked, || job.find()).await;
    let found = found.map_err(|failure| Performance::Unknown(Trouble::from(failure).error))?;
    let owner = found.as_ref().map(|found| &found["metadata"]["annotations"][KEY]);
    if owner.is_some_and(|owner| *owner != asked.performing.key.as_str()) {
        let message = format!("{} is there, and no step of this key made it", job.identity());
        return Err(refused(ErrorKind::Conflict, message).performance());
    }
    Ok(found)
}

/// Makes the Job. One of its name cannot be made twice, so that a lost request is sent again.
async fn made(
    asked: &Asked<'_>,
    job: &Target,
    wanted: &Wanted<'_>,
    may_repeat: bool,
) -> Result<Value, Performance> {
    let request = Request::post(&collection(job), wanted.manifest(job, asked.performing));
    // An earlier process may have sent one.
    let mut sent = asked.performing.resumed;
    loop {
        let failure = match asked.send(request.clone()).await {
            Ok(made) => return Ok(made),
            Err(failure) => failure,
        };
        let is_there = failure.reason == "AlreadyExists";
        if failure.certain && !sent && !is_there {
            return Err(Performance::Failed(Trouble::from(failure).error));
        }
        sent |= !failure.certain;
        if failure.status.is_none() {
            sleep(PAUSE).await;
            continue;
        }
        return match found_late(asked, job).await? {
            Some(found) => Ok(found),
            None if is_there => Err(Performance::Unknown(gone(job))),
            // It may come yet. Without its Secret it would not begin.
            None if !may_repeat && wanted.hidden.is_empty() => {
                Err(Performance::Unknown(Trouble::from(failure).error))
            }
            None => Err(Performance::Failed(Trouble::from(failure).error)),
        };
    }
}

/// The Job, which may be there only in a moment.
async fn found_late(asked: &Asked<'_>, job: &Target) -> Result<Option<Value>, Performance> {
    let until = Instant::now() + LATE;
    loop {
        let found = found(asked, job).await?;
        if found.is_some() || Instant::now() >= until {
            return Ok(found);
        }
        sleep(PAUSE).await;
    }
}

pub(super) fn collection(job: &Target) -> String {
    job.resource.collection(job.namespace.as_deref())
}

/// The Job was there, and is not any more.
pub(super) fn gone(job: &Target) -> StepError {
    let message = format!(
        "{} is gone, and nobody knows how its program ended: somebody deleted it",
        job.identity()
    );
    StepError::new(ErrorKind::Unavailable, message)
}

/// Gives the Job its Secret and its pod, unless it had them: who suspends it after that, or one that we
/// did not suspend, is to let it go himself.
async fn let_go(
    asked: &Asked<'_>,
    job: &Target,
    wanted: &Wanted<'_>,
    made: &Value,
) -> Result<(), Failure> {
    let is_begun = made["metadata"]["annotations"][BEGUN].is_string();
    if made["spec"]["suspend"] != true || wanted.hidden.is_empty() || is_begun {
        return Ok(());
    }
    let resource = asked.cluster.resource("v1", "Secret").await?;
    let path = resource.object(job.namespace.as_deref(), &job.name, None);
    let apply = Request::patch(&path, Patch::Apply, wanted.secret(job, made));
    asked.send(apply.with("force", true)).await?;
    let begun = json!({ "annotations": { BEGUN: "true" } });
    let go = json!({ "metadata": begun, "spec": { "suspend": false } });
    asked.send(job.patch(Patch::Merge, go, None)).await.map(drop)
}

/// Waits until nothing runs any more of what earlier runs of the step began: whoever gave one of
/// them up did not wait for the end of its pod.
async fn over(asked: &Asked<'_>, job: &Target, former: &[String]) -> Result<(), Trouble> {
    if former.is_empty() {
        return Ok(());
    }
    let until = Instant::now() + FORMER;
    for name in former {
        let earlier = Target { name: name.clone(), ..job.clone() };
        if earlier.find().await?.is_some_and(|earlier| super::end::ended(&earlier).is_none()) {
            remove(&earlier).await?;
        }
    }
    while let Some(pod) = alive(job, former).await? {
        if Instant::now() > until {
            let message = format!("the pod {pod} of an earlier attempt has not ended yet");
            return Err(refused(ErrorKind::Unavailable, message));
        }
        asked.pause(PAUSE).await?;
    }
    Ok(())
}

/// A pod of these Jobs that has not ended.
async fn alive(job: &Target, names: &[String]) -> Result<Option<String>, Failure> {
    let pods = job.cluster.resource("v1", "Pod").await?;
    let labels = format!("batch.kubernetes.io/job-name in ({})", names.join(","));
    let selected = Selected {
        namespace: job.namespace.as_deref(),
        labels: Some(&labels),
        ..Selected::all(&pods)
    };
    let found = job.cluster.list(&selected, LOOKED_AT, None).await?.objects;
    let is_over =
        |pod: &Value| pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed";
    let pod = found.iter().find(|pod| !is_over(pod));
    Ok(pod.map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()))
}
