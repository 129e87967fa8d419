//! Packs read where no engine runs: for checks, tests and documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actions::BuiltinContext;
use host::git::Git;
use host::process::{Launcher, Programs};
use model::Diagnostic;

use super::check::{cross_check, name_of};
use super::pin::Snapshot;
use super::reload::{discover, same_name};
use super::{Findings, Library, LoadContext, Pack};

/// What packs are read with: nothing is run, so the launcher and the folder of programs are never
/// used. A local repository is a matter of the server's settings, not of the pack.
pub(crate) fn context() -> LoadContext {
    let launcher = Launcher { program: PathBuf::from("tripline"), args: Vec::new() };
    let programs = Programs::new(&std::env::temp_dir(), launcher);
    let git = Git::new(host::git::Options { allow_local: true, ..Default::default() });
    LoadContext { programs, git }
}

/// The pack in `folder`, first, and those in `others` that it may use, with all that is wrong.
pub(crate) fn load(folder: &Path, others: &[PathBuf]) -> (Vec<Arc<Pack>>, Findings) {
    let context = context();
    let mut packs: Vec<Arc<Pack>> = Vec::new();
    let (mut rejected, mut findings) = (BTreeSet::new(), Vec::new());
    let others = discover(others).into_iter().filter(|other| other != folder);
    for folder in std::iter::once(folder.to_owned()).chain(others) {
        let (pack, found) = super::load(&folder, &context);
        findings.extend(found);
        let Some(pack) = pack else {
            rejected.extend(name_of(&folder));
            continue;
        };
        match packs.iter().find(|other| other.name == pack.name) {
            Some(other) => findings.push(same_name(&pack, &other.folder)),
            None => packs.push(Arc::new(pack)),
        }
    }
    let beside = beside(&packs, &context);
    packs.extend(beside);
    let library = Library::new(crate::render::builtin(&BuiltinContext::default()), context);
    let crossed = cross_check(&packs, &rejected, &library, None);
    let own = packs.first().and_then(|pack| crossed.get(&pack.name).cloned());
    findings.extend(own.unwrap_or_default());
    (packs, findings)
}

/// The packs that `packs` require and that lie beside them, in a folder of their name.
pub(super) fn beside(packs: &[Arc<Pack>], context: &LoadContext) -> Vec<Arc<Pack>> {
    let mut found: Vec<Arc<Pack>> = Vec::new();
    let mut asking: Vec<Arc<Pack>> = packs.to_vec();
    while let Some(pack) = asking.pop() {
        for required in &pack.requires {
            let known = packs.iter().chain(&found).any(|known| known.name == required.pack);
            let folder = pack
                .folder
                .canonicalize()
                .ok()
                .and_then(|folder| Some(folder.parent()?.join(required.pack.as_str())));
            let Some(folder) = folder.filter(|folder| !known && folder.is_dir()) else { continue };
            // What is wrong with it is told where it is checked itself.
            let Some(other) = super::load(&folder, context).0 else { continue };
            if other.name == required.pack {
                let other = Arc::new(other);
                asking.push(other.clone());
                found.push(other);
            }
        }
    }
    found
}

/// The folders that hold packs, in `paths` or directly below.
pub fn folders(paths: &[PathBuf]) -> Vec<PathBuf> {
    discover(paths)
}

/// The pack's files whose path begins so.
pub(crate) fn files(
    folder: &Path,
    prefix: &str,
) -> Result<BTreeMap<String, Vec<u8>>, Vec<Diagnostic>> {
    let (snapshot, findings) = Snapshot::read(folder);
    if !findings.is_empty() {
        return Err(findings);
    }
    let files = snapshot.files.into_iter();
    Ok(files.filter(|(path, _)| path.starts_with(prefix)).map(|(p, f)| (p, f.bytes)).collect())
}
