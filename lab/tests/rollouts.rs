//! The lab's controllers do what they do elsewhere, with pods that become what their labels say.
#![allow(clippy::unwrap_used, reason = "tests")]

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, LogParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use lab::{ADMIN, Cluster, Part, Parts, until};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn pod(label: &str, image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "web", "lab.tripline.dev/pod": label}},
        "spec": {"containers": [{"name": "main", "image": image}]},
    })
}

fn deployment(name: &str, label: &str, image: &str) -> Deployment {
    read(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "progressDeadlineSeconds": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": pod(label, image),
        },
    }))
}

fn job(name: &str, label: &str) -> Job {
    let mut template = pod(label, "job:1");
    template["spec"]["restartPolicy"] = "Never".into();
    read(json!({"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": template}}))
}

/// Waits until this says what is so of the Deployment's conditions: `Available=True/Reason`.
async fn until_deployment_is(client: &Client, name: &str, wanted: &str) {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let is = async || {
        let conditions = deployments.get(name).await.ok()?.status?.conditions?;
        let mut conditions = conditions.into_iter();
        let told = |reason: Option<String>| reason.unwrap_or_default();
        conditions
            .find(|c| format!("{}={}/{}", c.type_, c.status, told(c.reason.clone())) == wanted)
    };
    until(&format!("{name} is {wanted}"), is).await.unwrap();
}

async fn until_job_is(client: &Client, name: &str, wanted: &str) {
    let jobs: Api<Job> = Api::default_namespaced(client.clone());
    let is = async || {
        let conditions = jobs.get(name).await.ok()?.status?.conditions?;
        conditions.into_iter().find(|c| c.type_ == wanted && c.status == "True")
    };
    until(&format!("{name} is {wanted}"), is).await.unwrap();
}

async fn until_pod_is(client: &Client, name: &str, wanted: &str) {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let is = async || {
        let status = serde_json::to_value(pods.get(name).await.ok()?.status?).ok()?;
        let container = &status["containerStatuses"][0];
        let state = container["state"].as_object()?.values().next()?;
        let reason = state["reason"].as_str().unwrap_or("Running");
        let told = format!("{} {reason} {}", status["phase"].as_str()?, container["ready"]);
        (told == wanted).then_some(())
    };
    until(&format!("{name} is {wanted}"), is).await.unwrap();
}

async fn create<T>(client: &Client, object: &T)
where
    T: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + serde::Serialize
        + DeserializeOwned
        + std::fmt::Debug,
{
    let objects: Api<T> = Api::default_namespaced(client.clone());
    objects.create(&PostParams::default(), object).await.unwrap();
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_deployment_becomes_available_and_a_bad_image_stops_its_rollout() {
    let cluster = Cluster::start(Parts::Rollouts).await.unwrap();
    let client = cluster.client(ADMIN).await.unwrap();
    create(&client, &deployment("web", "ready", "web:1")).await;
    until_deployment_is(&client, "web", "Available=True/MinimumReplicasAvailable").await;
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    assert_eq!(deployments.get("web").await.unwrap().status.unwrap().available_replicas, Some(2));

    let bad = json!({"spec": {"template": {"spec":
        {"containers": [{"name": "main", "image": "web:2-bad"}]}}}});
    let patch = Patch::Strategic(bad);
    deployments.patch("web", &PatchParams::default(), &patch).await.unwrap();
    until_deployment_is(&client, "web", "Progressing=False/ProgressDeadlineExceeded").await;
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_pod_becomes_what_its_label_says() {
    let cluster = Cluster::start(Parts::Rollouts).await.unwrap();
    let client = cluster.client(ADMIN).await.unwrap();
    let table = [
        ("ready", "Running Running true"),
        ("never-ready", "Running Running false"),
        ("crash", "Running CrashLoopBackOff false"),
        ("no-image", "Pending ImagePullBackOff false"),
        ("fail", "Failed Error false"),
    ];
    for (label, _) in table {
        let mut pod = pod(label, "web:1");
        pod["metadata"]["name"] = label.into();
        create::<Pod>(&client, &read(pod)).await;
    }
    let mut late = pod("ready", "web:1");
    late["metadata"]["name"] = "late".into();
    late["metadata"]["annotations"] = json!({"lab.tripline.dev/after": "1s"});
    create::<Pod>(&client, &read(late)).await;
    until_pod_is(&client, "late", "Running Running false").await;
    for (label, wanted) in table {
        until_pod_is(&client, label, wanted).await;
    }
    until_pod_is(&client, "late", "Running Running true").await;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let last = LogParams { previous: true, tail_lines: Some(1), ..LogParams::default() };
    assert_eq!(pods.logs("crash", &last).await.unwrap(), "nothing is run on this node\n");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_job_completes_or_fails_and_a_namespace_goes_with_all_that_is_in_it() {
    let cluster = Cluster::start(Parts::Rollouts).await.unwrap();
    let client = cluster.client(ADMIN).await.unwrap();
    for (name, label) in [("good", "ready"), ("bad", "fail"), ("long", "endless")] {
        create(&client, &job(name, label)).await;
    }
    until_job_is(&client, "good", "Complete").await;
    until_job_is(&client, "bad", "Failed").await;
    let long = Api::<Job>::default_namespaced(client.clone()).get("long").await.unwrap();
    assert_eq!(long.status.unwrap().ready, Some(1), "it runs on");

    let spaces: Api<Namespace> = Api::all(client.clone());
    let space: Namespace = read(json!({"metadata": {"name": "doomed"}}));
    spaces.create(&PostParams::default(), &space).await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "doomed");
    let web = deployment("web", "ready", "web:1");
    deployments.create(&PostParams::default(), &web).await.unwrap();
    spaces.delete("doomed", &DeleteParams::default()).await.unwrap();
    let gone = async || spaces.get_opt("doomed").await.ok()?.is_none().then_some(());
    until("the namespace is gone", gone).await.unwrap();
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_rollout_goes_on_after_the_controllers_and_the_api_server_were_killed() {
    let mut cluster = Cluster::start(Parts::Rollouts).await.unwrap();
    let client = cluster.client(ADMIN).await.unwrap();
    cluster.part(Part::Controllers).unwrap().kill();
    create(&client, &deployment("web", "ready", "web:1")).await;
    cluster.part(Part::Api).unwrap().kill();
    cluster.part(Part::Api).unwrap().start().await.unwrap();
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let status = deployments.get("web").await.unwrap().status.unwrap();
    assert_eq!(status.observed_generation, None, "nobody was there to see it");
    cluster.part(Part::Controllers).unwrap().start().await.unwrap();
    until_deployment_is(&client, "web", "Available=True/MinimumReplicasAvailable").await;
}
