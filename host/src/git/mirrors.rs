//! Which sensor watches which repository: how an action finds the mirror that a sensor filled.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use model::SensorRef;

use super::Repository;

/// The mirrors of the sensors there are. Clones are the same registry.
#[derive(Debug, Clone, Default)]
pub struct Mirrors(Arc<RwLock<BTreeMap<SensorRef, Repository>>>);

impl Mirrors {
    /// `sensor` watches `repository` from now on.
    pub fn register(&self, sensor: SensorRef, repository: Repository) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(sensor, repository);
    }

    /// `sensor` watches nothing any more.
    pub fn remove(&self, sensor: &SensorRef) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(sensor);
    }

    /// The folders of all mirrors that a sensor fills.
    pub fn folders(&self) -> BTreeSet<PathBuf> {
        let mirrors = self.0.read().unwrap_or_else(PoisonError::into_inner);
        mirrors.values().map(|repository| repository.folder().to_owned()).collect()
    }

    /// The mirror of what `sensor` watches.
    pub fn get(&self, sensor: &SensorRef) -> Option<Repository> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(sensor).cloned()
    }
}
