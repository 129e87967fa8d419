//! The `git` command line, hardened, for mirrors of repositories that others own.
//!
//! The command is used, rather than a library, because it knows every way to authenticate. It gets
//! a clean environment, one transport at a time, no hooks, no submodules, no system or user
//! configuration, and bounds on time and size. What it exports is written file by file by us: no
//! filter, link or path of the repository's choosing takes part.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use host::git::{Credentials, Git, Options, RefPattern};
//! let git = Git::new(Options::default());
//! let remote = git.remote("https://git.example.com/team/app.git", Credentials::None)?;
//! let mirror = git.repository("state/mirrors/app", remote);
//! mirror.fetch(&["refs/heads/*".parse::<RefPattern>()?]).await?;
//! for (name, commit) in mirror.refs().await? {
//!     println!("{name} stands at {commit}");
//! }
//! # Ok(()) }
//! ```

mod broken;
mod command;
mod commits;
mod error;
mod export;
mod exports;
mod held;
mod keys;
mod local;
mod mirrors;
mod pattern;
mod push;
mod remote;
mod repository;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use broken::BrokenRef;
pub use commits::{Commit, Commits, MAX_COMMITS};
pub use error::GitError;
pub use export::{Exported, PlannedExport};
pub use exports::Exports;
pub(crate) use exports::placing;
pub use keys::drop_keys;
pub use local::Local;
pub use mirrors::Mirrors;
pub use pattern::{BadPattern, RefPattern};
pub use push::{Author, NewCommit, NewTag, PlannedCommit, Pushed};
pub use remote::{BadUrl, Credentials, Remote};
pub use repository::Repository;

/// What git may do here.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where `file:` URLs and plain paths may lead.
    pub allow_local: Local,
    /// Our own state, where they never may.
    pub state: Option<PathBuf>,
    /// The known hosts for ssh; without it, those of the user who runs the server. An unknown
    /// host is refused either way.
    pub known_hosts: Option<PathBuf>,
    /// A file with the authorities that https servers are trusted by; without it, the system's.
    pub ca_bundle: Option<PathBuf>,
    /// Longest time of a fetch.
    pub fetch_timeout: model::Duration,
    /// Longest time of a question to a mirror, and of an export.
    pub query_timeout: model::Duration,
    /// Most bytes of a mirror.
    pub max_mirror_bytes: u64,
    /// Most bytes of an export.
    pub max_export_bytes: u64,
    /// Most files of an export.
    pub max_export_files: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allow_local: Local::None,
            state: None,
            known_hosts: None,
            ca_bundle: None,
            fetch_timeout: model::Duration::from_secs(600),
            query_timeout: model::Duration::from_secs(120),
            max_mirror_bytes: 4 << 30,
            max_export_bytes: 1 << 30,
            max_export_files: 100_000,
        }
    }
}

/// The git command line with its [`Options`]. Clones share their locks.
#[derive(Debug, Clone)]
pub struct Git {
    options: Arc<Options>,
    locks: Arc<Mutex<BTreeMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Git {
    /// Git with these options.
    pub fn new(options: Options) -> Self {
        Self { options: Arc::new(options), locks: Arc::default() }
    }

    /// What git may do here.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The repository at `url`, if that is allowed.
    pub fn remote(&self, url: &str, credentials: Credentials) -> Result<Remote, BadUrl> {
        Remote::parse(url, credentials, &self.options)
    }

    /// The mirror of `remote` in `folder`, which the first fetch makes.
    pub fn repository(&self, folder: impl Into<PathBuf>, remote: Remote) -> Repository {
        let folder = folder.into();
        Repository::new(self.clone(), std::path::absolute(&folder).unwrap_or(folder), remote)
    }

    /// The lock that keeps two writers out of `path`: a mirror, or the target of an export.
    fn lock(&self, path: &Path) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(path.to_owned()).or_default().clone()
    }
}
