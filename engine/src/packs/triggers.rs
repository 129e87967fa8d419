//! The trigger types that rules can name.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use model::{Map, Schema, TriggerType};

use super::Pack;
use crate::notices;

/// A trigger type that rules can name.
#[derive(Debug, Clone)]
pub struct TriggerInfo {
    /// Its name.
    pub kind: TriggerType,
    /// When it happens.
    pub description: String,
    /// What a rule's `trigger.parameters` may hold.
    pub parameters: Schema,
    /// What a rule sees as `trigger`.
    pub payload: Schema,
}

/// Compiled once: each test of a pack has a generation of its own.
static BUILT_IN: LazyLock<Vec<TriggerInfo>> = LazyLock::new(|| {
    let compiled =
        |properties: &Map| Schema::compile(properties).unwrap_or_else(|_| Schema::empty());
    let builtin = sensors::trigger_types().into_iter().chain(notices::trigger_types());
    let builtin = builtin.filter_map(|kind| {
        Some(TriggerInfo {
            kind: kind.name.parse().ok()?,
            description: kind.description.to_owned(),
            parameters: compiled(&kind.parameters),
            payload: compiled(&kind.payload),
        })
    });
    builtin.collect()
});

/// The trigger types that are built in and those of these packs.
pub(super) fn triggers<'a>(
    packs: impl Iterator<Item = &'a Arc<Pack>>,
) -> BTreeMap<TriggerType, TriggerInfo> {
    let own = packs.flat_map(|pack| pack.triggers.values()).map(|spec| TriggerInfo {
        kind: spec.kind.clone(),
        description: spec.description.clone(),
        parameters: Schema::empty(),
        payload: spec.payload.clone(),
    });
    BUILT_IN.iter().cloned().chain(own).map(|info| (info.kind.clone(), info)).collect()
}
