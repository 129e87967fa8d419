//! `kubernetes.run_job`: a program in the cluster, once for each run of its step.
//!
//! The Job's name follows from the step's key and the run: whoever performs the run again, in this
//! process or after a kill in the next, finds the Job that runs already and waits for that one. The
//! Jobs of packs' programs ([`super::program`]) are made, followed and judged by the same code.

mod begin;
mod end;
mod follow;
mod manifest;
mod outcome;

use host::kubernetes::{Failure, Request};
use model::{Effect, Performance, Value};
use serde_json::json;

pub(super) use self::begin::{begun, former};
pub(super) use self::end::{Ended, finished, given_up};
pub(super) use self::follow::Followed;
pub(super) use self::manifest::{Hidden, Wanted};
pub(super) use self::outcome::over;
use super::acted::{Acted, Moved};
use super::asked::{Asked, Target, Trouble};
use super::patience::at_first;

/// What running the program twice does, as the step says.
pub(super) fn effect(parameters: &Value) -> Effect {
    match parameters["effect"].as_str() {
        Some("idempotent") => Effect::Idempotent,
        _ => Effect::Unsafe,
    }
}

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
    let after = asked.send(Request::post(&begin::collection(job), body)).await?;
    let moved = Moved::new(job.identity(), None, Some(after));
    Ok(Acted { moved: vec![moved], result: None })
}

/// Makes the Job, or finds it, and waits for its end.
pub(super) async fn run(asked: &Asked<'_>) -> Performance {
    let job = match at_first(asked, || target(asked)).await.map_err(Trouble::from) {
        Ok(job) => job,
        Err(trouble) if asked.performing.resumed => return Performance::Unknown(trouble.error),
        Err(trouble) => return Performance::Failed(trouble.error),
    };
    tokio::select! {
        biased;
        performance = carried(asked, &job) => performance,
        () = asked.performing.cancel.cancelled() => given_up(asked, &job).await,
    }
}

async fn carried(asked: &Asked<'_>, job: &Target) -> Performance {
    let performing = asked.performing;
    let wanted = match manifest::wanted(asked) {
        Ok(wanted) => wanted,
        Err(error) => return Performance::Failed(error),
    };
    let former: Vec<String> = former(performing.run).map(|run| name(asked, run)).collect();
    let may_repeat = effect(asked.parameters()) != Effect::Unsafe;
    if let Err(performance) = begun(asked, job, &wanted, &former, may_repeat).await {
        return performance;
    }
    let mut log = Followed::of_run(asked, &title(job), None).await;
    match finished(job, &mut log).await {
        Ok(ended) => {
            over(asked, job, &ended, wanted.keep, || Performance::Done(done(&ended))).await
        }
        Err(error) => Performance::Unknown(error),
    }
}

/// What the lines of a Job's program come after in the step's log.
pub(super) fn title(job: &Target) -> String {
    format!("[tripline: {}]", job.identity())
}

async fn target(asked: &Asked<'_>) -> Result<Target, Failure> {
    let jobs = asked.cluster.resource("batch/v1", "Job").await?;
    asked.target_of(jobs, None, name(asked, asked.performing.run)).await
}

fn name(asked: &Asked<'_>, run: u32) -> String {
    manifest::name(asked.option("name").unwrap_or("tripline"), asked.performing, run)
}

fn done(ended: &Ended) -> Value {
    let mut result = ended.told();
    // It completed, so that it did end well where its pod is gone.
    result["exit_code"] = json!(ended.exit_code().unwrap_or(0));
    result
}
