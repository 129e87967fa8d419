//! Whether a kind is there, by the cluster's own word.

use model::Value;

use super::builtin::group;
use super::{Cluster, Failure, Naming, Request, resource};

impl Cluster {
    /// Whether the API server itself says that it has no such kind, of those that a definition brings
    /// and takes away. Whatever stands before it may answer 404 as well, but not list what else there is.
    pub async fn lacks(&self, api_version: &str, kind: &str) -> Result<bool, Failure> {
        if !can_be_defined(api_version, kind) {
            return Ok(false);
        }
        match self.request(&Request::get(&resource::group_path(api_version))).await {
            Ok(described) => Ok(described["kind"] == "APIResourceList"
                && resource::read(api_version, &described).iter().all(|known| known.kind != kind)),
            Err(failure) if failure.status == Some(404) => {
                Ok(is_left_out(api_version, &self.request(&Request::get("/apis")).await?))
            }
            Err(failure) => Err(failure),
        }
    }
}

fn can_be_defined(api_version: &str, kind: &str) -> bool {
    group(api_version).contains('.') && Naming::builtin(api_version, kind).is_none()
}

/// Whether this version of a group is none of those in a list of all.
fn is_left_out(api_version: &str, all: &Value) -> bool {
    let versions = |group: &Value| group["versions"].as_array().cloned().unwrap_or_default();
    let has = |group: &Value| versions(group).iter().any(|it| it["groupVersion"] == api_version);
    all["kind"] == "APIGroupList"
        && all["groups"].as_array().is_some_and(|groups| !groups.iter().any(has))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_kinds_in_groups_with_a_domain_that_are_not_kubernetes_own_can_be_defined() {
        for (api_version, kind, expected) in [
            ("v1", "ConfigMap", false),
            ("apps/v1", "Deployment", false),
            ("networking.k8s.io/v1", "NetworkPolicy", false),
            ("gateway.networking.k8s.io/v1", "Gateway", true),
            ("example.com/v1", "Thing", true),
        ] {
            assert_eq!(can_be_defined(api_version, kind), expected, "{api_version} {kind}");
        }
    }

    #[test]
    fn a_version_is_left_out_only_of_a_list_of_groups() {
        let version = |name: &str| json!({ "versions": [{ "groupVersion": name }] });
        for (all, expected) in [
            (json!({ "kind": "APIGroupList", "groups": [version("example.com/v1")] }), false),
            (json!({ "kind": "APIGroupList", "groups": [version("example.com/v2")] }), true),
            (json!({ "kind": "APIGroupList" }), false),
            (json!({ "hello": "from a gateway" }), false),
            (json!("there is nothing here"), false),
        ] {
            assert_eq!(is_left_out("example.com/v1", &all), expected, "{all}");
        }
    }
}
