//! The desk at which programs that run elsewhere are attended to: what it stands on here, and who may
//! come to it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use actions::desk::{Bearer, Desk, DeskSettings, OpenStep, Safe};
use model::{Hash, IdempotencyKey, Journal, Stream, Timestamp, Version};
use store::Sealed;

use crate::ask::AskError;
use crate::engine::Engine;
use crate::folders::Folders;
use crate::random;
use crate::secrets::{Plain, Vault, answer_record};

/// Who shows the token of a step.
pub enum StepBearer {
    /// The program of a step that is under way here.
    Open(Arc<OpenStep>),
    /// That of a step which is not over, and which nobody attends to at the moment.
    NotNow,
    /// That of a step which is over.
    Over,
    /// Nobody: no such token was made here.
    Unknown,
}

impl Engine {
    /// Where programs that run elsewhere are attended to.
    pub fn desk(&self) -> &Desk {
        &self.core.library.context().desk
    }

    /// Whose token it is.
    pub async fn step_bearer(&self, token: &str) -> Result<StepBearer, AskError> {
        Ok(match self.desk().bearer(token) {
            Bearer::Open(step) => StepBearer::Open(step),
            Bearer::Closed(key) if self.is_open(&key).await? => StepBearer::NotNow,
            Bearer::Closed(_) => StepBearer::Over,
            Bearer::Unknown => StepBearer::Unknown,
        })
    }

    /// Whether the step has no result yet.
    async fn is_open(&self, key: &IdempotencyKey) -> Result<bool, AskError> {
        let Some((execution, path)) = key.step() else { return Ok(false) };
        let (facts, _) = self.core.store.read(&Stream::Execution(execution), Version::NONE).await?;
        let journal = Journal::of(facts.iter().map(|recorded| &recorded.fact));
        Ok(journal.outcome.is_none() && journal.open().any(|(open, _)| *open == path))
    }
}

/// The desk of an engine that is reached at `advertise`.
pub(crate) fn desk(
    advertise: Option<String>,
    folders: &Folders,
    vault: &Arc<Vault>,
    now: Timestamp,
) -> io::Result<Desk> {
    let key = *key(&folders.steps_key())?.as_bytes();
    let (safe, exports) = (safe(vault.clone(), now), folders.exports());
    Ok(Desk::new(DeskSettings { advertise, key, safe, exports }))
}

/// What is sealed goes with its step's logs, so that no record of the store needs to know of it.
fn safe(vault: Arc<Vault>, now: Timestamp) -> Safe {
    let opener = vault.clone();
    let seal = move |name: &str, text: &str| {
        let sealed = vault.seal(&answer_record(name), &Plain::new(text), now);
        let sealed = sealed.map_err(|error| error.to_string())?;
        serde_json::to_vec(&sealed).map_err(|error| error.to_string())
    };
    let open = move |name: &str, bytes: &[u8]| {
        let sealed: Sealed = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let opened =
            opener.unseal(&answer_record(name), &sealed).map_err(|error| error.to_string())?;
        Ok(opened.expose().to_owned())
    };
    Safe { seal: Arc::new(seal), open: Arc::new(open) }
}

/// What tokens of steps are made with; made at the first start, and the same at every later one.
fn key(file: &Path) -> io::Result<Hash> {
    let unreadable = |_| {
        let told =
            format!("{} holds no key: delete it, and the next start makes one", file.display());
        io::Error::other(told)
    };
    match fs::read_to_string(file) {
        Ok(text) => text.trim().parse().map_err(unreadable),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = random::secret();
            host::file::replace(file, format!("{made}\n").as_bytes(), 0o600)?;
            made.parse().map_err(unreadable)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_tokens_is_made_once_and_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("steps.key");
        let made = key(&file).unwrap();
        assert_eq!(key(&file).unwrap(), made);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&file, "").unwrap();
        let error = key(&file).unwrap_err().to_string();
        assert!(error.contains("holds no key: delete it"), "{error}");
    }
}
