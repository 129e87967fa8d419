//! `kubernetes.*`: objects of a cluster.
//!
//! ```text
//!  Asked: cluster and parameters ─┬─▶ read, wait, diff ───────────────▶ a value
//!                                 ├─▶ apply, change, delete, event ───▶ Acted: objects before and after
//!                                 └─▶ job ────────────────────────────▶ a performance
//! ```
//! What changes something is the same code in a dry run, where the API server itself says what would
//! be: the objects before and after are the plan.

mod acted;
mod apply;
mod asked;
mod bell;
mod change;
mod conditions;
mod declare;
mod delete;
mod difference;
mod event;
mod goal;
mod going;
mod health;
mod job;
mod manifest;
mod namespaces;
mod object;
mod patience;
mod program;
mod read;
mod rights;
mod stuck;
mod tokens;
mod waiting;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use host::connection::Connections;
use model::{Effect, IdempotencyKey, Performance, Plan, StepError, Value};
use sha2::{Digest, Sha256};

use self::acted::Acted;
use self::asked::{Asked, Trouble};
use crate::connection::no_connection;
use crate::{Action, Metadata, Performing};

pub use self::delete::PROTECTED;
pub use self::program::{ClusterJob, ClusterProgram, ClusterProgramSpec};
pub use self::rights::{program_rights, rights};

/// Which of them it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    List,
    Apply,
    Diff,
    Patch,
    PatchStatus,
    Delete,
    Wait,
    Scale,
    Restart,
    Label,
    Annotate,
    AddFinalizer,
    RemoveFinalizer,
    Logs,
    RunJob,
    CreateEvent,
}

impl Verb {
    /// All of them.
    const ALL: [Self; 17] = [
        Self::Get,
        Self::List,
        Self::Apply,
        Self::Diff,
        Self::Patch,
        Self::PatchStatus,
        Self::Delete,
        Self::Wait,
        Self::Scale,
        Self::Restart,
        Self::Label,
        Self::Annotate,
        Self::AddFinalizer,
        Self::RemoveFinalizer,
        Self::Logs,
        Self::RunJob,
        Self::CreateEvent,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Get => "kubernetes.get",
            Self::List => "kubernetes.list",
            Self::Apply => "kubernetes.apply",
            Self::Diff => "kubernetes.diff",
            Self::Patch => "kubernetes.patch",
            Self::PatchStatus => "kubernetes.patch_status",
            Self::Delete => "kubernetes.delete",
            Self::Wait => "kubernetes.wait",
            Self::Scale => "kubernetes.scale",
            Self::Restart => "kubernetes.restart",
            Self::Label => "kubernetes.label",
            Self::Annotate => "kubernetes.annotate",
            Self::AddFinalizer => "kubernetes.add_finalizer",
            Self::RemoveFinalizer => "kubernetes.remove_finalizer",
            Self::Logs => "kubernetes.logs",
            Self::RunJob => "kubernetes.run_job",
            Self::CreateEvent => "kubernetes.create_event",
        }
    }
}

/// One of them.
pub(crate) struct Kubernetes {
    verb: Verb,
    metadata: Metadata,
    connections: Connections,
    protected: Arc<[String]>,
}

impl Kubernetes {
    /// All of them; nothing is deleted in `protected` namespaces.
    pub(crate) fn all(
        connections: &Connections,
        protected: &Arc<[String]>,
    ) -> impl Iterator<Item = Self> {
        Verb::ALL.into_iter().map(|verb| Self {
            verb,
            metadata: declare::declaration(verb),
            connections: connections.clone(),
            protected: protected.clone(),
        })
    }

    fn asked<'a>(&self, performing: &'a Performing, dry: bool) -> Result<Asked<'a>, StepError> {
        let name = performing.parameters["connection"].as_str();
        let cluster = self.connections.cluster(name, performing.pack.as_ref());
        let cluster = cluster.map_err(|error| no_connection(&error))?.patient();
        Ok(Asked { cluster: Arc::new(cluster), performing, dry })
    }

    /// What it does, or in a dry run what it would do.
    async fn act(&self, asked: &Asked<'_>) -> Result<Acted, Trouble> {
        match self.verb {
            Verb::Get => read::get(asked).await.map(Acted::answer),
            Verb::List => read::list(asked).await.map(Acted::answer),
            Verb::Logs => read::logs(asked).await.map(Acted::answer),
            Verb::Wait => waiting::wait(asked).await.map(Acted::answer),
            Verb::Diff => {
                let dry = Asked { cluster: asked.cluster.clone(), dry: true, ..*asked };
                apply::diff(&dry).await.map(Acted::answer)
            }
            Verb::Apply => apply::apply(asked).await,
            Verb::Delete => delete::delete(asked, &self.protected).await,
            Verb::CreateEvent => event::create(asked).await,
            Verb::RunJob => job::plan(asked).await,
            verb => change::change(asked, verb).await,
        }
    }
}

/// The same for every attempt of a step, and short enough for a name in a cluster.
pub(crate) fn short(key: &IdempotencyKey) -> String {
    let hash = Sha256::digest(key.as_str());
    hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

impl Action for Kubernetes {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn effect(&self, parameters: &Value) -> Effect {
        match self.metadata.effect {
            Some(effect) => effect,
            None if self.verb == Verb::RunJob => job::effect(parameters),
            // Operations on a list may add the same thing twice.
            None if parameters["type"] == "json" => Effect::Unsafe,
            None => Effect::Idempotent,
        }
    }

    fn resumes(&self) -> bool {
        self.verb == Verb::RunJob
    }

    fn plan<'a>(&'a self, planned: &'a Performing) -> BoxFuture<'a, Result<Plan, StepError>> {
        async move {
            let asked = self.asked(planned, true)?;
            let acted = self.act(&asked).await.map_err(|trouble| trouble.error)?;
            Ok(acted.plan())
        }
        .boxed()
    }

    fn perform(&self, performing: Performing) -> BoxFuture<'_, Performance> {
        async move {
            let asked = match self.asked(&performing, false) {
                Ok(asked) => asked,
                Err(error) => return Performance::Failed(error),
            };
            if self.verb == Verb::RunJob {
                return job::run(&asked).await;
            }
            let reads = self.metadata.effect == Some(Effect::Read);
            match self.act(&asked).await {
                Ok(acted) => Performance::Done(acted.result.unwrap_or_default()),
                // Whatever happened on the way, a read had no effect.
                Err(trouble) if reads => Performance::Failed(trouble.error),
                Err(trouble) => trouble.performance(),
            }
        }
        .boxed()
    }
}
