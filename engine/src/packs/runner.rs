//! Where an action's program runs: on this machine, or in a cluster as a Job.

use std::sync::Arc;

use actions::{ClusterJob, ClusterProgram, ClusterProgramSpec, Metadata};
use model::{Diagnostic, Duration, Value};
use syntax::{Fields, Node};

use super::ActionKind;
use super::actions_file::{Surroundings, program};

/// What is said of a Job alone.
pub(super) const OF_JOBS: [&str; 7] =
    ["image", "command", "namespace", "connection", "service_account", "resources", "keep"];

/// How long a finished Job stays where nothing is said: long enough to look at it.
const KEEP: Duration = Duration::from_secs(3_600);

/// Where a program runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On this machine.
    Local,
    /// In a cluster.
    Cluster {
        /// The connection; none: the server's own cluster.
        connection: Option<String>,
        /// The namespace; none: the connection's own.
        namespace: Option<String>,
    },
}

/// What a file says of where its program runs.
pub(super) enum Runner {
    Local,
    /// None: what it says of the Job is wrong.
    Job(Option<ClusterJob>),
}

impl Runner {
    pub(super) fn place(&self) -> Place {
        match self {
            Self::Local => Place::Local,
            Self::Job(job) => {
                let of = |part: fn(&ClusterJob) -> &Option<String>| part(job.as_ref()?).clone();
                Place::Cluster {
                    connection: of(|job| &job.connection),
                    namespace: of(|job| &job.namespace),
                }
            }
        }
    }
}

/// What the file says under `runner` and beside it.
pub(super) fn runner(fields: &Fields<'_>) -> Runner {
    let choices = [("local", false), ("kubernetes_job", true)];
    if fields.optional("runner").one_of(&choices) == Some(true) {
        return Runner::Job(job(fields));
    }
    // Of a runner that is not known it is not known either what goes with it.
    let local = fields.node().get("runner").is_none_or(|node| node.as_str() == Some("local"));
    let entries = OF_JOBS.iter().filter_map(|name| fields.node().entry(name));
    for entry in entries.filter(|_| local) {
        let message = format!("`{}` is for programs that run as a Job", entry.key.name());
        let finding = entry.key.error(message);
        fields.report(finding.with_hint("add `runner: kubernetes_job`, or remove it"));
    }
    Runner::Local
}

fn job(fields: &Fields<'_>) -> Option<ClusterJob> {
    let image = fields.required("image").string();
    let command = fields.node().entry("command");
    if command.is_none() && fields.node().get("entry_point").is_none() {
        let message = "the Job has no program";
        let hint = "name one of the image with `command: [PROGRAM, ARG…]`, or one of the pack with `entry_point`";
        fields.report(fields.node().error(message).with_hint(hint));
    }
    if let Some(limits) = fields.node().entry("limits") {
        let finding = limits.key.error("`limits` is for programs that run on the server's machine");
        fields.report(
            finding.with_hint("give the Job `resources`, as a container in a pod has them"),
        );
    }
    let words = fields.optional("command").strings();
    if let Some(command) = command.filter(|_| words.as_ref().is_some_and(Vec::is_empty)) {
        let finding = command.key.error("`command` names no program");
        fields.report(finding.with_hint("write it as `command: [PROGRAM, ARG…]`"));
    }
    let text = |name| fields.optional(name).string();
    let job = ClusterJob {
        command: words.unwrap_or_default(),
        connection: text("connection"),
        namespace: text("namespace"),
        service_account: text("service_account"),
        resources: fields.optional("resources").map().map(Value::Object),
        keep: fields.optional("keep").duration().unwrap_or(KEEP),
        image: String::new(),
    };
    image.map(|image| ClusterJob { image, ..job })
}

/// The program, which asks `around`'s desk what it is to do.
pub(super) fn cluster_program(
    job: ClusterJob,
    entry: Option<(String, &Node)>,
    metadata: Metadata,
    around: &Surroundings<'_>,
) -> Result<ActionKind, Vec<Diagnostic>> {
    let file = match entry {
        Some((name, at)) => {
            program(&name, at, around)?;
            Some(around.folder.join("actions").join(name))
        }
        None => None,
    };
    let pack = around.reference.pack().parse().map_err(|_| Vec::new())?;
    let spec = ClusterProgramSpec { metadata, pack, program: file, job };
    let (connections, desk) = (around.context.connections.clone(), around.context.desk.clone());
    Ok(ActionKind::Program(Arc::new(ClusterProgram::new(spec, connections, desk))))
}
