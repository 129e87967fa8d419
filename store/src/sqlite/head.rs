//! The head file: the last position that was acknowledged, and its hash.
//!
//! SQLite drops a damaged tail of its write-ahead log without a word, and the shorter log's hash
//! chain still verifies. So every commit writes here, before anything is acknowledged, how far
//! the log goes. The file is preallocated and written in one piece of fixed length, and needs no
//! sync: it guards against damage to the database; after a loss of power it is at worst behind.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use model::Hash;

use super::error::OpenError;
use crate::port::Position;

const FILE: &str = "head";
const MARK: &str = "tripline head ";

/// The end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) position: Position,
    pub(super) hash: Hash,
}

impl Head {
    /// The end of an empty log.
    pub(super) const EMPTY: Self = Self { position: Position(0), hash: Hash::from_bytes([0; 32]) };

    fn line(&self) -> String {
        format!("{MARK}{:020} {}\n", self.position.0, self.hash)
    }

    fn parse(text: &str) -> Option<Self> {
        let (position, hash) = text.strip_prefix(MARK)?.strip_suffix('\n')?.split_once(' ')?;
        let head = Self { position: Position(position.parse().ok()?), hash: hash.parse().ok()? };
        (head.line() == text).then_some(head)
    }

    /// What the folder's head file says, if there is one.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, OpenError> {
        let path = folder.join(FILE);
        // Opening a pipe would wait for a writer for ever.
        if path.exists() && !path.is_file() {
            let wrong = io::Error::other("it is not a regular file");
            return Err(OpenError::folder(&path)(wrong));
        }
        match std::fs::read(&path) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                Self::parse(&text).map(Some).ok_or(OpenError::Head)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(OpenError::folder(&path)(error)),
        }
    }

    /// Whether a log that ends here, and has `at` at the position of `acknowledged`, is complete.
    pub(super) fn check(&self, acknowledged: Self, at: Option<Hash>) -> Result<(), OpenError> {
        let (found, head) = (self.position, acknowledged.position);
        if found < head {
            return Err(OpenError::Lost { missing: head.0 - found.0, head, found });
        }
        let same = head == Position(0) || at == Some(acknowledged.hash);
        if same { Ok(()) } else { Err(OpenError::OtherHistory(head)) }
    }
}

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct HeadFile {
    pub(super) file: File,
}

impl HeadFile {
    /// Opens or makes the file, with `head` in it, durably: from here on it only changes in place.
    pub(super) fn open(folder: &Path, head: Head) -> Result<Self, OpenError> {
        let path = folder.join(FILE);
        let open = || {
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(false).open(&path)?;
            let head_file = Self { file };
            head_file.write(head)?;
            head_file.file.sync_all()?;
            super::sync_folder(folder)?;
            Ok(head_file)
        };
        open().map_err(OpenError::folder(&path))
    }

    /// Says how far the log goes.
    pub(super) fn write(&self, head: Head) -> io::Result<()> {
        self.file.write_all_at(head.line().as_bytes(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_as_it_is_written_and_nothing_else_does() {
        let head = Head { position: Position(42), hash: Hash::of(b"x") };
        let line = head.line();
        assert_eq!(Head::parse(&line), Some(head));
        for bad in ["", "tripline head 42 x\n", &line[1..], &line[..line.len() - 1]] {
            assert_eq!(Head::parse(bad), None, "{bad:?}");
        }
    }
}
