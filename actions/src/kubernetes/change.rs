//! Actions that change parts of an object: read, see whether something is to be done, patch.

use host::Clock;
use host::kubernetes::Patch;
use model::{ErrorKind, Map, Value};
use serde_json::json;

use super::Verb;
use super::acted::{Acted, Moved};
use super::asked::{Asked, Target, Trouble, refused, shown};
use super::conditions::merged;

/// How often somebody else may be quicker.
const CONFLICTS: usize = 8;

/// Notes in a workload's template which step had its pods replaced.
const RESTARTED_BY: &str = "tripline.dev/restarted-by";
/// What `kubectl rollout restart` writes, and its users look for.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// A patch of an object, or of a part of it.
struct Edit {
    how: Patch,
    patch: Value,
    part: Option<&'static str>,
}

impl Edit {
    fn merge(patch: Value) -> Self {
        Self { how: Patch::Merge, patch, part: None }
    }
}

pub(super) async fn change(asked: &Asked<'_>, verb: Verb) -> Result<Acted, Trouble> {
    let mut target = asked.target().await?;
    if verb == Verb::PatchStatus && !target.resource.has("status") {
        // Its definition may have been mended since.
        asked.cluster.rediscover();
        target = asked.target().await?;
        if !target.resource.has("status") {
            return Err(no_status(&target.resource.kind));
        }
    }
    let read = if verb == Verb::Scale { Some("scale") } else { None };
    for _ in 0..CONFLICTS {
        let before = match target.get(read).await {
            Err(failure) if failure.is_not_found() && verb == Verb::RemoveFinalizer => {
                return Ok(Acted::answer(json!({ "object": null, "changed": false })));
            }
            before => before?,
        };
        meant(asked, &target, &before)?;
        let edit = edit(asked, verb, &before)?;
        let after = match edit {
            None => before.clone(),
            Some(Edit { how, patch, part }) => {
                match asked.send(target.patch(how, patch, part)).await {
                    // It names the version it was made for: read again.
                    Err(failure) if failure.status == Some(409) => continue,
                    after => after?,
                }
            }
        };
        let moved = Moved::new(target.identity(), Some(before), Some(after));
        let object = shown(moved.after.clone().unwrap_or_default());
        let result = json!({ "object": object, "changed": moved.is_change() });
        return Ok(Acted { moved: vec![moved], result: Some(result) });
    }
    let message = format!("{}: others changed it {CONFLICTS} times meanwhile", target.identity());
    Err(refused(ErrorKind::Conflict, message))
}

/// Refuses another object of the same name.
fn meant(asked: &Asked<'_>, target: &Target, object: &Value) -> Result<(), Trouble> {
    let found = &object["metadata"]["uid"];
    let Some(uid) = asked.option("uid").filter(|uid| found != uid) else {
        return Ok(());
    };
    let message = format!(
        "{}: it is another object by now: its uid is {found}, expected \"{uid}\"",
        target.identity()
    );
    Err(refused(ErrorKind::NotFound, message))
}

fn no_status(kind: &str) -> Trouble {
    let message = format!(
        "`{kind}` has no status of its own: add `subresources: {{ status: {{}} }}` to its definition"
    );
    refused(ErrorKind::Rejected, message)
}

/// What is to be done to an object that is so; nothing where it is done.
fn edit(asked: &Asked<'_>, verb: Verb, object: &Value) -> Result<Option<Edit>, Trouble> {
    let parameters = asked.parameters();
    let edit = match verb {
        Verb::Patch => Some(patch(parameters)),
        Verb::PatchStatus => status(parameters, object)?,
        Verb::Scale => Some(scale(parameters)),
        Verb::Restart => restart(asked, object)?,
        Verb::Label => Some(Edit::merge(json!({ "metadata": { "labels": parameters["labels"] } }))),
        Verb::Annotate => {
            Some(Edit::merge(json!({ "metadata": { "annotations": parameters["annotations"] } })))
        }
        _ => finalizers(asked.text("finalizer"), verb, object),
    };
    Ok(edit)
}

fn patch(parameters: &Value) -> Edit {
    let how = match parameters["type"].as_str() {
        Some("json") => Patch::Json,
        Some("strategic") => Patch::Strategic,
        _ => Patch::Merge,
    };
    let part = match parameters["subresource"].as_str() {
        Some("status") => Some("status"),
        Some("scale") => Some("scale"),
        _ => None,
    };
    Edit { how, patch: parameters["patch"].clone(), part }
}

/// The number of replicas; the API server refuses it for an object of another uid.
fn scale(parameters: &Value) -> Edit {
    let mut patch = json!({ "spec": { "replicas": parameters["replicas"] } });
    if let Some(uid) = parameters["uid"].as_str() {
        patch["metadata"] = json!({ "uid": uid });
    }
    Edit { part: Some("scale"), ..Edit::merge(patch) }
}

/// The status as it should be, for the version that was read: two who set conditions of their own at
/// the same time don't undo each other's.
fn status(parameters: &Value, object: &Value) -> Result<Option<Edit>, Trouble> {
    let empty = Vec::new();
    let mut wanted: Map = parameters["status"].as_object().cloned().unwrap_or_default();
    if let Some(conditions) = parameters["conditions"].as_array() {
        let current = object["status"]["conditions"].as_array().unwrap_or(&empty);
        let generation = object["metadata"]["generation"].as_i64();
        let now = format!("{:.0}", Clock::System.now());
        let all = merged(current, conditions, generation, &now);
        let all = all.map_err(|message| refused(ErrorKind::InvalidParameters, message))?;
        wanted.insert("conditions".to_owned(), all.into());
    }
    let wanted = Value::Object(wanted);
    if holds(&object["status"], &wanted) {
        return Ok(None);
    }
    let version = &object["metadata"]["resourceVersion"];
    let patch = json!({ "metadata": { "resourceVersion": version }, "status": wanted });
    Ok(Some(Edit { part: Some("status"), ..Edit::merge(patch) }))
}

/// Whether merging `wanted` (RFC 7396) into `value` would change nothing.
fn holds(value: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::Null => value.is_null(),
        Value::Object(wanted) => {
            let inner = |(key, wanted): (&String, &Value)| {
                holds(value.get(key).unwrap_or(&Value::Null), wanted)
            };
            value.is_object() && wanted.iter().all(inner)
        }
        other => value == other,
    }
}

fn restart(asked: &Asked<'_>, object: &Value) -> Result<Option<Edit>, Trouble> {
    if !object["spec"]["template"].is_object() {
        let message = format!(
            "a {} has no pods of its own to replace: expected a Deployment, StatefulSet or DaemonSet",
            asked.text("kind")
        );
        return Err(refused(ErrorKind::InvalidParameters, message));
    }
    let key = asked.performing.key.to_string();
    let by = &object["spec"]["template"]["metadata"]["annotations"][RESTARTED_BY];
    if *by == key {
        return Ok(None);
    }
    let now = format!("{:.0}", Clock::System.now());
    let annotations = json!({ RESTARTED_BY: key, RESTARTED_AT: now });
    let template = json!({ "metadata": { "annotations": annotations } });
    Ok(Some(Edit::merge(json!({ "spec": { "template": template } }))))
}

fn finalizers(finalizer: &str, verb: Verb, object: &Value) -> Option<Edit> {
    let current = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let mut wanted = current.clone();
    wanted.retain(|held| held != finalizer);
    if verb == Verb::AddFinalizer {
        if wanted.len() < current.len() {
            return None;
        }
        wanted.push(json!(finalizer));
    }
    if wanted == current {
        return None;
    }
    let version = &object["metadata"]["resourceVersion"];
    Some(Edit::merge(json!({ "metadata": { "resourceVersion": version, "finalizers": wanted } })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(finalizers: &Value) -> Value {
        json!({ "metadata": { "resourceVersion": "7", "finalizers": finalizers } })
    }

    #[test]
    fn finalizers_of_others_stay() {
        let all =
            |edit: Option<Edit>| edit.map(|edit| edit.patch["metadata"]["finalizers"].clone());
        let object = held(&json!(["x/a", "x/b"]));
        assert_eq!(
            all(finalizers("x/c", Verb::AddFinalizer, &object)),
            Some(json!(["x/a", "x/b", "x/c"]))
        );
        assert_eq!(all(finalizers("x/a", Verb::RemoveFinalizer, &object)), Some(json!(["x/b"])));
        assert_eq!(all(finalizers("x/a", Verb::AddFinalizer, &object)), None);
        assert_eq!(all(finalizers("x/c", Verb::RemoveFinalizer, &object)), None);
        let edit = finalizers("x/c", Verb::AddFinalizer, &object).unwrap();
        assert_eq!(edit.patch["metadata"]["resourceVersion"], "7", "only as it was read");
    }

    #[test]
    fn a_status_that_says_so_already_is_not_written() {
        let object = json!({
            "metadata": { "resourceVersion": "7", "generation": 2 },
            "status": { "phase": "Ready", "conditions": [{
                "type": "Ready", "status": "True", "reason": "R", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 2,
            }] },
        });
        let same = json!({
            "status": { "phase": "Ready", "gone": null },
            "conditions": [{ "type": "Ready", "status": "True", "reason": "R" }],
        });
        assert!(status(&same, &object).unwrap().is_none());
        let other = json!({ "status": { "phase": "Failed" } });
        let edit = status(&other, &object).unwrap().unwrap();
        assert_eq!(edit.patch["status"], json!({ "phase": "Failed" }));
        assert_eq!(edit.part, Some("status"));
    }
}
