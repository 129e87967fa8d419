//! A bare mirror of a remote repository in a folder of ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::command::{Run, folder_size};
use super::{BrokenRef, Git, GitError, RefPattern, Remote};
use crate::connection::Connection;

/// A bare mirror. It is a cache: when it is lost or damaged, the next fetch makes it anew.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(super) git: Git,
    folder: PathBuf,
    remote: Remote,
    /// Whose limit all that ask the remote share.
    connection: Option<Arc<Connection>>,
    /// One writer at a time.
    pub(super) lock: Arc<tokio::sync::Mutex<()>>,
}

impl Repository {
    pub(super) fn new(git: Git, folder: PathBuf, remote: Remote) -> Self {
        let lock = git.lock(&folder);
        Self { git, folder, remote, connection: None, lock }
    }

    /// The same, reached by this connection: it is asked as often as that allows.
    #[must_use]
    pub fn reached_by(self, connection: Option<Arc<Connection>>) -> Self {
        Self { connection, ..self }
    }

    /// A command that asks the remote, once that may be asked.
    pub(super) async fn asking(&self, command: &'static str) -> Result<Run, GitError> {
        if let Some(connection) = &self.connection {
            connection.turn().await;
        }
        self.run(command).reaching(&self.folder, &self.remote, self.git.options()).await
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it mirrors.
    pub const fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Brings the refs that fit `patterns` up to date, also those that are gone. Refs beyond them
    /// may come along. Those that the remote cannot hand over stay as they were, and are named.
    pub async fn fetch(&self, patterns: &[RefPattern]) -> Result<Vec<BrokenRef>, GitError> {
        let _writing = self.lock.lock().await;
        self.prepare().await?;
        match self.fetch_once(patterns).await {
            Err(GitError::Failed { .. }) if self.is_damaged().await => {
                tracing::warn!(mirror = %self.folder.display(), "damaged mirror: fetching it anew");
                self.discard()?;
                self.prepare().await?;
                self.fetch_once(patterns).await.map(|()| Vec::new())
            }
            Err(GitError::Damaged { .. }) => self.fetch_apart(patterns).await,
            outcome => outcome.map(|()| Vec::new()),
        }
    }

    pub(super) async fn fetch_once(&self, patterns: &[RefPattern]) -> Result<(), GitError> {
        self.fetch_specs(patterns.iter().map(RefPattern::refspec).collect()).await
    }

    pub(super) async fn fetch_specs(&self, specs: Vec<String>) -> Result<(), GitError> {
        let options = self.git.options();
        let flags = ["--quiet", "--prune", "--no-tags", "--no-write-fetch-head"];
        let output = self
            .asking("fetch")
            .await?
            .args(flags)
            .args(["--", self.remote.url()])
            .args(specs)
            .timeout(options.fetch_timeout)
            .max_folder(&self.folder, options.max_mirror_bytes)
            .output()
            .await?;
        match output.code {
            Some(0) => self.within_bounds(),
            // It is about the mirror, not about the remote.
            _ if output.stderr.contains(&*self.folder.to_string_lossy()) => Err(output.failure()),
            _ => Err(GitError::of_fetch(&self.remote, &output.stderr)),
        }
    }

    /// A quick fetch may have ended before its size was looked at.
    fn within_bounds(&self) -> Result<(), GitError> {
        let max = self.git.options().max_mirror_bytes;
        if folder_size(&self.folder) <= max {
            return Ok(());
        }
        let what = format!("the mirror of {}", self.remote.repository());
        Err(GitError::TooLarge { what, limit: format!("{max} bytes") })
    }

    /// Whether the remote says of itself that it has no ref at all: then it is new or broken, and
    /// missing refs say nothing.
    pub async fn remote_is_empty(&self) -> Result<bool, GitError> {
        let output = self
            .asking("ls-remote")
            .await?
            .args(["--quiet", "--", self.remote.url()])
            // One line answers the question.
            .max_output(1)
            .output()
            .await?;
        match output.code {
            Some(0) => Ok(output.stdout.is_empty()),
            None if output.cut => Ok(false),
            _ => Err(GitError::of_fetch(&self.remote, &output.stderr)),
        }
    }

    /// Every ref of the mirror and the commit it stands at (for an annotated tag, the commit that
    /// is tagged).
    pub async fn refs(&self) -> Result<BTreeMap<String, String>, GitError> {
        let format = "--format=%(refname)%00%(objectname)%00%(*objectname)%00";
        let bytes = self.run("for-each-ref").args([format]).stdout().await?;
        let text = String::from_utf8_lossy(&bytes);
        let fields: Vec<&str> = text.split('\0').map(|field| field.trim_matches('\n')).collect();
        let refs = fields.chunks_exact(3).map(|field| {
            let commit = if field[2].is_empty() { field[1] } else { field[2] };
            (field[0].to_owned(), commit.to_owned())
        });
        Ok(refs.collect())
    }

    /// Whether `ancestor` is reachable from `commit`, or the same.
    pub async fn is_ancestor(&self, ancestor: &str, commit: &str) -> Result<bool, GitError> {
        let (ancestor, commit) = (self.resolve(ancestor).await?, self.resolve(commit).await?);
        let args = ["--is-ancestor", &ancestor, &commit];
        let output = self.run("merge-base").args(args).output().await?;
        match output.code {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(output.failure()),
        }
    }

    /// The full name of a commit that the mirror holds.
    pub async fn resolve(&self, commit: &str) -> Result<String, GitError> {
        let unknown = || GitError::UnknownCommit {
            commit: commit.chars().take(80).collect(),
            repository: self.remote.repository().to_owned(),
        };
        let hex = commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hex || !(7..=64).contains(&commit.len()) || !self.folder.join("HEAD").exists() {
            return Err(unknown());
        }
        let args = ["--verify", "--quiet", "--end-of-options", &format!("{commit}^{{commit}}")];
        let output = self.run("rev-parse").args(args).output().await?;
        match output.code {
            Some(0) => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            _ => Err(unknown()),
        }
    }

    /// Packs the mirror when it has become untidy. What no ref reaches any more stays for 90 days,
    /// so that an execution which waited can still export it.
    pub async fn tidy(&self) -> Result<(), GitError> {
        let _writing = self.lock.lock().await;
        let limit = self.git.options().fetch_timeout;
        // 6,700 loose objects is git's own idea of untidy; ours is switched off for the fetch.
        let settings = ["gc.auto=6700", "gc.autoDetach=false", "gc.pruneExpire=90.days"];
        let run = Run::with_settings(&self.git, &self.folder, "gc", &settings);
        run.args(["--auto", "--quiet"]).timeout(limit).stdout().await.map(drop)
    }

    pub(super) fn run(&self, command: &'static str) -> Run {
        Run::new(&self.git, &self.folder, command)
    }

    pub(super) async fn prepare(&self) -> Result<(), GitError> {
        if self.has_form() {
            return self.unlock();
        }
        if self.folder.exists() {
            self.discard()?;
        }
        std::fs::create_dir_all(&self.folder).map_err(GitError::io("make", &self.folder))?;
        let args = ["--quiet", "--bare", "--template="];
        self.run("init").args(args).stdout().await.map(drop)
    }

    fn has_form(&self) -> bool {
        ["HEAD", "objects", "refs"].iter().all(|name| self.folder.join(name).exists())
    }

    /// Removes what a git that was killed left locked, or half received. Ours is the only process that writes here,
    /// and it holds the lock.
    fn unlock(&self) -> Result<(), GitError> {
        for top in ["HEAD.lock", "packed-refs.lock", "config.lock", "shallow.lock"] {
            remove_if_there(&self.folder.join(top))?;
        }
        remove_below(&self.folder.join("refs"), |path| {
            path.extension().is_some_and(|end| end == "lock")
        })?;
        remove_below(&self.folder.join("objects/pack"), |path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("tmp_"))
        })
    }

    async fn is_damaged(&self) -> bool {
        let check = self.run("fsck").args(["--connectivity-only", "--no-dangling"]);
        matches!(check.output().await, Ok(output) if output.code != Some(0))
    }

    fn discard(&self) -> Result<(), GitError> {
        std::fs::remove_dir_all(&self.folder).map_err(GitError::io("remove", &self.folder))
    }
}

fn remove_if_there(path: &Path) -> Result<(), GitError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(GitError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes the `unwanted` files below `folder`.
fn remove_below(folder: &Path, unwanted: fn(&Path) -> bool) -> Result<(), GitError> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&path, unwanted)?;
        } else if unwanted(&path) {
            remove_if_there(&path)?;
        }
    }
    Ok(())
}
