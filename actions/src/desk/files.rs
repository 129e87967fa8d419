//! The files that a step's program hands in, and how many they may be: they lie on the disk that the
//! store lies on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use host::download::{BadPlace, Download};
use model::Hash;

/// Most bytes of one file: enough for a build, and not for a disk.
pub const MAX_FILE: u64 = 1 << 30;
/// Most bytes of all files of a step.
pub const MAX_TOGETHER: u64 = 4 << 30;
/// Most files of a step.
pub const MAX_FILES: usize = 1_000;
/// The end of what stands beside a file that was handed in, or was going to be.
const MARK: &str = ".download";

/// Why a file is not taken in.
#[derive(Debug, thiserror::Error)]
pub enum NoArtifact {
    /// Its name is no name of a file.
    #[error(transparent)]
    Place(#[from] BadPlace),
    /// It is more than one file may be.
    #[error("the file has more than {} MiB", MAX_FILE >> 20)]
    TooLarge,
    /// The files of its step are more than they may be together.
    #[error("the step's files have more than {} MiB together", MAX_TOGETHER >> 20)]
    TooMuch,
    /// There are as many files of its step as there may be.
    #[error("the step has handed in {MAX_FILES} files already: put several into one archive")]
    TooMany,
    /// It cannot be written.
    #[error("the file cannot be kept: {0}")]
    Disk(#[from] std::io::Error),
}

/// What a step has handed in, in all its runs.
#[derive(Default)]
pub(super) struct Files(Mutex<Held>);

#[derive(Default)]
struct Held {
    /// Bytes by name; a name that nothing came under has its place too.
    kept: BTreeMap<PathBuf, u64>,
    /// Bytes of all of these, and of what is on its way.
    together: u64,
}

/// A file that is handed in.
pub struct Incoming {
    download: Download,
    counted: Counted,
}

/// Bytes on their way, which count until they are in their place, or gone.
struct Counted {
    files: Arc<Files>,
    name: PathBuf,
    bytes: u64,
}

/// A file that was taken in.
#[derive(Debug)]
pub struct Kept {
    /// Where it lies.
    pub path: PathBuf,
    /// Its bytes.
    pub size: u64,
    /// Their digest.
    pub sha256: Hash,
}

impl Files {
    /// What earlier runs, or this one before a restart, left in the step's folder.
    pub(super) fn in_folder(folder: &Path) -> Self {
        let mut held = Held::default();
        held.read(folder, Path::new(""));
        Self(Mutex::new(held))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a file of this name, which may replace one.
    pub(super) fn admit(&self, name: &Path) -> Result<(), NoArtifact> {
        let mut held = self.held();
        if held.kept.len() >= MAX_FILES && !held.kept.contains_key(name) {
            return Err(NoArtifact::TooMany);
        }
        held.kept.entry(name.to_owned()).or_default();
        Ok(())
    }
}

impl Held {
    fn read(&mut self, folder: &Path, below: &Path) {
        // A folder that is not there, or not any more, holds nothing.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            let own = entry.file_name();
            let shown = own.to_string_lossy();
            let marked = shown.strip_prefix('.').and_then(|name| name.strip_suffix(MARK));
            match marked {
                Some(name) => drop(self.kept.entry(below.join(name)).or_default()),
                None if found.is_dir() => self.read(&entry.path(), &below.join(&own)),
                None => {
                    self.kept.insert(below.join(&own), found.len());
                    self.together += found.len();
                }
            }
        }
    }
}

impl Counted {
    fn grow(&mut self, bytes: u64) -> Result<(), NoArtifact> {
        if self.bytes + bytes > MAX_FILE {
            return Err(NoArtifact::TooLarge);
        }
        let mut held = self.files.held();
        if held.together + bytes > MAX_TOGETHER {
            return Err(NoArtifact::TooMuch);
        }
        held.together += bytes;
        self.bytes += bytes;
        Ok(())
    }

    /// They are in their place, and what they replaced is gone.
    fn settle(mut self) {
        let mut held = self.files.held();
        let before = held.kept.insert(self.name.clone(), self.bytes).unwrap_or_default();
        held.together = held.together.saturating_sub(before);
        drop(held);
        self.bytes = 0;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut held = self.files.held();
        held.together = held.together.saturating_sub(self.bytes);
    }
}

impl Incoming {
    pub(super) fn new(download: Download, name: &Path, files: Arc<Files>) -> Self {
        Self { download, counted: Counted { files, name: name.to_owned(), bytes: 0 } }
    }

    /// Adds to it.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), NoArtifact> {
        self.counted.grow(bytes.len() as u64)?;
        Ok(self.download.write(bytes).await?)
    }

    /// All of it has come: puts it where it stays.
    pub async fn keep(self) -> Result<Kept, NoArtifact> {
        let whole = self.download.whole();
        let (size, sha256) = (whole.size, whole.sha256);
        let path = whole.keep().await?;
        self.counted.settle();
        Ok(Kept { path, size, sha256 })
    }
}
