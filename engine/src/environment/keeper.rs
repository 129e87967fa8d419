//! The environment of a running engine: which content of its file is active.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Diagnostic, Hash, PackName, Value};
use zeroize::Zeroizing;

use super::Environment;
use crate::packs::Findings;

/// How the environment stands.
#[derive(Debug, Clone, Default)]
pub struct EnvironmentStatus {
    /// What is active.
    pub active: Arc<Environment>,
    /// Whether that is older than the file, because the file is broken or gone.
    pub stale: bool,
    /// What is wrong with the file.
    pub findings: Findings,
}

/// Reads the environment's file, and keeps its last good content.
pub(crate) struct Keeper {
    file: Option<PathBuf>,
    /// A copy of the last good content: a start over a broken file goes on with it.
    copy: PathBuf,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    status: Option<EnvironmentStatus>,
    /// What was read and is not copied yet: it may hold secrets that packs will refuse.
    unchecked: Option<Zeroizing<String>>,
}

impl Keeper {
    pub(crate) fn new(file: Option<PathBuf>, state: &Path) -> Self {
        let path = file.as_ref().map(|file| file.to_string_lossy().into_owned());
        let name = Hash::of_value(&path.unwrap_or_default()).short();
        Self { file, copy: state.join(format!("environment-{name}.yaml")), held: Mutex::default() }
    }

    /// The folder whose changes may be changes of the file: some replace the file, not its text.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        let parent = self.file.as_ref()?.parent()?;
        Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
    }

    /// Reads the file. True if what is active has changed.
    ///
    /// Errors: the file is broken and there is no earlier content.
    pub(crate) fn read(&self) -> Result<bool, Findings> {
        let Some(file) = &self.file else { return Ok(false) };
        let before = self.lock().status.clone();
        let next = match Environment::read(file) {
            Ok((environment, text)) => {
                self.lock().unchecked = Some(text.into());
                EnvironmentStatus { active: Arc::new(environment), ..Default::default() }
            }
            Err(findings) => {
                let active = before.as_ref().map(|status| status.active.clone());
                let Some(active) = active.or_else(|| self.remembered(file)) else {
                    return Err(findings);
                };
                EnvironmentStatus { active, stale: true, findings }
            }
        };
        let told = before.as_ref().is_some_and(|before| before.findings == next.findings);
        if next.stale && !told {
            let error = next.findings.first().map(Diagnostic::in_short).unwrap_or_default();
            tracing::warn!(file = %file.display(), %error, "the environment's file is refused");
        }
        let changed = before.is_none_or(|before| before.active != next.active);
        self.lock().status = Some(next);
        Ok(changed)
    }

    /// How it stands.
    pub(crate) fn status(&self) -> EnvironmentStatus {
        self.lock().status.clone().unwrap_or_default()
    }

    /// Copies what was read, once the packs `checked` have said what is `wrong` with it: what does not
    /// fit may be a secret in the wrong place. What it gives to others nobody has looked at: that is
    /// left out.
    pub(crate) fn remember(&self, checked: &BTreeSet<PackName>, wrong: &[Diagnostic]) {
        let Some(text) = self.lock().unchecked.take() else { return };
        let environment = self.status().active;
        let of_it = |finding: &Diagnostic| Some(&finding.at.file) == environment.file.as_ref();
        let kept = match wrong.iter().any(|finding| finding.is_error() && of_it(finding)) {
            true => self.forget(&text),
            false if environment.packs.keys().all(|pack| checked.contains(pack)) => {
                self.keep(&text)
            }
            false => self.keep(&without_strangers(&text, checked)),
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "the environment could not be kept beside the state");
        }
    }

    /// Leaves an earlier content that was good, but not a copy of this one.
    fn forget(&self, text: &str) -> io::Result<()> {
        match std::fs::read_to_string(&self.copy) {
            Ok(copy) if copy == text => std::fs::remove_file(&self.copy),
            _ => Ok(()),
        }
    }

    fn keep(&self, text: &str) -> io::Result<()> {
        host::file::replace(&self.copy, text.as_bytes(), 0o600)
    }

    fn remembered(&self, file: &Path) -> Option<Arc<Environment>> {
        let text = std::fs::read_to_string(&self.copy).ok()?;
        Environment::parse(&file.display().to_string(), &text).ok().map(Arc::new)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `text` says, packs that are not `known` apart: as JSON, which is YAML too.
fn without_strangers(text: &str, known: &BTreeSet<PackName>) -> String {
    let document = syntax::parse("", text);
    let mut value = document.map_or(Value::Null, |document| document.root().to_value());
    if let Some(packs) = value.get_mut("packs").and_then(Value::as_object_mut) {
        packs.retain(|name, _| known.iter().any(|known| known.as_str() == name));
    }
    value.to_string()
}
