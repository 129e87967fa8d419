//! A change of a ref as a `git.push` event.

use host::git::{Commit, Commits, GitError};
use model::{Envelope, Event, Timestamp, Value};
use serde_json::json;

use super::cursor::Change;
use super::{GitSensor, PollError};

/// An event's data has 4 MiB at most; some room is left for the rest of it.
const MAX_BYTES: usize = 3 << 20;

/// What a moved ref brought.
#[derive(Default)]
struct Moved {
    commits: Commits,
    forced: bool,
}

impl GitSensor {
    pub(super) async fn event(
        &self,
        source: &str,
        change: &Change,
        now: Timestamp,
    ) -> Result<Event, PollError> {
        let repository = self.repository.remote().repository();
        let moved = match (&change.before, &change.after) {
            (Some(before), Some(after)) => self.moved(before, after).await?,
            _ => Moved::default(),
        };
        let envelope = Envelope {
            id: format!("{repository}#{}#{}", change.name, change.count),
            source: source.to_owned(),
            kind: self.kind.clone(),
            time: now,
            subject: Some(change.name.clone()),
            cause: None,
            traceparent: None,
            tracestate: None,
        };
        Ok(Event { envelope, data: payload(repository, change, moved) })
    }

    async fn moved(&self, before: &str, after: &str) -> Result<Moved, PollError> {
        let forced = match self.repository.is_ancestor(before, after).await {
            Ok(is_ancestor) => !is_ancestor,
            // The old commit was on no ref any more when the mirror was made anew, or the new
            // one is no commit: there is no list to tell.
            Err(GitError::UnknownCommit { .. }) => {
                let commits = Commits { truncated: true, ..Commits::default() };
                return Ok(Moved { commits, forced: true });
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Moved { commits: self.repository.commits(before, after).await?, forced })
    }
}

fn payload(repository: &str, change: &Change, moved: Moved) -> Value {
    let Moved { commits: Commits { list, total, mut truncated }, forced } = moved;
    let mut commits: Vec<Value> = list.iter().map(commit).collect();
    // Escapes can make text six times as long as the listing's bounds foresee.
    while !commits.is_empty() && size(&commits) > MAX_BYTES {
        commits.drain(..commits.len().div_ceil(2));
        truncated = true;
    }
    json!({
        "repository": repository,
        "ref": change.name,
        "before": change.before,
        "after": change.after,
        "commits": commits,
        "commits_total": total,
        "truncated": truncated,
        "forced": forced,
        "created": change.before.is_none() && !change.first_seen,
        "deleted": change.after.is_none(),
    })
}

fn size(values: &[Value]) -> usize {
    values.iter().map(|value| value.to_string().len()).sum()
}

fn commit(commit: &Commit) -> Value {
    json!({
        "id": commit.id,
        "author": { "name": commit.author, "email": commit.email },
        "message": commit.message,
        "time": commit.time.to_string(),
        "added": commit.added,
        "modified": commit.modified,
        "removed": commit.removed,
    })
}
