//! Where objects of a kind lie in the API.

use std::fmt::Write;

use model::{ErrorKind, Value};

use super::builtin::group;
use super::{Failure, Naming};

/// A kind as the cluster serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// `v1`, or `group/version`.
    pub api_version: String,
    /// The kind, such as `Deployment`.
    pub kind: String,
    /// Its name in paths and rights, such as `deployments`.
    pub plural: String,
    /// Whether its objects lie in namespaces.
    pub namespaced: bool,
    /// What can be done with it, such as `list` and `watch`.
    pub verbs: Vec<String>,
    /// Its subresources, such as `status` and `scale`.
    pub subresources: Vec<String>,
}

impl Resource {
    /// The API group, empty for the core.
    pub fn group(&self) -> &str {
        group(&self.api_version)
    }

    /// What names it in rights.
    pub fn naming(&self) -> Naming {
        let (group, plural) = (self.group().to_owned(), self.plural.clone());
        Naming { group, plural, namespaced: self.namespaced }
    }

    /// Whether this can be done with it.
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|known| known == verb)
    }

    /// Whether it has this subresource, such as `status`.
    pub fn has(&self, part: &str) -> bool {
        self.subresources.iter().any(|known| known == part)
    }

    /// The path of all its objects, in one namespace or in the cluster. A namespace is left out where
    /// objects of the kind lie in none.
    pub fn collection(&self, namespace: Option<&str>) -> String {
        let mut path = group_path(&self.api_version);
        if let Some(namespace) = namespace.filter(|_| self.namespaced) {
            path.push_str("/namespaces/");
            push(&mut path, namespace);
        }
        path.push('/');
        path.push_str(&self.plural);
        path
    }

    /// The path of one object, or of a part of it such as `status`.
    pub fn object(&self, namespace: Option<&str>, name: &str, part: Option<&str>) -> String {
        let mut path = self.collection(namespace);
        for segment in std::iter::once(name).chain(part) {
            path.push('/');
            push(&mut path, segment);
        }
        path
    }
}

/// Adds one segment, whatever is in it.
fn push(path: &mut String, segment: &str) {
    let dots = segment.bytes().all(|byte| byte == b'.');
    for byte in segment.bytes() {
        match byte {
            b'.' if dots => path.push_str("%2E"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                path.push(byte.into());
            }
            // Writing to a string does not fail.
            _ => drop(write!(path, "%{byte:02X}")),
        }
    }
}

pub(super) fn group_path(api_version: &str) -> String {
    let mut path = String::from(if api_version.contains('/') { "/apis" } else { "/api" });
    for segment in api_version.split('/') {
        path.push('/');
        push(&mut path, segment);
    }
    path
}

/// The kinds in the API's description of a group's version.
pub(super) fn read(api_version: &str, described: &Value) -> Vec<Resource> {
    let all = described["resources"].as_array().map_or(&[][..], Vec::as_slice);
    let name = |one: &Value| one["name"].as_str().unwrap_or_default().to_owned();
    let whole = all.iter().filter(|one| !name(one).contains('/'));
    let described = whole.map(|one| {
        let plural = name(one);
        let parts = all.iter().filter_map(|part| {
            let (of, part) = part["name"].as_str()?.split_once('/')?;
            (of == plural).then(|| part.to_owned())
        });
        let verbs = one["verbs"].as_array().map_or(&[][..], Vec::as_slice);
        Resource {
            api_version: api_version.to_owned(),
            kind: one["kind"].as_str().unwrap_or_default().to_owned(),
            subresources: parts.collect(),
            plural,
            namespaced: one["namespaced"] == true,
            verbs: verbs.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    });
    described.collect()
}

/// The cluster serves no such kind.
pub(super) fn unknown(api_version: &str, kind: &str) -> Failure {
    let message = format!(
        "the cluster knows no kind `{kind}` in `{api_version}`: install its CustomResourceDefinition, or see what there is with `kubectl api-resources`"
    );
    let failure = Failure::unsent(ErrorKind::NotFound, message);
    Failure { status: Some(404), reason: "NoKind".to_owned(), ..failure }
}

pub(super) fn unknown_group(failure: Failure, api_version: &str, kind: &str) -> Failure {
    if failure.status == Some(404) { unknown(api_version, kind) } else { failure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_one(api_version: &str, namespaced: bool) -> Resource {
        let described = json!({ "resources": [
            { "name": "things", "kind": "Thing", "namespaced": namespaced, "verbs": ["list"] },
            { "name": "things/status", "kind": "Thing", "namespaced": namespaced, "verbs": ["patch"] },
        ] });
        let mut all = read(api_version, &described);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn objects_lie_below_their_group_and_namespace() {
        let core = read_one("v1", true);
        assert_eq!(core.collection(None), "/api/v1/things");
        assert_eq!(core.object(Some("a"), "x", None), "/api/v1/namespaces/a/things/x");
        let wide = read_one("apps.example/v1beta1", false);
        assert_eq!(
            wide.object(Some("a"), "system:x", Some("status")),
            "/apis/apps.example/v1beta1/things/system:x/status"
        );
        assert_eq!(
            (wide.group(), wide.subresources.as_slice()),
            ("apps.example", &["status".to_owned()][..])
        );
    }

    #[test]
    fn no_name_leads_elsewhere() {
        let thing = read_one("v1", true);
        for (name, path) in
            [("../secrets/x", "..%2Fsecrets%2Fx"), ("..", "%2E%2E"), ("a?b#c", "a%3Fb%23c")]
        {
            assert_eq!(thing.object(None, name, None), format!("/api/v1/things/{path}"));
        }
    }
}
