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

use futures::FutureExt;
use futures::future::BoxFuture;
use host::connection::Connections;
use host::kubernetes::{Failure, Patch, Request};
use model::{Change, Effect, ErrorKind, Map, PackName, Performance, Plan, StepError, Value};
use serde_json::json;

use super::asked::{Asked, Target, Trouble};
use super::job::{End, Ended, Followed, KEY, Wanted, finished, given_up, made, planned, withdraw};
use super::patience::{at_first, patiently};
use super::short;
use crate::connection::no_connection;
use crate::desk::{Desk, Seat};
use crate::program::{TRY_AGAIN, last_line};
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
        let cluster = cluster.map_err(|error| no_connection(&error))?;
        Ok(Asked { cluster, performing, dry })
    }

    async fn target(&self, asked: &Asked<'_>) -> Result<Target, Failure> {
        let resource = asked.cluster.resource("batch/v1", "Job").await?;
        let namespace = match &self.spec.job.namespace {
            Some(namespace) => namespace.clone(),
            None => asked.cluster.default_namespace().await?,
        };
        let reference = self.spec.metadata.reference.as_str().replace(['.', '_'], "-");
        let owner: String = reference.chars().take(LONGEST_NAME).collect();
        let performing = asked.performing;
        let name = format!(
            "{}-{}-{}",
            owner.trim_end_matches('-'),
            short(&performing.key),
            performing.run
        );
        let cluster = asked.cluster.clone();
        Ok(Target { cluster, resource, namespace: Some(namespace), name })
    }

    /// The Job, whose container finds the API at `api`.
    fn wanted(&self, job: &Target, api: &str, performing: &Performing) -> Wanted<'_> {
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
        let trace = performing.traceparent.map(|place| place.to_string());
        let trace = trace.map(|place| json!({ "name": "TRACEPARENT", "value": place }));
        let secret = json!({ "secretKeyRef": { "name": job.name, "key": TOKEN } });
        Wanted {
            image: json!(image),
            container,
            env: [
                json!({ "name": "TRIPLINE_API", "value": api }),
                json!({ "name": "TRIPLINE_STEP_TOKEN", "valueFrom": secret }),
            ]
            .into_iter()
            .chain(trace)
            .collect(),
            service_account: service_account.as_deref(),
            labels: Map::from_iter([
                ("tripline.dev/pack".to_owned(), json!(self.spec.pack)),
                ("tripline.dev/action".to_owned(), json!(reference.name())),
            ]),
            timeout: performing.timeout.or(self.spec.metadata.timeout).unwrap_or(LONGEST),
            keep: None,
            suspend: true,
        }
    }

    async fn planned(&self, asked: &Asked<'_>) -> Result<Plan, Trouble> {
        let api = self.desk.address()?;
        let job = self.target(asked).await?;
        let acted = planned(asked, &job, &self.wanted(&job, api, asked.performing)).await?;
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
        let made = match asked.performing.resumed {
            true => self.found(asked, job, seat).await,
            false => self.made(asked, job, seat).await.map_err(|trouble| {
                // Without the Secret there was no pod.
                Performance::Failed(trouble.error)
            }),
        };
        let begun = match made {
            Ok(made) => begun(asked, job, seat, &made).await,
            Err(performance) => return performance,
        };
        if let Err(failure) = begun {
            return not_begun(job, failure.into()).await;
        }
        let title = format!("[tripline: {}]", job.identity());
        let mut log = Followed::of_run(asked, &title, &seat.token()).await;
        match finished(job, &mut log).await {
            Ok(ended) => self.over(asked, job, ended, seat.answer()).await,
            Err(trouble) => Performance::Unknown(trouble.error),
        }
    }

    async fn made(&self, asked: &Asked<'_>, job: &Target, seat: &Seat) -> Result<Value, Trouble> {
        made(asked, job, &self.wanted(job, seat.api(), asked.performing)).await
    }

    /// The Job that an earlier process may have made. Nothing is begun as long as that is not known.
    async fn found(
        &self,
        asked: &Asked<'_>,
        job: &Target,
        seat: &Seat,
    ) -> Result<Value, Performance> {
        let unknown = |trouble: Trouble| Performance::Unknown(trouble.error);
        match patiently(|| job.find()).await.map_err(|failure| unknown(failure.into()))? {
            Some(found)
                if found["metadata"]["annotations"][KEY] == asked.performing.key.as_str() =>
            {
                Ok(found)
            }
            None if self.spec.metadata.effect == Some(Effect::Unsafe) => {
                let message = format!(
                    "{} is gone, or was never made: nobody knows whether its program ran",
                    job.identity()
                );
                Err(Performance::Unknown(StepError::new(ErrorKind::Unavailable, message)))
            }
            // Its effect is the same however often it is run.
            _ => self.made(asked, job, seat).await.map_err(unknown),
        }
    }

    /// What the end of the Job says of the step.
    async fn over(
        &self,
        asked: &Asked<'_>,
        job: &Target,
        ended: Ended,
        answer: Option<Value>,
    ) -> Performance {
        if let End::Never(why) = &ended.end {
            let message = format!("the program did not begin: {why}");
            let error = StepError::new(ErrorKind::Unavailable, message).with_details(ended.told());
            return match withdraw(job).await {
                true => Performance::Failed(error),
                false => Performance::Unknown(error),
            };
        }
        let keep = json!({ "spec": {
            "ttlSecondsAfterFinished": self.spec.job.keep.to_std().as_secs(),
        } });
        let request = job.patch(Patch::Merge, keep, None);
        if let Err(failure) = asked.cluster.request(&request).await {
            let line = format!("[tripline: the finished Job stays in the cluster: {failure}]\n");
            host::process::note(&asked.performing.log.join("stderr.log"), &line).await;
        }
        performance(&ended, answer)
    }
}

/// What was made for a Job that could not be let go is taken away again.
async fn not_begun(job: &Target, trouble: Trouble) -> Performance {
    match withdraw(job).await {
        true => Performance::Failed(trouble.error),
        false => Performance::Unknown(trouble.error),
    }
}

/// Lets the Job go, however long the cluster cannot be asked: nothing of it does harm twice.
async fn begun(asked: &Asked<'_>, job: &Target, seat: &Seat, made: &Value) -> Result<(), Failure> {
    patiently(|| let_go(asked, job, seat, made)).await
}

/// Gives the Job its Secret and its pod, unless it has them.
async fn let_go(asked: &Asked<'_>, job: &Target, seat: &Seat, made: &Value) -> Result<(), Failure> {
    if made["spec"]["suspend"] != true {
        return Ok(());
    }
    let resource = asked.cluster.resource("v1", "Secret").await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "name": job.name, "namespace": job.namespace,
            "labels": { "app.kubernetes.io/managed-by": "tripline" },
            "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "Job",
                "name": job.name, "uid": made["metadata"]["uid"],
            }],
        },
        "stringData": { TOKEN: seat.token() },
    });
    let path = resource.object(job.namespace.as_deref(), &job.name, None);
    let apply = Request::patch(&path, Patch::Apply, secret);
    asked.cluster.request(&apply.with("fieldManager", "tripline").with("force", true)).await?;
    let go = job.patch(Patch::Merge, json!({ "spec": { "suspend": false } }), None);
    asked.cluster.request(&go).await?;
    Ok(())
}

/// What the end of a program's Job says of its step.
fn performance(ended: &Ended, answer: Option<Value>) -> Performance {
    let error = |kind, message: String| StepError::new(kind, message).with_details(ended.told());
    match (&ended.end, ended.exit_code()) {
        (End::Complete, _) => Performance::Done(answer.unwrap_or_else(|| printed(&ended.output))),
        (End::TooLate, _) => {
            let message = "the Job ran longer than the attempt may: the cluster ended it";
            Performance::Unknown(error(ErrorKind::Timeout, message.to_owned()))
        }
        (_, Some(code @ 1..=128)) => {
            let again = code == i64::from(TRY_AGAIN);
            let kind = if again { ErrorKind::Unavailable } else { ErrorKind::Program };
            let words = ended.output["text"].as_str().unwrap_or_default();
            let message = format!("the program exited with {code}{}", last_line(words));
            Performance::Failed(error(kind, message))
        }
        // So says a container's exit code.
        (_, Some(code @ 129..)) => {
            let message = format!("the program was ended by signal {}", code - 128);
            Performance::Unknown(error(ErrorKind::Program, message))
        }
        (End::Failed(why) | End::Never(why), _) => {
            let message = format!("nobody saw how the program ended: {why}");
            Performance::Unknown(error(ErrorKind::Program, message))
        }
    }
}

/// What a program printed that handed nothing in, as its result.
fn printed(output: &Value) -> Value {
    match output["text"].as_str().map(str::trim_end) {
        Some("") => json!({}),
        Some(text) if output.as_object().is_some_and(|all| all.len() == 1) => {
            json!({ "text": text })
        }
        _ => output.clone(),
    }
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
