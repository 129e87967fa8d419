//! What a sensor may do: its pack's permissions of now, and no more of them than the environment
//! grants.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use host::guard::HostPattern;
use host::secret::SecretRef;

use super::{Asked, Sensing};
use crate::core::Core;
use crate::packs::{Generation, Subscription};
use crate::permissions::{Rights, patterns};

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

    /// The hosts that its pack may reach; none for a sensor that reaches no other or brings a
    /// connection.
    pub(super) fn hosts(
        &self,
        generation: &Arc<Generation>,
        subscription: &Subscription,
    ) -> Vec<HostPattern> {
        let reaches = subscription.sensor.is_some() && subscription.kind == "git";
        if !reaches || subscription.parameters.contains_key("connection") {
            return Vec::new();
        }
        self.rights(generation, subscription).hosts()
    }

    /// Those that its pack asks for, whatever its environment grants.
    pub(super) fn asked_hosts(
        generation: &Generation,
        subscription: &Subscription,
    ) -> Vec<HostPattern> {
        let pack =
            subscription.sensor.as_ref().and_then(|sensor| generation.packs.get(&sensor.pack));
        pack.map(|pack| patterns(&pack.permissions.hosts)).unwrap_or_default()
    }

    /// Whether its pack may run programs, else why not; for a sensor that is no program nothing
    /// depends on it.
    pub(super) fn may_exec(
        &self,
        generation: &Arc<Generation>,
        subscription: &Subscription,
    ) -> Result<(), String> {
        let sensor = subscription.sensor.as_ref().filter(|_| subscription.kind == "process");
        let pack = sensor.and_then(|sensor| generation.packs.get(&sensor.pack));
        let asked = pack.map(|pack| self.rights(generation, subscription).programs(pack));
        asked.unwrap_or(Ok(())).map_err(|error| error.message)
    }
}

/// Which secrets a sensor may use; what it asked for is noted, also where it is denied.
pub(super) fn permit(core: &Arc<Core>, rights: Rights, asked: &Asked) -> sensors::SecretPermit {
    let (core, asked) = (core.clone(), asked.clone());
    Arc::new(move |reference| {
        let Some(entry) = reference.entry() else { return Ok(()) };
        asked.lock().unwrap_or_else(PoisonError::into_inner).insert(entry.clone());
        rights.secret(&entry).map_err(|error| error.message)?;
        match reference {
            SecretRef::File(file) if is_ours(&core, file) => Err(format!(
                "{reference} lies in the state folder, whose files are for the server alone"
            )),
            _ => Ok(()),
        }
    })
}

/// Whether the file lies in the state folder, by whatever link.
fn is_ours(core: &Core, file: &Path) -> bool {
    let state = core.folders.root().canonicalize();
    let file = file.canonicalize();
    matches!((state, file), (Ok(state), Ok(file)) if file.starts_with(&state))
}

/// How a sensor looks up secrets of the secret store.
pub(super) fn lookup(core: &Arc<Core>) -> sensors::SecretLookup {
    let core = core.clone();
    Arc::new(move |path| {
        let value = core.vault.value(path).map_err(|error| error.to_string())?;
        Ok(value.expose().to_owned())
    })
}
