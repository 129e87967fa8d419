//! Secrets: encrypted where they lie, tokens wherever they travel.
//!
//! ```text
//!  people ──secret set──▶ vault ──age──▶ sealed records      (latest per name, beside the log)
//!                           │ ▲
//!          values, briefly  │ │ new values: generated, typed in, or marked in a result
//!                           ▼ │
//!  chain ─token─▶ journal ─token─▶ perform ─value─▶ action ─output─▶ redactor ─token─▶ journal
//! ```
//!
//! - A *named* secret has a path (`databases/admin`) and versions from 1; its record is
//!   `secret/<path>@<version>`. `secret(path)` gives a chain a token for the version that is the
//!   latest then. Older versions stay for [`KEEP_VERSIONS`], and as long as an execution that has not
//!   ended holds a token for one.
//! - A value without a path (generated, typed in as a `secret: true` parameter, marked in a result)
//!   gets a token of its own; its record is `token/<root execution>/<token>`, and goes with that
//!   execution.
//! - A record holds the value encrypted with age (X25519) and names the key. The first configured
//!   key encrypts, all of them decrypt; the keys are never in the store. Records change in the
//!   commit of the facts that tell of it, and can be replaced (`secret rekey`) and deleted for good:
//!   they are outside of the log and its hash chain. Inside the ciphertext the record's name stands
//!   before the value, so that a record moved to another name is not taken for it.
//! - What an execution may see is journaled as `TokensGranted`: its own `secret(path)` and new
//!   values, what its request brought, what its children's results gave back. A token that is
//!   merely known (from an event, a log, another execution) is text like any other.

mod answers;
mod keys;
mod named;
mod opened;
pub(crate) mod settings;
mod vault;
mod versions;

use std::fmt;
use std::path::PathBuf;

use host::secret::MIN_CHARACTERS;
use model::Timestamp;
use serde::Serialize;
use store::{MAX_SEALED_BYTES, StoreError};
use zeroize::Zeroizing;

pub(crate) use answers::{Answer, record as answer_record};
pub use keys::{KeyError, KeySource};
pub(crate) use named::Setting;
pub(crate) use opened::{Fresh, Granted, Opened, kept, misfit, passed_on, root, too_long};
pub(crate) use settings::{Read, handed_to, usable};
pub use settings::{SecretSetting, SecretSettingsOf};
pub use vault::Vault;

/// Longest value: certificates and their keys fit, files do not.
pub const MAX_BYTES: usize = 64 * 1024;
/// Longest value that a step's parameters or result may have at a secret place. Encrypted it is longer by
/// the name of its record and some hundred bytes.
const MAX_KEPT_BYTES: usize = MAX_SEALED_BYTES - 4 * 1024;
/// How long a version stays after a newer one.
const KEEP_VERSIONS: model::Duration = model::Duration::from_secs(30 * 24 * 60 * 60);

/// A secret's value: wiped when dropped, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Plain(Zeroizing<String>);

impl Plain {
    /// Takes a value over.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The value itself: for whoever hands it to an action or a sensor.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain(…)")
    }
}

/// Where keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSettings {
    /// The keys; the first one encrypts. None: the file [`SecretSettings::fallback`].
    pub keys: Vec<KeySource>,
    /// A file beside the state folder, made when the first secret is stored.
    pub fallback: PathBuf,
}

impl SecretSettings {
    /// No key configured: a file beside the folder `state`, so that a copy of the one does not
    /// hold the other.
    pub fn beside(state: &std::path::Path) -> Self {
        let state = std::path::absolute(state).unwrap_or_else(|_| state.to_owned());
        let mut name = state.file_name().unwrap_or("tripline".as_ref()).to_owned();
        name.push(".key");
        Self { keys: Vec::new(), fallback: state.with_file_name(name) }
    }
}

/// What can be told of a named secret: everything but its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct SecretRow {
    /// Its path.
    pub path: String,
    /// Its latest version, from 1.
    pub version: u64,
    /// When that was set.
    pub set_at: Timestamp,
    /// The key that opens it.
    pub key: String,
}

/// Why a secret cannot be had or stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SecretError {
    /// Not a path.
    #[error(
        "`{0}` is not a secret's path: expected names of letters, digits and `_.-` with slashes between, such as databases/admin"
    )]
    BadPath(String),
    /// Not long enough to be one.
    #[error(
        "the secret has {0} characters, fewer than {MIN_CHARACTERS}: what is shorter can be guessed"
    )]
    Short(usize),
    /// Longer than a secret may be.
    #[error("the secret has {0} bytes, more than {MAX_BYTES}")]
    Long(usize),
    /// There is none with this path, or this version of it is gone.
    #[error("{0}")]
    Missing(String),
    /// A key cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A record does not open.
    #[error("the encrypted record `{name}` cannot be opened: {why}")]
    Sealed {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// The store failed.
    #[error("{0}")]
    Store(String),
}

impl From<StoreError> for SecretError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

/// Whether `value` may be a secret.
pub fn check_value(value: &str) -> Result<(), SecretError> {
    match (value.chars().count(), value.len()) {
        (characters, _) if characters < MIN_CHARACTERS => Err(SecretError::Short(characters)),
        (_, bytes) if bytes > MAX_BYTES => Err(SecretError::Long(bytes)),
        _ => Ok(()),
    }
}

/// Whether `path` may name a secret.
pub fn check_path(path: &str) -> Result<(), SecretError> {
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
            && !part.bytes().all(|b| b == b'.')
    };
    match path.len() <= 200 && path.split('/').all(part) {
        true => Ok(()),
        false => Err(SecretError::BadPath(path.to_owned())),
    }
}
