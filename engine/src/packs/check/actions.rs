//! Actions, and what chains call.

use chains::Signature;
use host::connection::OWN_CLUSTER;
use model::{ActionRef, Diagnostic, Effect, Location, Schema, TriggerType, Value};

use super::Check;
use crate::packs::named::Named;
use crate::packs::{ActionKind, Findings, PackAction, Place, Resolved, is_built_in, reached};
use crate::permissions::run_job;

impl Check<'_> {
    pub(super) fn action(&self, action: &PackAction) -> Findings {
        let asked = [("verify", &action.verify), ("plan", &action.plan)];
        let mut findings: Findings =
            asked.into_iter().flat_map(|(key, named)| self.reader(key, named.as_ref())).collect();
        if let ActionKind::Chain(program) = &action.kind {
            let parameters = &action.metadata.parameters;
            let found = chains::check(program, parameters, self);
            findings.extend(found.into_iter().map(|finding| self.shown(finding)));
            for call in chains::calls_named(program) {
                findings.extend(self.uses(&call.action, &call.at, Named::by_call(&call)));
                findings.extend(self.unlisted(reached::by_call(self.pack, &call)));
            }
            findings.extend(chains::calls_foreseen(program).iter().filter_map(|call| {
                let what = call.action.text()?;
                self.unasked(&Named::own_cluster(what, &call.parameters, &call.at)?)
            }));
        } else if let Place::Cluster { connection, .. } = &action.place {
            findings.extend(self.job(action, connection.as_deref()));
        } else if !self.pack.permissions.exec {
            let message = "the pack runs programs but does not ask for `permissions.exec`";
            findings.extend(self.denied(
                &action.at,
                message,
                "add `exec: true` to its permissions",
            ));
        }
        findings
    }

    /// A program that runs as a Job: what that needs, and whether it could tell of itself.
    fn job(&self, action: &PackAction, connection: Option<&str>) -> Findings {
        let name = connection.unwrap_or(OWN_CLUSTER);
        let named = Named::connection(name, action.at.clone());
        let mut findings = self.uses(&run_job(), &action.at, Some(named));
        if self.library.context().desk.is_out_of_reach() {
            let message = "programs in a cluster cannot reach this server: the action fails whenever it is run";
            let finding = Diagnostic::warning(action.at.clone(), message);
            let hint =
                "say where its API is reached from there, `advertise: https://…` in tripline.yaml";
            findings.push(self.shown(finding.with_hint(hint)));
        }
        findings
    }

    /// An action under `verify` or `plan` that is not there, does not only read, or is not asked for.
    fn reader(&self, key: &str, named: Option<&(ActionRef, Location)>) -> Findings {
        let Some((asked, at)) = named else { return Vec::new() };
        let finding = |message: String, hint: &str| {
            vec![self.shown(Diagnostic::error(at.clone(), message).with_hint(hint))]
        };
        match self.library.resolve(self.generation, Some(self.pack), asked) {
            Err(_) => {
                let none = self.no_action(asked);
                none.map(|(message, hint)| finding(message, &hint)).unwrap_or_default()
            }
            Ok(resolved)
                if resolved.effect(&Value::Null) != Effect::Read || !resolved.is_performed() =>
            {
                let message = format!("`{key}` needs an action that only reads; `{asked}` is not");
                finding(message, "declare `effect: read` in its file")
            }
            Ok(_) => self.uses(asked, at, None),
        }
    }
}

/// What `chains::check` wants to know of actions.
impl chains::Catalog for Check<'_> {
    fn get(&self, action: &ActionRef) -> Option<Signature> {
        let resolved = self.library.resolve(self.generation, Some(self.pack), action).ok()?;
        let effect = match &resolved {
            Resolved::Chain { .. } => None,
            resolved => resolved.metadata().effect,
        };
        Some(Signature { parameters: resolved.parameters().clone(), effect })
    }

    fn names(&self) -> Vec<String> {
        self.action_names()
    }

    fn payload(&self, kind: &TriggerType) -> Option<Schema> {
        self.triggers.get(kind).map(|info| info.payload.clone())
    }

    fn trigger_types(&self) -> Vec<String> {
        self.trigger_names()
    }

    fn not_emitted(&self, kind: &TriggerType) -> Option<(String, String)> {
        let pack = self.pack;
        if is_built_in(kind) && kind.pack() != pack.name.as_str() {
            let message =
                format!("`{kind}` is not emitted by chains: sensors and the engine tell it");
            let hint = "declare a type of the pack's own in its folder `triggers`";
            return Some((message, hint.to_owned()));
        }
        if self.is_unread(&pack.name) || pack.permissions.allows_event(&pack.name, kind) {
            return None;
        }
        let message = format!("the pack emits `{kind}` but does not ask for it");
        Some((message, format!("add `{kind}` to `permissions.events` in its pack.yaml")))
    }
}
