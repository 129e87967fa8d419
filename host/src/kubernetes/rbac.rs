//! What an account is not allowed to do, read from the refusal.

use std::fmt::Write;

use serde_json::{Value, json};

/// A rule that is missing from the roles of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The account.
    pub user: String,
    /// What it tried, such as `list`.
    pub verb: String,
    /// The API group, empty for the core.
    pub group: String,
    /// The resource, with its subresource: `deployments/scale`.
    pub resource: String,
    /// The namespace; none: across the cluster.
    pub namespace: Option<String>,
}

impl Missing {
    /// What the API server's refusal says, if it is one for want of a right.
    pub fn read(message: &str) -> Option<Self> {
        let (_, rest) = message.split_once("User \"")?;
        let (user, rest) = rest.split_once("\" cannot ")?;
        let (verb, rest) = rest.split_once(" resource \"")?;
        let (resource, rest) = rest.split_once("\" in API group \"")?;
        let (group, rest) = rest.split_once('"')?;
        let namespace = rest.trim_start().strip_prefix("in the namespace \"");
        let namespace = namespace.and_then(|rest| rest.split_once('"')).map(|(name, _)| name);
        Some(Self {
            user: user.to_owned(),
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.map(str::to_owned),
        })
    }

    /// The verbs that go together: who lists also watches.
    fn verbs(&self) -> Vec<&str> {
        match self.verb.as_str() {
            "list" | "watch" => vec!["list", "watch"],
            verb => vec![verb],
        }
    }

    /// The rule to add, as YAML.
    pub fn rule(&self) -> String {
        let (group, resource, verbs) = (&self.group, &self.resource, self.verbs().join(", "));
        format!("- {{ apiGroups: [\"{group}\"], resources: [{resource}], verbs: [{verbs}] }}")
    }

    /// What is missing, and what to do.
    pub fn told(&self) -> String {
        let Self { user, verb, resource, namespace, .. } = self;
        let (place, role) = match namespace {
            Some(name) => (format!("in the namespace `{name}`"), "Role of that namespace"),
            None => ("in the whole cluster".to_owned(), "ClusterRole"),
        };
        let mut told = format!("`{user}` may not {verb} {resource} {place}: ");
        // Writing to a string does not fail.
        let _ = write!(told, "add to a {role} that it is bound to: `{}`", self.rule());
        told
    }

    /// The same for programs.
    pub fn details(&self) -> Value {
        json!({
            "user": self.user,
            "namespace": self.namespace,
            "rule": {
                "apiGroups": [self.group], "resources": [self.resource], "verbs": self.verbs(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(message: &str, expected: Expect) {
        let told = Missing::read(message).map(|missing| missing.told());
        expected.assert_eq(told.as_deref().unwrap_or("no right is missing"));
    }

    #[test]
    fn a_refusal_says_which_rule_to_add_to_which_role() {
        check(
            r#"pods is forbidden: User "system:serviceaccount:ci:bot" cannot watch resource "pods" in API group "" at the cluster scope"#,
            expect![[
                r#"`system:serviceaccount:ci:bot` may not watch pods in the whole cluster: add to a ClusterRole that it is bound to: `- { apiGroups: [""], resources: [pods], verbs: [list, watch] }`"#
            ]],
        );
        check(
            r#"deployments.apps "web" is forbidden: User "bot" cannot patch resource "deployments/scale" in API group "apps" in the namespace "team-a": RBAC: role "x" not found"#,
            expect![[
                r#"`bot` may not patch deployments/scale in the namespace `team-a`: add to a Role of that namespace that it is bound to: `- { apiGroups: ["apps"], resources: [deployments/scale], verbs: [patch] }`"#
            ]],
        );
        check(
            r#"pods "x" is forbidden: exceeded quota: compute, requested: pods=1"#,
            expect!["no right is missing"],
        );
    }
}
