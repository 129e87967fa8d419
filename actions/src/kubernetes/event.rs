//! `kubernetes.create_event`: something told of an object, once for each step.

use host::Clock;
use host::kubernetes::Request;
use model::Value;
use serde_json::json;

use super::acted::{Acted, Moved};
use super::asked::{Asked, Trouble};
use super::short;

/// Where events lie of objects that lie in no namespace.
pub(super) const UNPLACED: &str = "default";
/// Longest name of an object.
const LONGEST: usize = 253;
/// Who tells it.
const COMPONENT: &str = "tripline";

pub(super) async fn create(asked: &Asked<'_>) -> Result<Acted, Trouble> {
    let about = asked.target().await?;
    let object = about.get(None).await?;
    let events = asked.cluster.resource("v1", "Event").await?;
    let namespace = about.namespace.clone().unwrap_or_else(|| UNPLACED.to_owned());
    let name = name(&about.name, &short(&asked.performing.key));
    let event = asked.target_of(events, Some(namespace), name.clone()).await?;
    let body = body(asked, &object, &name, event.namespace.as_deref());
    let collection = event.resource.collection(event.namespace.as_deref());
    let after = match asked.send(Request::post(&collection, body.clone())).await {
        // An earlier attempt told it.
        Err(failure) if failure.reason == "AlreadyExists" => body,
        made => made?,
    };
    let moved = Moved::new(event.identity(), None, Some(after));
    Ok(Acted { moved: vec![moved], result: Some(json!({ "name": name })) })
}

/// The event's name, which is no longer than one may be.
fn name(about: &str, key: &str) -> String {
    let room = LONGEST - key.len() - 1;
    let about: String = about.chars().take(room).collect();
    // Each part of a name ends with a letter or a number.
    format!("{}.{key}", about.trim_end_matches(['.', '-']))
}

fn body(asked: &Asked<'_>, object: &Value, name: &str, namespace: Option<&str>) -> Value {
    let now = format!("{:.0}", Clock::System.now());
    let (metadata, text) = (&object["metadata"], |name| asked.text(name));
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": { "name": name, "namespace": namespace },
        "involvedObject": {
            "apiVersion": object["apiVersion"], "kind": object["kind"],
            "namespace": metadata["namespace"], "name": metadata["name"],
            "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"],
        },
        "type": asked.option("type").unwrap_or("Normal"),
        "reason": text("reason"), "message": text("message"),
        "action": asked.option("action").unwrap_or("Automation"),
        "source": { "component": COMPONENT },
        "reportingComponent": "tripline.dev/tripline", "reportingInstance": COMPONENT,
        "firstTimestamp": now, "lastTimestamp": now, "count": 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_events_name_is_no_longer_than_one_may_be() {
        assert_eq!(name("web", "abc"), "web.abc");
        let long = format!("{}-.{}", "x".repeat(248), "y".repeat(10));
        assert_eq!(name(&long, "abc"), format!("{}.abc", "x".repeat(248)));
    }
}
