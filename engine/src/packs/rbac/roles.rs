//! Rights of many users of a cluster as few rules.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// Verbs in the order in which people write them.
const VERBS: [&str; 6] = ["get", "list", "watch", "create", "patch", "delete"];
/// Users of a rule that are named.
const NAMED: usize = 3;

/// The rules of one role.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Role {
    granted: BTreeMap<Target, Grant>,
}

/// A group and a resource, perhaps with its part: `deployments/scale`.
pub(super) type Target = (String, String);

#[derive(Debug, Clone, Default, PartialEq)]
struct Grant {
    /// On any object.
    any: BTreeSet<&'static str>,
    /// On some, by name.
    named: BTreeMap<String, BTreeSet<&'static str>>,
    /// Who needs it.
    by: BTreeSet<String>,
}

/// A rule of a role.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// As a role holds it.
    pub rule: Value,
    /// Who needs it.
    pub by: String,
}

impl Role {
    pub(super) fn add(
        &mut self,
        target: Target,
        verbs: &[&'static str],
        name: Option<&str>,
        by: String,
    ) {
        let grant = self.granted.entry(target).or_default();
        match name {
            None => grant.any.extend(verbs),
            Some(name) => grant.named.entry(name.to_owned()).or_default().extend(verbs),
        }
        grant.by.insert(by);
    }

    /// Without what `wider`, a role that holds everywhere, grants on any object.
    pub(super) fn without(mut self, wider: &Self) -> Self {
        for (target, grant) in &mut self.granted {
            let Some(wide) = wider.granted.get(target) else { continue };
            grant.any.retain(|verb| !wide.any.contains(verb));
            for verbs in grant.named.values_mut() {
                verbs.retain(|verb| !wide.any.contains(verb));
            }
        }
        self
    }

    /// The rules: for each resource one on any object, and one for each choice of names.
    pub(super) fn rules(&self) -> Vec<Rule> {
        let of = |(target, grant): (&Target, &Grant)| grant.rules(target);
        self.granted.iter().flat_map(of).collect()
    }
}

impl Grant {
    fn rules(&self, (group, resource): &Target) -> Vec<Rule> {
        let mut by_verbs: BTreeMap<Vec<&str>, Vec<&str>> = BTreeMap::new();
        for (name, verbs) in &self.named {
            let rest: BTreeSet<&str> = verbs.difference(&self.any).copied().collect();
            by_verbs.entry(ordered(&rest)).or_default().push(name);
        }
        let rule = |verbs: Vec<&str>, names: &[&str]| {
            let mut rule = json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs });
            if !names.is_empty() {
                rule["resourceNames"] = json!(names);
            }
            Rule { rule, by: self.by() }
        };
        let any = (!self.any.is_empty()).then(|| rule(ordered(&self.any), &[]));
        let named = by_verbs.into_iter().filter(|(verbs, _)| !verbs.is_empty());
        any.into_iter().chain(named.map(|(verbs, names)| rule(verbs, &names))).collect()
    }

    fn by(&self) -> String {
        let named = self.by.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        match self.by.len().saturating_sub(NAMED) {
            0 => named,
            more => format!("{named} and {more} more"),
        }
    }
}

fn ordered(verbs: &BTreeSet<&str>) -> Vec<&'static str> {
    VERBS.into_iter().filter(|verb| verbs.contains(verb)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(resource: &str) -> Target {
        ("apps".to_owned(), resource.to_owned())
    }

    fn rules(role: &Role) -> Vec<String> {
        role.rules().into_iter().map(|rule| format!("{} {}", rule.rule, rule.by)).collect()
    }

    #[test]
    fn a_verb_on_any_object_is_not_granted_by_name_besides() {
        let mut role = Role::default();
        role.add(target("deployments"), &["get", "patch"], Some("b"), "x".to_owned());
        role.add(target("deployments"), &["patch", "get"], Some("a"), "y".to_owned());
        role.add(target("deployments"), &["get"], None, "x".to_owned());
        assert_eq!(
            rules(&role),
            [
                r#"{"apiGroups":["apps"],"resources":["deployments"],"verbs":["get"]} x, y"#,
                r#"{"apiGroups":["apps"],"resourceNames":["a","b"],"resources":["deployments"],"verbs":["patch"]} x, y"#,
            ]
        );
    }

    #[test]
    fn what_holds_everywhere_is_not_granted_again_in_a_namespace() {
        let (mut wide, mut role) = (Role::default(), Role::default());
        wide.add(target("deployments"), &["list", "watch"], None, "x".to_owned());
        role.add(target("deployments"), &["list"], None, "y".to_owned());
        role.add(target("deployments"), &["list", "get"], Some("a"), "y".to_owned());
        let left = rules(&role.clone().without(&wide));
        assert_eq!(
            left,
            [
                r#"{"apiGroups":["apps"],"resourceNames":["a"],"resources":["deployments"],"verbs":["get"]} y"#
            ]
        );
        role = Role::default();
        role.add(target("deployments"), &["list"], None, "y".to_owned());
        assert!(role.without(&wide).rules().is_empty());
    }

    #[test]
    fn only_the_first_users_of_a_rule_are_named() {
        let mut role = Role::default();
        for user in ["a", "b", "c", "d", "e"] {
            role.add(target("x"), &["get"], None, user.to_owned());
        }
        assert_eq!(role.rules()[0].by, "a, b, c and 2 more");
    }
}
