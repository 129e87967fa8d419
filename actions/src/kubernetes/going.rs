//! Objects that are being deleted. Nothing brings them back: what is written to them goes with them.

use std::time::Duration;

use model::{ErrorKind, Value};
use tokio::time::Instant;

use super::asked::{Asked, Target, Trouble, refused};
use super::object::Object;

/// Between two looks at what is going.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether it was deleted, and something holds it still.
pub(super) fn is_going(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// What holds an object that was deleted.
pub(super) fn still_there(object: &Value) -> String {
    let finalizers = object["metadata"]["finalizers"].as_array().into_iter().flatten();
    let finalizers: Vec<&str> = finalizers.filter_map(Value::as_str).collect();
    match (contents(Object(object)), finalizers.as_slice()) {
        (Some(contents), _) => contents,
        (None, []) => "it is still there".to_owned(),
        (None, held) => format!("it is held by its finalizers {}", held.join(", ")),
    }
}

/// What is left in a namespace, as its controller tells it.
fn contents(object: Object<'_>) -> Option<String> {
    if object.text("/kind") != "Namespace" {
        return None;
    }
    let told = ["NamespaceFinalizersRemaining", "NamespaceContentRemaining"];
    let told = told.iter().find_map(|kind| object.condition_is(kind, "True"))?;
    Some(told.message)
}

/// The object that is there, once none is that is going; in a dry run, what is there now.
pub(super) async fn standing(
    asked: &Asked<'_>,
    target: &Target,
    until: Instant,
) -> Result<Option<Value>, Trouble> {
    loop {
        let found = target.find().await?;
        let Some(going) = found.as_ref().filter(|found| !asked.dry && is_going(found)) else {
            return Ok(found);
        };
        if Instant::now() >= until {
            let why = still_there(going);
            let message = format!("it is being deleted, and not gone yet: {why}");
            return Err(refused(ErrorKind::Unavailable, message));
        }
        asked.pause(PAUSE).await?;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_holds_an_object_is_named() {
        let held = |kind: &str, more: Value| {
            let mut object = json!({ "kind": kind, "metadata": {} });
            object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            still_there(&object)
        };
        let remaining = json!({ "status": { "conditions": [
            { "type": "NamespaceContentRemaining", "status": "True", "message": "some pods" },
            { "type": "NamespaceFinalizersRemaining", "status": "True", "message": "a/b in 1" },
        ] } });
        assert_eq!(held("Namespace", remaining), "a/b in 1");
        assert_eq!(held("Namespace", json!({})), "it is still there");
        let finalizers = json!({ "metadata": { "finalizers": ["a", "b"] } });
        assert_eq!(held("ConfigMap", finalizers), "it is held by its finalizers a, b");
    }
}
