//! `kubernetes.apply` and `kubernetes.diff`: server-side apply of several objects in their order, wave
//! by wave.

use std::time::Duration;

use futures::future::join_all;
use host::kubernetes::{Failure, Patch, Resource};
use model::{ErrorKind, Map, StepError, Value};
use serde_json::json;
use tokio::time::Instant;

use super::acted::{Acted, Moved};
use super::asked::{Asked, MANAGER, Target, Trouble, duration, refused, told};
use super::difference::{difference, paths};
use super::goal::Goal;
use super::going::{is_going, standing};
use super::manifest::{Manifest, manifests};
use super::namespaces::Namespaces;
use super::tokens::fitting;
use super::waiting::{self, Awaited, Wait};

/// Whose an object is: an object of another owner is not touched.
const OWNER: &str = "tripline.dev/owner";
/// How long what is being deleted may take to be gone, and a new kind to be served.
const SETTLING: Duration = Duration::from_secs(60);
/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(500);
/// How often somebody else may be quicker.
const CONFLICTS: usize = 8;
/// Objects of one kind that are applied at the same time. The connection's rate holds all the same.
const AT_ONCE: usize = 16;

pub(super) async fn apply(asked: &Asked<'_>) -> Result<Acted, Trouble> {
    let wait = wait(asked)?;
    let all = manifests(&asked.parameters()["manifest"])?;
    let (mut moved, mut targets) = (Vec::new(), Vec::new());
    let namespaces = Namespaces::default();
    for wave in all.chunk_by(|one, next| one.wave == next.wave) {
        let before = targets.len();
        for some in batches(wave) {
            let mut failed = None;
            for (manifest, applied) in some.iter().zip(beside(asked, some, &all, &namespaces).await)
            {
                match applied {
                    Ok((target, one)) => {
                        let uid = uid(&one).as_str().map(ToOwned::to_owned);
                        moved.push(one);
                        targets.extend(target.map(|target| Awaited { target, uid }));
                    }
                    Err(trouble) => drop(failed.get_or_insert((trouble, manifest))),
                }
            }
            if let Some((trouble, manifest)) = failed {
                return Err(within(trouble, manifest, &moved));
            }
        }
        if moved.len() < all.len() && !asked.dry {
            waiting::for_all(asked, &targets[before..], &between(asked)?).await?;
        }
    }
    if let Some(wait) = wait.filter(|_| !asked.dry) {
        waiting::for_all(asked, &targets, &wait).await?;
    }
    let objects: Vec<Value> = moved.iter().map(answer).collect();
    let changed = moved.iter().any(Moved::is_change);
    Ok(Acted { moved, result: Some(json!({ "objects": objects, "changed": changed })) })
}

/// What applying would change.
pub(super) async fn diff(asked: &Asked<'_>) -> Result<Value, Trouble> {
    let all = manifests(&asked.parameters()["manifest"])?;
    let mut objects = Vec::new();
    for some in batches(&all) {
        let looked = beside(asked, some, &all, &Namespaces::default()).await;
        for (manifest, looked) in some.iter().zip(looked) {
            let (_, moved) = looked.map_err(|trouble| within(trouble, manifest, &[]))?;
            let mut object = answer(&moved);
            let (before, after) = (moved.before.as_ref(), moved.after.as_ref());
            object["diff"] = json!(difference(before, after));
            object["paths"] = json!(before.zip(after).map(|(before, after)| paths(before, after)));
            objects.push(object);
        }
    }
    let changed = objects.iter().any(|object| object["result"] != "unchanged");
    Ok(json!({ "changed": changed, "objects": objects }))
}

/// Those of one kind, in their order, as many as are applied at the same time.
fn batches(all: &[Manifest]) -> impl Iterator<Item = &[Manifest]> {
    let kinds = all.chunk_by(|one, next| one.kind() == next.kind());
    kinds.flat_map(|kind| kind.chunks(AT_ONCE))
}

/// Applies objects of one kind side by side. Whatever fails, those beside it are waited for: what they
/// did is told.
async fn beside(
    asked: &Asked<'_>,
    some: &[Manifest],
    all: &[Manifest],
    namespaces: &Namespaces,
) -> Vec<Result<(Option<Target>, Moved), Trouble>> {
    if let [first, _, ..] = some {
        // It is discovered once for all of them; each tells itself where it is not known.
        resource(asked, first, all).await.ok();
    }
    join_all(some.iter().map(|manifest| one(asked, manifest, all, namespaces))).await
}

fn answer(moved: &Moved) -> Value {
    let mut answer = told(&moved.identity, moved.result);
    answer["uid"] = uid(moved).clone();
    answer
}

fn uid(moved: &Moved) -> &Value {
    moved.after.as_ref().map_or(&Value::Null, |after| &after["metadata"]["uid"])
}

/// The same trouble, with the object it was met at and what had been done before.
fn within(mut trouble: Trouble, manifest: &Manifest, done: &[Moved]) -> Trouble {
    let error = &mut trouble.error;
    error.message = format!("{}: {}", manifest.identity, error.message);
    if error.kind == ErrorKind::Conflict && error.details["causes"].is_array() {
        error
            .message
            .push_str(": leave the field to its manager, or take it over with `force: true`");
    }
    let mut details = error.details.as_object().cloned().unwrap_or_default();
    details.insert("object".to_owned(), told(&manifest.identity, "failed"));
    details.insert("done".to_owned(), done.iter().map(answer).collect());
    error.details = Value::Object(details);
    trouble
}

/// Applies one object; there is no target where its kind or namespace is only going to be there.
async fn one(
    asked: &Asked<'_>,
    manifest: &Manifest,
    all: &[Manifest],
    namespaces: &Namespaces,
) -> Result<(Option<Target>, Moved), Trouble> {
    let identity = &manifest.identity;
    let created = || Moved::new(identity.clone(), None, Some(manifest.object.clone()));
    let resource = match resource(asked, manifest, all).await {
        Err(_) if asked.dry && defines(all, manifest) => return Ok((None, created())),
        resource => resource?,
    };
    let target =
        asked.target_of(resource, identity.namespace.clone(), identity.name.clone()).await?;
    let until = Instant::now() + settling(asked)?;
    let mut conflicts = 0;
    loop {
        let before = standing(asked, &target, until).await?;
        let object = owned(asked, &target, manifest.object.clone(), before.as_ref())?;
        let after = match patch(asked, &target, object).await {
            // Whose it is may be another by now.
            Err(failure)
                if conflicts < CONFLICTS && before.is_some() && was_written(&failure, manifest) =>
            {
                conflicts += 1;
                continue;
            }
            Err(failure) if asked.dry && lacks_namespace(&failure) && makes(all, &target) => {
                return Ok((None, created()));
            }
            after => after?,
        };
        let written = Instant::now();
        if is_going(&after) {
            // What was written goes with the object.
            if asked.dry {
                return Ok((Some(target), created()));
            }
            continue;
        }
        // Nothing is made in a namespace that is going.
        let namespace = target.namespace.as_deref().filter(|_| before.is_some() && !asked.dry);
        match namespace {
            Some(name) if namespaces.is_going(asked, name, written).await? => {
                if Instant::now() >= until {
                    return Err(goes_with(name));
                }
                asked.pause(PAUSE).await?;
            }
            _ => {
                let moved = Moved::new(target.identity(), before, Some(after));
                return Ok((Some(target), moved));
            }
        }
    }
}

fn goes_with(namespace: &str) -> Trouble {
    let message = format!(
        "its namespace `{namespace}` is being deleted, and not gone yet: what is in it goes with it"
    );
    refused(ErrorKind::Unavailable, message)
}

/// How long what stands in the way may take to be gone: no longer than the step waits for what it
/// applies.
fn settling(asked: &Asked<'_>) -> Result<Duration, StepError> {
    let timeout = asked.parameters()["wait"]["timeout"].as_str();
    let timeout = timeout.map(|text| duration("timeout", text)).transpose()?;
    Ok(timeout.map_or(SETTLING, |timeout| timeout.to_std().min(SETTLING)))
}

async fn patch(asked: &Asked<'_>, target: &Target, object: Value) -> Result<Value, Failure> {
    let force = asked.parameters()["force"] == true;
    let manager = asked.option("field_manager").unwrap_or(MANAGER);
    let request = target.patch(Patch::Apply, object, None).with("force", force);
    let until = Instant::now() + SETTLING;
    loop {
        let answer = asked.send_as(manager, request.clone()).await;
        match answer {
            Err(failure) if is_terminating(&failure) && !asked.dry && Instant::now() < until => {
                asked.pause(PAUSE).await?;
            }
            answer => return answer.map_err(refusal),
        }
    }
}

/// The API server answers with status 500 to a field of another type than its schema says, which no
/// further attempt makes right.
fn refusal(failure: Failure) -> Failure {
    if !failure.message.starts_with("failed to create typed patch object") {
        return failure;
    }
    Failure { kind: ErrorKind::Rejected, certain: true, ..failure }
}

/// Its namespace is not there, or going.
fn lacks_namespace(failure: &Failure) -> bool {
    failure.is_not_found() || is_terminating(failure)
}

/// Its namespace is going, and can then be made anew.
fn is_terminating(failure: &Failure) -> bool {
    let mut causes = failure.details["causes"].as_array().into_iter().flatten();
    causes.any(|cause| cause["reason"] == "NamespaceTerminating")
}

/// Where its kind lies. One that is defined in the same step takes a moment to be served.
async fn resource(
    asked: &Asked<'_>,
    manifest: &Manifest,
    all: &[Manifest],
) -> Result<Resource, Failure> {
    let until = Instant::now() + SETTLING;
    let identity = &manifest.identity;
    loop {
        let found = asked.cluster.resource(&identity.api_version, &identity.kind).await;
        let soon = !asked.dry && defines(all, manifest) && Instant::now() < until;
        match found {
            Err(failure) if failure.is_not_found() && soon => asked.pause(PAUSE).await?,
            found => return found,
        }
    }
}

/// Whether the kind of `manifest` is defined by another of these objects.
fn defines(all: &[Manifest], manifest: &Manifest) -> bool {
    let identity = &manifest.identity;
    let group = identity.api_version.split_once('/').map_or("", |(group, _)| group);
    all.iter().filter(|one| one.identity.kind == "CustomResourceDefinition").any(|one| {
        let spec = &one.object["spec"];
        spec["group"] == group && spec["names"]["kind"] == identity.kind.as_str()
    })
}

/// Whether the namespace of `target` is made by another of these objects.
fn makes(all: &[Manifest], target: &Target) -> bool {
    let is_it = |one: &Manifest| {
        one.identity.kind == "Namespace" && Some(&one.identity.name) == target.namespace.as_ref()
    };
    all.iter().any(is_it)
}

/// Whether somebody wrote to the object, or deleted it, since it was read. That a field is another
/// manager's has causes.
fn was_written(failure: &Failure, manifest: &Manifest) -> bool {
    let conflict = failure.reason == "Conflict" && !failure.details["causes"].is_array();
    let chosen = manifest.object["metadata"]["resourceVersion"].is_string();
    (conflict && !chosen) || failure.is_not_found()
}

/// The object as it is sent: with its namespace and owner, for the version that was read.
fn owned(
    asked: &Asked<'_>,
    target: &Target,
    mut object: Value,
    before: Option<&Value>,
) -> Result<Value, Trouble> {
    if let Some(namespace) = &target.namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    if let Some(before) = before.filter(|_| !asked.dry) {
        let version = &mut object["metadata"]["resourceVersion"];
        // Its author may mean another one.
        if version.is_null() {
            *version = before["metadata"]["resourceVersion"].clone();
        }
    }
    // A manifest may say it itself.
    let named = object["metadata"]["annotations"][OWNER].as_str().map(ToOwned::to_owned);
    let owner = asked.option("owner").or(named.as_deref());
    let found = before.and_then(|before| before["metadata"]["annotations"][OWNER].as_str());
    if let Some(other) = found.filter(|found| Some(*found) != owner) {
        let message = format!(
            "it is owned by `{other}` (annotation `{OWNER}`): expected {}; who applies for its owner says `owner: {other}`",
            owner.map_or("no owner".to_owned(), |owner| format!("`{owner}`"))
        );
        return Err(refused(ErrorKind::Denied, message));
    }
    if let Some(owner) = owner {
        let annotations = &mut object["metadata"]["annotations"];
        if !annotations.is_object() {
            *annotations = Value::Object(Map::new());
        }
        annotations[OWNER] = json!(owner);
    }
    Ok(if asked.dry { fitting(object) } else { object })
}

/// What is waited for before the next wave: the next one may need it.
fn between(asked: &Asked<'_>) -> Result<Wait, Trouble> {
    Ok(Wait::new(Goal::Healthy, asked.parameters()["wait"]["timeout"].as_str())?)
}

/// What is waited for once all are applied.
fn wait(asked: &Asked<'_>) -> Result<Option<Wait>, Trouble> {
    let wanted = &asked.parameters()["wait"];
    if wanted.is_null() {
        return Ok(None);
    }
    let goal = match &wanted["for"] {
        Value::Null => Goal::Healthy,
        goal => Goal::parse(goal)?,
    };
    Ok(Some(Wait::new(goal, wanted["timeout"].as_str())?))
}
