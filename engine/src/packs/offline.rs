//! Packs read where no engine runs: for checks, tests and documentation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actions::BuiltinContext;
use actions::desk::Desk;
use host::connection::Connections;
use host::git::Git;
use host::process::{Launcher, Programs};
use model::Diagnostic;

use super::check::cross_check;
use super::load::load_in;
use super::pin::Snapshot;
use super::reload::discover;
use super::together::Together;
use super::{Findings, Library, LoadContext, Pack};
use crate::render;

/// What packs are read with: nothing is run, so the launcher and the folder of programs are never
/// used. A local repository is a matter of the server's settings, not of the pack.
pub(crate) fn context() -> LoadContext {
    let launcher = Launcher { program: PathBuf::from("tripline"), args: Vec::new() };
    context_of(&std::env::temp_dir(), launcher)
}

/// The same, with which programs can be run.
pub(crate) fn context_of(scratch: &Path, launcher: Launcher) -> LoadContext {
    let programs = Programs::new(scratch, launcher);
    let git = Git::new(host::git::Options {
        allow_local: host::git::Local::Anywhere,
        ..Default::default()
    });
    LoadContext { programs, git, connections: Connections::default(), desk: Desk::default() }
}

/// The pack in `folder`, first, and those in `others` that it may use, with all that is wrong.
pub(crate) fn load(folder: &Path, others: &[PathBuf]) -> (Vec<Arc<Pack>>, Findings) {
    load_with(folder, others, &context())
}

/// The same, read so.
pub(crate) fn load_with(
    folder: &Path,
    others: &[PathBuf],
    context: &LoadContext,
) -> (Vec<Arc<Pack>>, Findings) {
    let others = discover(others).into_iter().filter(|other| other != folder);
    let folders = std::iter::once(folder.to_owned()).chain(others);
    let mut read = Together::read(folders, context, None);
    let findings = std::mem::take(&mut read.findings);
    beside(&mut read, context);
    let builtin = render::builtin(&BuiltinContext::default(), render::On::Here);
    let library = Library::new(builtin, context.clone());
    let crossed = cross_check(&read.packs, &read.broken, &library, None);
    let own = read.packs.first().and_then(|pack| crossed.get(&pack.name).cloned());
    (read.packs, findings.into_iter().chain(own.unwrap_or_default()).collect())
}

/// Adds the packs that those in `read` require and that lie beside them, in a folder of their name.
/// What is wrong with them is told where they are checked themselves.
pub(super) fn beside(read: &mut Together, context: &LoadContext) {
    let mut asking: Vec<Arc<Pack>> = read.packs.clone();
    while let Some(pack) = asking.pop() {
        let Some(beside) = pack.folder.canonicalize().ok().and_then(parent) else { continue };
        for required in &pack.requires {
            let known = read.packs.iter().any(|known| known.name == required.pack);
            let folder = beside.join(required.pack.as_str());
            if known || !folder.is_dir() {
                continue;
            }
            let found = load_in(&folder, context, None);
            if found.pack.as_ref().is_none_or(|pack| pack.name == required.pack) {
                asking.extend(read.add(&folder, found));
            }
        }
    }
}

fn parent(folder: PathBuf) -> Option<PathBuf> {
    Some(folder.parent()?.to_owned())
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
