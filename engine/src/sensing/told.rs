//! What was told of how sensors stand and is not over yet. It is stored with the event that tells it, so
//! that a rule that opened an incident is told of its end as well, whatever is started in between.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::core::{Core, Trouble};
use crate::intake::Standing;
use crate::packs::Generation;

/// Under this name it is remembered, as no sensor is called.
const SENSORS: &str = "tripline.sensors";
/// Sensors that are read at once.
const AT_ONCE: usize = 400;

/// Of one sensor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// That it fails.
    pub failing: bool,
    /// That it waits for a person.
    pub guarded: bool,
}

impl Told {
    /// What goes into the store with the event that tells it of the sensor with this id.
    pub(super) fn of(self, id: &str) -> Standing {
        let is_over = self == Self::default();
        Standing {
            sensor: SENSORS.to_owned(),
            cursor: None,
            seen: vec![(id.to_owned(), (!is_over).then(|| serde_json::json!(self)))],
            behind: false,
            told_until: None,
        }
    }
}

/// What was told before the engine was started, of each sensor that is wanted. The rest is forgotten.
pub(super) async fn before(
    core: &Core,
    generation: &Generation,
) -> Result<BTreeMap<String, Told>, Trouble> {
    let mut all = BTreeMap::new();
    let mut last = String::new();
    loop {
        let some = core.store.all_seen(SENSORS, &last, AT_ONCE).await?;
        let is_end = some.len() < AT_ONCE;
        for (id, entry) in some {
            last.clone_from(&id);
            match serde_json::from_value(entry) {
                Ok(told) if generation.subscriptions.contains_key(&id) => {
                    all.insert(id, told);
                }
                _ => forget(core, &id).await?,
            }
        }
        if is_end {
            return Ok(all);
        }
    }
}

/// Forgets what was told of a sensor that nobody wants any more.
pub(super) async fn forget(core: &Core, id: &str) -> Result<(), Trouble> {
    let batch = model::BatchId::new(format!("forget/{}", crate::random::name()));
    let (actor, at) = (model::Actor::engine(), core.now());
    let writes = Told::default().of(id).writes();
    core.append(store::Batch { id: batch, actor, at, writes }).await.map(drop)
}
