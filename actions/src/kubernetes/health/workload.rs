//! What runs pods: Deployment, StatefulSet, DaemonSet, ReplicaSet.

use super::super::object::Object;
use super::{Health, State, degraded, healthy, progressing, told};

pub(super) fn deployment(deployment: Object<'_>) -> Health {
    let deadline = deployment.condition("Progressing");
    if let Some(late) = deadline.filter(|found| found.reason == "ProgressDeadlineExceeded") {
        return degraded(late.message);
    }
    if deployment.is("/spec/paused") {
        return told(State::Suspended, "`spec.paused` is set");
    }
    let wanted = deployment.replicas();
    let updated = deployment.number("/status/updatedReplicas");
    let all = deployment.number("/status/replicas");
    let available = deployment.number("/status/availableReplicas");
    if updated < wanted {
        progressing(format!("{updated} of {wanted} replicas are of the newest version"))
    } else if all > updated {
        progressing(format!("{} replicas of an older version are still there", all - updated))
    } else if available < updated {
        progressing(format!("{available} of {updated} replicas are available"))
    } else {
        healthy()
    }
}

/// A StatefulSet has no failure of its own: the caller's deadline decides.
pub(super) fn stateful_set(set: Object<'_>) -> Health {
    let (wanted, ready) = (set.replicas(), set.number("/status/readyReplicas"));
    if ready < wanted {
        return progressing(format!("{ready} of {wanted} replicas are ready"));
    }
    if set.text("/spec/updateStrategy/type") == "OnDelete" {
        return healthy();
    }
    let partition = set.number("/spec/updateStrategy/rollingUpdate/partition");
    let (due, updated) = (wanted - partition, set.number("/status/updatedReplicas"));
    let revision = |which| set.text(which);
    if partition > 0 && updated < due {
        progressing(format!("{updated} of {due} replicas above the partition are updated"))
    } else if partition == 0
        && revision("/status/updateRevision") != revision("/status/currentRevision")
    {
        progressing(format!("{updated} of {wanted} replicas are of the newest version"))
    } else {
        healthy()
    }
}

/// Nor has a DaemonSet.
pub(super) fn daemon_set(set: Object<'_>) -> Health {
    let wanted = set.number("/status/desiredNumberScheduled");
    let updated = set.number("/status/updatedNumberScheduled");
    let available = set.number("/status/numberAvailable");
    let rolling = set.text("/spec/updateStrategy/type") != "OnDelete";
    if rolling && updated < wanted {
        progressing(format!("{updated} of {wanted} pods are of the newest version"))
    } else if available < wanted {
        progressing(format!("{available} of {wanted} pods are available"))
    } else {
        healthy()
    }
}

pub(super) fn replica_set(set: Object<'_>) -> Health {
    if let Some(failure) = set.condition_is("ReplicaFailure", "True") {
        return degraded(failure.message);
    }
    let (wanted, available) = (set.replicas(), set.number("/status/availableReplicas"));
    match available < wanted {
        true => progressing(format!("{available} of {wanted} replicas are available")),
        false => healthy(),
    }
}
