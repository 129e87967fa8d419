//! Named secrets: set, deleted, encrypted anew.

use std::sync::Arc;

use model::{Actor, BatchId, Fact, Stream, Version};
use store::{Appended, Batch, Recorded, Sealing, Write};

use super::vault::{Latest, NAMED, PAGE, Vault, named, record};
use super::{Plain, SecretError, SecretRow, check_path, check_value};
use crate::core::{Core, Trouble};
use crate::engine::Engine;
use crate::random;

/// What storing a secret takes: a fact in the secret's stream, and records beside it.
pub(crate) struct Setting {
    pub(crate) write: Write,
    pub(crate) sealing: Vec<Sealing>,
    path: String,
    latest: Latest,
}

impl Setting {
    /// Its new version.
    pub(crate) fn version(&self) -> u64 {
        self.latest.version
    }
}

impl From<Trouble> for SecretError {
    fn from(trouble: Trouble) -> Self {
        Self::Store(trouble.to_string())
    }
}

impl Engine {
    /// Every named secret; values are never told.
    pub fn secrets(&self) -> Vec<SecretRow> {
        self.core.vault.list()
    }

    /// The latest value of the secret `path`.
    pub fn secret_value(&self, path: &str) -> Result<Plain, SecretError> {
        self.core.vault.value(path)
    }

    /// Gives the secret `path` a new value; answers its version.
    pub async fn set_secret(
        &self,
        actor: Actor,
        path: &str,
        value: Plain,
    ) -> Result<u64, SecretError> {
        let (core, path) = (self.core.clone(), path.to_owned());
        let set = self.core.impatient(async move {
            let _one = core.vault.changing.lock().await;
            let setting = core.setting(&path, &value).await?;
            let batch = Batch {
                id: BatchId::new(format!("secret/{}", random::name())),
                actor,
                at: core.now(),
                writes: vec![setting.write.clone()],
            };
            core.change_secret(batch, setting.sealing.clone()).await?;
            Ok(core.was_set(setting))
        });
        set.await
    }

    /// Deletes every version of the secret `path`, for good; answers how many there were.
    pub async fn delete_secret(&self, actor: Actor, path: &str) -> Result<u64, SecretError> {
        let (core, path) = (self.core.clone(), path.to_owned());
        let deleted = self.core.impatient(async move {
            let _one = core.vault.changing.lock().await;
            let Latest { first, version, .. } = core.vault.find(&path)?;
            let batch = Batch {
                id: BatchId::new(format!("secret/{}", random::name())),
                actor,
                at: core.now(),
                writes: vec![Write::new(Stream::Secret(path.clone()), None, [Fact::SecretDeleted])],
            };
            let all = Sealing::DeleteAll(format!("{NAMED}{path}@"));
            core.change_secret(batch, vec![all]).await?;
            core.vault.change(&path, None);
            Ok(version - first + 1)
        });
        deleted.await
    }

    /// Encrypts every record with the first configured key that is not yet; answers how many.
    pub async fn rekey(&self, actor: &Actor) -> Result<u64, SecretError> {
        let (core, actor) = (self.core.clone(), actor.clone());
        self.core.whole(async move { core.rekey(&actor).await }).await
    }
}

impl Core {
    async fn rekey(self: &Arc<Self>, actor: &Actor) -> Result<u64, SecretError> {
        let _one = self.vault.changing.lock().await;
        let Some(key) = self.vault.first_key() else { return Ok(0) };
        let (mut after, mut records) = (String::new(), 0);
        loop {
            let page = self.store.sealed_under("", &after, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after.clone_from(last);
            let mut sealing = Vec::new();
            for (name, sealed) in page.into_iter().filter(|(_, sealed)| sealed.key != key) {
                let value = self.vault.unseal(&name, &sealed)?;
                let sealed = self.vault.seal(&name, &value, sealed.at)?;
                sealing.push(Sealing::Replace(name, sealed));
            }
            let (replaced, some) = (sealing.clone(), sealing.len() as u64);
            self.note_rekeyed(actor, &key, some, sealing).await?;
            self.vault.replaced(replaced);
            records += some;
        }
        let answers = self.rekey_answers(&key).await?;
        self.note_rekeyed(actor, &key, answers, Vec::new()).await?;
        Ok(records + answers)
    }

    /// Stores `sealing`, and that so many are encrypted with `key` now; nothing where there are none.
    async fn note_rekeyed(
        &self,
        actor: &Actor,
        key: &str,
        records: u64,
        sealing: Vec<Sealing>,
    ) -> Result<(), SecretError> {
        if records == 0 {
            return Ok(());
        }
        let fact = Fact::SecretsRekeyed { key: key.to_owned(), records };
        let batch = Batch {
            id: BatchId::new(format!("rekey/{}", random::name())),
            actor: actor.clone(),
            at: self.now(),
            writes: vec![Write::new(Stream::Installation, None, [fact])],
        };
        self.change_secret(batch, sealing).await
    }
}

impl Vault {
    fn replaced(&self, records: Vec<Sealing>) {
        for change in records {
            let Sealing::Replace(name, sealed) = change else { continue };
            let Some((path, version)) = named(&name) else { continue };
            if let Some(Latest { first, .. }) =
                self.find(path).ok().filter(|latest| latest.version == version)
            {
                self.set_latest(path, Some(Latest { version, sealed, first }));
            }
        }
    }
}

impl Core {
    async fn change_secret(&self, batch: Batch, sealing: Vec<Sealing>) -> Result<(), SecretError> {
        match self.append_sealing(batch, sealing).await? {
            Appended::Committed { .. } => Ok(()),
            Appended::Conflict { stream, .. } => {
                Err(SecretError::Store(format!("{stream} was changed by somebody else; try again")))
            }
        }
    }

    /// What a new version of the secret `path` takes. The caller holds `vault.changing` until it
    /// is stored.
    pub(crate) async fn setting(&self, path: &str, value: &Plain) -> Result<Setting, SecretError> {
        check_path(path)?;
        check_value(value.expose())?;
        let stream = Stream::Secret(path.to_owned());
        let (facts, expected) = self.store.read(&stream, Version::NONE).await?;
        let now = self.vault.find(path).ok();
        let before = now.as_ref().map_or(0, |now| now.version).max(highest(&facts));
        let version = before + 1;
        let first = now.map_or(version, |now| now.first);
        let name = record(path, version);
        let sealed = self.vault.seal(&name, value, self.now())?;
        let sealing = vec![Sealing::Put(name, sealed.clone())];
        let write = Write::new(stream, Some(expected), [Fact::SecretSet { version }]);
        let latest = Latest { version, sealed, first };
        Ok(Setting { write, sealing, path: path.to_owned(), latest })
    }

    /// Takes note that a setting is stored; answers the version.
    pub(crate) fn was_set(&self, setting: Setting) -> u64 {
        let version = setting.latest.version;
        self.vault.change(&setting.path, Some(setting.latest));
        version
    }
}

/// The highest version that a secret ever had: one that was deleted is not given again.
fn highest(facts: &[Recorded]) -> u64 {
    let versions = facts.iter().map(|recorded| match recorded.fact {
        Fact::SecretSet { version } => version,
        _ => 0,
    });
    versions.max().unwrap_or(0)
}
