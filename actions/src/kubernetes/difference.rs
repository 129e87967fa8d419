//! What differs between two versions of an object, for people: a unified diff of their YAML.

use host::kubernetes::veil;
use model::{Map, Value};
use similar::TextDiff;

/// What the API server adds to every object and nobody reads in a diff.
const NOISE: [&str; 5] =
    ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"];

/// The difference from `before` to `after`; `None` where there is none.
pub(super) fn difference(before: Option<&Value>, after: Option<&Value>) -> Option<String> {
    let [before, after] = [before, after].map(|object| object.map(plain));
    if before == after {
        return None;
    }
    let [old, new] = [&before, &after].map(|object| object.as_ref().map(text).unwrap_or_default());
    let diff = TextDiff::from_lines(&old, &new);
    Some(diff.unified_diff().context_radius(3).header("now", "then").to_string())
}

/// The object without what changes with each write, and with hashes in the place of a Secret's values.
pub(super) fn plain(object: &Value) -> Value {
    let mut plain = object.clone();
    veil(&mut plain);
    if let Some(metadata) = plain.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !NOISE.contains(&key.as_str()));
    }
    plain
}

fn text(object: &Value) -> String {
    serde_saphyr::to_string(object).unwrap_or_else(|_| format!("{object:#}\n"))
}

/// The paths at which two objects differ, as `spec.replicas`; a list counts as one value.
pub(super) fn paths(before: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", &plain(before), &plain(after), &mut found);
    found
}

fn compare(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        if before != after {
            found.push(path.to_owned());
        }
        return;
    };
    let absent = Value::Null;
    for key in keys(old, new) {
        let joined = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let side = |map: &Map| map.get(key).unwrap_or(&absent).clone();
        compare(&joined, &side(old), &side(new), found);
    }
}

fn keys<'a>(old: &'a Map, new: &'a Map) -> impl Iterator<Item = &'a String> {
    old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)))
}
