//! Files that come over the wire: written beside their place, looked at, and then put there whole.
//!
//! ```text
//!  begin ──▶ exports/.downloads/<key>/body ── write … ──▶ keep: sync, rename ──▶ exports/<to>
//!                          └── dropped: removed
//! ```
//! A kill leaves at most the part of a body, under a name that the step's next attempt takes over.

use std::io;
use std::path::{Path, PathBuf};

use model::Hash;
use sha2::{Digest, Sha256};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

use crate::git::{Exports, placing};

/// A place that nothing is downloaded to.
#[derive(Debug, thiserror::Error)]
pub enum BadPlace {
    /// It is no file below the exports.
    #[error(
        "`{0}` is not a file below the server's exports: expected a relative path without `..` \
         and without names that begin with a dot, such as `releases/app.tar`"
    )]
    Outside(String),
    /// Something is there that a file does not replace.
    #[error("{path} is {what}: name another file, or remove it")]
    Taken {
        /// Where.
        path: String,
        /// What it is.
        what: String,
    },
    /// It lies where nothing is changed.
    #[error(
        "nothing is downloaded to `{to}`: {why}; name another file, such as `releases/app.tar`"
    )]
    Closed {
        /// What was asked for.
        to: String,
        /// Why not.
        why: String,
    },
}

/// For whom a file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Whose {
    /// This pack; none: a person.
    Pack(Option<String>),
    /// A step whose program hands it in: it has a folder of its own.
    Step,
}

/// Where a body goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    exports: Exports,
    to: PathBuf,
    path: PathBuf,
    whose: Whose,
}

impl Place {
    /// The file `to` below the exports, for this `pack`; none: for a person. It is not in what was
    /// exported or handed in, and replaces no file that was downloaded for another pack.
    pub fn below(exports: &Exports, to: &str, pack: Option<&str>) -> Result<Self, BadPlace> {
        Self::checked(exports, to, Whose::Pack(pack.map(ToOwned::to_owned)))
    }

    /// The file `to` below the exports, which a step's program hands in.
    pub fn of_step(exports: &Exports, to: &str) -> Result<Self, BadPlace> {
        Self::checked(exports, to, Whose::Step)
    }

    fn checked(exports: &Exports, to: &str, whose: Whose) -> Result<Self, BadPlace> {
        let relative = Path::new(to);
        if to.ends_with('/') || relative.is_absolute() || exports.target(relative).is_none() {
            return Err(BadPlace::Outside(to.to_owned()));
        }
        let (to, path) = (relative.to_owned(), exports.path(relative));
        let place = Self { exports: exports.clone(), to, path, whose };
        place.check()?;
        Ok(place)
    }

    fn check(&self) -> Result<(), BadPlace> {
        self.no_links()?;
        let Whose::Pack(pack) = &self.whose else { return Ok(()) };
        if let Some(why) = self.exports.closed(&self.to) {
            return Err(BadPlace::Closed { to: self.to.to_string_lossy().into_owned(), why });
        }
        let other = self.exports.downloaded_for(&self.to);
        match other.filter(|other| pack.as_ref().is_some_and(|pack| pack != other)) {
            Some(other) => Err(taken(&self.path, &format!("a file of the pack `{other}`"))),
            None => Ok(()),
        }
    }

    /// Whatever is a link on the way leads outside.
    fn no_links(&self) -> Result<(), BadPlace> {
        let mut path = self.exports.path(Path::new(""));
        let mut parts = self.to.components().peekable();
        while let Some(part) = parts.next() {
            path.push(part);
            let Ok(found) = path.symlink_metadata() else { continue };
            let last = parts.peek().is_none();
            let what = match (found.is_symlink(), last) {
                (true, _) => "a link",
                (_, true) if found.is_dir() => "a folder",
                (_, false) if !found.is_dir() => "not a folder",
                _ => continue,
            };
            return Err(taken(&path, what));
        }
        Ok(())
    }

    /// Puts `body` there, if it may still go there.
    fn put(&self, body: &Path) -> io::Result<()> {
        let _placing = placing();
        self.check().map_err(io::Error::other)?;
        let pack = match &self.whose {
            Whose::Pack(pack) => pack.as_deref(),
            Whose::Step => None,
        };
        self.exports.mark_download(&self.to, pack)?;
        std::fs::rename(body, &self.path)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn taken(path: &Path, what: &str) -> BadPlace {
    BadPlace::Taken { path: path.to_string_lossy().into_owned(), what: what.to_owned() }
}

/// A file that is on its way.
#[derive(Debug)]
pub struct Download {
    place: Place,
    folder: PathBuf,
    file: File,
    hasher: Sha256,
    size: u64,
}

/// A file that came whole and is not in its place yet.
#[derive(Debug)]
pub struct Whole {
    download: Download,
    /// Its digest.
    pub sha256: Hash,
    /// Its bytes.
    pub size: u64,
}

impl Download {
    /// Begins one for the step with this key, over what an attempt that was killed has left.
    pub async fn begin(place: Place, key: &str) -> io::Result<Self> {
        let folder = parts_of(&place.exports).join(Hash::of(key.as_bytes()).to_string());
        fs::create_dir_all(&folder).await?;
        let file = File::create(body(&folder)).await?;
        Ok(Self { place, folder, file, hasher: Sha256::new(), size: 0 })
    }

    /// Adds to it.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        self.file.write_all(bytes).await
    }

    /// All of it has come.
    pub fn whole(self) -> Whole {
        let sha256 = Hash::from_bytes(self.hasher.clone().finalize().into());
        Whole { size: self.size, sha256, download: self }
    }
}

impl Whole {
    /// Puts it into its place, in one go with what it replaces, so that it outlives a power cut.
    pub async fn keep(mut self) -> io::Result<PathBuf> {
        let download = &mut self.download;
        download.file.flush().await?;
        download.file.sync_all().await?;
        download.place.put(&body(&download.folder))?;
        let path = download.place.path.clone();
        if let Some(folder) = path.parent() {
            File::open(folder).await?.sync_all().await?;
        }
        Ok(path)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // What cannot be removed now goes with the old parts of other downloads.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The folder of what is on its way to these exports.
pub fn parts_of(exports: &Exports) -> PathBuf {
    exports.path(Path::new(".downloads"))
}

fn body(folder: &Path) -> PathBuf {
    folder.join("body")
}
