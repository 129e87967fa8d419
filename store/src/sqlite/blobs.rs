//! Values too large for the log: files named by the hash of their content.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::Hash;

use super::error::{OpenError, io_failure};
use super::sync_folder;
use crate::port::StoreError;

/// The blobs of a state folder: `blobs/<two digits>/<hash>`.
#[derive(Debug)]
pub(super) struct Blobs {
    folder: PathBuf,
    /// Where files lie until they are whole.
    unfinished: PathBuf,
    next: AtomicU64,
    /// Held while it is decided whether a file is there, so that none is removed that was just
    /// found to be there already.
    deciding: Mutex<()>,
}

impl Blobs {
    /// Opens the folder, without what an earlier process left unfinished.
    pub(super) fn open(state: &Path) -> Result<Self, OpenError> {
        let folder = state.join("blobs");
        let unfinished = folder.join("unfinished");
        let open = || {
            if unfinished.try_exists()? {
                fs::remove_dir_all(&unfinished)?;
            }
            fs::create_dir_all(&unfinished)?;
            sync_folder(state)
        };
        open().map_err(OpenError::folder(&unfinished))?;
        Ok(Self { folder, unfinished, next: AtomicU64::new(0), deciding: Mutex::default() })
    }

    /// Keeps `bytes`, durably, and answers their name.
    pub(super) fn put(&self, bytes: &[u8]) -> Result<Hash, StoreError> {
        let hash = Hash::of(bytes);
        let path = path(&self.folder, hash);
        self.put_at(&path, bytes).map_err(|error| io_failure(&path, &error))?;
        Ok(hash)
    }

    fn put_at(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let parent = path.parent().unwrap_or(&self.folder);
        // A file that is damaged is written anew: its content is at hand.
        if !self.renew(path, bytes)? {
            let unfinished =
                self.unfinished.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
            let mut file = File::create_new(&unfinished)?;
            let written = file.write_all(bytes).and_then(|()| file.sync_all());
            let renamed = written
                .and_then(|()| fs::create_dir_all(parent))
                .and_then(|()| fs::rename(&unfinished, path));
            if renamed.is_err() {
                // So that a full disk gets its space back.
                let _ = fs::remove_file(&unfinished);
            }
            renamed?;
        }
        // Also where the file was there: whoever made it may not have come so far yet.
        sync_folder(parent)?;
        sync_folder(&self.folder)
    }

    /// Whether the file is there and whole; it is then as young as if it was written now.
    #[expect(clippy::disallowed_methods, reason = "compared with times that the file system keeps")]
    fn renew(&self, path: &Path, bytes: &[u8]) -> io::Result<bool> {
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = fs::read(path).is_ok_and(|kept| kept == bytes);
        if whole {
            let file = File::options().write(true).open(path)?;
            file.set_modified(std::time::SystemTime::now())?;
        }
        Ok(whole)
    }

    /// The blobs that were kept longer ago than `age`.
    pub(super) fn older_than(&self, age: Duration) -> Result<Vec<Hash>, StoreError> {
        let list = || -> io::Result<Vec<Hash>> {
            let mut found = Vec::new();
            for folder in fs::read_dir(&self.folder)? {
                let folder = folder?.path();
                if folder == self.unfinished {
                    continue;
                }
                for file in fs::read_dir(folder)? {
                    let file = file?;
                    let name = file.file_name();
                    let hash = name.to_str().and_then(|name| name.parse::<Hash>().ok());
                    found.extend(hash.filter(|_| is_older(&file.path(), age)));
                }
            }
            Ok(found)
        };
        list().map_err(|error| io_failure(&self.folder, &error))
    }

    /// Removes those of `blobs` that are older than `age` still.
    pub(super) fn drop_older(&self, blobs: &[Hash], age: Duration) -> Result<(), StoreError> {
        for hash in blobs {
            let path = path(&self.folder, *hash);
            let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
            if is_older(&path, age) {
                fs::remove_file(&path).map_err(|error| io_failure(&path, &error))?;
            }
        }
        Ok(())
    }

    /// The bytes with this hash.
    pub(super) fn get(&self, hash: Hash) -> Result<Option<Vec<u8>>, StoreError> {
        get(&self.folder, hash)
    }
}

/// The bytes with this hash in a `blobs` folder.
pub(super) fn get(folder: &Path, hash: Hash) -> Result<Option<Vec<u8>>, StoreError> {
    let path = path(folder, hash);
    match fs::read(&path) {
        Ok(bytes) if Hash::of(&bytes) == hash => Ok(Some(bytes)),
        Ok(_) => Err(StoreError::Corrupt(format!(
            "the blob `{}` does not hold what its name says",
            path.display()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_failure(&path, &error)),
    }
}

fn is_older(path: &Path, age: Duration) -> bool {
    let modified = fs::metadata(path).and_then(|file| file.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|since| since > age))
}

/// Whether a state folder has the blob's file; what is in it is not looked at.
pub(super) fn exists(state: &Path, hash: Hash) -> bool {
    path_in(state, hash).exists()
}

/// Where a state folder has the blob's file.
pub(super) fn path_in(state: &Path, hash: Hash) -> PathBuf {
    path(&state.join("blobs"), hash)
}

fn path(folder: &Path, hash: Hash) -> PathBuf {
    let name = hash.to_string();
    folder.join(&name[..2]).join(name)
}
