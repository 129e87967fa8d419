//! A backup is made: first a copy of the state folder, at once and of one moment, made of second
//! names for files that are there already; then the archive of that copy, as fast as it is taken.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use model::Hash;
use sha2::{Digest, Sha256};
use store::sqlite::{About, about};
use tokio::sync::OwnedMutexGuard;

use super::archive::{Entry, Writer};
use super::{FORMAT, LeftOut, MANIFEST, Manifest, PARTS, SUMS, is_environment};
use crate::ask::AskError;
use crate::engine::Engine;

/// A copy of the state folder as of one moment; gone when it is dropped.
#[derive(Debug)]
pub struct Snapshot {
    folder: Copy,
    /// What it holds.
    pub manifest: Manifest,
}

impl Engine {
    /// Copies the state while work goes on; one at a time.
    pub async fn snapshot(&self) -> Result<Snapshot, AskError> {
        let engine = self.clone();
        self.core.whole(async move { engine.copy().await }).await
    }

    async fn copy(&self) -> Result<Snapshot, AskError> {
        let folders = &self.core.folders;
        let one = self.copying.clone().try_lock_owned().map_err(|_| {
            let why = "a backup is being made already; wait until it is done";
            AskError::Conflict(why.to_owned())
        })?;
        let folder = Copy::make(folders.backup(), one)?;
        self.core.store.copy_to(&folder.path).await?;
        let (state, to) = (folders.root().to_owned(), folder.path.clone());
        let work = move || link_parts(&state, &to).map(|left_out| (left_out, about(&to)));
        let linked = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
        let (left_out, about) =
            linked.and_then(|linked| linked).map_err(|error| unavailable(&error))?;
        if !left_out.is_empty() {
            tracing::warn!("{left_out}");
        }
        let About { schema, position, hash, .. } = about.map_err(|error| unavailable(&error))?;
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            schema,
            installation: self.core.installation.clone(),
            at: self.core.now(),
            position,
            head: hash,
            left_out,
        };
        Ok(Snapshot { folder, manifest })
    }
}

fn unavailable(error: &dyn std::error::Error) -> AskError {
    AskError::Unavailable(format!("the backup cannot be made: {error}"))
}

/// A folder that is removed in the end; then the next can be made.
#[derive(Debug)]
struct Copy {
    path: PathBuf,
    _one: OwnedMutexGuard<()>,
}

impl Copy {
    /// In the place of whatever an earlier one has left there.
    fn make(path: PathBuf, one: OwnedMutexGuard<()>) -> Result<Self, AskError> {
        let made =
            remove_leftover(&path).and_then(|()| DirBuilder::new().mode(0o700).create(&path));
        made.map_err(|error| unavailable(&error))?;
        Ok(Self { path, _one: one })
    }
}

/// Removes the folder, if there is one.
pub(crate) fn remove_leftover(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(folder = %self.path.display(), %error, "the copy for a backup stays");
        }
    }
}

/// Gives second names to what executions use besides the store.
fn link_parts(state: &Path, to: &Path) -> io::Result<LeftOut> {
    let mut links = Links { state, left_out: LeftOut::default() };
    for entry in fs::read_dir(state)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // The store has copied its own.
        let stored = ["tripline.db", "head", "blobs"].contains(&name.as_str());
        if is_environment(&name) || PARTS.contains(&name.as_str()) && !stored {
            links.link(&entry.path(), &to.join(&name))?;
        }
    }
    Ok(links.left_out)
}

/// Makes second names for what lies in the state folder.
struct Links<'a> {
    state: &'a Path,
    left_out: LeftOut,
}

impl Links<'_> {
    /// What goes away meanwhile is no longer kept.
    fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let kind = match fs::symlink_metadata(from) {
            Ok(found) => found.file_type(),
            Err(error) if gone(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        match to.file_name().and_then(|name| name.to_str()) {
            None => self.leave_out(from, "its name is not UTF-8"),
            Some(_) if kind.is_file() => {
                let linked = fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop));
                return linked.or_else(|error| if gone(&error) { Ok(()) } else { Err(error) });
            }
            Some(_) if kind.is_dir() => {
                fs::create_dir(to)?;
                for entry in fs::read_dir(from).into_iter().flatten().flatten() {
                    self.link(&entry.path(), &to.join(entry.file_name()))?;
                }
            }
            Some(_) if kind.is_symlink() => self.leave_out(from, "a link"),
            Some(_) => self.leave_out(from, "no plain file"),
        }
        Ok(())
    }

    fn leave_out(&mut self, path: &Path, why: &str) {
        self.left_out.note(path.strip_prefix(self.state).unwrap_or(path), why);
    }
}

impl Snapshot {
    /// Writes the archive. Takes as long as `to` takes to take it.
    pub fn write(&self, to: impl Write) -> io::Result<()> {
        let (mut archive, mut sums) = (Writer(to), String::new());
        let manifest = serde_json::to_vec_pretty(&self.manifest)?;
        put(&mut archive, &mut sums, (MANIFEST, false), manifest.len() as u64, &*manifest)?;
        let mut files = Vec::new();
        list(&self.folder.path, "", &mut files)?;
        files.sort();
        for name in files {
            let file = File::open(self.folder.path.join(&name))?;
            let found = file.metadata()?;
            let executable = found.permissions().mode() & 0o100 != 0;
            // A log may be growing still: what it was when it was opened.
            put(&mut archive, &mut sums, (&name, executable), found.len(), file)?;
        }
        let size = sums.len() as u64;
        let entry = Entry { name: SUMS.to_owned(), executable: false, size };
        archive.file(&entry, sums.as_bytes())?;
        archive.finish()
    }
}

fn put(
    archive: &mut Writer<impl Write>,
    sums: &mut String,
    (name, executable): (&str, bool),
    size: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut content = Hashing(content.take(size), Sha256::new());
    archive.file(&Entry { name: name.to_owned(), executable, size }, &mut content)?;
    sums.push_str(&sum_line(name, Hash::from_bytes(content.1.finalize().into())));
    Ok(())
}

/// A line as `sha256sum -c` reads it.
pub(super) fn sum_line(name: &str, hash: Hash) -> String {
    format!("{hash}  {name}\n")
}

/// Hashes what is read.
struct Hashing<R>(R, Sha256);

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.0.read(buffer)?;
        self.1.update(&buffer[..length]);
        Ok(length)
    }
}

/// Every file below `folder`, as a path from there.
fn list(folder: &Path, before: &str, found: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // What has no such name was left out of the copy.
        let Ok(name) = entry.file_name().into_string() else { continue };
        match entry.file_type()?.is_dir() {
            true => list(&entry.path(), &format!("{before}{name}/"), found)?,
            // What SQLite keeps beside a database that is open.
            false if before.is_empty() && name.starts_with("tripline.db-") => {}
            false => found.push(format!("{before}{name}")),
        }
    }
    Ok(())
}
