//! Kubernetes Secrets without their values: what may be stored and shown of one.

use sha2::{Digest, Sha256};

use crate::{Map, Value};

/// What kubectl writes beside an object it applied: the whole of it, values included.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Whether an object is a Secret, whose values nobody may see.
pub fn is_secret(object: &Value) -> bool {
    object["apiVersion"] == "v1" && object["kind"] == "Secret"
}

/// The object; where it is a Secret, with hashes in the place of its values: enough to see that one
/// has changed.
///
/// A hash covers the Secret's namespace, name and key, so that equal values are not seen to be equal.
pub fn concealed(mut object: Value) -> Value {
    if !is_secret(&object) {
        return object;
    }
    let part = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    let place = format!("{}/{}", part("namespace"), part("name"));
    for field in ["data", "stringData"] {
        if let Some(values) = object.get_mut(field).and_then(Value::as_object_mut) {
            hash_all(&place, values);
        }
    }
    let annotations = object.pointer_mut("/metadata/annotations");
    if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    object
}

fn hash_all(place: &str, values: &mut Map) {
    for (key, value) in values {
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let hash = Sha256::digest(format!("{place}/{key}\0{text}"));
        let short: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        *value = Value::String(format!("sha256:{short}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(value: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "namespace": "n", "name": "s",
                "annotations": { LAST_APPLIED: value, "other": "stays" } },
            "data": { "password": value, "copy": value },
            "stringData": { "plain": value },
        })
    }

    #[test]
    fn nothing_of_a_value_is_left_and_a_change_is_seen() {
        let one = concealed(secret("aHVudGVyMg=="));
        assert!(!one.to_string().contains("aHVudGVyMg"), "{one}");
        assert_eq!(one["metadata"]["annotations"], json!({ "other": "stays" }));
        assert_ne!(one["data"]["password"], one["data"]["copy"], "equal values look equal");
        assert_eq!(one, concealed(secret("aHVudGVyMg==")));
        assert_ne!(one["data"], concealed(secret("b3RoZXI="))["data"]);
    }

    #[test]
    fn other_objects_stay_as_they_are() {
        let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { "a": "b" } });
        assert_eq!(concealed(map.clone()), map);
    }
}
