//! What a sensor may do: its pack's permissions of now, and no more of them than the environment
//! grants.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use super::{Asked, Sensing};
use crate::core::Core;
use crate::packs::{Generation, Subscription};
use crate::permissions::Rights;

impl Sensing {
    /// What may be done for the sensor's pack.
    pub(super) fn rights(
        &self,
        generation: &Arc<Generation>,
        subscription: &Subscription,
    ) -> Rights {
        let pack = subscription.sensor.as_ref().map(|sensor| &sensor.pack);
        Rights::of(generation.clone(), self.core.environment.load_full(), pack, None)
    }

    /// Those of the secrets that it asked for which its pack may not use.
    pub(super) fn denied(
        &self,
        generation: &Arc<Generation>,
        subscription: &Subscription,
        asked: &Asked,
    ) -> BTreeSet<String> {
        let rights = self.rights(generation, subscription);
        let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|path| rights.secret(path).is_err()).cloned().collect()
    }

    /// Whether its pack asks to run programs and its environment leaves that to it; for a sensor that
    /// is no program nothing depends on it.
    pub(super) fn may_exec(&self, generation: &Generation, subscription: &Subscription) -> bool {
        let sensor = subscription.sensor.as_ref().filter(|_| subscription.kind == "process");
        let Some(pack) = sensor.and_then(|sensor| generation.packs.get(&sensor.pack)) else {
            return false;
        };
        let environment = self.core.environment.load();
        let granted = environment.packs.get(&pack.name).and_then(|pack| pack.grants.exec);
        pack.permissions.exec && granted != Some(false)
    }
}

/// How a sensor looks up secrets; what it asked for is noted, also where it is denied.
pub(super) fn lookup(core: &Arc<Core>, rights: Rights, asked: &Asked) -> sensors::SecretLookup {
    let (core, asked) = (core.clone(), asked.clone());
    Arc::new(move |path| {
        asked.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
        rights.secret(path).map_err(|error| error.message)?;
        let value = core.vault.value(path).map_err(|error| error.to_string())?;
        Ok(value.expose().to_owned())
    })
}
