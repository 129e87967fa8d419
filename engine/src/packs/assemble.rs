//! From packs to a generation: which rules are active, and what must listen for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use host::connection::used;
use model::source::Emitter;
use model::{Hash, Map, Name, PackName, RuleRef, SensorRef, TriggerType, Value};
use rules::{ActiveRule, Rule, RuleSet, Trigger};

use super::triggers::triggers;
use super::{Generation, Pack, Subscription};
use crate::environment::Environment;

impl Generation {
    /// The generation `number` of these packs, with what commands said of their rules. Where there is
    /// an `environment`, rules on a cluster that it does not lend to their pack are told nothing.
    pub fn assemble(
        number: u64,
        packs: BTreeMap<PackName, Arc<Pack>>,
        switches: &BTreeMap<RuleRef, bool>,
        environment: Option<&Environment>,
    ) -> Self {
        let named = packs.values().flat_map(|pack| named_sensors(pack));
        let mut subscriptions = named.map(|sensor| (sensor.id.clone(), sensor)).collect();
        let mut active = Vec::new();
        for pack in packs.values() {
            for rule in pack.rules.values().filter(|rule| is_enabled(rule, switches)) {
                let (subscription, emitter) = subscribed(rule).unzip();
                if environment.is_none_or(|environment| is_lent(pack, rule, environment)) {
                    active.push(listening(pack, rule, emitter));
                }
                if let Some(subscription) = subscription {
                    join(&mut subscriptions, subscription);
                }
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
                let listens = match subscribed(rule) {
                    Some((subscription, _)) => subscription.id == id,
                    None => named(pack, rule).iter().any(|sensor| sensor_id(sensor) == id),
                };
                if listens || tells == Some(rule.trigger.kind.pack()) {
                    listeners.push(rule.reference.clone());
                }
            }
        }
        listeners
    }
}

/// Whether the cluster that the rule's trigger means by naming none, on which a watch is shared, is
/// lent to its pack.
fn is_lent(pack: &Pack, rule: &Rule, environment: &Environment) -> bool {
    let Trigger { kind, parameters, .. } = &rule.trigger;
    let shared = !parameters.contains_key("connection");
    let spec = |name| environment.connections.get(name);
    let used = used(kind.as_str(), None).filter(|_| shared);
    used.is_none_or(|name| spec(name).is_some_and(|spec| spec.admits(&pack.name)))
}

/// Whether `rule` is enabled: a command wins over its file.
pub fn is_enabled(rule: &Rule, switches: &BTreeMap<RuleRef, bool>) -> bool {
    switches.get(&rule.reference).copied().unwrap_or(rule.enabled)
}

/// `rule` with what it listens to.
pub fn activate(pack: &Pack, rule: &Arc<Rule>) -> ActiveRule {
    listening(pack, rule, subscribed(rule).map(|(_, emitter)| emitter))
}

/// The same of what its subscription, if it has one, comes from.
fn listening(pack: &Pack, rule: &Arc<Rule>, emitter: Option<Emitter>) -> ActiveRule {
    let listens = match emitter {
        Some(emitter) => vec![emitter],
        None => named(pack, rule).into_iter().map(Emitter::Sensor).collect(),
    };
    ActiveRule { rule: rule.clone(), listens, config: pack.config.clone() }
}

fn sensor_id(sensor: &SensorRef) -> String {
    format!("{}/{}", sensor.pack, sensor.name)
}

/// The sensors that the rule names, or all of its pack that emit its trigger's type.
fn named(pack: &Pack, rule: &Rule) -> Vec<SensorRef> {
    let Some(kind) = sensor_type(&rule.trigger.kind) else { return Vec::new() };
    if let Some(named) = rule.trigger.parameters.get("sensor").and_then(Value::as_str) {
        return sensor_ref(&pack.name, named).into_iter().collect();
    }
    let own = pack.sensors.iter().filter(|(_, spec)| spec.kind == kind);
    own.map(|(name, _)| SensorRef::new(pack.name.clone(), name.clone())).collect()
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

/// What listens for a trigger that needs no named sensor, for this one alone, and where its events come
/// from. Equal parameters share a subscription, and so do those that only differ in what is told of it.
fn subscribed(rule: &Rule) -> Option<(Subscription, Emitter)> {
    let kinds = sensors::trigger_types();
    let kind = kinds.iter().find(|kind| kind.name == rule.trigger.kind.as_str())?;
    if kind.sensor.is_some() {
        return None;
    }
    let all = rule.trigger.parameters.clone();
    let told_by = hash(rule, &all);
    let emitter = Emitter::Subscription(rule.trigger.kind.clone(), told_by.clone());
    let apart = sensors::apart(kind.name);
    let (own, parameters): (Map, Map) =
        all.into_iter().partition(|(name, _)| apart.contains(&name.as_str()));
    let shares = (!apart.is_empty()).then_some((told_by, own)).into_iter().collect();
    let id = format!("{}/{}", kind.name, hash(rule, &parameters));
    let named = parameters.get("connection").and_then(Value::as_str);
    let user = used(kind.name, named).map(|_| rule.reference.pack.clone());
    let kind = kind.name.to_owned();
    let users = user.into_iter().collect();
    let subscription = Subscription { id, kind, parameters, shares, sensor: None, users };
    Some((subscription, emitter))
}

/// Adds a subscription to those that are shared.
fn join(all: &mut BTreeMap<String, Subscription>, one: Subscription) {
    match all.get_mut(&one.id) {
        Some(shared) => {
            shared.shares.extend(one.shares);
            shared.users.extend(one.users);
        }
        None => drop(all.insert(one.id.clone(), one)),
    }
}

/// What tells subscriptions of one type apart.
fn hash(rule: &Rule, parameters: &Map) -> String {
    let written = Value::Object(parameters.clone());
    let hash = match owner(rule) {
        None => Hash::of_value(&written),
        Some(owner) => Hash::of_value(&Value::Array(vec![written, owner.into()])),
    };
    hash.short()
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
        shares: BTreeMap::new(),
        sensor: Some(SensorRef::new(pack.name.clone(), name.clone())),
        users: BTreeSet::new(),
    });
    named.collect()
}
