//! Paths into objects, as people write them: `spec.replicas`, `metadata.labels["app/part"]`.

use std::fmt;
use std::str::FromStr;

use model::Value;

/// Most paths that are named of one change.
const MAX_CHANGED: usize = 100;

/// The way to a value in an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Path(Vec<String>);

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "`{text}` is no path: expected names with dots between, such as `spec.replicas` or `metadata.labels[\"app/part\"]`"
            )
        };
        let (mut names, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            if let Some(quoted) = rest.strip_prefix("[\"") {
                let (name, after) = quoted.split_once("\"]").ok_or_else(bad)?;
                names.push(name.to_owned());
                rest = after;
            } else {
                rest = rest.strip_prefix('.').unwrap_or(rest);
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                names.push(rest[..end].to_owned());
                rest = &rest[end..];
            }
        }
        let good = !names.is_empty() && names.iter().all(|name| !name.is_empty());
        if good { Ok(Self(names)) } else { Err(bad()) }
    }
}

impl Path {
    pub(super) fn find<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(object, |value, name| match value {
            Value::Array(items) => items.get(name.parse::<usize>().ok()?),
            _ => value.get(name),
        })
    }

    pub(super) fn first(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, name) in self.0.iter().enumerate() {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            match name.chars().all(plain) {
                true if n == 0 => f.write_str(name)?,
                true => write!(f, ".{name}")?,
                false => write!(f, "[\"{name}\"]")?,
            }
        }
        Ok(())
    }
}

/// Where `old` and `new` differ, but for what changes with every write. A list is one value.
pub(super) fn differing(old: &Value, new: &Value) -> Vec<String> {
    let (mut at, mut found) = (Path(Vec::new()), Vec::new());
    walk(old, new, &mut at, &mut found);
    found
}

fn walk(old: &Value, new: &Value, at: &mut Path, found: &mut Vec<String>) {
    if old == new || found.len() >= MAX_CHANGED {
        return;
    }
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        found.push(at.to_string());
        return;
    };
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    for name in after.keys().chain(gone) {
        at.0.push(name.clone());
        if !is_bookkeeping(at) {
            let of = |map: &model::Map| map.get(name).cloned().unwrap_or_default();
            walk(&of(before), &of(after), at, found);
        }
        at.0.pop();
    }
}

/// What the API server counts up by itself.
fn is_bookkeeping(at: &Path) -> bool {
    matches!(at.0.as_slice(), [first, second]
        if first == "metadata" && ["resourceVersion", "generation"].contains(&second.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_read_as_they_are_written() {
        for text in
            ["spec", "spec.replicas", "metadata.labels[\"app.kubernetes.io/part-of\"]", "a.0.b"]
        {
            assert_eq!(text.parse::<Path>().unwrap().to_string(), text);
        }
        for text in ["", ".", "a..b", "a[\"b"] {
            assert!(text.parse::<Path>().is_err(), "{text}");
        }
    }

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
