//! Which sensor watches which repository: how an action finds the mirror that a sensor filled.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use model::{PackName, SensorRef};

use super::Repository;

/// The mirrors of the sensors there are. Clones are the same registry.
#[derive(Debug, Clone, Default)]
pub struct Mirrors(Arc<RwLock<BTreeMap<SensorRef, Mirror>>>);

#[derive(Debug, Clone)]
struct Mirror {
    repository: Repository,
    /// Patterns of the other packs that may read it.
    shared_with: Vec<String>,
}

impl Mirrors {
    /// `sensor` watches `repository` from now on; packs whose names fit one of `shared_with` (a name,
    /// or a beginning with `*`) may read it too.
    pub fn register(&self, sensor: SensorRef, repository: Repository, shared_with: Vec<String>) {
        let mirror = Mirror { repository, shared_with };
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(sensor, mirror);
    }

    /// Whether `pack` may read what `sensor` watches: its own, or one that is shared with it.
    pub fn is_shared(&self, sensor: &SensorRef, pack: &PackName) -> bool {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => pack.as_str().starts_with(prefix),
            None => pattern == pack.as_str(),
        };
        let mirrors = self.0.read().unwrap_or_else(PoisonError::into_inner);
        sensor.pack == *pack || mirrors.get(sensor).is_some_and(|m| m.shared_with.iter().any(fits))
    }

    /// `sensor` watches nothing any more.
    pub fn remove(&self, sensor: &SensorRef) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(sensor);
    }

    /// The folders of all mirrors that a sensor fills.
    pub fn folders(&self) -> BTreeSet<PathBuf> {
        let mirrors = self.0.read().unwrap_or_else(PoisonError::into_inner);
        mirrors.values().map(|mirror| mirror.repository.folder().to_owned()).collect()
    }

    /// The mirror of what `sensor` watches.
    pub fn get(&self, sensor: &SensorRef) -> Option<Repository> {
        let mirrors = self.0.read().unwrap_or_else(PoisonError::into_inner);
        mirrors.get(sensor).map(|mirror| mirror.repository.clone())
    }
}
