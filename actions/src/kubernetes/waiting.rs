//! Waiting until objects have come where they should, or never will.

use std::time::Duration;

use futures::future::try_join_all;
use host::kubernetes::Failure;
use model::{ErrorKind, StepError, Value};
use serde_json::json;
use tokio::time::Instant;

use super::asked::{Asked, DEFAULT_PATIENCE, Target, Trouble, duration, shown};
use super::goal::{Goal, Verdict};
use super::patience::passes;
use super::stuck;

/// First and longest pause between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// How long it must look as if it would never come: a controller that begins anew shows for a moment
/// how its last try ended.
const SURE: Duration = Duration::from_secs(2);

/// What is waited for, and how long.
pub(super) struct Wait {
    goal: Goal,
    /// As its author wrote it.
    told: String,
    until: Instant,
}

/// An object that is waited for.
pub(super) struct Awaited {
    pub(super) target: Target,
    /// That very one, as somebody knows it: another one of its name is another object.
    pub(super) uid: Option<String>,
}

impl Wait {
    pub(super) fn new(goal: Goal, timeout: Option<&str>) -> Result<Self, StepError> {
        let timeout = timeout.unwrap_or(DEFAULT_PATIENCE);
        let until = Instant::now() + duration("timeout", timeout)?.to_std();
        Ok(Self { goal, told: timeout.to_owned(), until })
    }
}

/// `kubernetes.wait`.
pub(super) async fn wait(asked: &Asked<'_>) -> Result<Value, Trouble> {
    let goal = Goal::parse(&asked.parameters()["for"])?;
    let wait = Wait::new(goal, asked.option("timeout"))?;
    let start = Instant::now();
    let awaited = Awaited { target: asked.target().await?, uid: None };
    let object = until(asked, &awaited, &wait).await?;
    let waited = model::Duration::from_millis(start.elapsed().as_millis() as u64);
    Ok(json!({ "object": object.map(shown), "waited": waited }))
}

/// Waits until all of them are there, or the first of them will never be.
pub(super) async fn for_all(
    asked: &Asked<'_>,
    all: &[Awaited],
    wait: &Wait,
) -> Result<(), Trouble> {
    // Most are there at the first look, and the connection's rate holds for all of them.
    let each = all.iter().map(|awaited| until(asked, awaited, wait));
    try_join_all(each).await.map(drop)
}

/// Waits until the object is there; answers it.
pub(super) async fn until(
    asked: &Asked<'_>,
    awaited: &Awaited,
    wait: &Wait,
) -> Result<Option<Value>, Trouble> {
    let target = &awaited.target;
    let mut pause = PAUSES.0;
    let mut lost: Option<Instant> = None;
    loop {
        let verdict = match look(awaited, wait).await {
            Ok((object, Verdict::Met)) => return Ok(object),
            Ok((_, Verdict::Gone(why))) => return Err(gone(target, &why)),
            Ok((_, verdict)) => verdict,
            Err(failure) if passes(&failure) => Verdict::NotYet(failure.message),
            Err(failure) => return Err(failure.into()),
        };
        let over = Instant::now() + pause > wait.until;
        match verdict {
            Verdict::Never(why) => {
                let since = *lost.get_or_insert_with(Instant::now);
                if over || since.elapsed() >= SURE {
                    return Err(never(asked, target, why).await);
                }
            }
            Verdict::NotYet(missing) if over => {
                return Err(late(asked, target, wait, &missing).await);
            }
            _ => lost = None,
        }
        asked.pause(pause).await?;
        pause = (pause * 3 / 2).min(PAUSES.1);
    }
}

async fn look(awaited: &Awaited, wait: &Wait) -> Result<(Option<Value>, Verdict), Failure> {
    let Awaited { target, uid } = awaited;
    let found = target.find().await?;
    let same = |object: &Value| uid.as_deref().is_none_or(|uid| object["metadata"]["uid"] == uid);
    let found = found.filter(same);
    let reported = target.resource.has("status");
    let verdict = wait.goal.judge(found.as_ref(), reported, uid.is_some());
    let doomed = match verdict {
        Verdict::NotYet(_) => doomed(target, wait, found.as_ref()).await,
        _ => None,
    };
    Ok((found, doomed.map_or(verdict, Verdict::Never)))
}

/// Why what is waited for will not come, as its pods tell it.
async fn doomed(target: &Target, wait: &Wait, object: Option<&Value>) -> Option<String> {
    let object = object.filter(|_| wait.goal == Goal::Healthy)?;
    // What cannot be asked now is asked at the next look, and a right that is missing told at the end.
    stuck::reason(target, object).await.ok().flatten()
}

async fn never(asked: &Asked<'_>, target: &Target, why: String) -> Trouble {
    let message = format!("{} will not become healthy: {why}", target.identity());
    let error = StepError::new(ErrorKind::Failed, message);
    stuck::told(asked, target).await.explain(error).into()
}

fn gone(target: &Target, why: &str) -> Trouble {
    let message = format!("{} is not waited for any longer: {why}", target.identity());
    StepError::new(ErrorKind::Failed, message).into()
}

async fn late(asked: &Asked<'_>, target: &Target, wait: &Wait, missing: &str) -> Trouble {
    let message = format!("{}: not within {}: {missing}", target.identity(), wait.told);
    let error = StepError::new(ErrorKind::Deadline, message);
    stuck::told(asked, target).await.explain(error).into()
}
