//! From packs to a generation: which rules are active, and what must listen for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::source::Emitter;
use model::{Hash, Name, PackName, RuleRef, SensorRef, TriggerType, Value};
use rules::{ActiveRule, Rule, RuleSet};

use super::triggers::triggers;
use super::{Generation, Pack, Subscription};

impl Generation {
    /// The generation `number` of these packs, with what commands said of their rules.
    pub fn assemble(
        number: u64,
        packs: BTreeMap<PackName, Arc<Pack>>,
        switches: &BTreeMap<RuleRef, bool>,
    ) -> Self {
        let mut subscriptions: BTreeMap<String, Subscription> = packs
            .values()
            .flat_map(|pack| named_sensors(pack))
            .map(|s| (s.id.clone(), s))
            .collect();
        let mut active = Vec::new();
        for pack in packs.values() {
            for rule in pack.rules.values().filter(|rule| is_enabled(rule, switches)) {
                let default = default_subscription(rule);
                active.push(activate(pack, rule, default.as_ref()));
                subscriptions
                    .extend(default.map(|subscription| (subscription.id.clone(), subscription)));
            }
        }
        let triggers = triggers(packs.values());
        Self { number, packs, rules: Arc::new(RuleSet::new(active)), subscriptions, triggers }
    }

    /// These packs, with none of their rules at work.
    pub fn idle(packs: BTreeMap<PackName, Arc<Pack>>) -> Self {
        Self { triggers: triggers(packs.values()), packs, ..Self::empty() }
    }

    /// The enabled rules that listen to the subscription `id`.
    pub fn listeners(&self, id: &str, switches: &BTreeMap<RuleRef, bool>) -> Vec<RuleRef> {
        let mut listeners = Vec::new();
        let tells = self.subscriptions.get(id).filter(|listens| listens.kind == "process");
        // A program tells any of its pack's own types.
        let tells = tells.and_then(|program| program.sensor.as_ref()).map(|it| it.pack.as_str());
        for pack in self.packs.values() {
            for rule in pack.rules.values().filter(|rule| is_enabled(rule, switches)) {
                let listens = listens(pack, rule, default_subscription(rule).as_ref());
                let named = listens.iter().any(|it| emitter_id(it).as_deref() == Some(id));
                if named || tells == Some(rule.trigger.kind.pack()) {
                    listeners.push(rule.reference.clone());
                }
            }
        }
        listeners
    }
}

/// Whether `rule` is enabled: a command wins over its file.
pub fn is_enabled(rule: &Rule, switches: &BTreeMap<RuleRef, bool>) -> bool {
    switches.get(&rule.reference).copied().unwrap_or(rule.enabled)
}

/// `rule` with what it listens to.
pub fn activate(pack: &Pack, rule: &Arc<Rule>, default: Option<&Subscription>) -> ActiveRule {
    ActiveRule {
        rule: rule.clone(),
        listens: listens(pack, rule, default),
        config: pack.config.clone(),
    }
}

fn emitter_id(emitter: &Emitter) -> Option<String> {
    match emitter {
        Emitter::Sensor(sensor) => Some(format!("{}/{}", sensor.pack, sensor.name)),
        Emitter::Subscription(kind, hash) => Some(format!("{kind}/{hash}")),
        Emitter::Api(_) | Emitter::Execution | Emitter::Engine => None,
    }
}

/// The sensors that the rule names, or all of its pack that emit its trigger's type, or the
/// subscription its parameters make.
fn listens(pack: &Pack, rule: &Rule, default: Option<&Subscription>) -> Vec<Emitter> {
    if let Some(subscription) = default {
        let hash = subscription.id.rsplit('/').next().unwrap_or_default().to_owned();
        return vec![Emitter::Subscription(rule.trigger.kind.clone(), hash)];
    }
    let Some(kind) = sensor_type(&rule.trigger.kind) else { return Vec::new() };
    if let Some(named) = rule.trigger.parameters.get("sensor").and_then(Value::as_str) {
        sensor_ref(&pack.name, named).map(Emitter::Sensor).into_iter().collect()
    } else {
        let own = pack.sensors.iter().filter(|(_, spec)| spec.kind == kind);
        own.map(|(name, _)| Emitter::Sensor(SensorRef::new(pack.name.clone(), name.clone())))
            .collect()
    }
}

/// `app` is this pack's sensor, `pack.app` another's.
pub(super) fn sensor_ref(pack: &PackName, named: &str) -> Option<SensorRef> {
    match named.contains('.') {
        true => named.parse().ok(),
        false => Some(SensorRef::new(pack.clone(), named.parse::<Name>().ok()?)),
    }
}

/// The type of the named sensors that emit `trigger`; none where its parameters say it all.
pub(super) fn sensor_type(trigger: &TriggerType) -> Option<&'static str> {
    let kinds = sensors::trigger_types();
    kinds.iter().find(|kind| kind.name == trigger.as_str())?.sensor
}

/// What listens for a trigger that needs no named sensor: equal parameters share it.
pub fn default_subscription(rule: &Rule) -> Option<Subscription> {
    let kinds = sensors::trigger_types();
    let kind = kinds.iter().find(|kind| kind.name == rule.trigger.kind.as_str())?;
    if kind.sensor.is_some() {
        return None;
    }
    let parameters = rule.trigger.parameters.clone();
    let written = Value::Object(parameters.clone());
    let user = parameters.contains_key("connection").then(|| rule.reference.pack.clone());
    let hash = match owner(rule) {
        None => Hash::of_value(&written),
        Some(owner) => Hash::of_value(&Value::Array(vec![written, owner.into()])),
    };
    let (hash, kind) = (hash.short(), rule.trigger.kind.to_string());
    Some(Subscription { id: format!("{kind}/{hash}"), kind, parameters, sensor: None, user })
}

/// Whose the subscription is that others with equal parameters don't share: what is there at first is
/// told to the rule that asks for it, once, and a connection is granted to packs.
fn owner(rule: &Rule) -> Option<String> {
    let parameters = &rule.trigger.parameters;
    let asks = parameters.get("initial").is_some_and(|initial| initial == "emit");
    let connected =
        || parameters.contains_key("connection").then(|| rule.reference.pack.to_string());
    asks.then(|| rule.reference.to_string()).or_else(connected)
}

fn named_sensors(pack: &Pack) -> Vec<Subscription> {
    let named = pack.sensors.iter().map(|(name, spec)| Subscription {
        id: format!("{}/{name}", pack.name),
        kind: spec.kind.clone(),
        parameters: spec.parameters.clone(),
        sensor: Some(SensorRef::new(pack.name.clone(), name.clone())),
        user: None,
    });
    named.collect()
}
