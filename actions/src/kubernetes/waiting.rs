//! Waiting until objects have come where they should, or never will.
//!
//! An object is looked at when a watch tells of it, and now and then besides: the pods of a workload
//! tell nothing to the workload's watch, and not everybody may watch.

use std::time::Duration;

use futures::future::try_join_all;
use host::kubernetes::Failure;
use model::{ErrorKind, StepError, Value};
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::asked::{Asked, DEFAULT_PATIENCE, Target, Trouble, duration, shown};
use super::bell::{Bell, Bells, version};
use super::goal::{Goal, Verdict};
use super::patience::Refusal;
use super::stuck;

/// First and longest pause between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// The pause where a watch tells all there is to look at: it may have stalled.
const WATCHED: Duration = Duration::from_secs(30);
/// How long the last look may take after the time is up.
const LAST: Duration = Duration::from_secs(5);
/// How long it may take to learn why an object does not get on: it only explains a failure.
const EXPLAINING: Duration = Duration::from_secs(10);

/// How long it must look as if it would never come: a controller that begins anew shows for a moment
/// how its last try ended.
const SURE: Duration = Duration::from_secs(2);

/// What is waited for, and how long; by all objects that are waited for together.
pub(super) struct Wait {
    goal: Goal,
    /// As its author wrote it.
    told: String,
    until: Instant,
    bells: Bells,
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
        Ok(Self { goal, told: timeout.to_owned(), until, bells: Bells::new() })
    }

    /// Whether pods tell how the object does: its own watch tells nothing of them.
    fn has_pods(&self, target: &Target) -> bool {
        let kind = &target.resource.kind;
        self.goal.takes_health(kind) && stuck::has_pods(kind)
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
    let mut bell = Bell::of(target, &wait.bells);
    let (mut pause, mut whole, mut last) = (PAUSES.0, true, Instant::now());
    let mut lost: Option<Instant> = None;
    let mut refusal = Refusal::none(asked.performing.resumed);
    loop {
        let Looked { object, verdict } = look(awaited, wait, whole, &mut refusal).await?;
        let now = Instant::now();
        last = if whole { now } else { last };
        let over = now + PAUSES.0 > wait.until;
        match verdict {
            Verdict::Met => return Ok(object),
            Verdict::Gone(why) => return Err(gone(target, &why)),
            Verdict::Never(why) => {
                let since = *lost.get_or_insert(now);
                if over || since.elapsed() >= SURE {
                    return Err(never(asked, target, why).await);
                }
            }
            Verdict::NotYet(missing) if over => {
                return Err(late(asked, target, wait, &missing).await);
            }
            // Whether its pods still say so was not asked.
            Verdict::NotYet(_) if !whole => {}
            Verdict::NotYet(_) => lost = None,
        }
        let seen = object.as_ref().and_then(version);
        let is_told = bell.is_heard() && lost.is_none() && !wait.has_pods(target);
        let next = (last + if is_told { WATCHED } else { pause }).min(wait.until);
        tokio::select! {
            paused = asked.pause(next - now) => {
                paused?;
                whole = true;
            }
            // What changes mostly changes several times.
            () = bell.rings(seen) => {
                sleep_until(now + pause / 4).await;
                whole = false;
            }
        }
        pause = (pause * 3 / 2).min(PAUSES.1);
    }
}

/// What a look at an object showed.
struct Looked {
    object: Option<Value>,
    verdict: Verdict,
}

/// Looks at the object, and as a `whole` at its pods too. A cluster that cannot be asked now may be
/// asked later.
async fn look(
    awaited: &Awaited,
    wait: &Wait,
    whole: bool,
    refusal: &mut Refusal,
) -> Result<Looked, Failure> {
    let longest = wait.until.max(Instant::now() + LAST);
    match timeout_at(longest, seen(awaited, wait, whole)).await {
        Ok(Err(failure)) if refusal.passes(&failure) => Ok(Looked::nothing(failure.message)),
        Ok(Err(failure)) => Err(failure),
        Ok(Ok(looked)) => {
            refusal.is_over();
            Ok(looked)
        }
        Err(_) => Ok(Looked::nothing("the API server did not answer in time".to_owned())),
    }
}

impl Looked {
    fn nothing(why: String) -> Self {
        Self { object: None, verdict: Verdict::NotYet(why) }
    }
}

async fn seen(awaited: &Awaited, wait: &Wait, whole: bool) -> Result<Looked, Failure> {
    let Awaited { target, uid } = awaited;
    let found = target.find().await?;
    let same = |object: &Value| uid.as_deref().is_none_or(|uid| object["metadata"]["uid"] == uid);
    let object = found.filter(same);
    let reported = target.resource.has("status");
    let verdict = wait.goal.judge(object.as_ref(), reported, uid.is_some());
    let doomed = match verdict {
        Verdict::NotYet(_) if whole => doomed(target, wait, object.as_ref()).await,
        _ => None,
    };
    Ok(Looked { object, verdict: doomed.map_or(verdict, Verdict::Never) })
}

/// Why what is waited for will not come, as its pods tell it.
async fn doomed(target: &Target, wait: &Wait, object: Option<&Value>) -> Option<String> {
    let object = object.filter(|_| wait.goal.takes_health(&target.resource.kind))?;
    // What cannot be asked now is asked at the next look, and a right that is missing told at the end.
    stuck::reason(target, object).await.ok().flatten()
}

async fn never(asked: &Asked<'_>, target: &Target, why: String) -> Trouble {
    let message = format!("{} will not become healthy: {why}", target.identity());
    let error = StepError::new(ErrorKind::Failed, message);
    explained(asked, target, error).await
}

fn gone(target: &Target, why: &str) -> Trouble {
    let message = format!("{} is not waited for any longer: {why}", target.identity());
    StepError::new(ErrorKind::Failed, message).into()
}

async fn late(asked: &Asked<'_>, target: &Target, wait: &Wait, missing: &str) -> Trouble {
    let message = format!("{}: not within {}: {missing}", target.identity(), wait.told);
    let error = StepError::new(ErrorKind::Deadline, message);
    explained(asked, target, error).await
}

/// The error, with what can be learnt of the object in a short time.
async fn explained(asked: &Asked<'_>, target: &Target, error: StepError) -> Trouble {
    if !stuck::has_pods(&target.resource.kind) {
        return error.into();
    }
    let told = timeout(EXPLAINING, stuck::told(asked, target)).await;
    told.unwrap_or_default().explain(error).into()
}
