//! What packs need of a cluster, as RBAC's manifests: the rights of their rules' watches and of the
//! calls that their chains make, and no others.
//!
//! ```text
//!  files ──needs──▶ rights on kinds, notes ──names of kinds──▶ roles ──▶ manifests
//! ```
//! Parameters are followed as far as the files tell them. What they don't tell is a note that says
//! what to add.

mod manifests;
mod needs;
mod notes;
mod roles;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use host::kubernetes::Naming;
use model::{Diagnostic, PackName};

use super::offline;
use super::shipped::{on_shelf, unwritable};

pub use self::manifests::{Manifest, Manifests};
pub use self::needs::Needs;
pub use self::notes::Note;

/// A kind by its API version and name.
pub type Kind = (String, String);

/// For whom, and what the files do not say.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The service account that gets the rights.
    pub account: String,
    /// The namespace of the service account.
    pub namespace: String,
    /// The connection of whose cluster it is; none: the server's own cluster.
    pub connection: Option<String>,
    /// Namespaces of objects whose namespace no file says.
    pub inside: Vec<String>,
    /// Kinds of objects whose kind is computed.
    pub kinds: Vec<Kind>,
}

/// What the packs in `folders`, or below, need; `builtin:NAME` is a pack that ships with Tripline.
/// Packs in `others` are there for their chains.
///
/// Errors: what is wrong with them.
pub fn needs(
    folders: &[PathBuf],
    others: &[PathBuf],
    wanted: &Wanted,
) -> Result<Vec<Needs>, Vec<Diagnostic>> {
    let shelf = tempfile::tempdir().map_err(|error| vec![unwritable(&error.to_string())])?;
    let folders = on_shelf(folders, shelf.path())?;
    let others = [folders.as_slice(), &on_shelf(others, shelf.path())?].concat();
    let found = offline::folders(&folders);
    found.iter().map(|folder| of_one(folder, &others, shelf.path(), wanted)).collect()
}

fn of_one(
    folder: &Path,
    others: &[PathBuf],
    shelf: &Path,
    wanted: &Wanted,
) -> Result<Needs, Vec<Diagnostic>> {
    let (packs, findings) = offline::load(folder, others);
    let errors: Vec<Diagnostic> = findings.into_iter().filter(Diagnostic::is_error).collect();
    match packs.first() {
        Some(pack) if errors.is_empty() => Needs::of(pack, &packs, shelf, wanted),
        _ => Err(errors),
    }
}

/// The kinds among what is needed that are not Kubernetes' own, and of which only a cluster or a
/// definition tells the name in rights.
pub fn custom_kinds(needs: &[Needs]) -> BTreeSet<Kind> {
    let kinds = needs.iter().flat_map(Needs::kinds);
    kinds.filter(|(version, kind)| Naming::builtin(version, kind).is_none()).collect()
}

/// The manifests. `custom` names the [`custom_kinds`]; what is not in it is left out.
pub fn manifests(needs: &[Needs], custom: &BTreeMap<Kind, Naming>, wanted: &Wanted) -> Manifests {
    let naming =
        |kind: &Kind| Naming::builtin(&kind.0, &kind.1).or_else(|| custom.get(kind).cloned());
    Manifests::of(needs, &naming, wanted)
}

/// The name of the role of a pack: `_` is not for names in a cluster.
fn role_name(account: &str, pack: &PackName) -> String {
    format!("{account}-{}", pack.as_str().replace('_', "-"))
}
