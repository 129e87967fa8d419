//! Named sensors, and what they use.

use std::collections::BTreeSet;

use host::secret::SecretRef;
use model::{Diagnostic, Map, Value};

use super::Check;
use crate::packs::broken::Broken;
use crate::packs::named::Named;
use crate::packs::{Findings, SensorSpec};
use crate::permissions::patterns;

impl Check<'_> {
    /// What keeps a sensor that is a program from telling anything.
    pub(super) fn program(&self, spec: &SensorSpec) -> Option<Diagnostic> {
        if spec.kind != "process" {
            return None;
        }
        if !self.pack.permissions.exec {
            let message = "the pack runs programs but does not ask for `permissions.exec`";
            return self.denied(&spec.at, message, "add `exec: true` to its permissions");
        }
        let broken = self.broken.of(&self.pack.name).is_some_and(Broken::has_triggers);
        (self.pack.triggers.is_empty() && !broken).then(|| {
            let message = "the pack has no event type for what the sensor's program prints";
            Diagnostic::warning(spec.at.clone(), message)
                .with_hint("add one to its folder `triggers`")
        })
    }

    /// A sensor that uses a connection which the pack does not ask for.
    pub(super) fn sensor_connection(&self, sensor: &SensorSpec) -> Option<Diagnostic> {
        let name = sensor.parameters.get("connection")?.as_str()?;
        self.unasked(&Named::connection(name, sensor.at.clone()))
    }

    /// A webhook that is to poke what is no git sensor of its pack.
    pub(super) fn poked(&self, webhook: &SensorSpec) -> Option<Diagnostic> {
        let name = webhook.parameters.get("pokes")?.as_str()?;
        let found = self.pack.sensors.iter().find(|(known, _)| known.as_str() == name);
        if found.is_some_and(|(_, spec)| spec.kind == "git") {
            return None;
        }
        let message = format!("`pokes: {name}`: the pack has no git sensor of this name");
        self.denied(&webhook.at, &message, "name one of the pack's own sensors of type git")
    }

    /// A host that a sensor may not reach.
    pub(super) fn sensor_host(&self, sensor: &SensorSpec) -> Option<Diagnostic> {
        let git = &self.library.context().git;
        let hosts = patterns(&self.pack.permissions.hosts);
        let error = sensors::beyond(&sensor.kind, &sensor.parameters, git, &hosts)?;
        self.denied(&sensor.at, &error.message, error.hint.as_deref().unwrap_or_default())
    }

    /// Secrets that a sensor uses and that the pack does not ask for, wherever they lie.
    pub(super) fn sensor_secrets(&self, sensor: &SensorSpec) -> Findings {
        let named = secrets(&sensor.parameters).into_iter();
        let named = named.map(|entry| Named::secret(entry, sensor.at.clone()));
        named.filter_map(|named| self.unasked(&named)).collect()
    }
}

/// What a sensor's parameters refer to, as `permissions.secrets` calls it.
fn secrets(parameters: &Map) -> BTreeSet<String> {
    let several: Vec<&Value> = match parameters.get("secrets") {
        Some(Value::Array(list)) => list.iter().collect(),
        Some(Value::Object(map)) => map.values().collect(),
        _ => Vec::new(),
    };
    let references = several.into_iter().chain(parameters.get("credentials"));
    references.filter_map(|reference| SecretRef::read(reference)?.entry()).collect()
}
