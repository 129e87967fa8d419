//! Secrets among objects: their values never leave here, only hashes that tell one from another.

use model::{Hash, Value};

/// The annotation in which `kubectl apply` repeats the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Whether an object is a Secret, whose values nobody may see.
pub fn is_secret(object: &Value) -> bool {
    object["apiVersion"] == "v1" && object["kind"] == "Secret"
}

/// Puts a hash in the place of each value of a `v1/Secret`, and takes away copies of them; leaves
/// other objects as they are. Equal values of different Secrets or keys have different hashes.
pub fn veil(object: &mut Value) {
    if !is_secret(object) {
        return;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of =
        format!("{}/{}", text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
    for field in ["data", "stringData"] {
        let values = object.get_mut(field).and_then(Value::as_object_mut);
        for (key, value) in values.into_iter().flatten() {
            let parts = [("of", of.as_str()), ("key", key), ("value", &text(value))];
            let hash = Hash::of_parts(parts.map(|(name, part)| (name, part.as_bytes())));
            *value = format!("sha256:{}", &hash.to_string()[..32]).into();
        }
    }
    let notes = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    if let Some(notes) = notes {
        notes.remove(LAST_APPLIED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_of_a_secret_become_hashes_and_copies_of_them_go() {
        let secret = |password: &str| {
            json!({ "apiVersion": "v1", "kind": "Secret", "data": { "a": password, "b": password },
                "metadata": { "name": "x", "annotations": { LAST_APPLIED: password, "c": "d" } } })
        };
        let veiled = |password: &str| {
            let mut object = secret(password);
            veil(&mut object);
            object
        };
        let (one, other) = (veiled("aHVudGVyMg=="), veiled("aHVudGVyMw=="));
        assert!(!one.to_string().contains("aHVudGVyMg"), "{one}");
        assert_eq!(one, veiled("aHVudGVyMg=="));
        assert_ne!(one["data"]["a"], other["data"]["a"]);
        assert_ne!(one["data"]["a"], one["data"]["b"]);
        assert_eq!(one["metadata"]["annotations"], json!({ "c": "d" }));
        let mut map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { "a": "b" } });
        veil(&mut map);
        assert_eq!(map["data"]["a"], "b");
    }
}
