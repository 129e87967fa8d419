//! What a pack's rules watch, and what its chains and those that these run ask of a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use host::connection::OWN_CLUSTER;
use host::kubernetes::Right;
use model::{ActionRef, Diagnostic, Foreseen, Location, PackName};
use rules::Rule;
use serde_json::json;

use super::notes::{Notes, Unknown};
use super::{Kind, Wanted};
use crate::packs::shipped::call_shipped;
use crate::packs::{ActionKind, Pack, Place as Runs};

/// What one pack needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Needs {
    /// The pack.
    pub pack: PackName,
    pub(super) all: Vec<Need>,
    /// What is not known.
    pub(super) notes: Notes,
}

/// A right, and who needs it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Need {
    pub(super) right: Right,
    /// The trigger type or the action.
    pub(super) what: String,
    /// Where it is named.
    pub(super) at: String,
}

impl Needs {
    /// What `pack`, one of `packs`, needs; those that ship with Tripline lie on the `shelf`.
    pub(super) fn of(
        pack: &Arc<Pack>,
        packs: &[Arc<Pack>],
        shelf: &Path,
        wanted: &Wanted,
    ) -> Result<Self, Vec<Diagnostic>> {
        let needs = Self { pack: pack.name.clone(), all: Vec::new(), notes: Notes::default() };
        let mut walk = Walk { home: pack, packs, shelf, wanted, seen: BTreeSet::new(), needs };
        for rule in pack.rules.values() {
            walk.rule(rule)?;
        }
        for action in pack.actions.values() {
            walk.action(pack, &action.metadata.reference);
        }
        Ok(walk.needs)
    }

    /// The kinds that it needs anything of.
    pub(super) fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.all.iter().filter_map(|need| need.right.kind.clone())
    }
}

/// A way through rules and chains.
struct Walk<'a> {
    home: &'a Pack,
    packs: &'a [Arc<Pack>],
    shelf: &'a Path,
    wanted: &'a Wanted,
    seen: BTreeSet<ActionRef>,
    needs: Needs,
}

impl<'a> Walk<'a> {
    fn rule(&mut self, rule: &Rule) -> Result<(), Vec<Diagnostic>> {
        let trigger = &rule.trigger;
        let kind = trigger.kind.as_str();
        let rights = sensors::kubernetes::rights(kind, &trigger.parameters).map_err(|errors| {
            let error = |error: sensors::BuildError| trigger.error_at(&error.path, error.message);
            errors.into_iter().map(error).collect::<Vec<_>>()
        })?;
        let home = self.home;
        let at = self.shown(home, &trigger.location);
        if let Some(mut rights) = rights {
            rights.push(sensors::kubernetes::history());
            let parameters = Foreseen::from(model::Value::Object(trigger.parameters.clone()));
            self.uses(kind, &at, &parameters, rights);
        }
        let action = &rule.action;
        let at = self.shown(home, &action.location);
        self.call(home, &action.reference, &action.parameters.foreseen(), &at);
        Ok(())
    }

    /// What an action of a pack does: a chain with those it runs, or a program in a cluster.
    fn action(&mut self, pack: &'a Pack, reference: &ActionRef) {
        let Some(action) = pack.actions.get(reference.name()) else { return };
        if !self.seen.insert(reference.clone()) {
            return;
        }
        match (&action.kind, &action.place) {
            (ActionKind::Chain(program), _) => self.chain(pack, program),
            (ActionKind::Program(_), Runs::Cluster { connection, namespace }) => {
                let at = self.shown(pack, &action.at);
                let rights = actions::cluster_program_rights(namespace.as_deref());
                let parameters = Foreseen::from(json!({ "connection": connection }));
                self.uses(reference.as_str(), &at, &parameters, rights);
            }
            (ActionKind::Program(_), Runs::Local) => {}
        }
    }

    fn chain(&mut self, pack: &'a Pack, program: &chains::Program) {
        for call in chains::calls_foreseen(program) {
            let at = self.shown(pack, &call.at);
            match call.action.text().map(str::parse::<ActionRef>) {
                Some(Ok(action)) => self.call(pack, &action, &call.parameters, &at),
                Some(Err(_)) => {}
                None => self.unknown_action(pack, &at),
            }
        }
    }

    fn call(&mut self, caller: &'a Pack, action: &ActionRef, parameters: &Foreseen, at: &str) {
        if let Some(rights) =
            actions::cluster_rights(action.as_str(), parameters, &self.wanted.kinds)
        {
            return self.uses(action.as_str(), at, parameters, rights);
        }
        let owner = self.packs.iter().find(|pack| pack.name.as_str() == action.pack());
        let own = caller.name.as_str() == action.pack();
        match (own, owner) {
            (true, _) => self.action(caller, action),
            (false, Some(pack)) => self.action(pack, action),
            (false, None) => {}
        }
    }

    /// Notes rights on the cluster that is asked for.
    fn uses(&mut self, what: &str, at: &str, parameters: &Foreseen, rights: Vec<Right>) {
        let connection = parameters.at("connection");
        let asked = self.wanted.connection.as_deref().unwrap_or(OWN_CLUSTER);
        let own = (!connection.is_given()).then_some(OWN_CLUSTER);
        match connection.text().or(own) {
            Some(name) if name != asked => {
                if name != OWN_CLUSTER {
                    self.needs.notes.add(Unknown::Elsewhere, format!("`--connection {name}`"));
                }
                return;
            }
            None if rights.iter().any(|right| right.kind.is_some()) => {
                self.needs.notes.add(Unknown::Connection, format!("{at} ({what})"));
            }
            _ => {}
        }
        let unknown = rights.iter().filter(|right| right.kind.is_none());
        if let Some(rules) = rules(unknown) {
            self.needs.notes.add(Unknown::Kind, format!("{at} ({what}): {rules}"));
        }
        for right in rights {
            let need = Need { right, what: what.to_owned(), at: at.to_owned() };
            if !self.needs.all.contains(&need) {
                self.needs.all.push(need);
            }
        }
    }

    /// An action that is computed may be one on clusters, if the pack may use any.
    fn unknown_action(&mut self, pack: &Pack, at: &str) {
        let allowed = &pack.permissions.actions;
        let may = |pattern: &String| {
            let prefix = pattern.trim_end_matches('*');
            prefix.starts_with("kubernetes.")
                || pattern.ends_with('*') && "kubernetes.".starts_with(prefix)
        };
        if allowed.iter().any(may) {
            self.needs.notes.add(Unknown::Action, at.to_owned());
        }
    }

    /// A place as its user knows it: a library, which chains know by the name they import, by its file.
    fn shown(&self, pack: &Pack, at: &Location) -> String {
        let mut at = at.clone();
        let import = format!("/{}.rhai", at.file);
        if !pack.texts.contains_key(&at.file)
            && let Some(file) = pack.texts.keys().find(|file| file.ends_with(&import))
        {
            at.file.clone_from(file);
        }
        call_shipped(&mut at.file, self.shelf);
        at.to_string()
    }
}

/// The rules to add for each kind, to rights on a kind that is computed.
fn rules<'a>(rights: impl Iterator<Item = &'a Right>) -> Option<String> {
    let mut verbs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for right in rights {
        let all = verbs.entry(right.part.unwrap_or_default()).or_default();
        all.extend(right.verbs.iter().filter(|verb| !all.contains(*verb)).collect::<Vec<_>>());
    }
    let rules = verbs.iter().map(|(part, verbs)| {
        let part = if part.is_empty() { String::new() } else { format!("/{part}") };
        let verbs = verbs.join(", ");
        format!("- {{ apiGroups: [GROUP], resources: [PLURAL{part}], verbs: [{verbs}] }}")
    });
    let rules: Vec<String> = rules.collect();
    (!rules.is_empty()).then(|| rules.join(" "))
}
