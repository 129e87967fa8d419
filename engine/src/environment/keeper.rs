//! The environment of a running engine: which content of its file is active.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::Hash;

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
    status: Mutex<Option<EnvironmentStatus>>,
}

impl Keeper {
    pub(crate) fn new(file: Option<PathBuf>, state: &Path) -> Self {
        let path = file.as_ref().map(|file| file.to_string_lossy().into_owned());
        let name = Hash::of_value(&path.unwrap_or_default().into()).short();
        Self {
            file,
            copy: state.join(format!("environment-{name}.yaml")),
            status: Mutex::default(),
        }
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
        let before = self.lock().clone();
        let next = match Environment::read(file) {
            Ok((environment, text)) => {
                self.remember(&text);
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
            let error = next.findings.first().map(ToString::to_string).unwrap_or_default();
            tracing::warn!(file = %file.display(), %error, "the environment's file is refused");
        }
        let changed = before.is_none_or(|before| before.active != next.active);
        *self.lock() = Some(next);
        Ok(changed)
    }

    /// How it stands.
    pub(crate) fn status(&self) -> EnvironmentStatus {
        self.lock().clone().unwrap_or_default()
    }

    fn remember(&self, text: &str) {
        if let Err(error) = std::fs::write(&self.copy, text) {
            tracing::warn!(%error, "the environment could not be kept beside the state");
        }
    }

    fn remembered(&self, file: &Path) -> Option<Arc<Environment>> {
        let text = std::fs::read_to_string(&self.copy).ok()?;
        Environment::parse(&file.display().to_string(), &text).ok().map(Arc::new)
    }

    fn lock(&self) -> MutexGuard<'_, Option<EnvironmentStatus>> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
