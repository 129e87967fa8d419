//! Backups: made while work goes on, and a state folder made of one.
//!
//! ```text
//!  backup.json      what it is: first, so that what cannot be read is refused at once
//!  tripline.db, head, blobs/…                      the store, as of one moment
//!  packs/…, logs/…, exports/…, environment-….yaml  what executions still use
//!  SHA256SUMS       of every file before it: last, so that a backup that is cut short has none
//! ```
//! Secrets are in it as they lie in the store: encrypted. The key that opens them is not, nor is
//! any token that opens the API.

mod archive;
mod left_out;
mod make;
mod moves;
mod restore;

use std::path::PathBuf;

use model::{Hash, Name, Timestamp};
use serde::{Deserialize, Serialize};
use store::Position;
use store::sqlite::OpenError;

pub use self::left_out::LeftOut;
pub use self::make::Snapshot;
pub(crate) use self::make::remove_leftover;
pub(crate) use self::restore::UNFINISHED;
pub use self::restore::{BEGINNING, Restored, check, manifest, restore};

/// What the manifest's `format` says. What is written another way gets another number.
const FORMAT: &str = "tripline.backup/1";
const MANIFEST: &str = "backup.json";
const SUMS: &str = "SHA256SUMS";
/// Parts of the state folder that a backup holds, besides copies of environments.
const PARTS: [&str; 6] = ["tripline.db", "head", "blobs", "packs", "logs", "exports"];

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// How it is written.
    pub format: String,
    /// The version of Tripline that made it.
    pub version: String,
    /// The schema of its database.
    pub schema: u32,
    /// The name of the installation.
    pub installation: Name,
    /// When it was made: everything in it is from before.
    pub at: Timestamp,
    /// Where its log ends.
    pub position: Position,
    /// The hash of the fact there.
    pub head: Hash,
    /// What lay where a backup takes files from and is not in it.
    #[serde(default, skip_serializing_if = "LeftOut::is_empty")]
    pub left_out: LeftOut,
}

/// Why a backup is not made or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// What was given is no backup at all.
    #[error("this is no backup ({0}); name a file that `tripline backup` made")]
    NoBackup(String),
    /// It was made in a form that this Tripline does not know.
    #[error(
        "the backup was made by Tripline {version}: {found}, and this Tripline ({OWN}) reads {expected}; {}",
        who_reads(version)
    )]
    Newer {
        /// The version that made it.
        version: String,
        /// What of its form is not known.
        found: String,
        /// What is.
        expected: String,
    },
    /// It is not what was made.
    #[error("the backup is damaged: {0}; nothing was changed; use another backup")]
    Damaged(String),
    /// A server runs on the folder.
    #[error(
        "the process {pid} runs on the state folder `{folder}`; stop that server (`kill {pid}`), or restore into another folder"
    )]
    Running {
        /// The folder.
        folder: PathBuf,
        /// The process.
        pid: String,
    },
    /// Something is in the folder.
    #[error(
        "the state folder `{folder}` is not empty (it holds `{found}`); name an empty one, or move what is there aside with --replace"
    )]
    Taken {
        /// The folder.
        folder: PathBuf,
        /// One thing in it.
        found: String,
    },
    /// A file cannot be read or written.
    #[error("`{path}`: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What was there could not be put aside, and not back into its place either.
    #[error(
        "{error}; move `{from}` back to `{to}` by hand before anything starts on the state folder"
    )]
    Torn {
        /// What went wrong.
        error: Box<Self>,
        /// Where it is now.
        from: PathBuf,
        /// Where it belongs.
        to: PathBuf,
    },
    /// The store that came out cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

const OWN: &str = env!("CARGO_PKG_VERSION");

/// What to do about a form that this Tripline does not know.
fn who_reads(version: &str) -> String {
    match version {
        OWN => "another build of this version made it: restore it with that build, or a newer one"
            .to_owned(),
        version => format!("use Tripline {version} or a newer one"),
    }
}

/// Whether a file of this name belongs into a backup; names are those of the state folder.
fn belongs(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    let plain = parts.iter().all(|part| !matches!(*part, "" | "." | "..") && !part.contains('\0'));
    plain && (PARTS.contains(&parts[0]) || parts.len() == 1 && is_environment(name))
}

fn is_environment(name: &str) -> bool {
    name.starts_with("environment-") && name.ends_with(".yaml")
}

fn failed(path: &std::path::Path) -> impl Fn(std::io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File { path: path.clone(), source }
}
