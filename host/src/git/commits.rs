//! What a push brought: the commits between two points, with the files each touched.

use model::Timestamp;

use super::{GitError, Repository};

/// Most commits that are listed; more are counted.
pub const MAX_COMMITS: usize = 250;
/// Most bytes of a message that are kept.
const MAX_MESSAGE: usize = 4 * 1024;
/// Most file names listed over all commits; a chain's lists hold 5,000 items.
const MAX_FILES: usize = 3_000;
/// Most bytes of file names over all commits: an event's data has 4 MiB in all.
const MAX_FILE_BYTES: usize = 1 << 20;
/// Most bytes of git's listing that are read.
const MAX_LISTING: u64 = 8 << 20;

/// One commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its full name.
    pub id: String,
    /// Who wrote it.
    pub author: String,
    /// Their address.
    pub email: String,
    /// The message, cut at 4 KiB. Like all text here, what is not UTF-8 is shown as `�`.
    pub message: String,
    /// When it was committed.
    pub time: Timestamp,
    /// Files it added, compared with its first parent.
    pub added: Vec<String>,
    /// Files it changed.
    pub modified: Vec<String>,
    /// Files it removed.
    pub removed: Vec<String>,
}

/// The commits between two points.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commits {
    /// The newest [`MAX_COMMITS`], oldest first.
    pub list: Vec<Commit>,
    /// How many there are in all.
    pub total: u64,
    /// Whether commits or file names are missing in the list.
    pub truncated: bool,
}

impl Repository {
    /// The commits that are reachable from `after` but not from `before`.
    pub async fn commits(&self, before: &str, after: &str) -> Result<Commits, GitError> {
        let (before, after) = (self.resolve(before).await?, self.resolve(after).await?);
        let range = [after, format!("^{before}")];
        let count = self.run("rev-list").args(["--count"]).args(&range).stdout().await?;
        let total = String::from_utf8_lossy(&count).trim().parse().unwrap_or(0);
        if total == 0 {
            return Ok(Commits::default());
        }
        let run = self.run("log").args([
            "-z",
            "--topo-order",
            "--name-status",
            "--no-renames",
            "--no-ext-diff",
            "--diff-merges=first-parent",
            "--encoding=UTF-8",
            "--format=%x01%H%x00%an%x00%ae%x00%ct%x00%B%x00",
        ]);
        let run = run.args([format!("--max-count={MAX_COMMITS}")]).args(&range).args(["--"]);
        let output = run.max_output(MAX_LISTING).output().await?;
        if !output.cut && output.code != Some(0) {
            return Err(output.failure());
        }
        let mut list = parse(&output.stdout);
        if output.cut {
            // The last one is cut somewhere within.
            list.pop();
        }
        let shortened = shorten(&mut list);
        let truncated = shortened || (list.len() as u64) < total;
        list.reverse();
        Ok(Commits { list, total, truncated })
    }
}

/// Reads `\x01 id \0 author \0 email \0 time \0 message \0 (\n? status \0 file \0)*` repeatedly.
fn parse(bytes: &[u8]) -> Vec<Commit> {
    let mut fields = bytes.split(|byte| *byte == 0);
    let mut commits: Vec<Commit> = Vec::new();
    while let Some(field) = fields.next() {
        let field = field.strip_prefix(b"\n").unwrap_or(field);
        if let Some(id) = field.strip_prefix(b"\x01") {
            let mut text = || lossy(fields.next().unwrap_or_default());
            let (id, author, email, time) = (lossy(id), text(), text(), text());
            let time = time.parse().ok().and_then(|time| Timestamp::from_second(time).ok());
            commits.push(Commit {
                id,
                author,
                email,
                time: time.unwrap_or(Timestamp::UNIX_EPOCH),
                message: cut(text().trim_end(), MAX_MESSAGE),
                added: Vec::new(),
                modified: Vec::new(),
                removed: Vec::new(),
            });
        } else if let (Some(commit), false) = (commits.last_mut(), field.is_empty()) {
            let file = lossy(fields.next().unwrap_or_default());
            match field {
                b"A" => commit.added.push(file),
                b"D" => commit.removed.push(file),
                _ => commit.modified.push(file),
            }
        }
    }
    commits
}

/// Drops file names beyond the bounds, the newest commits first served; tells whether it did.
fn shorten(commits: &mut [Commit]) -> bool {
    let (mut files, mut bytes, mut dropped) = (0, 0, false);
    for commit in commits {
        for list in [&mut commit.added, &mut commit.modified, &mut commit.removed] {
            list.retain(|file| {
                files += 1;
                bytes += file.len();
                let kept = files <= MAX_FILES && bytes <= MAX_FILE_BYTES;
                dropped |= !kept;
                kept
            });
        }
    }
    dropped
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn cut(text: &str, max: usize) -> String {
    text[..text.floor_char_boundary(max)].to_owned()
}
