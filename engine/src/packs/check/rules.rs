//! Rules against the trigger types, sensors and actions that there are.

use std::sync::Arc;

use host::connection::used;
use model::diagnostic::instead;
use model::{Diagnostic, TriggerType, Value};
use rules::reach::Known;
use rules::{Rule, Trigger};

use super::Check;
use crate::packs::assemble::{sensor_ref, sensor_type};
use crate::packs::broken::Broken;
use crate::packs::named::Named;
use crate::packs::{Findings, Pack, reached};

impl Check<'_> {
    pub(super) fn rule(&self, rule: &Rule) -> Findings {
        let mut findings = self.trigger(rule);
        findings.extend(self.paths(rule));
        let reference = &rule.action.reference;
        match self.library.resolve(self.generation, Some(self.pack), reference) {
            Err(_) => {
                let none = self.no_action(reference);
                findings.extend(none.map(|(m, hint)| rule.action.error(m).with_hint(hint)));
            }
            Ok(resolved) => {
                let (at, parameters) = (&rule.action.location, rule.action.parameters.foreseen());
                let own = Named::own_cluster(reference.as_str(), &parameters, at);
                let named = Named::by_rule(&rule.action).or(own);
                findings.extend(self.uses(reference, &rule.action.location, named));
                findings.extend(self.unlisted(reached::by_rule(self.pack, &rule.action)));
                findings.extend(rule.action.check(resolved.parameters()));
            }
        }
        findings
    }

    /// Criteria on what the rule's events, or the pack's configuration, never have.
    fn paths(&self, rule: &Rule) -> Findings {
        let payload = self.triggers.get(&rule.trigger.kind).map(|info| &info.payload);
        let config = (!self.is_unread(&self.pack.name)).then_some(&self.pack.config_schema);
        rule.check_paths(&Known::new(payload, config))
    }

    fn trigger(&self, rule: &Rule) -> Findings {
        let trigger = &rule.trigger;
        let Some(known) = self.triggers.get(&trigger.kind) else {
            return self.unknown_trigger(trigger).into_iter().collect();
        };
        let misfits = || trigger.check(&known.parameters);
        match sensor_type(&trigger.kind) {
            Some(kind) => {
                let misfits = misfits();
                if misfits.is_empty() {
                    self.sensor(trigger, kind).into_iter().collect()
                } else {
                    misfits
                }
            }
            None if is_builtin(&trigger.kind) => {
                let git = &self.library.context().git;
                let errors = sensors::check(trigger.kind.as_str(), &trigger.parameters, git);
                let told = errors.into_iter().map(|error| {
                    let finding = trigger.error_at(&error.path, error.message);
                    hinted(finding, error.hint)
                });
                told.chain(self.trigger_connection(trigger)).collect()
            }
            None => misfits(),
        }
    }

    /// A connection of the trigger's parameters that the pack does not ask for.
    fn trigger_connection(&self, trigger: &Trigger) -> Option<Diagnostic> {
        let named = trigger.parameters.get("connection").and_then(Value::as_str);
        let name = used(trigger.kind.as_str(), named)?;
        self.unasked(&Named::connection(name, trigger.location.clone()))
    }

    fn unknown_trigger(&self, trigger: &Trigger) -> Option<Diagnostic> {
        const LATER: [&str; 6] =
            ["github.", "gitlab.", "tripline.approval.", "aws.", "nats.", "argocd."];
        let kind = trigger.kind.as_str();
        let at = trigger.location.clone();
        if LATER.iter().any(|prefix| kind.starts_with(prefix)) {
            let message =
                format!("the trigger type `{kind}` is not supported by this version of Tripline");
            let known = sensors::trigger_types();
            let known: Vec<&str> = known.iter().map(|kind| kind.name).collect();
            let hint = format!("known here: {}", known.join(", "));
            return Some(self.shown(Diagnostic::error(at, message).with_hint(hint)));
        }
        let known = self.trigger_names();
        if known.iter().any(|known| known == kind) {
            return None;
        }
        let hint = self.rejected(trigger.kind.pack());
        let hint = hint.unwrap_or_else(|| instead(kind, known.iter().map(String::as_str)));
        let finding = Diagnostic::error(at, format!("there is no trigger type `{kind}`"));
        Some(self.shown(finding.with_hint(hint)))
    }

    /// The sensor that a trigger names, or the pack's sensors of the type it needs.
    fn sensor(&self, trigger: &Trigger, kind: &str) -> Option<Diagnostic> {
        let Some(named) = trigger.parameters.get("sensor").and_then(Value::as_str) else {
            let broken = self.broken.of(&self.pack.name).is_some_and(Broken::has_sensors);
            if broken || self.pack.sensors.values().any(|spec| spec.kind == kind) {
                return None;
            }
            let message = format!("the pack has no sensor of type `{kind}` for `{}`", trigger.kind);
            let hint =
                "add one to its folder `sensors`, or name another pack's: `sensor: pack.name`";
            let finding = Diagnostic::error(trigger.location.clone(), message).with_hint(hint);
            return Some(self.shown(finding));
        };
        let reference = sensor_ref(&self.pack.name, named);
        let spec = reference.and_then(|r| self.generation.packs.get(&r.pack)?.sensors.get(&r.name));
        match spec {
            Some(spec) if spec.kind == kind => None,
            Some(spec) => {
                let message =
                    format!("the sensor `{named}` is of type `{}`, not `{kind}`", spec.kind);
                let hint = format!("`{}` needs a sensor of type `{kind}`", trigger.kind);
                Some(trigger.error_at("sensor", message).with_hint(hint))
            }
            None if self.is_broken_sensor(named) => None,
            None => {
                let known = self.sensors_of(kind);
                let owner = named.split_once('.').and_then(|(pack, _)| self.rejected(pack));
                let hint = match (owner, known.is_empty()) {
                    (Some(hint), _) => hint,
                    (None, true) => {
                        "add it to its pack's folder `sensors`; packs are checked together"
                            .to_owned()
                    }
                    (None, false) => instead(named, known.iter().map(String::as_str)),
                };
                let finding = trigger.error_at("sensor", format!("there is no sensor `{named}`"));
                Some(finding.with_hint(hint))
            }
        }
    }

    /// Whether the sensor's file is there and wrong.
    fn is_broken_sensor(&self, named: &str) -> bool {
        let address = sensor_ref(&self.pack.name, named).map(|sensor| sensor.to_string());
        self.broken.sensors().any(|broken| Some(&broken) == address.as_ref())
    }

    /// The sensors that a trigger of this pack can name: its own, then those of other packs.
    fn sensors_of(&self, kind: &str) -> Vec<String> {
        let fitting = |pack: &Arc<Pack>| {
            let own = pack.name == self.pack.name;
            let sensors = pack.sensors.iter().filter(|(_, spec)| spec.kind == kind);
            let name = |name| if own { format!("{name}") } else { format!("{}.{name}", pack.name) };
            sensors.map(|(sensor, _)| name(sensor)).collect::<Vec<_>>()
        };
        self.generation.packs.values().flat_map(fitting).collect()
    }
}

fn is_builtin(trigger: &TriggerType) -> bool {
    sensors::trigger_types().iter().any(|kind| kind.name == trigger.as_str())
}

fn hinted(finding: Diagnostic, hint: Option<String>) -> Diagnostic {
    match hint {
        Some(hint) => finding.with_hint(hint),
        None => finding,
    }
}
