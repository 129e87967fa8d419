//! What can go wrong with git, told apart by what to do about it.

use std::path::PathBuf;

use super::Remote;
use super::remote::Transport;
use crate::guard::Blocked;
use crate::redact::known;

/// Why git did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The repository is gone, moved or not reached. It may come back.
    #[error("{repository} cannot be reached: {message}")]
    Unreachable {
        /// The repository.
        repository: String,
        /// What git said.
        message: String,
    },
    /// The other side does not know us, or our credentials don't suffice.
    #[error("{repository} refused access: {message}; check the sensor's `credentials`")]
    Refused {
        /// The repository.
        repository: String,
        /// What git said.
        message: String,
    },
    /// It lies where it may not be looked for.
    #[error(transparent)]
    Blocked(Blocked),
    /// It is a folder of this machine that may not be a repository.
    #[error(transparent)]
    Local(super::BadUrl),
    /// The other side lacks something that a ref of it needs.
    #[error("{repository} is damaged: {message}")]
    Damaged {
        /// The repository.
        repository: String,
        /// What git said.
        message: String,
    },
    /// The other side cannot show that it is who we ask for.
    #[error("{repository} is not trusted: {message}; {hint}")]
    Untrusted {
        /// The repository.
        repository: String,
        /// What git said.
        message: String,
        /// How it would become trusted.
        hint: &'static str,
    },
    /// The mirror does not hold this commit.
    #[error(
        "no commit `{commit}` in the mirror of {repository}: it was never on a watched ref, or too long ago"
    )]
    UnknownCommit {
        /// What was asked for.
        commit: String,
        /// The repository.
        repository: String,
    },
    /// Something is larger than its bound.
    #[error("{what} is larger than {limit}")]
    TooLarge {
        /// What.
        what: String,
        /// The bound, with its unit.
        limit: String,
    },
    /// It took longer than its bound.
    #[error("`git {command}` took longer than {limit} and was ended")]
    Timeout {
        /// The git command.
        command: &'static str,
        /// The bound.
        limit: model::Duration,
    },
    /// There is nothing to commit on.
    #[error("there is no branch `{0}` at the remote: push its first commit by hand")]
    NoBranch(String),
    /// No name of a branch or tag.
    #[error("`{0}` is no name of a branch or tag: write it as `main` or `v1.2.0`")]
    BadName(String),
    /// No file that a commit may hold.
    #[error("`{0}` is no file of a repository: write it as `folder/file`, without `..` and `.git`")]
    BadPath(String),
    /// Somebody else changed what is to be changed.
    #[error("on `{branch}` others have changed {files} meanwhile: read them again, then commit")]
    Touched {
        /// The branch.
        branch: String,
        /// What they changed.
        files: String,
    },
    /// Others were quicker each time.
    #[error("others pushed to `{branch}` {tries} times meanwhile")]
    Contended {
        /// The branch.
        branch: String,
        /// How often it was tried.
        tries: usize,
    },
    /// The tag stands elsewhere.
    #[error("the tag `{tag}` is there already, at {commit}: a tag is not moved")]
    TagExists {
        /// The tag.
        tag: String,
        /// Where it stands.
        commit: String,
    },
    /// The other side does not take the push: a hook, a protected branch.
    #[error("{repository} does not take the push: {message}")]
    Declined {
        /// The repository.
        repository: String,
        /// What it said.
        message: String,
    },
    /// The target of an export holds something else.
    #[error("{} exists and is not an export of this commit: remove it or choose another folder", .0.display())]
    TargetExists(PathBuf),
    /// The target of an export cannot be one.
    #[error("{} cannot be exported to: it names no folder", .0.display())]
    BadTarget(PathBuf),
    /// A commit holds a file that cannot be written here.
    #[error("the commit holds the file name {0:?}, which is not safe to write")]
    UnsafeName(String),
    /// The `git` program did not start.
    #[error("the program `git` cannot be started: {0}")]
    NotStarted(std::io::Error),
    /// The file system failed.
    #[error("cannot {doing} {}: {error}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Git failed in another way.
    #[error("`git {command}` failed: {message}")]
    Failed {
        /// The git command.
        command: &'static str,
        /// What git said.
        message: String,
    },
}

impl GitError {
    /// Whether the same may succeed later with nothing changed here.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Timeout { .. } | Self::Io { .. })
    }

    /// For `map_err` on what the file system answers.
    pub(super) fn io(
        doing: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::Io { doing, path: path.to_owned(), error }
    }

    /// The error that git's words about `remote` mean. Messages are those of the C locale.
    pub(super) fn of_fetch(remote: &Remote, stderr: &str) -> Self {
        let lower = stderr.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let (repository, message) = (remote.repository().to_owned(), brief(stderr));
        if says(UNTRUSTED) {
            let hint = match remote.transport() {
                Transport::Ssh => KNOWN_HOSTS_HINT,
                _ => CA_FILE_HINT,
            };
            Self::Untrusted { repository, message, hint }
        } else if says(DAMAGED) {
            Self::Damaged { repository, message }
        } else if says(REFUSED) {
            Self::Refused { repository, message }
        } else if says(UNREACHABLE) {
            Self::Unreachable { repository, message }
        } else {
            Self::Failed { command: "fetch", message }
        }
    }
}

/// A ref whose object is not there, and an object that lacks another one.
const DAMAGED: &[&str] = &["not our ref", "repository corruption on the remote side"];

const REFUSED: &[&str] = &[
    "authentication failed",
    "could not read username",
    "could not read password",
    "permission denied (",
    "access denied",
    "returned error: 401",
    "returned error: 403",
];

const UNTRUSTED: &[&str] = &[
    "host key verification failed",
    "certificate verification failed",
    "certificate problem",
    "certificate verify failed",
];

const KNOWN_HOSTS_HINT: &str = "if this is the host you mean, put its key into the file that \
    `git: { known_hosts: FILE }` names in tripline.yaml, else into the server's user's known_hosts";
const CA_FILE_HINT: &str = "if its certificate comes from an authority of your own, name that with \
    `tls: { ca_file: FILE }` in tripline.yaml";

const UNREACHABLE: &[&str] = &[
    "does not exist",
    "does not appear to be a git repository",
    "not a git repository",
    "not found",
    "unable to access",
    "could not read from remote repository",
    "could not resolve host",
    "connection refused",
    "connection reset",
    "timed out",
    "hung up unexpectedly",
    "early eof",
    "unexpected disconnect",
    "no such file or directory",
    "returned error:",
    "rpc failed",
    "expected flush",
];

/// What git said, in one line without its progress and advice.
pub(super) fn brief(stderr: &str) -> String {
    let lines = stderr.lines().map(str::trim).filter(|line| {
        !line.is_empty() && !line.starts_with("hint:") && !line.starts_with("Please make sure")
    });
    let text = lines.collect::<Vec<_>>().join("; ");
    if text.is_empty() { "it said nothing".to_owned() } else { known().beginning(&text, 500) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::Redactor;

    #[test]
    fn what_git_repeats_of_a_credential_is_not_told_even_where_it_is_cut() {
        let _held = known().hold(Redactor::new([("correct-horse-battery", "[secret]")]));
        for length in 470..500 {
            let told = brief(&format!("remote: {} correct-horse-battery", "x".repeat(length)));
            assert!(!told.contains("corr"), "{told}");
        }
    }
}
