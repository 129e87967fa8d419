//! One process at a time: an operating-system lock on a file in the state folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use super::error::OpenError;

const FILE: &str = "lock";
/// How long a lock that is held is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// The lock on a state folder, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock and leaves this process's id for others to read: [`OpenError::Held`] where another one
    /// has it.
    pub fn take(folder: &Path) -> Result<Self, OpenError> {
        let path = path(folder);
        let failed = OpenError::folder(&path);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(&failed)?;
        match patiently(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Held { folder: folder.to_owned(), pid: pid(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let told = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        told.map_err(failed)?;
        Ok(Self { _file: file })
    }

    /// The process that holds the folder's lock, if one does; an error where that cannot be told.
    pub(super) fn holder(folder: &Path) -> io::Result<Option<String>> {
        let mut file = match File::open(path(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(pid(&mut file))),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Tries for a moment: a process that was killed while it started a program leaves a copy of its
/// lock in the child until that has begun.
fn patiently(file: &File) -> Result<(), TryLockError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < until => park_timeout(PATIENCE / 50),
            tried => return tried,
        }
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

fn pid(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    if read.is_ok() && !text.is_empty() { text } else { "unknown".to_owned() }
}
