//! `git.export`: the files of a commit that a git sensor has seen, in a folder. What is written
//! to repositories is in [`push`].

pub(crate) mod push;

use std::path::{Path, PathBuf};

use futures::FutureExt;
use futures::future::BoxFuture;
use host::git::{Exports, GitError, Mirrors, Repository};
use model::{Change, Effect, ErrorKind, Performance, Plan, SensorRef, StepError, Value};
use serde_json::json;
use tokio_util::sync::CancellationToken;

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
        let (mirror, commit, target) = self.asked(performing)?;
        self.hold(performing, &target)?;
        let to = self.exports.path(&target);
        let exported = mirror.export(commit, &to).await.map_err(|error| failure(&error))?;
        Ok(result(&exported))
    }

    async fn planned(&self, planned: &Performing) -> Result<Plan, StepError> {
        let (mirror, commit, target) = self.asked(planned)?;
        let to = self.exports.path(&target);
        let plan = mirror.plan_export(commit, &to).await.map_err(|error| failure(&error))?;
        let host::git::PlannedExport { exported, files, bytes } = plan;
        let answer = result(&exported);
        let folder = exported.folder.to_string_lossy().into_owned();
        if exported.existed {
            let summary = format!("nothing: {folder} holds the commit already");
            return Ok(Plan::new(summary).answering(answer));
        }
        let summary = format!("writes the {files} files of {} to {folder}", exported.commit);
        let after = json!({ "commit": exported.commit, "files": files, "bytes": bytes });
        Ok(Plan::new(summary).with(Change::to(folder, after)).answering(answer))
    }

    /// The mirror, the commit and the folder below the exports that a step names.
    fn asked<'a>(
        &self,
        performing: &'a Performing,
    ) -> Result<(Repository, &'a str, PathBuf), StepError> {
        let parameter = |name: &str| performing.parameters[name].as_str().unwrap_or_default();
        let sensor = sensor(parameter("sensor"), performing)?;
        let to = self.target(parameter("to"))?;
        let mirror = mirror(&self.mirrors, &sensor, performing)?;
        Ok((mirror, parameter("commit"), to))
    }

    fn target(&self, to: &str) -> Result<PathBuf, StepError> {
        let refused = |message| StepError::new(ErrorKind::InvalidParameters, message);
        let target = self.exports.target(Path::new(to)).ok_or_else(|| {
            refused(format!(
                "`to`: `{to}` is not a folder to export to: name one below the server's exports, such as `releases/app`, without `..` and names that begin with a dot"
            ))
        })?;
        match self.exports.closed(&target) {
            Some(why) => Err(refused(format!(
                "`to`: nothing is exported to `{to}`: {why}; name another folder, such as `releases/app`"
            ))),
            None => Ok(target),
        }
    }

    /// Notes who asks for the folder, before it is there.
    fn hold(&self, performing: &Performing, target: &Path) -> Result<(), StepError> {
        let owner = match performing.parameters["temporary"].as_bool() {
            Some(true) => performing.key.root(),
            _ => Exports::NOBODY,
        };
        self.exports.hold(owner, target).map_err(|error| {
            let message = format!("the server's exports: {error}");
            StepError::new(ErrorKind::Unavailable, message)
        })
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
                "description": "`app` of this pack, `pack.app` of another whose file says `shared_with` this one",
            },
            "commit": { "type": "string", "required": true },
            "to": {
                "type": "string",
                "required": true,
                "description": "the folder, below the server's exports",
            },
            "temporary": {
                "type": "boolean",
                "description": "it goes once no execution that asked for it so is kept",
            },
        }),
        &json!({
            "commit": { "type": "string", "description": "its full name" },
            "path": { "type": "string" },
            "existed": { "type": "boolean", "description": "it had been exported before" },
        }),
    )
}

fn result(exported: &host::git::Exported) -> Value {
    json!({
        "commit": exported.commit,
        "path": exported.folder.to_string_lossy(),
        "existed": exported.existed,
    })
}

/// The mirror that the sensor fills, if it is this pack's or shared with it.
fn mirror(
    mirrors: &Mirrors,
    sensor: &SensorRef,
    performing: &Performing,
) -> Result<Repository, StepError> {
    let reader = performing.pack.as_ref();
    if let Some(pack) = reader.filter(|pack| !mirrors.is_shared(sensor, pack)) {
        let message = format!(
            "the sensor `{sensor}` is another pack's: its file does not share it with `{pack}` (`shared_with`)"
        );
        return Err(StepError::new(ErrorKind::Denied, message));
    }
    mirrors.get(sensor).ok_or_else(|| {
        let message = format!("no git sensor `{sensor}` is active: see `tripline sensor list`");
        StepError::new(ErrorKind::NotFound, message)
    })
}

/// `work`, unless the step is told to end before: then nobody knows what it has done.
async fn unless_told(
    cancel: CancellationToken,
    name: &str,
    work: impl Future<Output = Performance>,
) -> Performance {
    tokio::select! {
        biased;
        performance = work => performance,
        () = cancel.cancelled() => {
            let message = format!("the {name} was ended before it was done");
            Performance::Unknown(StepError::new(ErrorKind::Cancelled, message))
        }
    }
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
        GitError::Refused { .. }
        | GitError::Untrusted { .. }
        | GitError::Declined { .. }
        | GitError::Local(_)
        | GitError::Blocked(_) => ErrorKind::Denied,
        GitError::UnknownCommit { .. } | GitError::NoBranch(_) => ErrorKind::NotFound,
        GitError::TooLarge { .. } => ErrorKind::TooLarge,
        GitError::Timeout { .. } => ErrorKind::Timeout,
        GitError::TargetExists(_) | GitError::Touched { .. } | GitError::TagExists { .. } => {
            ErrorKind::Conflict
        }
        GitError::BadTarget(_) | GitError::BadName(_) | GitError::BadPath(_) => {
            ErrorKind::InvalidParameters
        }
        GitError::UnsafeName(_) | GitError::Failed { .. } | GitError::Damaged { .. } => {
            ErrorKind::Rejected
        }
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

    fn plan<'a>(&'a self, planned: &'a Performing) -> BoxFuture<'a, Result<Plan, StepError>> {
        self.planned(planned).boxed()
    }

    fn perform(&self, performing: Performing) -> BoxFuture<'_, Performance> {
        async move {
            let cancel = performing.cancel.clone();
            // A folder appears whole or not at all, so a failure is certain.
            let exported = async {
                self.export(&performing).await.map_or_else(Performance::Failed, Performance::Done)
            };
            unless_told(cancel, "export", exported).await
        }
        .boxed()
    }
}
