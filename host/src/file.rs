//! Files that are there whole or not at all, and their owner's alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::OnceLock;

use nix::sys::stat::{Mode, umask};

/// The mask that this process was started with, once it has one of its own.
static GIVEN: OnceLock<u32> = OnceLock::new();

/// From here on nobody but its owner may read what this process makes. Programs that it starts through
/// the trampoline get the mask that it was started with: what they make is their own affair.
pub fn for_owner_alone() {
    let given = umask(Mode::S_IRWXG | Mode::S_IRWXO);
    GIVEN.get_or_init(|| given.bits());
}

/// The mask for programs, where it is another than this process has.
pub(crate) fn given_mask() -> Option<u64> {
    GIVEN.get().copied().map(u64::from)
}

/// Writes a file whole or not at all, in the place of an earlier one. Nobody sees a part of it, or
/// sees it before it has its mode; a kill may leave its beginning beside it (`.next`), which the next
/// writing takes away.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let next = path.with_extension("next");
    // What lies there may be somebody else's, with a mode of its own: it is never written into.
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write_new(&next, bytes, mode).and_then(|()| fs::rename(&next, path));
    if written.is_err() {
        // It may hold a secret, and takes room on a disk that may be full.
        let _ = fs::remove_file(&next);
    }
    written
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_has_its_mode_whatever_lay_there() {
        let folder = tempfile::tempdir().unwrap();
        let (file, next) = (folder.path().join("a.key"), folder.path().join("a.next"));
        fs::write(&file, "earlier, and longer").unwrap();
        fs::write(&next, "cut off by a kill").unwrap();
        fs::set_permissions(&next, fs::Permissions::from_mode(0o666)).unwrap();
        replace(&file, b"new", 0o600).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!next.exists());
    }

    #[test]
    fn nothing_is_written_through_a_link_that_lies_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("a.key"), folder.path().join("other"));
        fs::write(&other, "of somebody else").unwrap();
        symlink(&other, folder.path().join("a.next")).unwrap();
        replace(&file, b"new", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "of somebody else");
        assert_eq!(fs::read(&file).unwrap(), b"new");
    }

    #[test]
    fn what_cannot_be_written_leaves_the_earlier_file_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("held");
        fs::create_dir(&file).unwrap();
        fs::write(file.join("inside"), "").unwrap();
        replace(&file, b"new", 0o600).unwrap_err();
        assert!(file.is_dir() && !folder.path().join("held.next").exists());
    }
}
