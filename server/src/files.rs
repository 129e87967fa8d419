//! What a server leaves in its state folder so that the command line finds it: `server.json` with
//! its addresses, `admin.token` with the token that opens the API.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use engine::TOKEN_PREFIX;
use serde::{Deserialize, Serialize};

/// Name of the file with the addresses.
pub const ADDRESSES: &str = "server.json";
/// Name of the file with the token.
pub const TOKEN: &str = "admin.token";

const TOO_SHORT: &str = "the token in it has fewer than 32 characters";

/// Where a running server is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// Its process.
    pub pid: u32,
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where webhooks are received, while there are any.
    pub webhooks: Option<SocketAddr>,
}

/// A file of the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl FileError {
    /// What to do, where there is one thing.
    pub fn hint(&self) -> Option<&'static str> {
        let token = self.path.file_name().is_some_and(|name| name == TOKEN);
        token.then_some("delete it, and the next start makes one")
    }
}

impl Addresses {
    /// What the server on `state` wrote last; none if it ended orderly or never ran.
    pub fn read(state: &Path) -> Result<Option<Self>, FileError> {
        let path = state.join(ADDRESSES);
        let failed = |source| FileError { path: path.clone(), source };
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| {
                let message = "it is not what a server writes there: start the server again";
                failed(io::Error::other(message))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    pub(crate) fn write(&self, state: &Path) -> Result<(), FileError> {
        let path = state.join(ADDRESSES);
        let written = serde_json::to_vec(self).map_err(io::Error::from);
        let written = written.and_then(|bytes| host::file::replace(&path, &bytes, 0o600));
        written.map_err(|source| FileError { path, source })
    }

    /// Forgets what a server wrote that runs no more: at its end, or before the next one starts if that was a
    /// sudden one.
    pub fn remove(state: &Path) {
        // A file that stays only makes the command line try an address where nobody answers.
        let _ = fs::remove_file(state.join(ADDRESSES));
    }
}

/// The token in `state`, if a server ran there.
pub fn read_token(state: &Path) -> Result<Option<String>, FileError> {
    let path = state.join(TOKEN);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError { path, source }),
    }
}

/// The token in `state`, if a server could start with it.
pub fn usable_token(state: &Path) -> Result<Option<String>, FileError> {
    match read_token(state)? {
        Some(token) if token.len() < 32 => {
            let (path, source) = (state.join(TOKEN), io::Error::other(TOO_SHORT));
            Err(FileError { path, source })
        }
        found => Ok(found),
    }
}

/// The token in `state`, made of 256 random bits at the first start.
pub(crate) fn token(state: &Path) -> Result<String, FileError> {
    let path = state.join(TOKEN);
    let failed = |source| FileError { path: path.clone(), source };
    warn_if_open(state);
    if let Some(token) = usable_token(state)? {
        return Ok(token);
    }
    let token = format!("{TOKEN_PREFIX}{}", engine::random_secret());
    host::file::replace(&path, format!("{token}\n").as_bytes(), 0o600).map_err(failed)?;
    Ok(token)
}

/// Tells once, and of everything, what other users of the machine may read.
fn warn_if_open(state: &Path) {
    let open =
        |path: &Path| fs::metadata(path).is_ok_and(|it| it.permissions().mode() & 0o077 != 0);
    let token = state.join(TOKEN);
    let lax: Vec<_> = [state, &token].into_iter().filter(|path| open(path)).collect();
    if !lax.is_empty() {
        let lax: Vec<_> = lax.into_iter().map(|path| path.display().to_string()).collect();
        let (lax, state) = (lax.join(" and "), state.display());
        tracing::warn!("other users may read {lax}; if that is not meant, `chmod -R go= {state}`");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let token = token(folder.path()).unwrap();
        assert_eq!(token.strip_prefix(TOKEN_PREFIX).map(str::len), Some(64));
        assert_eq!(super::token(folder.path()).unwrap(), token);
        let mode = fs::metadata(folder.path().join(TOKEN)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_empty_token_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(TOKEN), "\n").unwrap();
        let error = token(folder.path()).unwrap_err().to_string();
        assert!(error.contains("fewer than 32"), "{error}");
    }

    #[test]
    fn addresses_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Addresses::read(folder.path()).unwrap(), None);
        let addresses = Addresses { pid: 7, api: ([127, 0, 0, 1], 7410).into(), webhooks: None };
        addresses.write(folder.path()).unwrap();
        assert_eq!(Addresses::read(folder.path()).unwrap(), Some(addresses));
    }
}
