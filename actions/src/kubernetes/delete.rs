//! `kubernetes.delete`: gone is gone, and never another object of the same name.

use host::kubernetes::{Failure, Request};
use model::{ErrorKind, Value};
use serde_json::json;

use super::acted::{Acted, Moved};
use super::asked::{Asked, Target, Trouble, refused};
use super::goal::Goal;
use super::waiting::{Awaited, Wait, until};

/// Namespaces that are not deleted, nor anything in them, where the configuration names no others.
pub const PROTECTED: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

pub(super) async fn delete(asked: &Asked<'_>, protected: &[String]) -> Result<Acted, Trouble> {
    let target = asked.target().await?;
    allowed(&target, protected)?;
    let wait = Wait::new(Goal::Deleted, asked.option("timeout"))?;
    let wanted = asked.option("uid");
    let found = target.find().await?;
    let Some(object) =
        found.filter(|object| wanted.is_none_or(|uid| object["metadata"]["uid"] == uid))
    else {
        return Ok(Acted::answer(json!({ "existed": false })));
    };
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let identity = target.identity();
    match asked.cluster.request(&request(asked, &target, &uid)).await {
        Err(failure) if failure.is_not_found() => {}
        // Another object may have its name by now, so that it is gone itself; or somebody objects.
        Err(failure) if failure.status == Some(409) && is_gone(&target, &uid).await? => {}
        answer => drop(answer?),
    }
    if asked.parameters()["wait"] == true && !asked.dry {
        until(asked, &Awaited { target, uid: Some(uid) }, &wait).await?;
    }
    let moved = Moved::new(identity, Some(object), None);
    Ok(Acted { moved: vec![moved], result: Some(json!({ "existed": true })) })
}

/// Whether that very object is not there any more.
async fn is_gone(target: &Target, uid: &str) -> Result<bool, Failure> {
    let found = target.find().await?;
    Ok(found.is_none_or(|object| object["metadata"]["uid"] != uid))
}

fn request(asked: &Asked<'_>, target: &Target, uid: &str) -> Request {
    let propagation = match asked.text("propagation") {
        "foreground" => "Foreground",
        "orphan" => "Orphan",
        _ => "Background",
    };
    let mut preconditions = json!({ "uid": uid });
    if let Some(version) = asked.option("resource_version") {
        preconditions["resourceVersion"] = json!(version);
    }
    let mut options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions",
        "propagationPolicy": propagation, "preconditions": preconditions,
    });
    if asked.dry {
        options["dryRun"] = Value::from(vec!["All"]);
    }
    Request::delete(&target.path(None), options)
}

fn allowed(target: &Target, protected: &[String]) -> Result<(), Trouble> {
    let namespace = match target.resource.kind.as_str() {
        "Namespace" => Some(&target.name),
        _ => target.namespace.as_ref(),
    };
    let Some(namespace) = namespace.filter(|namespace| protected.contains(namespace)) else {
        return Ok(());
    };
    let message = format!(
        "the namespace `{namespace}` is protected: neither it nor what is in it is deleted (`kubernetes.protected_namespaces` in tripline.yaml)"
    );
    Err(refused(ErrorKind::Denied, message))
}
