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

use crate::git::Exports;

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
        what: &'static str,
    },
}

/// Where a body goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    exports: PathBuf,
    path: PathBuf,
}

impl Place {
    /// The file `to` below the exports. Whatever is a link on the way leads outside.
    pub fn below(exports: &Exports, to: &str) -> Result<Self, BadPlace> {
        let outside = || BadPlace::Outside(to.to_owned());
        let relative = Path::new(to);
        if to.ends_with('/') || relative.is_absolute() || exports.target(relative).is_none() {
            return Err(outside());
        }
        let base = exports.path(Path::new(""));
        let mut path = base.clone();
        let mut parts = relative.components().peekable();
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
            let path = path.to_string_lossy().into_owned();
            return Err(BadPlace::Taken { path, what });
        }
        Ok(Self { exports: base, path })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
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
        let folder = parts(&place.exports).join(Hash::of(key.as_bytes()).to_string());
        fs::create_dir_all(&folder).await?;
        let file = File::create(body(&folder)).await?;
        Ok(Self { place, folder, file, hasher: Sha256::new(), size: 0 })
    }

    /// The bytes so far.
    pub fn size(&self) -> u64 {
        self.size
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
        let path = download.place.path.clone();
        let parent = path.parent().unwrap_or(&download.place.exports);
        fs::create_dir_all(parent).await?;
        fs::rename(body(&download.folder), &path).await?;
        File::open(parent).await?.sync_all().await?;
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
    parts(&exports.path(Path::new("")))
}

fn parts(base: &Path) -> PathBuf {
    base.join(".downloads")
}

fn body(folder: &Path) -> PathBuf {
    folder.join("body")
}
