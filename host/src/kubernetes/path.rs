//! Paths into objects, as people write them: `spec.replicas`, `metadata.labels["app/part"]`,
//! `status.loadBalancer.ingress[0].ip`; or a JSON pointer (RFC 6901), `/spec/replicas`.

use std::fmt;
use std::str::FromStr;

use model::{Value, keys};

/// The way to a value in an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<String>);

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = match text.strip_prefix('/') {
            Some(pointer) => Ok(pointed(pointer)),
            // kubectl's paths begin with a dot.
            None => named(text.strip_prefix('.').unwrap_or(text)),
        };
        let is_missing = |names: &Vec<String>| names.iter().any(String::is_empty);
        match names {
            Ok(names) if !is_missing(&names) => Ok(Self(names)),
            Ok(_) => Err(no_path(text, "a name is missing")),
            Err(why) => Err(no_path(text, &why)),
        }
    }
}

fn no_path(text: &str, why: &str) -> String {
    format!(
        "`{text}` is no path: {why}; expected names with dots between, such as `spec.replicas`, `status.ingress[0].ip` or `metadata.labels[\"app/part\"]`"
    )
}

fn pointed(pointer: &str) -> Vec<String> {
    pointer.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
}

fn named(text: &str) -> Result<Vec<String>, String> {
    Ok(keys::read(text)?.into_iter().map(str::to_owned).collect())
}

impl From<Vec<String>> for Path {
    fn from(names: Vec<String>) -> Self {
        Self(names)
    }
}

impl Path {
    /// What stands there.
    pub fn find<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(object, |value, name| match value {
            Value::Array(items) => items.get(name.parse::<usize>().ok()?),
            _ => value.get(name),
        })
    }

    /// Its first name.
    pub fn first(&self) -> &str {
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
        for text in ["", ".", "a..b", "a[\"b", "a[b]", "a[]", "a[0", "/", "/a//b"] {
            assert!(text.parse::<Path>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_leads_through_lists_and_names_with_dots_and_slashes() {
        let object = json!({ "list": [{ "ip": "::1" }], "labels": { "a.b/c": "1", "~": "2" } });
        for (text, found) in [
            ("list[0].ip", json!("::1")),
            ("list.0.ip", json!("::1")),
            ("/list/0/ip", json!("::1")),
            ("labels[\"a.b/c\"]", json!("1")),
            ("/labels/a.b~1c", json!("1")),
            ("/labels/~0", json!("2")),
        ] {
            assert_eq!(text.parse::<Path>().unwrap().find(&object), Some(&found), "{text}");
        }
        for text in ["list[1]", "list[0].port", "list.first", "labels.a.b"] {
            assert_eq!(text.parse::<Path>().unwrap().find(&object), None, "{text}");
        }
    }
}
