//! The vault: opens and closes sealed records, and knows the latest version of each named secret.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use age::x25519::Identity;
use host::redact::{Redactor, known};
use model::Timestamp;
use store::{Sealed, Store};
use tokio::sync::broadcast;
use zeroize::Zeroizing;

use super::keys::{KeyError, Keys};
use super::versions::Holders;
use super::{Plain, SecretError, SecretRow, SecretSettings};

/// Named secrets' records begin so.
pub(super) const NAMED: &str = "secret/";
/// Changes that wait to be followed: more at once count as a change of everything.
const CHANGES: usize = 256;
/// Values of one secret that the log does not show: the one in use and those that were before it. More
/// often than that nobody changes a secret while an old value of it is on its way.
const REMEMBERED: usize = 8;
/// Records read at a time.
pub(super) const PAGE: usize = 200;

/// Opens secrets.
pub struct Vault {
    /// Where a key is made if there is none; `None`: in memory.
    fallback: Option<PathBuf>,
    keys: RwLock<Keys>,
    /// The latest version of each named secret, by path: sensors look them up without waiting.
    latest: RwLock<BTreeMap<String, Latest>>,
    /// Named secrets whose values were handed to sensors or connections.
    used: Mutex<Used>,
    /// Paths of named secrets that have changed.
    changes: broadcast::Sender<String>,
    /// Held by who changes named secrets or encrypts anew: one at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
    /// Who was found to hold old versions, when they were last looked through.
    pub(super) holders: tokio::sync::Mutex<Holders>,
}

/// Values that this process has in use, and what finds them.
#[derive(Default)]
struct Used {
    /// By path, the one in use last.
    values: BTreeMap<String, VecDeque<Plain>>,
    redactor: Arc<Redactor>,
}

/// The latest version of a named secret.
#[derive(Debug, Clone)]
pub(super) struct Latest {
    pub(super) version: u64,
    pub(super) sealed: Sealed,
    /// The first version that there is: those before are gone, deleted or too old.
    pub(super) first: u64,
}

/// The record of one version of a named secret.
pub(super) fn record(path: &str, version: u64) -> String {
    // Twenty digits hold any version, in order.
    format!("{NAMED}{path}@{version:020}")
}

/// The path and version of a named secret's record.
pub(super) fn named(record: &str) -> Option<(&str, u64)> {
    let (path, version) = record.strip_prefix(NAMED)?.rsplit_once('@')?;
    Some((path, version.parse().ok()?))
}

impl Vault {
    /// The vault of a store: reads the keys, and refuses to start without one that a record names.
    pub async fn open(settings: SecretSettings, store: &dyn Store) -> Result<Self, SecretError> {
        let keys = Keys::read(&settings).await?;
        let vault = Self::new(Some(settings.fallback), keys);
        vault.has_all(store.sealing_keys().await?)?;
        vault.load(store).await?;
        Ok(vault)
    }

    /// Refuses to go on without a key that so many records name.
    pub(super) fn has_all(&self, named: BTreeMap<String, u64>) -> Result<(), SecretError> {
        let keys = self.keys();
        match named.into_iter().find(|(key, _)| keys.get(key).is_none()) {
            Some((key, records)) => {
                Err(KeyError::Missing { key, records, configured: keys.names() }.into())
            }
            None => Ok(()),
        }
    }

    /// A vault that opens what the keys of `settings` open, and knows of no secret.
    pub(crate) async fn of_keys(settings: SecretSettings) -> Result<Self, KeyError> {
        let keys = Keys::read(&settings).await?;
        Ok(Self::new(Some(settings.fallback), keys))
    }

    /// A vault whose key nobody else has: what it seals is lost with it.
    pub fn in_memory() -> Self {
        Self::new(None, Keys::default())
    }

    fn new(fallback: Option<PathBuf>, keys: Keys) -> Self {
        Self {
            fallback,
            keys: RwLock::new(keys),
            latest: RwLock::default(),
            used: Mutex::default(),
            changes: broadcast::Sender::new(CHANGES),
            changing: tokio::sync::Mutex::default(),
            holders: tokio::sync::Mutex::default(),
        }
    }

    async fn load(&self, store: &dyn Store) -> Result<(), SecretError> {
        let mut after = String::new();
        loop {
            let page = store.sealed_under(NAMED, &after, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after.clone_from(last);
            for (record, sealed) in page {
                if let Some((path, version)) = named(&record) {
                    let first = self.latest().get(path).map_or(version, |before| before.first);
                    self.set_latest(path, Some(Latest { version, sealed, first }));
                }
            }
        }
    }

    /// Looks values up for those outside of the engine.
    pub fn lookup(self: &Arc<Self>) -> host::secret::Lookup {
        let vault = self.clone();
        Arc::new(move |path| match vault.value(path) {
            Ok(value) => Ok(value.expose().to_owned()),
            Err(error) => Err(error.to_string()),
        })
    }

    /// The latest value of the secret `path`.
    pub fn value(&self, path: &str) -> Result<Plain, SecretError> {
        let latest = self.find(path)?;
        let value = self.unseal(&record(path, latest.version), &latest.sealed)?;
        self.remember(path, &value);
        Ok(value)
    }

    /// From here on the log of this process does not show the value. Nor does it show those before:
    /// whoever has one in hand goes on with it for a while.
    fn remember(&self, path: &str, value: &Plain) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let values = used.values.entry(path.to_owned()).or_default();
        if values.back() == Some(value) {
            return;
        }
        values.retain(|before| before != value);
        values.push_back(value.clone());
        if values.len() > REMEMBERED {
            values.pop_front();
        }
        let label = |path: &String| format!("[secret {path}]");
        let labels: Vec<String> = used.values.keys().map(label).collect();
        let needles = used.values.values().zip(&labels).flat_map(|(values, label)| {
            values.iter().map(move |value| (value.expose(), label.as_str()))
        });
        used.redactor = known().hold(Redactor::new(needles));
    }

    /// Whether this version of a named secret may still be used: what was deleted may not, nor may it come
    /// back by a value that was set anew.
    pub(crate) fn has(&self, path: &str, version: u64) -> bool {
        self.latest().get(path).is_some_and(|latest| version >= latest.first)
    }

    /// The latest version of the secret `path`.
    pub fn version(&self, path: &str) -> Result<u64, SecretError> {
        self.find(path).map(|latest| latest.version)
    }

    pub(super) fn find(&self, path: &str) -> Result<Latest, SecretError> {
        super::check_path(path)?;
        let found = self.latest().get(path).cloned();
        found.ok_or_else(|| {
            SecretError::Missing(format!(
                "there is no secret `{path}`: `tripline secret set {path}` stores it"
            ))
        })
    }

    /// Every named secret, by path.
    pub fn list(&self) -> Vec<SecretRow> {
        let row = |(path, latest): (&String, &Latest)| SecretRow {
            path: path.clone(),
            version: latest.version,
            set_at: latest.sealed.at,
            key: latest.sealed.key.clone(),
        };
        self.latest().iter().map(row).collect()
    }

    /// Takes note of a change, and tells of it.
    pub(super) fn change(&self, path: &str, latest: Option<Latest>) {
        self.set_latest(path, latest);
        // Nobody may be listening.
        let _ = self.changes.send(path.to_owned());
    }

    /// Tells the paths of named secrets that change from now on.
    pub(crate) fn follow(&self) -> broadcast::Receiver<String> {
        self.changes.subscribe()
    }

    pub(super) fn set_latest(&self, path: &str, latest: Option<Latest>) {
        let mut all = self.latest.write().unwrap_or_else(PoisonError::into_inner);
        match latest {
            Some(latest) => _ = all.insert(path.to_owned(), latest),
            None => _ = all.remove(path),
        }
    }

    /// The public half of the key that encrypts, if there is one yet.
    pub(super) fn first_key(&self) -> Option<String> {
        self.keys().first().map(|(name, _)| name.clone())
    }

    /// Encrypts `value` for the record `name`.
    pub fn seal(&self, name: &str, value: &Plain, at: Timestamp) -> Result<Sealed, SecretError> {
        self.ready()?;
        let keys = self.keys();
        let failed = |why: String| SecretError::Sealed { name: name.to_owned(), why };
        let (key, identity) = keys.first().ok_or_else(|| failed("there is no key".to_owned()))?;
        let text = Zeroizing::new(format!("{name}\0{}", value.expose()));
        let ciphertext = age::encrypt(&identity.to_public(), text.as_bytes())
            .map_err(|error| failed(error.to_string()))?;
        Ok(Sealed { key: key.clone(), ciphertext, at })
    }

    /// Makes sure that there is a key to encrypt with: to be asked before something is done whose
    /// result will have to be encrypted.
    pub(crate) fn ready(&self) -> Result<(), KeyError> {
        if self.keys().first().is_some() {
            return Ok(());
        }
        let mut keys = self.keys_mut();
        match (keys.first(), &self.fallback) {
            (Some(_), _) => Ok(()),
            (None, Some(file)) => keys.make(file),
            (None, None) => {
                keys.hold(Identity::generate());
                Ok(())
            }
        }
    }

    /// The value that the record `name` holds.
    pub fn unseal(&self, name: &str, sealed: &Sealed) -> Result<Plain, SecretError> {
        let keys = self.keys();
        let failed = |why: String| SecretError::Sealed { name: name.to_owned(), why };
        let identity = keys
            .get(&sealed.key)
            .ok_or_else(|| failed(format!("the key {} is missing", sealed.key)))?;
        let bytes = age::decrypt(identity, &sealed.ciphertext)
            .map(Zeroizing::new)
            .map_err(|error| failed(error.to_string()))?;
        let text =
            std::str::from_utf8(&bytes).map_err(|_| failed("it holds no text".to_owned()))?;
        match text.split_once('\0') {
            Some((own, value)) if own == name => Ok(Plain::new(value)),
            _ => Err(failed("it belongs to another record".to_owned())),
        }
    }

    fn latest(&self) -> RwLockReadGuard<'_, BTreeMap<String, Latest>> {
        self.latest.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys(&self) -> RwLockReadGuard<'_, Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys_mut(&self) -> RwLockWriteGuard<'_, Keys> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_does_not_show_a_value_once_there_is_another_one() {
        let vault = Vault::in_memory();
        let shown =
            |text: &str| String::from_utf8(known().bytes(text.as_bytes()).into_owned()).unwrap();
        for n in 0..=REMEMBERED {
            vault.remember("p/rotated", &Plain::new(format!("value-of-turn-{n}")));
        }
        let last = REMEMBERED - 1;
        let said = format!("value-of-turn-{last} was before value-of-turn-{REMEMBERED}");
        assert_eq!(shown(&said), "[secret p/rotated] was before [secret p/rotated]");
        assert_eq!(shown("value-of-turn-0"), "value-of-turn-0", "a bounded number of them");
    }
}
