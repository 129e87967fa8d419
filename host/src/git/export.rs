//! A commit's files in a folder, all of them or none.
//!
//! We write the files ourselves from their blobs: no checkout filters run, links become text files
//! that hold their target, submodules are left out, and no file name leads outside.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

use super::exports::placing;
use super::{GitError, Repository};

/// An export that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The commit's full name.
    pub commit: String,
    /// The folder.
    pub folder: PathBuf,
    /// Whether it was there before.
    pub existed: bool,
}

/// What an export would write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedExport {
    /// The export as it would be.
    pub exported: Exported,
    /// How many files there are.
    pub files: usize,
    /// How large they are together.
    pub bytes: u64,
}

struct Entry {
    executable: bool,
    blob: String,
    size: u64,
    path: PathBuf,
}

/// The target and its neighbours, which are named after it: `.NAME.exporting` while it is written,
/// `.NAME.commit` to remember what it holds.
struct Target {
    folder: PathBuf,
    temporary: PathBuf,
    marker: PathBuf,
}

impl Repository {
    /// Writes the files of `commit` into the new folder `to`. A folder that was exported from the
    /// same commit before is left as it is; anything else there is an error.
    pub async fn export(&self, commit: &str, to: &Path) -> Result<Exported, GitError> {
        let commit = self.resolve(commit).await?;
        let target = Target::new(to)?;
        let lock = self.git.lock(&target.folder);
        let _writing = lock.lock().await;
        let folder = target.folder.clone();
        if target.holds(&commit)? {
            return Ok(Exported { commit, folder, existed: true });
        }
        let limit = self.git.options().query_timeout;
        let written = tokio::time::timeout(limit.to_std(), self.write(&commit, &target)).await;
        let written = written.unwrap_or(Err(GitError::Timeout { command: "cat-file", limit }));
        if let Err(error) = written.and_then(|()| target.finish(&commit)) {
            // The error is what matters; what is left is removed by the next export.
            let _ = std::fs::remove_dir_all(&target.temporary);
            return Err(error);
        }
        Ok(Exported { commit, folder, existed: false })
    }

    /// What [`Repository::export`] would write.
    pub async fn plan_export(&self, commit: &str, to: &Path) -> Result<PlannedExport, GitError> {
        let commit = self.resolve(commit).await?;
        let target = Target::new(to)?;
        let existed = target.holds(&commit)?;
        let entries = self.entries(&commit).await?;
        let bytes = entries.iter().map(|entry| entry.size).sum();
        let exported = Exported { commit, folder: target.folder, existed };
        Ok(PlannedExport { exported, files: entries.len(), bytes })
    }

    async fn write(&self, commit: &str, target: &Target) -> Result<(), GitError> {
        let entries = self.entries(commit).await?;
        target.begin()?;
        let (mut child, mut group) = self.run("cat-file").args(["--batch"]).start()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(no_answer());
        };
        let (asked, written) =
            tokio::join!(ask(stdin, &entries), write_all(stdout, &target.temporary, &entries));
        written?;
        asked?;
        child.wait().await.map_err(GitError::NotStarted)?;
        group.disarm();
        Ok(())
    }

    /// The files of a commit, if they are within bounds.
    async fn entries(&self, commit: &str) -> Result<Vec<Entry>, GitError> {
        let options = self.git.options();
        let run = self.run("ls-tree").args(["-r", "-z", "-l", "--full-tree", commit]);
        let listing = run.max_output(64 << 20).stdout().await?;
        let lines = listing.split(|byte| *byte == 0).filter(|line| !line.is_empty());
        let entries = lines.filter_map(|line| Entry::parse(line).transpose());
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let too_large =
            |limit: String| GitError::TooLarge { what: format!("commit {commit}"), limit };
        if entries.len() > options.max_export_files {
            return Err(too_large(format!("{} files", options.max_export_files)));
        }
        let bytes = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.size));
        if bytes > options.max_export_bytes {
            return Err(too_large(format!("{} bytes", options.max_export_bytes)));
        }
        Ok(entries)
    }
}

impl Entry {
    /// Reads `mode type blob size\tpath`; `None` for a submodule.
    fn parse(line: &[u8]) -> Result<Option<Self>, GitError> {
        let odd = || GitError::UnsafeName(String::from_utf8_lossy(line).into_owned());
        let tab = line.iter().position(|byte| *byte == b'\t').ok_or_else(odd)?;
        let head = String::from_utf8_lossy(&line[..tab]).into_owned();
        let [mode, kind, blob, size] = head.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(odd());
        };
        if kind != "blob" {
            return Ok(None);
        }
        let path = safe_path(&line[tab + 1..])?;
        let size = size.parse().map_err(|_| odd())?;
        Ok(Some(Self { executable: mode == "100755", blob: blob.to_owned(), size, path }))
    }
}

/// A relative path of plain names, none of them git's own.
fn safe_path(bytes: &[u8]) -> Result<PathBuf, GitError> {
    let path = Path::new(OsStr::from_bytes(bytes));
    let plain = |part: Component<'_>| match part {
        Component::Normal(name) => !name.eq_ignore_ascii_case(".git"),
        _ => false,
    };
    let tidy = !bytes.is_empty()
        && bytes.split(|b| *b == b'/').all(|part| !part.is_empty() && part != b".");
    if tidy && path.components().all(plain) {
        Ok(path.to_owned())
    } else {
        Err(GitError::UnsafeName(String::from_utf8_lossy(bytes).into_owned()))
    }
}

impl Target {
    fn new(to: &Path) -> Result<Self, GitError> {
        let bad = || GitError::BadTarget(to.to_owned());
        let folder = std::path::absolute(to).map_err(GitError::io("find", to))?;
        let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
            return Err(bad());
        };
        let beside = |suffix: &str| {
            let mut hidden = std::ffi::OsString::from(".");
            hidden.push(name);
            hidden.push(suffix);
            parent.join(hidden)
        };
        let (temporary, marker) = (beside(".exporting"), beside(".commit"));
        Ok(Self { folder, temporary, marker })
    }

    /// Whether the target is there already, of this commit.
    fn holds(&self, commit: &str) -> Result<bool, GitError> {
        let Ok(found) = self.folder.symlink_metadata() else { return Ok(false) };
        match std::fs::read_to_string(&self.marker) {
            Ok(held) if found.is_dir() && held.trim() == commit => Ok(true),
            _ => Err(GitError::TargetExists(self.folder.clone())),
        }
    }

    /// An empty temporary folder.
    fn begin(&self) -> Result<(), GitError> {
        if self.temporary.exists() {
            std::fs::remove_dir_all(&self.temporary)
                .map_err(GitError::io("remove", &self.temporary))?;
        }
        std::fs::create_dir_all(&self.temporary).map_err(GitError::io("make", &self.temporary))
    }

    /// The marker comes first: a marker without its folder says nothing, a folder without its
    /// marker would be taken for somebody else's.
    fn finish(&self, commit: &str) -> Result<(), GitError> {
        let _placing = placing();
        std::fs::write(&self.marker, commit).map_err(GitError::io("write", &self.marker))?;
        std::fs::rename(&self.temporary, &self.folder).map_err(GitError::io("make", &self.folder))
    }
}

async fn ask(mut stdin: ChildStdin, entries: &[Entry]) -> Result<(), GitError> {
    for entry in entries {
        let line = format!("{}\n", entry.blob);
        stdin.write_all(line.as_bytes()).await.map_err(|_| no_answer())?;
    }
    Ok(())
}

async fn write_all(stdout: ChildStdout, into: &Path, entries: &[Entry]) -> Result<(), GitError> {
    let mut answers = BufReader::with_capacity(64 * 1024, stdout);
    for entry in entries {
        write_one(&mut answers, into, entry).await?;
    }
    Ok(())
}

/// Reads `blob type size\n content \n` and writes the content.
async fn write_one(
    answers: &mut BufReader<ChildStdout>,
    into: &Path,
    entry: &Entry,
) -> Result<(), GitError> {
    let mut header = String::new();
    answers.read_line(&mut header).await.map_err(|_| no_answer())?;
    if header.trim_end() != format!("{} blob {}", entry.blob, entry.size) {
        return Err(no_answer());
    }
    let path = into.join(&entry.path);
    let parent = path.parent().unwrap_or(into);
    tokio::fs::create_dir_all(parent).await.map_err(GitError::io("make", parent))?;
    let mode = if entry.executable { 0o755 } else { 0o644 };
    let mut options = tokio::fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(mode).open(&path).await;
    let mut file = opened.map_err(GitError::io("make", &path))?;
    let mut content = (&mut *answers).take(entry.size);
    let copied = tokio::io::copy_buf(&mut content, &mut file).await;
    let copied = copied.map_err(GitError::io("write", &path))?;
    file.flush().await.map_err(GitError::io("write", &path))?;
    let newline = answers.read_u8().await.map_err(|_| no_answer())?;
    if copied == entry.size && newline == b'\n' { Ok(()) } else { Err(no_answer()) }
}

fn no_answer() -> GitError {
    let message = "it did not give a file's content".to_owned();
    GitError::Failed { command: "cat-file", message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for bad in
            ["", "/etc/passwd", "../x", "a/../../x", "a/./b", ".git/config", "a/.GIT/x", "a//b"]
        {
            assert!(safe_path(bad.as_bytes()).is_err(), "{bad}");
        }
        for good in [b"a/b.txt".as_slice(), b".gitignore", b"caf\xe9"] {
            assert!(safe_path(good).is_ok());
        }
    }
}
