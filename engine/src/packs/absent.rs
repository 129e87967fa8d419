//! Packs whose folder is gone while the engine runs.
//!
//! A disk that is unmounted, a folder that is renamed while somebody deploys: neither means that
//! nobody wants the packs any more. So a configured folder that is gone, cannot be read or holds
//! nothing at all keeps the packs it had. A pack that is removed from a folder in which others
//! stay is unloaded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::{Diagnostic, Location};

use super::reload::PackStatus;

/// Why a configured folder says nothing of which packs there should be; none: it does.
pub(crate) fn absence(folder: &Path) -> Option<String> {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none().then(|| "is empty".to_owned()),
        Err(error) => Some(format!("cannot be read: {error}")),
    }
}

/// Keeps, as stale, the packs that the absent ones of `folders` held.
pub(super) fn keep(
    folders: &[PathBuf],
    before: &BTreeMap<PathBuf, PackStatus>,
    next: &mut BTreeMap<PathBuf, PackStatus>,
) {
    for folder in folders {
        let Some(why) = absence(folder) else { continue };
        let held = before.values().filter(|slot| {
            slot.active.is_some() && slot.folder != *folder && slot.folder.starts_with(folder)
        });
        let kept: Vec<PackStatus> = held.map(|slot| stale(slot, folder, &why)).collect();
        if !kept.is_empty() {
            // It was taken for a pack of its own, as there is nothing in it.
            next.remove(folder);
        }
        next.extend(kept.into_iter().map(|slot| (slot.folder.clone(), slot)));
    }
}

fn stale(slot: &PackStatus, folder: &Path, why: &str) -> PackStatus {
    let shown = folder.display().to_string();
    let message = format!("the folder of packs {shown} {why}; the pack stays as it was last");
    let hint = "mount it or put it back; to be rid of its packs, start the server without it";
    let finding = Diagnostic::error(Location::file(shown), message).with_hint(hint);
    PackStatus { stale: true, findings: vec![finding], ..slot.clone() }
}
