//! Repositories that are folders of this machine: which of them may be one.

use std::path::{Path, PathBuf};

use reqwest::Url;

/// Which folders may be watched as repositories. Never those of our own state: the mirrors there are
/// of others' repositories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Local {
    /// None.
    #[default]
    None,
    /// Those that lie in one of these.
    Below(Vec<PathBuf>),
    /// All.
    Anywhere,
}

impl Local {
    /// Why the repository at `text`, a path or a `file:` URL, may not be used.
    pub(super) fn refusal(&self, text: &str, state: Option<&Path>) -> Option<&'static str> {
        let folders = match self {
            Self::None => return Some(ALLOW),
            Self::Below(folders) => Some(folders),
            Self::Anywhere => None,
        };
        let Some(path) = path(text) else { return Some(NO_PATH) };
        let lies_in = |folder: &Path| real(&path).starts_with(real(folder));
        if state.is_some_and(lies_in) {
            return Some(OUR_OWN);
        }
        let listed = folders.is_none_or(|all| all.iter().any(|folder| lies_in(folder)));
        (!listed).then_some(NOT_LISTED)
    }
}

const ALLOW: &str = "allow them with `git: { allow_local: true }` in tripline.yaml, or name folders: `allow_local: [/srv/git]`";
const NOT_LISTED: &str =
    "it lies in none of the folders that `git: { allow_local: […] }` in tripline.yaml lists";
const OUR_OWN: &str = "nothing in the server's state folder may be one";
const NO_PATH: &str = "expected a path, or `file:///path`";

/// The folder that is meant.
fn path(text: &str) -> Option<PathBuf> {
    match text.contains("://") {
        true => Url::parse(text).ok()?.to_file_path().ok(),
        false => Some(PathBuf::from(text)),
    }
}

/// Where a path really leads: links are followed as far as there is something.
fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = absolute.ancestors().find_map(|there| {
        let rest = absolute.strip_prefix(there).ok()?;
        Some(there.canonicalize().ok()?.join(rest))
    });
    found.unwrap_or(absolute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_folders_hold_repositories_and_never_our_own_state() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["srv/app", "other/app", "state/git/mirror"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        std::os::unix::fs::symlink(at("state/git"), at("srv/link")).unwrap();
        std::os::unix::fs::symlink(at("other"), at("srv/elsewhere")).unwrap();
        let below = Local::Below(vec![at("srv")]);
        let text = |name: &str| at(name).display().to_string();
        let url = |name: &str| format!("file://{}", at(name).display());
        for (local, asked, expected) in [
            (&Local::None, text("srv/app"), Some(ALLOW)),
            (&Local::Anywhere, text("other/app"), None),
            (&Local::Anywhere, url("other/app"), None),
            (&Local::Anywhere, text("state/git/mirror"), Some(OUR_OWN)),
            (&Local::Anywhere, url("state/git/mirror"), Some(OUR_OWN)),
            (&Local::Anywhere, url("state/%67it/mirror"), Some(OUR_OWN)),
            (&Local::Anywhere, text("srv/link/mirror"), Some(OUR_OWN)),
            (&Local::Anywhere, text("srv/../state/git/mirror"), Some(OUR_OWN)),
            (&Local::Anywhere, text("state/not/there"), Some(OUR_OWN)),
            (&below, text("srv/app"), None),
            (&below, text("srv/not_there"), None),
            (&below, text("other/app"), Some(NOT_LISTED)),
            (&below, text("srv/elsewhere/app"), Some(NOT_LISTED)),
            (&below, text("srv/../other/app"), Some(NOT_LISTED)),
        ] {
            assert_eq!(local.refusal(&asked, Some(&at("state"))), expected, "{asked}");
        }
    }
}
