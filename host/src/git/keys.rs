//! Private keys for ssh, which reads them from files alone: each lies in a file that its owner alone
//! can read, for as long as one git command runs.

use std::fs::{self, DirBuilder};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use tempfile::NamedTempFile;

use super::GitError;

/// Beside the mirrors.
const FOLDER: &str = ".keys";

/// Removes the keys beside `mirrors` that a kill left behind. Nobody may be using git there.
pub fn drop_keys(mirrors: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(mirrors.join(FOLDER)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A file with `key`, beside the mirror; gone when it is dropped.
pub(super) fn key_file(mirror: &Path, key: &str) -> Result<NamedTempFile, GitError> {
    let folder = mirror.parent().unwrap_or(mirror).join(FOLDER);
    let failed = |error| GitError::io("write a key into", &folder)(error);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
    let mut file = NamedTempFile::new_in(&folder).map_err(failed)?;
    // ssh takes no key whose last line does not end.
    writeln!(file, "{key}").map_err(failed)?;
    Ok(file)
}
