//! How an object of a cluster stands: a function of the object alone.
//!
//! The judgements are those that users know from Argo CD's built-in checks and from kstatus: what
//! has not been seen by its controller yet is on its way, a Deployment past its progress deadline
//! has failed, a StatefulSet has no failure of its own, a kind that nobody knows is read by the
//! conditions it shows.

mod pod;
mod workload;

use std::fmt;

use model::Value;

pub(super) use self::pod::doomed;
use super::object::Object;

/// How something stands, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Healthy,
    /// It was told to stand still.
    Suspended,
    /// It is on its way.
    Progressing,
    /// It failed, and will not get better by waiting.
    Degraded,
}

impl State {
    /// As results write it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Suspended => "suspended",
            Self::Progressing => "progressing",
            Self::Degraded => "degraded",
        }
    }
}

/// How an object stands, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) state: State,
    /// What is waited for or what is wrong; empty where all is well.
    pub(super) message: String,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message.as_str() {
            "" => f.write_str(self.state.name()),
            message => write!(f, "{}: {message}", self.state.name()),
        }
    }
}

/// Makes a health out of a state and words.
fn told(state: State, message: impl Into<String>) -> Health {
    Health { state, message: message.into() }
}

/// On its way, and what is waited for.
fn progressing(message: impl Into<String>) -> Health {
    told(State::Progressing, message)
}

/// Failed, and why.
fn degraded(message: impl Into<String>) -> Health {
    told(State::Degraded, message)
}

/// All is well.
fn healthy() -> Health {
    told(State::Healthy, "")
}

/// How `object` stands; `None` where its kind tells nothing that could be judged.
pub(super) fn health(object: &Value) -> Option<Health> {
    let object = Object(object);
    if object.at("/metadata/deletionTimestamp").0.is_string() {
        return Some(progressing("it is being deleted"));
    }
    if let Some(behind) = behind(object) {
        return Some(behind);
    }
    let group = object.text("/apiVersion").split_once('/').map_or("", |(group, _)| group);
    match (group, object.text("/kind")) {
        ("apps", "Deployment") => Some(workload::deployment(object)),
        ("apps", "StatefulSet") => Some(workload::stateful_set(object)),
        ("apps", "DaemonSet") => Some(workload::daemon_set(object)),
        ("apps", "ReplicaSet") => Some(workload::replica_set(object)),
        ("batch", "Job") => Some(job(object)),
        ("", "Pod") => Some(pod::pod(object)),
        ("", "PersistentVolumeClaim") => Some(claim(object)),
        ("", "Service") => Some(service(object)),
        ("", "Namespace") => Some(namespace(object)),
        ("networking.k8s.io", "Ingress") => Some(balanced(object)),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => Some(definition(object)),
        _ => by_conditions(object),
    }
}

/// Its controller has not seen the newest version. The workloads of Kubernetes always say what they
/// have seen, so that one which says nothing was not looked at yet.
fn behind(object: Object<'_>) -> Option<Health> {
    let observed = object.at("/status/observedGeneration").0.as_i64();
    let tells = object.text("/apiVersion") == "apps/v1";
    let observed = if tells { Some(observed.unwrap_or(0)) } else { observed };
    let generation = object.number("/metadata/generation");
    (observed? < generation).then(unseen)
}

fn unseen() -> Health {
    progressing("its controller has not seen the newest version")
}

fn job(job: Object<'_>) -> Health {
    if let Some(failed) = job.condition_is("Failed", "True") {
        return degraded(failed.message);
    }
    if job.condition_is("Complete", "True").is_some() {
        return healthy();
    }
    if job.is("/spec/suspend") {
        return told(State::Suspended, "`spec.suspend` is set");
    }
    let (done, wanted) = (job.number("/status/succeeded"), job.at("/spec/completions").0.as_i64());
    progressing(format!("{done} of {} completed", wanted.unwrap_or(1)))
}

fn claim(claim: Object<'_>) -> Health {
    match claim.text("/status/phase") {
        "Bound" => healthy(),
        "Lost" => degraded("the volume it was bound to is gone"),
        _ => progressing("it is not bound to a volume"),
    }
}

fn service(service: Object<'_>) -> Health {
    if service.text("/spec/type") == "LoadBalancer" { balanced(service) } else { healthy() }
}

/// What a load balancer must give an address to. That may never come: the caller's deadline decides.
fn balanced(object: Object<'_>) -> Health {
    match object.holds("/status/loadBalancer/ingress") {
        true => healthy(),
        false => progressing("no load balancer has given it an address"),
    }
}

fn namespace(namespace: Object<'_>) -> Health {
    match namespace.text("/status/phase") {
        "Terminating" => progressing("it is being deleted"),
        _ => healthy(),
    }
}

fn definition(definition: Object<'_>) -> Health {
    if let Some(refused) = definition.condition_is("NamesAccepted", "False") {
        return degraded(refused.message);
    }
    match definition.condition_is("Established", "True") {
        Some(_) => healthy(),
        None => progressing("it is not established"),
    }
}

/// Conditions that say that something is as it should be, most telling first.
const READY: [&str; 3] = ["Ready", "Available", "Healthy"];

/// Conditions that say that it will not become so by waiting.
const FAILED: [&str; 3] = ["Stalled", "Failed", "Degraded"];

/// Any other kind, by the conditions it shows.
fn by_conditions(object: Object<'_>) -> Option<Health> {
    let stuck = FAILED.iter().find_map(|kind| object.condition_is(kind, "True"));
    if let Some(stuck) = stuck.filter(|stuck| !stuck.is_stale(object)) {
        return Some(degraded(stuck.message));
    }
    if let Some(reconciling) = object.condition_is("Reconciling", "True") {
        return Some(progressing(reconciling.message));
    }
    let ready = READY.iter().find_map(|kind| object.condition(kind))?;
    if ready.is_stale(object) {
        return Some(unseen());
    }
    Some(if ready.status == "True" { healthy() } else { progressing(ready.message) })
}

#[cfg(test)]
mod tests;
