//! `git.commit_and_push` and `git.tag`: written to the repository that a sensor of the pack watches,
//! with that sensor's credentials.

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::BoxFuture;
use host::Clock;
use host::git::{Author, GitError, Mirrors, NewCommit, NewTag, Pushed, Repository};
use model::{Change, Effect, ErrorKind, Performance, Plan, StepError, Value};
use serde_json::json;

use super::{failure, mirror, sensor, unless_told};
use crate::declare::metadata;
use crate::{Action, Metadata, Performing};

/// Most files of one commit.
const MAX_FILES: usize = 200;

/// What is written.
#[derive(Clone, Copy)]
enum Kind {
    Commit,
    Tag,
}

impl Kind {
    fn result(self, parameters: &Value, Pushed { commit, existed }: &Pushed) -> Value {
        match self {
            Self::Commit => {
                json!({ "commit": commit, "branch": parameters["branch"], "existed": existed })
            }
            Self::Tag => {
                json!({ "commit": commit, "tag": parameters["name"], "existed": existed })
            }
        }
    }
}

/// Writes to the repositories of these mirrors.
pub(crate) struct Push {
    kind: Kind,
    metadata: Metadata,
    mirrors: Mirrors,
}

impl Push {
    pub(crate) fn commit(mirrors: Mirrors) -> Self {
        Self { kind: Kind::Commit, metadata: commit_declaration(), mirrors }
    }

    pub(crate) fn tag(mirrors: Mirrors) -> Self {
        Self { kind: Kind::Tag, metadata: tag_declaration(), mirrors }
    }

    async fn push(&self, performing: &Performing) -> Result<Value, Refused> {
        let parameters = &performing.parameters;
        let repository = self.repository(performing)?;
        let now = Clock::System.now();
        let pushed = match self.kind {
            Kind::Commit => repository
                .commit_and_push(&new_commit(performing)?, now)
                .await
                .map_err(Refused::Git)?,
            Kind::Tag => {
                repository.push_tag(&new_tag(parameters)?, now).await.map_err(Refused::Git)?
            }
        };
        Ok(self.kind.result(parameters, &pushed))
    }

    /// Only a sensor of the calling pack: it lends its credentials.
    fn repository(&self, performing: &Performing) -> Result<Repository, StepError> {
        let sensor = sensor(text(&performing.parameters, "sensor"), performing)?;
        if performing.pack.as_ref().is_some_and(|pack| *pack != sensor.pack) {
            let message = format!(
                "the sensor `{sensor}` is another pack's: its credentials are not lent to this one"
            );
            return Err(StepError::new(ErrorKind::Denied, message));
        }
        mirror(&self.mirrors, &sensor, performing)
    }

    async fn planned(&self, planned: &Performing) -> Result<Plan, StepError> {
        let repository = self.repository(planned)?;
        match self.kind {
            Kind::Commit => plan_commit(&repository, planned).await,
            Kind::Tag => plan_tag(&repository, &planned.parameters).await,
        }
    }
}

/// The diff against the branch as it stands at the remote; what the commit's name will be depends
/// on when it is made.
async fn plan_commit(repository: &Repository, planned: &Performing) -> Result<Plan, StepError> {
    let new = new_commit(planned)?;
    let plan = repository.plan_commit(&new).await.map_err(|error| failure(&error))?;
    let host::git::PlannedCommit { tip, diff } = plan;
    let Some(diff) = diff else {
        let there = Pushed { commit: tip, existed: true };
        let answer = Kind::Commit.result(&planned.parameters, &there);
        let summary = format!("nothing: `{}` holds these files already", new.branch);
        return Ok(Plan::new(summary).answering(answer));
    };
    let name = repository.remote().repository();
    let summary = format!("commits to `{}` of {name} on top of {tip}", new.branch);
    let after = json!({ "message": new.message });
    let change = Change::to(format!("{name} {}", new.branch), after);
    Ok(Plan::new(summary).with(Change { diff: Some(diff), ..change }))
}

async fn plan_tag(repository: &Repository, parameters: &Value) -> Result<Plan, StepError> {
    let new = new_tag(parameters)?;
    let pushed = repository.plan_tag(&new).await.map_err(|error| failure(&error))?;
    let answer = Kind::Tag.result(parameters, &pushed);
    let Pushed { commit, existed } = pushed;
    let (name, tag) = (repository.remote().repository(), &new.name);
    if existed {
        let summary = format!("nothing: the tag `{tag}` stands at this commit already");
        return Ok(Plan::new(summary).answering(answer));
    }
    let after = json!({ "commit": commit, "message": new.message.map(|(message, _)| message) });
    let change = Change::to(format!("{name} refs/tags/{tag}"), after);
    Ok(Plan::new(format!("tags {commit} as `{tag}` in {name}")).with(change).answering(answer))
}

enum Refused {
    Step(StepError),
    Git(GitError),
}

impl From<StepError> for Refused {
    fn from(error: StepError) -> Self {
        Self::Step(error)
    }
}

/// What a failure says of the effect: where the connection was lost, nobody knows.
fn performance(refused: &Refused) -> Performance {
    match refused {
        Refused::Step(error) => Performance::Failed(error.clone()),
        Refused::Git(
            error @ (GitError::Unreachable { .. }
            | GitError::Timeout { .. }
            | GitError::Failed { .. }),
        ) => Performance::Unknown(failure(error)),
        Refused::Git(error) => Performance::Failed(failure(error)),
    }
}

fn text<'a>(parameters: &'a Value, name: &str) -> &'a str {
    parameters[name].as_str().unwrap_or_default()
}

fn new_commit(performing: &Performing) -> Result<NewCommit, StepError> {
    let parameters = &performing.parameters;
    let files = parameters["files"].as_object().into_iter().flatten();
    let files: BTreeMap<String, Option<Vec<u8>>> = files
        .map(|(path, text)| (path.clone(), text.as_str().map(|text| text.as_bytes().to_vec())))
        .collect();
    if files.is_empty() || files.len() > MAX_FILES {
        let message = format!("`files` holds {} files: expected 1 to {MAX_FILES}", files.len());
        return Err(StepError::new(ErrorKind::InvalidParameters, message));
    }
    Ok(NewCommit {
        branch: text(parameters, "branch").to_owned(),
        message: text(parameters, "message").to_owned(),
        author: author(parameters)?,
        files,
        base: parameters["base"].as_str().map(ToOwned::to_owned),
        key: performing.key.to_string(),
    })
}

fn new_tag(parameters: &Value) -> Result<NewTag, StepError> {
    let message = parameters["message"].as_str().map(ToOwned::to_owned);
    let message = message.map(|message| Ok::<_, StepError>((message, author(parameters)?)));
    Ok(NewTag {
        name: text(parameters, "name").to_owned(),
        commit: text(parameters, "commit").to_owned(),
        message: message.transpose()?,
    })
}

fn author(parameters: &Value) -> Result<Author, StepError> {
    let part = |name: &str, default: &str| {
        let text = parameters["author"][name].as_str().unwrap_or(default).trim();
        let odd = text.is_empty() || text.contains(|c: char| c.is_control() || "<>".contains(c));
        let message = format!("`author.{name}` is empty or holds `<`, `>` or control characters");
        if odd {
            Err(StepError::new(ErrorKind::InvalidParameters, message))
        } else {
            Ok(text.to_owned())
        }
    };
    Ok(Author { name: part("name", "Tripline")?, email: part("email", "tripline@localhost")? })
}

fn author_schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": { "name": { "type": "string" }, "email": { "type": "string" } },
        "description": "`{ name, email }`; Tripline itself if absent",
    })
}

fn commit_declaration() -> Metadata {
    metadata(
        "git.commit_and_push",
        "Commits whole files to a branch of the repository that a git sensor of the pack watches",
        Some(Effect::Idempotent),
        &json!({
            "sensor": { "type": "string", "required": true, "description": "a git sensor of this pack" },
            "branch": { "type": "string", "required": true, "description": "such as `main`; it must exist" },
            "message": { "type": "string", "required": true, "minLength": 1 },
            "files": {
                "type": "object",
                "required": true,
                "additionalProperties": { "type": ["string", "null"] },
                "description": "path → whole new text; null removes the file",
            },
            "base": {
                "type": "string",
                "description": "the commit that the texts were made from: a file that changed since is a conflict",
            },
            "author": author_schema(),
        }),
        &json!({
            "commit": { "type": "string", "description": "its full name" },
            "branch": { "type": "string" },
            "existed": { "type": "boolean", "description": "nothing had to be pushed" },
        }),
    )
}

fn tag_declaration() -> Metadata {
    metadata(
        "git.tag",
        "Tags a commit in the repository that a git sensor of the pack watches",
        Some(Effect::Idempotent),
        &json!({
            "sensor": { "type": "string", "required": true, "description": "a git sensor of this pack" },
            "name": { "type": "string", "required": true, "description": "such as `v1.2.0`" },
            "commit": { "type": "string", "required": true, "description": "a commit that the sensor has seen" },
            "message": { "type": "string", "minLength": 1, "description": "makes it an annotated tag" },
            "author": author_schema(),
        }),
        &json!({
            "commit": { "type": "string", "description": "its full name" },
            "tag": { "type": "string" },
            "existed": { "type": "boolean", "description": "it stood there already" },
        }),
    )
}

impl Action for Push {
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
            let pushed = async {
                let pushed = self.push(&performing).await;
                pushed.map_or_else(|refused| performance(&refused), Performance::Done)
            };
            unless_told(cancel, "push", pushed).await
        }
        .boxed()
    }
}
