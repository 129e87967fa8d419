//! Packs that are read together, where no engine runs: as far as each can be read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::broken::AllBroken;
use super::load::{Read, load_in};
use super::reload::same_name;
use super::{Findings, LoadContext, Pack};
use crate::environment::Environment;

/// Packs, and what is wrong with each by itself.
#[derive(Default)]
pub(super) struct Together {
    /// What could be read of them, in the order of their folders.
    pub(super) packs: Vec<Arc<Pack>>,
    /// What could not.
    pub(super) broken: AllBroken,
    /// Why.
    pub(super) findings: Findings,
}

impl Together {
    /// Reads the packs in `folders`, with the configuration that `environment` gives them.
    pub(super) fn read(
        folders: impl IntoIterator<Item = PathBuf>,
        context: &LoadContext,
        environment: Option<&Environment>,
    ) -> Self {
        let mut together = Self::default();
        for folder in folders {
            together.add(&folder, load_in(&folder, context, environment));
        }
        together
    }

    /// Adds what was read of one more, and answers with its content.
    pub(super) fn add(&mut self, folder: &Path, read: Read) -> Option<Arc<Pack>> {
        self.findings.extend(read.findings);
        let Some(pack) = read.pack else {
            self.broken.packs.extend(name_of(folder));
            return None;
        };
        if let Some(other) = self.packs.iter().find(|other| other.name == pack.name) {
            self.findings.push(same_name(&pack, &other.folder));
            return None;
        }
        let pack = Arc::new(pack);
        self.broken.files.insert(pack.name.clone(), read.broken);
        self.packs.push(pack.clone());
        Some(pack)
    }
}

/// The name of a pack whose files could not be used: that of its folder.
pub(crate) fn name_of(folder: &Path) -> Option<String> {
    Some(folder.file_name()?.to_str()?.to_owned())
}
