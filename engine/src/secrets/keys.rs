//! The keys that open secrets: age identities, from outside of the store.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use zeroize::Zeroizing;

use super::SecretSettings;
use crate::doctor::others_may_read;

/// A key command that says nothing for so long is given up.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a key is found. A source may hold several, one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// What a program prints.
    Command(Vec<String>),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::Command(words) => write!(f, "the command `{}`", words.join(" ")),
        }
    }
}

/// Why there is no key.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// The source cannot be read.
    #[error("the key for secrets: {from} {why}")]
    Unreadable {
        /// Where it should be.
        from: KeySource,
        /// Why not.
        why: String,
    },
    /// There is nothing in the source.
    #[error(
        "the key for secrets: {from} holds no key; if no secret was stored yet, delete it and the next one makes a key, else put the key back"
    )]
    Empty {
        /// The source.
        from: KeySource,
    },
    /// What was found is no key. The text is not shown: it may be one nearly.
    #[error(
        "the key for secrets: line {line} of {from} is no age identity (AGE-SECRET-KEY-1…); `age-keygen` makes one"
    )]
    NotAKey {
        /// The source.
        from: KeySource,
        /// The line.
        line: usize,
    },
    /// Records name keys that nobody has.
    #[error(
        "{records} encrypted secrets can only be opened with the key {key}, which is not among the configured ones ({configured}): put it back where it was (`secrets.keys` in tripline.yaml, or beside the state folder); if another is to take its place, list both there, then `tripline secret rekey`"
    )]
    Missing {
        /// The public half of the key.
        key: String,
        /// How many records name it.
        records: u64,
        /// The public halves of the keys there are.
        configured: String,
    },
    /// The key file could not be made.
    #[error(
        "no key for secrets is configured, and {path} could not be made: {why}; set `secrets.keys` in tripline.yaml"
    )]
    NotMade {
        /// The file.
        path: String,
        /// Why not.
        why: String,
    },
}

impl KeyError {
    /// Whether somebody else may find the key there all the same: a variable of the server's, or what a
    /// program says, may not be there for whoever asks.
    pub(crate) fn depends_on_who_asks(&self) -> bool {
        let (Self::Unreadable { from, .. } | Self::Empty { from }) = self else { return false };
        !matches!(from, KeySource::File(_))
    }
}

/// The keys, by their public halves.
#[derive(Default)]
pub(super) struct Keys {
    /// The one that encrypts.
    first: Option<String>,
    identities: BTreeMap<String, Identity>,
}

impl Keys {
    /// Every key that is configured, or the one in the fallback file if that is there.
    pub(super) async fn read(settings: &SecretSettings) -> Result<Self, KeyError> {
        let mut keys = Self::default();
        for source in &settings.keys {
            keys.add(source).await?;
        }
        if settings.keys.is_empty() && settings.fallback.exists() {
            keys.add(&KeySource::File(settings.fallback.clone())).await?;
        }
        Ok(keys)
    }

    async fn add(&mut self, source: &KeySource) -> Result<(), KeyError> {
        let unreadable = |why: String| KeyError::Unreadable { from: source.clone(), why };
        let text = match source {
            KeySource::File(path) => {
                if others_may_read(path) {
                    let shown = path.display();
                    tracing::warn!(
                        "other users may read {shown}, which opens the secrets; if that is not meant, `chmod 600 {shown}`"
                    );
                }
                Zeroizing::new(
                    fs::read_to_string(path)
                        .map_err(|error| unreadable(format!("cannot be read: {error}")))?,
                )
            }
            KeySource::Env(name) => Zeroizing::new(
                std::env::var(name).map_err(|_| unreadable("is not set".to_owned()))?,
            ),
            KeySource::Command(words) => printed(words).await.map_err(unreadable)?,
        };
        let mut found = false;
        for (line, text) in text.lines().map(str::trim).enumerate() {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let identity = text.parse::<Identity>();
            let not_a_key = |_| KeyError::NotAKey { from: source.clone(), line: line + 1 };
            self.hold(identity.map_err(not_a_key)?);
            found = true;
        }
        if found { Ok(()) } else { Err(KeyError::Empty { from: source.clone() }) }
    }

    pub(super) fn hold(&mut self, identity: Identity) {
        let name = identity.to_public().to_string();
        self.first.get_or_insert_with(|| name.clone());
        self.identities.insert(name, identity);
    }

    /// The key with this public half.
    pub(super) fn get(&self, name: &str) -> Option<&Identity> {
        self.identities.get(name)
    }

    /// The key that encrypts.
    pub(super) fn first(&self) -> Option<(&String, &Identity)> {
        self.identities.get_key_value(self.first.as_ref()?)
    }

    /// Makes a new key in `file`, which its owner alone can read.
    pub(super) fn make(&mut self, file: &Path) -> Result<(), KeyError> {
        let identity = Identity::generate();
        let name = identity.to_public().to_string();
        let not_made = |error: std::io::Error| KeyError::NotMade {
            path: file.display().to_string(),
            why: error.to_string(),
        };
        let text = Zeroizing::new(format!(
            "# The key that opens this installation's secrets. Keep a copy apart from the state.\n# public key: {name}\n{}\n",
            identity.to_string().expose_secret()
        ));
        write_whole(file, text.as_bytes()).map_err(not_made)?;
        tracing::warn!(file = %file.display(), key = name, "made a key for secrets: keep a copy of it apart from the state folder, without it no secret can be read");
        self.hold(identity);
        Ok(())
    }

    /// What is said of the keys there are.
    pub(super) fn names(&self) -> String {
        match self.identities.is_empty() {
            true => "none".to_owned(),
            false => self.identities.keys().cloned().collect::<Vec<_>>().join(", "),
        }
    }
}

/// Writes a new file for its owner alone, whole or not at all: a disk that is full leaves no empty key.
fn write_whole(file: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut next = file.as_os_str().to_owned();
    next.push(".new");
    let mut options = OpenOptions::new();
    let mut made = options.write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    let written = made.write_all(text).and_then(|()| made.sync_all());
    // A link, unlike a rename, never takes the place of a key that is there.
    let linked = written.and_then(|()| fs::hard_link(&next, file));
    fs::remove_file(&next)?;
    linked?;
    // Nothing is sealed with a key whose name a power cut could take.
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// What a program prints, as far as it is text.
async fn printed(words: &[String]) -> Result<Zeroizing<String>, String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err("names no program".to_owned());
    };
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let output = tokio::time::timeout(COMMAND_TIMEOUT, command.output()).await;
    let output = output
        .map_err(|_| format!("printed nothing within {} seconds", COMMAND_TIMEOUT.as_secs()))?
        .map_err(|error| format!("cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("failed: {}", output.status));
    }
    let stdout = Zeroizing::new(output.stdout);
    let mut text = Zeroizing::new(String::new());
    let read = stdout.as_slice().read_to_string(&mut text);
    read.map_err(|_| "printed what is not text".to_owned())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_whole_or_not_at_all_and_takes_no_others_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.key");
        fs::write(folder.path().join("state.key.new"), "half of one that was cut off").unwrap();
        write_whole(&file, b"one").unwrap();
        assert!(write_whole(&file, b"other").is_err());
        assert_eq!(fs::read(&file).unwrap(), b"one");
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        fs::create_dir(folder.path().join("full.new")).unwrap();
        assert!(write_whole(&folder.path().join("full"), b"one").is_err());
        assert!(!folder.path().join("full").exists());
    }
}
