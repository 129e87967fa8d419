//! What changed in an object, by paths.

use host::kubernetes::Path;
use model::{Map, Value};

/// Most paths that are named of one change.
const MAX_CHANGED: usize = 100;

/// Where `old` and `new` differ, but for what changes with every write. A list is one value.
pub(super) fn differing(old: &Value, new: &Value) -> Vec<String> {
    let (mut at, mut found) = (Vec::new(), Vec::new());
    walk(old, new, &mut at, &mut found);
    found
}

fn walk(old: &Value, new: &Value, at: &mut Vec<String>, found: &mut Vec<String>) {
    if old == new || found.len() >= MAX_CHANGED {
        return;
    }
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        found.push(Path::from(at.clone()).to_string());
        return;
    };
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    for name in after.keys().chain(gone) {
        if *at == ["metadata"] && is_counted_up(name) {
            continue;
        }
        let of = |map| Map::get(map, name).unwrap_or(&Value::Null);
        at.push(name.clone());
        walk(of(before), of(after), at, found);
        at.pop();
    }
}

/// Whether the API server counts up this field of an object's metadata by itself.
pub(super) fn is_counted_up(name: &str) -> bool {
    ["resourceVersion", "generation"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_differs_is_named_by_its_path() {
        let old = json!({ "metadata": { "resourceVersion": "1", "labels": { "a/b": "1" } },
            "spec": { "replicas": 1, "list": [1] } });
        let new = json!({ "metadata": { "resourceVersion": "2", "labels": {} },
            "spec": { "replicas": 2, "list": [1], "more": {} } });
        let found = differing(&old, &new);
        assert_eq!(found, ["metadata.labels[\"a/b\"]", "spec.more", "spec.replicas"]);
    }
}
