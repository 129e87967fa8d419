//! A state folder is made of a backup: whole and verified, or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use model::{Actor, BatchId, Fact, Hash, Severity, Stream, Timestamp};
use sha2::{Digest, Sha256};
use store::sqlite::{Finding, Lock, OpenError, Options, about};
use store::{Batch, Sqlite, Store, Write};

use super::archive::{Entry, Reader};
use super::make::sum_line;
use super::moves::Moves;
use super::{BackupError, FORMAT, MANIFEST, Manifest, SUMS, belongs, failed};
use crate::doctor::altered_packs;
use crate::tokens::valid;
use crate::view::TokenView;

/// Where the state lies until it is whole. A folder that holds it is not taken for a new one.
pub(crate) const UNFINISHED: &str = "restoring";
/// What the state folder keeps whatever comes into it: of this machine, not of the installation.
const STAYS: [&str; 3] = ["lost+found", "admin.token", LOCK];
const LOCK: &str = "lock";
/// What the forms of all versions begin with.
const FORMATS: &str = "tripline.backup/";
/// A manifest is some hundred bytes, and names some files that were left out.
const MAX_MANIFEST: u64 = 64 * 1024;
/// Digests of so many files, some hundred bytes each, that memory has room for them.
const MAX_SUMS: u64 = 1 << 30;

/// Reads a backup whole: what it says of itself, if it is what was made.
pub fn check(from: impl Read) -> Result<Manifest, BackupError> {
    unpack(from, None)
}

/// So many bytes of a backup's beginning hold what it says of itself.
pub const BEGINNING: usize = MAX_MANIFEST as usize + 1024;

/// What a backup that begins so says of itself.
pub fn manifest(beginning: &[u8]) -> Result<Manifest, BackupError> {
    Unpacking { reader: Reader(beginning), folder: None, sums: String::new() }.manifest()
}

/// What was made of a backup.
#[derive(Debug)]
pub struct Restored {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// The tokens that are valid, also those that were revoked after it was made.
    pub tokens: Vec<TokenView>,
    /// What is wrong with what was in it, and keeps nothing from starting.
    pub findings: Vec<Finding>,
}

/// Makes the state folder `state` of a backup. What is there already is refused, or moved into a
/// folder within it.
///
/// The state knows that it was restored: what may have been done since the backup is not done
/// again unasked.
pub async fn restore(
    from: impl Read,
    state: &Path,
    replace: bool,
    at: Timestamp,
) -> Result<Restored, BackupError> {
    let made: Vec<&Path> = state.ancestors().take_while(|folder| !folder.exists()).collect();
    private(state).map_err(failed(state))?;
    let _lock = hold(state)?;
    let restored = restore_into(from, state, replace, at).await;
    if restored.is_err() && !made.is_empty() {
        let _ = fs::remove_file(state.join(LOCK));
        // From the innermost one; where something is in it now it stays.
        made.iter().all(|folder| fs::remove_dir(folder).is_ok());
    }
    restored
}

/// Keeps servers, and whoever else restores, out of the folder.
fn hold(state: &Path) -> Result<Lock, BackupError> {
    Lock::take(state).map_err(|error| match error {
        OpenError::Held { folder, pid } => BackupError::Running { folder, pid },
        other => other.into(),
    })
}

async fn restore_into(
    from: impl Read,
    state: &Path,
    replace: bool,
    at: Timestamp,
) -> Result<Restored, BackupError> {
    let there = others(state)?;
    if let Some(found) = there.first().filter(|_| !replace) {
        let (folder, found) = (state.to_owned(), found.clone());
        return Err(BackupError::Taken { folder, found });
    }
    let fresh = state.join(UNFINISHED);
    remove(&fresh)?;
    private(&fresh).map_err(failed(&fresh))?;
    match fill(from, &fresh, at).await {
        Ok(restored) => {
            let aside = state.join(format!("replaced-{at}"));
            let moved = Moves::new(state).replace(&there, &aside, &fresh, &others(&fresh)?);
            if !matches!(moved, Err(BackupError::Torn { .. })) {
                remove(&fresh)?;
            }
            moved.map(|()| restored)
        }
        Err(error) => {
            remove(&fresh)?;
            Err(error)
        }
    }
}

pub(super) fn private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn remove(folder: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(folder)(error)),
        _ => Ok(()),
    }
}

/// What is in the folder and would be in the way.
fn others(state: &Path) -> Result<Vec<String>, BackupError> {
    let list = || -> io::Result<Vec<String>> {
        let names = fs::read_dir(state)?.map(|entry| Ok(entry?.file_name()));
        names.map(|name: io::Result<_>| Ok(name?.to_string_lossy().into_owned())).collect()
    };
    let mut names = list().map_err(failed(state))?;
    let stays = |name: &str| STAYS.contains(&name) || name.starts_with("replaced-");
    names.retain(|name| name != UNFINISHED && !stays(name));
    names.sort();
    Ok(names)
}

async fn fill(from: impl Read, fresh: &Path, at: Timestamp) -> Result<Restored, BackupError> {
    let manifest = unpack(from, Some(fresh))?;
    let found = about(fresh)?;
    if (found.position, found.hash) != (manifest.position, manifest.head) {
        return Err(BackupError::Damaged("its log does not end where it says".to_owned()));
    }
    let store = Sqlite::open(fresh, &Options::default())?;
    let restored =
        Write::new(Stream::Installation, None, [Fact::StateRestored { taken_at: manifest.at, at }]);
    let id = BatchId::new(format!("restored/{at}"));
    store.append(Batch { id, actor: Actor::engine(), at, writes: vec![restored] }).await?;
    let tokens = valid(&store.tokens().await?, at);
    drop(store);
    let mut findings = Sqlite::verify(fresh).into_iter();
    match findings.find(|finding| finding.severity == Severity::Error) {
        Some(finding) => Err(BackupError::Damaged(format!(
            "what was copied was damaged already: {}",
            finding.what
        ))),
        None => Ok(Restored { manifest, tokens, findings: altered_packs(fresh) }),
    }
}

/// Reads a backup, and puts its files into `folder` if there is one.
fn unpack(from: impl Read, folder: Option<&Path>) -> Result<Manifest, BackupError> {
    let mut unpacking = Unpacking { reader: Reader(from), folder, sums: String::new() };
    let manifest = unpacking.manifest()?;
    loop {
        let next = unpacking.reader.next().map_err(broken)?;
        let Some(entry) = next else {
            return Err(BackupError::Damaged("it is cut short".to_owned()));
        };
        if entry.name == SUMS {
            unpacking.check_sums(&entry)?;
            return Ok(manifest);
        }
        unpacking.file(&entry)?;
    }
}

struct Unpacking<'a, R> {
    reader: Reader<R>,
    folder: Option<&'a Path>,
    sums: String,
}

impl<R: Read> Unpacking<'_, R> {
    /// The first file: what the rest is.
    fn manifest(&mut self) -> Result<Manifest, BackupError> {
        let none = |why: &dyn ToString| BackupError::NoBackup(why.to_string());
        let first = self.reader.next().map_err(|error| none(&error))?;
        let Some(entry) = first.filter(|it| it.name == MANIFEST && it.size <= MAX_MANIFEST) else {
            return Err(none(&format!("it does not begin with `{MANIFEST}`")));
        };
        let mut text = Vec::new();
        self.reader.content(entry.size, &mut text).map_err(broken)?;
        self.sums.push_str(&sum_line(MANIFEST, Hash::of(&text)));
        let value: model::Value = serde_json::from_slice(&text).map_err(|error| none(&error))?;
        let version = value["version"].as_str().unwrap_or("unknown").to_owned();
        let format = value["format"].as_str().filter(|format| format.starts_with(FORMATS));
        let Some(format) = format.map(ToOwned::to_owned) else {
            return Err(none(&format!(
                "`{MANIFEST}` says no `format` that begins with `{FORMATS}`"
            )));
        };
        if format != FORMAT {
            let (found, expected) = (format!("its form is `{format}`"), format!("`{FORMAT}`"));
            return Err(BackupError::Newer { version, found, expected });
        }
        let manifest: Manifest = serde_json::from_value(value).map_err(|error| none(&error))?;
        if manifest.schema > store::sqlite::NEWEST_SCHEMA {
            let found = format!("its database has the schema {}", manifest.schema);
            let expected = format!("schemas up to {}", store::sqlite::NEWEST_SCHEMA);
            return Err(BackupError::Newer { version, found, expected });
        }
        Ok(manifest)
    }

    fn file(&mut self, entry: &Entry) -> Result<(), BackupError> {
        let name = &entry.name;
        if !belongs(name) {
            return Err(BackupError::Damaged(format!("`{name}` does not belong into a backup")));
        }
        let mut file = self.folder.map(|folder| create(folder, entry)).transpose()?;
        let mut to = Hashed { to: file.as_mut(), hasher: Sha256::new() };
        self.reader.content(entry.size, &mut to).map_err(broken)?;
        let hash = Hash::from_bytes(to.hasher.finalize().into());
        if let Some(file) = file {
            file.sync_all().map_err(failed(Path::new(name)))?;
        }
        self.sums.push_str(&sum_line(name, hash));
        Ok(())
    }

    fn check_sums(&mut self, entry: &Entry) -> Result<(), BackupError> {
        if entry.size > MAX_SUMS {
            return Err(BackupError::Damaged(format!("`{SUMS}` is beyond all bounds")));
        }
        let mut told = Vec::new();
        self.reader.content(entry.size, &mut told).map_err(broken)?;
        if told == self.sums.as_bytes() {
            return Ok(());
        }
        let told = String::from_utf8_lossy(&told);
        let differing = self.sums.lines().find(|line| !told.lines().any(|told| told == *line));
        let name = differing.and_then(|line| line.split_once("  ")).map_or(SUMS, |(_, name)| name);
        Err(BackupError::Damaged(format!("`{name}` is not what was put in")))
    }
}

/// What reading says of a file that began as a backup.
fn broken(error: io::Error) -> BackupError {
    match error.kind() {
        ErrorKind::InvalidData => BackupError::Damaged(error.to_string()),
        _ => BackupError::File { path: "the backup or what is made of it".into(), source: error },
    }
}

fn create(folder: &Path, entry: &Entry) -> Result<File, BackupError> {
    let path = folder.join(&entry.name);
    let mode = if entry.executable { 0o700 } else { 0o600 };
    let open = || {
        private(path.parent().unwrap_or(folder))?;
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)
    };
    open().map_err(failed(&path))
}

/// Hashes what is written, and passes it on.
struct Hashed<'a> {
    to: Option<&'a mut File>,
    hasher: Sha256,
}

impl io::Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        if let Some(file) = &mut self.to {
            file.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
