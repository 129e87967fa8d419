//! `git.export`: the files of a commit that a git sensor has seen, in a folder. What is written
//! to repositories is in [`push`].

pub(crate) mod push;

use std::path::{Component, Path, PathBuf};

use futures::FutureExt;
use futures::future::BoxFuture;
use host::git::{Exports, GitError, Mirrors};
use model::{Effect, ErrorKind, Performance, SensorRef, StepError, Value};
use serde_json::json;

use crate::declare::metadata;
use crate::{Action, Metadata, Performing};

/// Writes a commit's files into a folder, all of them or none.
pub(crate) struct Export {
    metadata: Metadata,
    mirrors: Mirrors,
    exports: Exports,
}

impl Export {
    /// Exports from these mirrors; a relative target lies in the folder of `exports`.
    pub(crate) fn new(mirrors: Mirrors, exports: Exports) -> Self {
        Self { metadata: declaration(), mirrors, exports }
    }

    async fn export(&self, performing: &Performing) -> Result<Value, StepError> {
        let parameter = |name: &str| performing.parameters[name].as_str().unwrap_or_default();
        let sensor = sensor(parameter("sensor"), performing)?;
        let to = self.target(parameter("to"), performing)?;
        let mirror = self.mirrors.get(&sensor).ok_or_else(|| {
            let message = format!("no git sensor `{sensor}` is active: see `tripline sensor list`");
            StepError::new(ErrorKind::NotFound, message)
        })?;
        let exported =
            mirror.export(parameter("commit"), &to).await.map_err(|error| failure(&error))?;
        Ok(json!({
            "commit": exported.commit,
            "path": exported.folder.to_string_lossy(),
            "existed": exported.existed,
        }))
    }

    fn target(&self, to: &str, performing: &Performing) -> Result<PathBuf, StepError> {
        let path = Path::new(to);
        if to.is_empty() || path.components().any(|part| part == Component::ParentDir) {
            let message =
                format!("`to`: `{to}` is not a folder to export to: name one without `..`");
            return Err(StepError::new(ErrorKind::InvalidParameters, message));
        }
        let key = performing.key.as_str();
        let owner = match performing.parameters["temporary"].as_bool() {
            Some(true) => key.split('/').next().unwrap_or(key),
            _ => Exports::NOBODY,
        };
        self.exports.hold(owner, path).map_err(|error| {
            let message = format!("the server's exports: {error}");
            StepError::new(ErrorKind::Unavailable, message)
        })?;
        Ok(self.exports.path(path))
    }
}

pub(crate) fn declaration() -> Metadata {
    metadata(
        "git.export",
        "Writes the files of a commit that a git sensor has seen into a folder",
        Some(Effect::Idempotent),
        &json!({
            "sensor": {
                "type": "string",
                "required": true,
                "description": "`app` of this pack, `pack.app` of another",
            },
            "commit": { "type": "string", "required": true },
            "to": {
                "type": "string",
                "required": true,
                "description": "the folder: absolute, or relative to the server's exports",
            },
            "temporary": {
                "type": "boolean",
                "description": "below the exports: it goes once no execution that asked for it so is kept",
            },
        }),
        &json!({
            "commit": { "type": "string", "description": "its full name" },
            "path": { "type": "string" },
            "existed": { "type": "boolean", "description": "it had been exported before" },
        }),
    )
}

/// `app` is a sensor of the calling pack, `pack.app` of any.
fn sensor(text: &str, performing: &Performing) -> Result<SensorRef, StepError> {
    let named = match (&performing.pack, text.contains('.')) {
        (Some(pack), false) => text.parse().map(|name| SensorRef::new(pack.clone(), name)),
        _ => text.parse(),
    };
    named
        .map_err(|error| StepError::new(ErrorKind::InvalidParameters, format!("`sensor`: {error}")))
}

fn failure(error: &GitError) -> StepError {
    let kind = match error {
        GitError::Unreachable { .. }
        | GitError::Contended { .. }
        | GitError::Io { .. }
        | GitError::NotStarted(_) => ErrorKind::Unavailable,
        GitError::Refused { .. } | GitError::Untrusted { .. } | GitError::Declined { .. } => {
            ErrorKind::Denied
        }
        GitError::UnknownCommit { .. } | GitError::NoBranch(_) => ErrorKind::NotFound,
        GitError::TooLarge { .. } => ErrorKind::TooLarge,
        GitError::Timeout { .. } => ErrorKind::Timeout,
        GitError::TargetExists(_) | GitError::Touched { .. } | GitError::TagExists { .. } => {
            ErrorKind::Conflict
        }
        GitError::BadTarget(_) | GitError::BadName(_) | GitError::BadPath(_) => {
            ErrorKind::InvalidParameters
        }
        GitError::UnsafeName(_) | GitError::Failed { .. } => ErrorKind::Rejected,
    };
    StepError::new(kind, error.to_string())
}

impl Action for Export {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn effect(&self, _: &Value) -> Effect {
        Effect::Idempotent
    }

    fn perform(&self, performing: Performing) -> BoxFuture<'_, Performance> {
        async move {
            let cancel = performing.cancel.clone();
            tokio::select! {
                biased;
                // A folder appears whole or not at all, so a failure is certain.
                exported = self.export(&performing) => {
                    exported.map_or_else(Performance::Failed, Performance::Done)
                }
                () = cancel.cancelled() => {
                    let message = "the export was ended before it was done";
                    Performance::Unknown(StepError::new(ErrorKind::Cancelled, message))
                }
            }
        }
        .boxed()
    }
}
