//! A pack's own program, run in a cluster as a Job: once for each run of its step.
//!
//! ```text
//!  Job (suspended) ─▶ Secret with the step's token, owned by the Job ─▶ Job let go ─▶ its end
//! ```
//! The Job holds no parameter and no token: its container gets the token from the Secret, asks the
//! API for its parameters with it, and hands its result in there ([`crate::desk`]). No pod is made
//! before the Secret is there, so that what fails until then had no effect.
//!
//! The Job's name follows from the step's key and the run: a process that takes the step up after the
//! end of another one finds the Job and waits for it. It is kept until its end was seen.

use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use host::connection::Connections;
use host::kubernetes::Failure;
use model::{Change, Effect, ErrorKind, Map, PackName, Performance, Plan, StepError, Value};
use serde_json::json;

use super::asked::{Asked, Target, Trouble};
use super::job::{
    Ended, Followed, Hidden, Wanted, begun, finished, former, given_up, over, planned, title,
};
use super::patience::at_first;
use super::short;
use crate::connection::no_connection;
use crate::desk::{Answer, Desk, Seat};
use crate::{Action, Metadata, Performing};

/// What runs a program of the pack's own: it asks the API for it.
const HELPER: [&str; 3] = ["tripline", "step", "run"];
/// The key of the token in the Secret.
const TOKEN: &str = "token";
/// Longest part of a Job's name that says whose it is.
const LONGEST_NAME: usize = 40;
/// Longest run of a program whose step has no bound.
const LONGEST: model::Duration = model::Duration::from_secs(24 * 3_600);

/// Where and how a program runs in a cluster, as its action's file says.
#[derive(Debug, Clone)]
pub struct ClusterJob {
    /// The image of its container.
    pub image: String,
    /// What is run in it; empty: `tripline step run`, which runs the pack's own program.
    pub command: Vec<String>,
    /// The connection of its cluster; none: the server's own.
    pub connection: Option<String>,
    /// The namespace; none: the connection's own.
    pub namespace: Option<String>,
    /// As whom it runs.
    pub service_account: Option<String>,
    /// Requests and limits, as in a pod.
    pub resources: Option<Value>,
    /// How long the finished Job stays.
    pub keep: model::Duration,
}

/// A program that runs in a cluster, as its file in `actions/` declares it.
#[derive(Debug, Clone)]
pub struct ClusterProgramSpec {
    /// What there is to know of it; its `effect` is what the file says, else unsafe.
    pub metadata: Metadata,
    /// The pack that it belongs to: that pack uses the connection.
    pub pack: PackName,
    /// The program's file, where it is one of the pack's.
    pub program: Option<PathBuf>,
    /// Where and how it runs.
    pub job: ClusterJob,
}

/// A pack's program that runs in a cluster, as an action.
///
/// Its exit code says what that of a local one says; a program that ended by a signal, or that nobody
/// saw end, leaves the outcome unknown. What it handed in is its result, else what it printed.
pub struct ClusterProgram {
    spec: ClusterProgramSpec,
    connections: Connections,
    desk: Desk,
}

impl ClusterProgram {
    /// The program that `spec` declares. It is attended to at `desk`.
    pub fn new(spec: ClusterProgramSpec, connections: Connections, desk: Desk) -> Self {
        Self { spec, connections, desk }
    }

    fn asked<'a>(&self, performing: &'a Performing, dry: bool) -> Result<Asked<'a>, StepError> {
        let name = self.spec.job.connection.as_deref();
        let cluster = self.connections.cluster(name, Some(&self.spec.pack));
        let cluster = cluster.map_err(|error| no_connection(&error))?.patient();
        Ok(Asked { cluster: Arc::new(cluster), performing, dry })
    }

    async fn target(&self, asked: &Asked<'_>) -> Result<Target, Failure> {
        let resource = asked.cluster.resource("batch/v1", "Job").await?;
        let namespace = match &self.spec.job.namespace {
            Some(namespace) => namespace.clone(),
            None => asked.cluster.default_namespace().await?,
        };
        let name = self.name(asked.performing, asked.performing.run);
        let cluster = asked.cluster.clone();
        Ok(Target { cluster, resource, namespace: Some(namespace), name })
    }

    /// The Job's name; each run has its own.
    fn name(&self, performing: &Performing, run: u32) -> String {
        let reference = self.spec.metadata.reference.as_str().replace(['.', '_'], "-");
        let owner: String = reference.chars().take(LONGEST_NAME).collect();
        format!("{}-{}-{run}", owner.trim_end_matches('-'), short(&performing.key))
    }

    /// The Job, whose container finds the API at `api` and asks it with `token`.
    fn wanted(&self, api: &str, token: String, performing: &Performing) -> Wanted<'_> {
        let ClusterJob { image, command, service_account, resources, .. } = &self.spec.job;
        let command = match command.as_slice() {
            [] => json!(HELPER),
            words => json!(words.iter().map(|word| literal(word)).collect::<Vec<_>>()),
        };
        let mut container = Map::from_iter([("command".to_owned(), command)]);
        if let Some(resources) = resources {
            container.insert("resources".to_owned(), resources.clone());
        }
        let reference = &self.spec.metadata.reference;
        let trace = crate::program::trace(performing);
        let trace = trace.map(|(name, value)| json!({ "name": name, "value": value }));
        let variable = "TRIPLINE_STEP_TOKEN".to_owned();
        let own = json!({ "name": "TRIPLINE_API", "value": api });
        Wanted {
            image: json!(image),
            container,
            env: [own].into_iter().chain(trace).collect(),
            hidden: vec![Hidden { variable, key: TOKEN.to_owned(), value: token }],
            service_account: service_account.as_deref(),
            labels: Map::from_iter([
                ("tripline.dev/pack".to_owned(), json!(self.spec.pack)),
                ("tripline.dev/action".to_owned(), json!(reference.name())),
            ]),
            timeout: performing.timeout.or(self.spec.metadata.timeout).unwrap_or(LONGEST),
            keep: self.spec.job.keep,
        }
    }

    async fn planned(&self, asked: &Asked<'_>) -> Result<Plan, Trouble> {
        let api = self.desk.address()?;
        let job = self.target(asked).await?;
        let acted =
            planned(asked, &job, &self.wanted(api, String::new(), asked.performing)).await?;
        let what = match &self.spec.program {
            Some(file) => format!("the program {}", shown(file)),
            None => format!("`{}`", self.spec.job.command.join(" ")),
        };
        let image = &self.spec.job.image;
        let summary = format!("runs {what} as {} with the image {image}", job.identity());
        let input = Change::to(what, json!({ "stdin": asked.performing.parameters }));
        let plan = acted.plan();
        Ok(Plan { summary, ..plan.with(input) })
    }

    /// Lets the Job begin, unless it did, and follows it to its end.
    async fn carried(&self, asked: &Asked<'_>, job: &Target, seat: &Seat) -> Performance {
        let wanted = self.wanted(seat.api(), seat.token(), asked.performing);
        let former = former(asked.performing.run).map(|run| self.name(asked.performing, run));
        let may_repeat = self.effect(asked.parameters()) != Effect::Unsafe;
        let former: Vec<String> = former.collect();
        if let Err(performance) = begun(asked, job, &wanted, &former, may_repeat).await {
            return performance;
        }
        let mut log = Followed::of_run(asked, &title(job), Some(seat.token())).await;
        match finished(job, &mut log).await {
            Ok(ended) => {
                over(asked, job, &ended, wanted.keep, || done(&ended, seat.answer())).await
            }
            Err(error) => Performance::Unknown(error),
        }
    }
}

/// What a program that ended well answers: what it handed in, else what it printed.
fn done(ended: &Ended, answer: Answer) -> Performance {
    let (what, why) = match (answer, &ended.unread) {
        (Ok(Some(answer)), _) => return Performance::Done(answer),
        (Ok(None), None) => return Performance::Done(ended.output()),
        (Ok(None), Some(why)) => ("printed", why.clone()),
        (Err(why), _) => ("handed in", why),
    };
    let message = format!("the program ended well, and what it {what} cannot be read: {why}");
    let error = StepError::new(ErrorKind::Unavailable, message);
    Performance::Unknown(error.with_details(ended.told()))
}

/// A word in which the cluster puts in nothing.
fn literal(word: &str) -> String {
    word.replace("$(", "$$(")
}

fn shown(file: &std::path::Path) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str());
    format!("actions/{}", name.to_string_lossy())
}

impl Action for ClusterProgram {
    fn metadata(&self) -> &Metadata {
        &self.spec.metadata
    }

    fn effect(&self, _: &Value) -> Effect {
        self.spec.metadata.effect.unwrap_or(Effect::Unsafe)
    }

    fn resumes(&self) -> bool {
        true
    }

    fn plan<'a>(&'a self, planned: &'a Performing) -> BoxFuture<'a, Result<Plan, StepError>> {
        async move {
            let asked = self.asked(planned, true)?;
            self.planned(&asked).await.map_err(|trouble| trouble.error)
        }
        .boxed()
    }

    fn perform(&self, performing: Performing) -> BoxFuture<'_, Performance> {
        async move {
            let begun = async {
                let asked = self.asked(&performing, false)?;
                let seat = self.desk.attend(&performing, self.spec.program.clone()).await?;
                let job = at_first(&asked, || self.target(&asked)).await?;
                Ok::<_, Trouble>((asked, seat, job))
            };
            let (asked, seat, job) = match begun.await {
                Ok(begun) => begun,
                Err(trouble) if performing.resumed => return Performance::Unknown(trouble.error),
                Err(trouble) => return Performance::Failed(trouble.error),
            };
            tokio::select! {
                biased;
                performance = self.carried(&asked, &job, &seat) => performance,
                () = performing.cancel.cancelled() => given_up(&asked, &job).await,
            }
        }
        .boxed()
    }
}
