//! What programs of steps handed in: sealed in files beside the logs of their steps, and looked at and
//! encrypted anew together with the records of the store.
//!
//! Those of executions that have not ended count: nobody reads what a step answered that is over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actions::desk::name_of;
use model::ExecutionId;
use store::{Sealed, Store, StoreError};

use super::vault::PAGE;
use super::{Plain, SecretError, Vault, root};
use crate::core::Core;
use crate::folders::Folders;

/// One of them.
#[derive(Debug)]
pub(crate) struct Answer {
    file: PathBuf,
    /// The name of its record.
    record: String,
}

/// The record of what is handed in under `name`.
pub(crate) fn record(name: &str) -> String {
    format!("answer/{name}")
}

impl Answer {
    /// Those of these executions and their children.
    pub(crate) fn all(
        folders: &Folders,
        roots: &BTreeSet<ExecutionId>,
    ) -> Result<Vec<Self>, SecretError> {
        let logs = folders.logs_of_all();
        let mut found = Vec::new();
        for root in roots {
            let folder = folders.logs(root);
            Self::within(&logs, &folder, &mut found).map_err(|error| unread(&folder, &error))?;
        }
        Ok(found)
    }

    fn within(logs: &Path, folder: &Path, found: &mut Vec<Self>) -> std::io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let file = entry.path();
            if entry.file_type()?.is_dir() {
                Self::within(logs, &file, found)?;
            } else if let Some(name) = name_of(logs, &file) {
                found.push(Self { file, record: record(&name) });
            }
        }
        Ok(())
    }

    fn read(&self) -> Result<Sealed, SecretError> {
        let bytes = fs::read(&self.file).map_err(|error| unread(&self.file, &error))?;
        self.sealed(&bytes)
    }

    fn sealed(&self, bytes: &[u8]) -> Result<Sealed, SecretError> {
        serde_json::from_slice(bytes).map_err(|error| self.shut(error.to_string()))
    }

    fn shut(&self, why: String) -> SecretError {
        SecretError::Sealed { name: self.file.display().to_string(), why }
    }

    /// What it holds, in the clear.
    fn open(&self, vault: &Vault, sealed: &Sealed) -> Result<Plain, SecretError> {
        let opened = vault.unseal(&self.record, sealed);
        opened.map_err(|error| match error {
            SecretError::Sealed { why, .. } => self.shut(why),
            other => other,
        })
    }

    /// Why it cannot be opened, if that is so.
    pub(crate) fn trouble(&self, vault: &Vault) -> Option<SecretError> {
        self.read().and_then(|sealed| self.open(vault, &sealed)).err()
    }

    /// The same bytes, encrypted with the key that is the first now; none: they are already.
    fn anew(&self, vault: &Vault, key: &str, bytes: &[u8]) -> Result<Option<Vec<u8>>, SecretError> {
        // What is damaged needs no key: its step tells of it.
        let Some(sealed) = self.sealed(bytes).ok().filter(|sealed| sealed.key != key) else {
            return Ok(None);
        };
        let value = self.open(vault, &sealed)?;
        let sealed = vault.seal(&self.record, &value, sealed.at)?;
        serde_json::to_vec(&sealed).map(Some).map_err(|error| self.shut(error.to_string()))
    }
}

fn unread(path: &Path, error: &std::io::Error) -> SecretError {
    SecretError::Store(format!("{} cannot be read: {error}", path.display()))
}

impl Vault {
    /// Refuses to go on without a key that what programs handed in is sealed with.
    pub(crate) async fn opens_answers(
        &self,
        store: &dyn Store,
        folders: &Folders,
    ) -> Result<(), SecretError> {
        let roots = unfinished(store).await?;
        let mut named = BTreeMap::new();
        // A file that is damaged names no key: its step tells of it.
        for sealed in Answer::all(folders, &roots)?.iter().filter_map(|answer| answer.read().ok()) {
            *named.entry(sealed.key).or_insert(0) += 1;
        }
        self.has_all(named)
    }
}

/// Executions that have not ended; for a child the one that began it all.
async fn unfinished(store: &dyn Store) -> Result<BTreeSet<ExecutionId>, StoreError> {
    let (mut roots, mut after) = (BTreeSet::new(), None);
    loop {
        let page = store.unfinished(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(roots) };
        after = Some(last.id.clone());
        roots.extend(page.iter().map(|row| root(&row.id)));
    }
}

impl Core {
    /// Encrypts with `key`, which is the first, what programs handed in that is not yet; answers how many.
    pub(super) async fn rekey_answers(self: &Arc<Self>, key: &str) -> Result<u64, SecretError> {
        let roots = unfinished(self.store.as_ref()).await?;
        let (core, key) = (self.clone(), key.to_owned());
        let anew = tokio::task::spawn_blocking(move || {
            let desk = &core.library.context().desk;
            let mut written = 0;
            for answer in Answer::all(&core.folders, &roots)? {
                let anew = |bytes: Vec<u8>| {
                    let sealed = answer.anew(&core.vault, &key, &bytes);
                    sealed.map_err(|error| error.to_string())
                };
                let kept = desk.keep_anew(&answer.file, anew);
                written += u64::from(kept.map_err(SecretError::Store)?);
            }
            Ok(written)
        });
        anew.await.map_err(|error| SecretError::Store(error.to_string()))?
    }
}
