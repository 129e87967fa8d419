use model::Value;
use serde_json::json;

use super::{doomed, health};

/// An object of this kind with the generation 2, its controller having seen the newest.
fn object(api_version: &str, kind: &str, spec: Value, status: Value) -> Value {
    let mut object = json!({
        "apiVersion": api_version, "kind": kind, "metadata": { "generation": 2 },
        "spec": spec, "status": status,
    });
    if api_version == "apps/v1" {
        let status = object["status"].as_object_mut().unwrap();
        status.entry("observedGeneration").or_insert(json!(2));
    }
    object
}

#[track_caller]
fn check(object: &Value, expected: &str) {
    let found = health(object).map_or("no opinion".to_owned(), |health| health.to_string());
    assert_eq!(found, expected, "{object}");
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    let condition = json!({ "type": kind, "status": status, "reason": reason, "message": message });
    json!({ "conditions": [condition] })
}

#[test]
fn what_is_being_deleted_or_was_not_looked_at_yet_is_on_its_way() {
    let mut deployment = object(
        "apps/v1",
        "Deployment",
        json!({ "replicas": 0 }),
        json!({ "observedGeneration": 1 }),
    );
    let unseen = "progressing: its controller has not seen the newest version";
    check(&deployment, unseen);
    deployment["status"] = json!({});
    check(&deployment, unseen);
    deployment["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    check(&deployment, "progressing: it is being deleted");
    let custom = object("x.io/v1", "Thing", json!({}), json!({ "observedGeneration": 1 }));
    check(&custom, unseen);
    check(&object("x.io/v1", "Thing", json!({}), json!({})), "no opinion");
}

#[test]
fn a_deployment_is_healthy_once_only_new_replicas_are_there_and_available() {
    let spec = json!({ "replicas": 2 });
    for (status, expected) in [
        (json!({}), "progressing: 0 of 2 replicas are of the newest version"),
        (
            json!({ "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3 }),
            "progressing: 1 replicas of an older version are still there",
        ),
        (
            json!({ "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1 }),
            "progressing: 1 of 2 replicas are available",
        ),
        (json!({ "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 }), "healthy"),
    ] {
        check(&object("apps/v1", "Deployment", spec.clone(), status), expected);
    }
    let late = condition("Progressing", "False", "ProgressDeadlineExceeded", "has timed out");
    check(
        &object("apps/v1", "Deployment", spec, late),
        "degraded: ProgressDeadlineExceeded: has timed out",
    );
    check(
        &object("apps/v1", "Deployment", json!({ "paused": true }), json!({})),
        "suspended: `spec.paused` is set",
    );
    check(&object("apps/v1", "Deployment", json!({ "replicas": 0 }), json!({})), "healthy");
}

#[test]
fn a_stateful_set_is_read_by_its_replicas_then_its_partition_then_its_revision() {
    let ready = |extra: Value| {
        let mut status =
            json!({ "readyReplicas": 3, "updateRevision": "b", "currentRevision": "a" });
        status.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        status
    };
    let rolling = |partition: i64| {
        let update =
            json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": partition } });
        json!({ "replicas": 3, "updateStrategy": update })
    };
    for (spec, status, expected) in [
        (rolling(0), json!({ "readyReplicas": 1 }), "progressing: 1 of 3 replicas are ready"),
        (
            rolling(0),
            ready(json!({ "updatedReplicas": 1 })),
            "progressing: 1 of 3 replicas are of the newest version",
        ),
        (rolling(0), ready(json!({ "updatedReplicas": 3, "currentRevision": "b" })), "healthy"),
        (
            rolling(2),
            ready(json!({ "updatedReplicas": 0 })),
            "progressing: 0 of 1 replicas above the partition are updated",
        ),
        (rolling(2), ready(json!({ "updatedReplicas": 1 })), "healthy"),
        (
            json!({ "replicas": 3, "updateStrategy": { "type": "OnDelete" } }),
            ready(json!({})),
            "healthy",
        ),
    ] {
        check(&object("apps/v1", "StatefulSet", spec, status), expected);
    }
}

#[test]
fn a_daemon_set_and_a_replica_set_count_their_pods() {
    let status = |updated, available| json!({ "desiredNumberScheduled": 2, "updatedNumberScheduled": updated, "numberAvailable": available });
    for (status, expected) in [
        (status(1, 2), "progressing: 1 of 2 pods are of the newest version"),
        (status(2, 1), "progressing: 1 of 2 pods are available"),
        (status(2, 2), "healthy"),
    ] {
        check(&object("apps/v1", "DaemonSet", json!({}), status), expected);
    }
    let failure = condition("ReplicaFailure", "True", "FailedCreate", "quota exceeded");
    for (status, expected) in [
        (json!({}), "progressing: 0 of 1 replicas are available"),
        (json!({ "availableReplicas": 1 }), "healthy"),
        (failure, "degraded: FailedCreate: quota exceeded"),
    ] {
        check(&object("apps/v1", "ReplicaSet", json!({}), status), expected);
    }
}

#[test]
fn jobs_claims_services_and_definitions_say_it_in_their_own_ways() {
    let failed = condition("Failed", "True", "BackoffLimitExceeded", "too often");
    let balanced = json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } });
    let no_address = "progressing: no load balancer has given it an address";
    let crd = "CustomResourceDefinition";
    for (api_version, kind, spec, status, expected) in [
        ("batch/v1", "Job", json!({}), json!({}), "progressing: 0 of 1 completed"),
        ("batch/v1", "Job", json!({}), failed, "degraded: BackoffLimitExceeded: too often"),
        ("batch/v1", "Job", json!({}), condition("Complete", "True", "", ""), "healthy"),
        (
            "batch/v1",
            "Job",
            json!({ "suspend": true }),
            json!({}),
            "suspended: `spec.suspend` is set",
        ),
        ("v1", "PersistentVolumeClaim", json!({}), json!({ "phase": "Bound" }), "healthy"),
        (
            "v1",
            "PersistentVolumeClaim",
            json!({}),
            json!({ "phase": "Pending" }),
            "progressing: it is not bound to a volume",
        ),
        (
            "v1",
            "PersistentVolumeClaim",
            json!({}),
            json!({ "phase": "Lost" }),
            "degraded: the volume it was bound to is gone",
        ),
        ("v1", "Service", json!({ "type": "ClusterIP" }), json!({}), "healthy"),
        ("v1", "Service", json!({ "type": "LoadBalancer" }), json!({}), no_address),
        ("v1", "Service", json!({ "type": "LoadBalancer" }), balanced.clone(), "healthy"),
        ("networking.k8s.io/v1", "Ingress", json!({}), json!({}), no_address),
        ("networking.k8s.io/v1", "Ingress", json!({}), balanced, "healthy"),
        (
            "apiextensions.k8s.io/v1",
            crd,
            json!({}),
            json!({}),
            "progressing: it is not established",
        ),
        (
            "apiextensions.k8s.io/v1",
            crd,
            json!({}),
            condition("Established", "True", "", ""),
            "healthy",
        ),
        (
            "apiextensions.k8s.io/v1",
            crd,
            json!({}),
            condition("NamesAccepted", "False", "PluralConflict", "taken"),
            "degraded: PluralConflict: taken",
        ),
    ] {
        check(&object(api_version, kind, spec, status), expected);
    }
}

#[test]
fn a_kind_nobody_knows_is_read_by_its_conditions() {
    for (status, expected) in [
        (condition("Ready", "True", "", ""), "healthy"),
        (condition("Ready", "False", "Pending", "soon"), "progressing: Pending: soon"),
        (condition("Available", "True", "", ""), "healthy"),
        (condition("Stalled", "True", "Broken", "never"), "degraded: Broken: never"),
        (condition("Reconciling", "True", "Busy", ""), "progressing: Busy"),
        (condition("Synced", "True", "", ""), "no opinion"),
        (json!({}), "no opinion"),
    ] {
        check(&object("prsn.io/v1", "MysqlDb", json!({}), status), expected);
    }
}

fn pod(phase: &str, state: Value) -> Value {
    let container = json!({ "name": "web", "state": state });
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "status": { "phase": phase, "containerStatuses": [container] },
    })
}

#[test]
fn a_pod_that_cannot_start_is_degraded_with_its_reason() {
    let waiting = |reason: &str| json!({ "waiting": { "reason": reason, "message": "m" } });
    for (pod, expected) in [
        (pod("Pending", json!({})), "progressing: it has not started"),
        (pod("Pending", waiting("ContainerCreating")), "progressing: it has not started"),
        (pod("Pending", waiting("ImagePullBackOff")), "degraded: ImagePullBackOff: m"),
        (pod("Pending", waiting("ErrImagePull")), "degraded: ErrImagePull: m"),
        (
            pod("Pending", waiting("CreateContainerConfigError")),
            "degraded: CreateContainerConfigError: m",
        ),
        (pod("Running", waiting("CrashLoopBackOff")), "degraded: CrashLoopBackOff: m"),
        (pod("Running", json!({ "running": {} })), "progressing: its containers are not ready"),
        (pod("Succeeded", json!({})), "healthy"),
        (
            pod("Failed", json!({ "terminated": { "exitCode": 3 } })),
            "degraded: the container `web` ended with exit code 3",
        ),
    ] {
        check(&pod, expected);
    }
}

#[test]
fn only_what_was_tried_more_than_once_dooms_a_pod() {
    let waiting = |reason: &str| pod("Pending", json!({ "waiting": { "reason": reason } }));
    for (reason, dooms) in [
        ("ImagePullBackOff", true),
        ("CrashLoopBackOff", true),
        ("InvalidImageName", true),
        ("ErrImagePull", false),
        ("CreateContainerConfigError", false),
        ("ContainerCreating", false),
    ] {
        assert_eq!(doomed(&waiting(reason)).is_some(), dooms, "{reason}");
    }
}
