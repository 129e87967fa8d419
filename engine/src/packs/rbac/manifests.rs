//! Roles and bindings as a cluster takes them.

use std::collections::BTreeMap;

use host::kubernetes::{Naming, Place};
use serde_json::{Value, json};

use super::needs::{Need, Needs};
use super::notes::{Note, Notes, Unknown};
use super::roles::{Role, Rule};
use super::{Kind, Wanted, role_name};

/// The namespace that is meant where neither a file nor anybody else says one.
const DEFAULT: &str = "default";

/// Manifests to be applied, and what is not in them.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifests {
    /// In the order in which they are applied.
    pub all: Vec<Manifest>,
    /// What the files do not tell, and what to add.
    pub notes: Vec<Note>,
}

/// An object, and where it is a role its rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The object without its rules.
    pub object: Value,
    /// Its rules, with those who need them.
    pub rules: Vec<Rule>,
}

impl Manifest {
    fn plain(object: Value) -> Self {
        Self { object, rules: Vec::new() }
    }

    /// The whole object.
    pub fn whole(&self) -> Value {
        let mut object = self.object.clone();
        if !self.rules.is_empty() {
            object["rules"] = self.rules.iter().map(|rule| rule.rule.clone()).collect();
        }
        object
    }
}

impl Manifests {
    pub(super) fn of(
        needs: &[Needs],
        naming: &dyn Fn(&Kind) -> Option<Naming>,
        wanted: &Wanted,
    ) -> Self {
        let mut notes = Notes::default();
        let mut roles = Vec::new();
        for one in needs {
            notes.extend(&one.notes);
            let (wide, inside) = (Role::default(), BTreeMap::new());
            let mut own = Roles { wanted, wide, inside, notes: &mut notes };
            for need in &one.all {
                if let Some(naming) = need.right.kind.as_ref().and_then(naming) {
                    own.add(need, &naming);
                }
            }
            roles.extend(own.manifests(one));
        }
        let account = (!roles.is_empty()).then(|| Manifest::plain(account(wanted)));
        Self { all: account.into_iter().chain(roles).collect(), notes: notes.told() }
    }

    /// For programs: a list as `kubectl apply -f` takes it.
    pub fn list(&self) -> Value {
        let items: Vec<Value> = self.all.iter().map(Manifest::whole).collect();
        json!({ "apiVersion": "v1", "kind": "List", "items": items })
    }
}

fn account(wanted: &Wanted) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": wanted.account, "namespace": wanted.namespace },
    })
}

/// The roles of one pack.
struct Roles<'a> {
    wanted: &'a Wanted,
    wide: Role,
    /// By namespace.
    inside: BTreeMap<String, Role>,
    notes: &'a mut Notes,
}

impl Roles<'_> {
    fn add(&mut self, need: &Need, naming: &Naming) {
        let right = &need.right;
        let part = right.part.map(|part| format!("/{part}")).unwrap_or_default();
        let target = (naming.group.clone(), format!("{}{part}", naming.plural));
        let by = format!("{} ({})", need.what, need.at);
        let name = right.name.as_deref();
        match self.namespaces(need, naming) {
            None => self.wide.add(target, &right.verbs, name, by),
            Some(all) => {
                for namespace in all {
                    let role = self.inside.entry(namespace).or_default();
                    role.add(target.clone(), &right.verbs, name, by.clone());
                }
            }
        }
    }

    /// The namespaces in which it is needed; none: all over the cluster.
    fn namespaces(&mut self, need: &Need, naming: &Naming) -> Option<Vec<String>> {
        let inside = &self.wanted.inside;
        let mut note = |unknown| {
            if inside.is_empty() {
                self.notes.add(unknown, format!("{} ({})", need.at, need.what));
            }
        };
        match &need.right.place {
            _ if !naming.namespaced => None,
            Place::Everywhere => None,
            Place::Namespace(name) => Some(vec![name.clone()]),
            Place::Default => {
                note(Unknown::Namespace);
                let default = || vec![DEFAULT.to_owned()];
                Some(if inside.is_empty() { default() } else { inside.clone() })
            }
            Place::Computed => {
                note(Unknown::AnyNamespace);
                (!inside.is_empty()).then(|| inside.clone())
            }
        }
    }

    fn manifests(self, needs: &Needs) -> Vec<Manifest> {
        let name = role_name(&self.wanted.account, &needs.pack);
        let labels = json!({ "tripline.dev/pack": needs.pack });
        let mut all = Vec::new();
        let mut both = |kind: &str, metadata: Value, rules: Vec<Rule>| {
            let of = |kind: String| json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata });
            let mut binding = of(format!("{kind}Binding"));
            binding["roleRef"] =
                json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name });
            let Wanted { account, namespace, .. } = self.wanted;
            binding["subjects"] =
                json!([{ "kind": "ServiceAccount", "name": account, "namespace": namespace }]);
            all.push(Manifest { object: of(kind.to_owned()), rules });
            all.push(Manifest::plain(binding));
        };
        let rules = self.wide.rules();
        if !rules.is_empty() {
            both("ClusterRole", json!({ "name": name, "labels": labels }), rules);
        }
        for (namespace, role) in self.inside {
            let rules = role.without(&self.wide).rules();
            if !rules.is_empty() {
                let metadata = json!({ "name": name, "namespace": namespace, "labels": labels });
                both("Role", metadata, rules);
            }
        }
        all
    }
}
