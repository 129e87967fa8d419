//! The lab's own kubelet runs the commands of containers: once, with their log, exit code and end.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{DeleteParams, ListParams, LogParams, PostParams};
use kube::{Api, Client};
use lab::{ADMIN, Cluster, Part, Parts, Process, until};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn pod(name: &str, script: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "main", "image": "any", "command": ["sh", "-c", script]}],
        },
    })
}

async fn cluster() -> (Cluster, Client) {
    let cluster = Cluster::start(Parts::Programs).await.unwrap();
    let client = cluster.client(ADMIN).await.unwrap();
    (cluster, client)
}

fn pods(client: &Client) -> Api<Pod> {
    Api::default_namespaced(client.clone())
}

async fn create(client: &Client, pod: Value) {
    pods(client).create(&PostParams::default(), &read(pod)).await.unwrap();
}

async fn log(client: &Client, name: &str) -> String {
    pods(client).logs(name, &LogParams::default()).await.unwrap()
}

/// Waits until the pod is in this phase, and tells the exit code of its container.
async fn until_pod_is(client: &Client, name: &str, phase: &str) -> Option<i32> {
    let is = async || {
        let status = pods(client).get(name).await.ok()?.status?;
        (status.phase.as_deref() == Some(phase)).then_some(status)
    };
    let status = until(&format!("{name} is {phase}"), is).await.unwrap();
    let container = status.container_statuses?.into_iter().next()?;
    Some(container.state?.terminated?.exit_code)
}

/// Waits for a file with something in it.
async fn until_there(path: &Path) {
    let there = async || (fs::metadata(path).ok()?.len() > 0).then_some(());
    until(&path.display().to_string(), there).await.unwrap();
}

/// The shell's command that writes down its process, in which a doubled `$` stands for one.
const TELL_PID: &str = "echo $$$$";

/// The process that wrote down its number, which runs.
async fn process(path: &Path) -> Process {
    until_there(path).await;
    Process::find(fs::read_to_string(path).unwrap().trim().parse().unwrap()).unwrap()
}

async fn until_ended(process: Process) {
    let ended = async || (!process.lives()).then_some(());
    until("its process ended", ended).await.unwrap();
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_jobs_pod_has_the_exit_code_and_the_log_of_its_command() {
    let (_cluster, client) = cluster().await;
    let jobs: Api<Job> = Api::default_namespaced(client.clone());
    let mut template = pod("", "echo hello; echo there >&2; exit 3");
    template["metadata"] = json!({"labels": {"of": "job"}});
    let spec = json!({"backoffLimit": 0, "template": template});
    let job: Job = read(json!({"metadata": {"name": "fails"}, "spec": spec}));
    jobs.create(&PostParams::default(), &job).await.unwrap();
    let failed = async || {
        let conditions = jobs.get("fails").await.ok()?.status?.conditions?;
        conditions.into_iter().find(|c| c.type_ == "Failed")
    };
    until("the Job failed", failed).await.unwrap();
    let found = pods(&client).list(&ListParams::default().labels("of=job")).await.unwrap();
    let name = found.items[0].metadata.name.clone().unwrap();
    assert_eq!(until_pod_is(&client, &name, "Failed").await, Some(3));
    assert_eq!(log(&client, &name).await, "hello\nthere\n");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_command_is_run_once_and_logged_whole_while_the_kubelet_is_killed_and_started_again() {
    let (mut cluster, client) = cluster().await;
    let shared = tempfile::tempdir().unwrap();
    let (ran, go) = (shared.path().join("ran"), shared.path().join("go"));
    let script = format!(
        "echo x >> {}; echo before; until [ -e {} ]; do sleep 0.05; done; echo after; exit 7",
        ran.display(),
        go.display(),
    );
    create(&client, pod("once", &script)).await;
    until_there(&ran).await;
    cluster.part(Part::Kubelet).unwrap().kill();
    cluster.part(Part::Kubelet).unwrap().start().await.unwrap();
    assert_eq!(until_pod_is(&client, "once", "Running").await, None);
    assert_eq!(log(&client, "once").await, "before\n");
    cluster.part(Part::Kubelet).unwrap().kill();
    fs::write(&go, "").unwrap();
    let exit = async || {
        let runs = cluster.folder().join("pods");
        let pod = fs::read_dir(runs).ok()?.next()?.ok()?.path();
        pod.join("containers/main/0/exit.json").exists().then_some(())
    };
    until("the command ended while nobody looked", exit).await.unwrap();
    cluster.part(Part::Kubelet).unwrap().start().await.unwrap();
    assert_eq!(until_pod_is(&client, "once", "Failed").await, Some(7));
    assert_eq!(log(&client, "once").await, "before\nafter\n");
    assert_eq!(fs::read_to_string(&ran).unwrap(), "x\n");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn how_a_command_ended_is_told_once_the_api_server_is_there_again() {
    let (mut cluster, client) = cluster().await;
    let shared = tempfile::tempdir().unwrap();
    let file = |name: &str| shared.path().join(name);
    let script = format!(
        "echo x > {}; until [ -e {} ]; do sleep 0.05; done; echo x > {}; exit 5",
        file("ran").display(),
        file("go").display(),
        file("ended").display(),
    );
    create(&client, pod("alone", &script)).await;
    until_there(&file("ran")).await;
    cluster.part(Part::Api).unwrap().kill();
    fs::write(file("go"), "").unwrap();
    until_there(&file("ended")).await;
    cluster.part(Part::Api).unwrap().start().await.unwrap();
    assert_eq!(until_pod_is(&client, "alone", "Failed").await, Some(5));
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn each_of_many_commands_is_run_once_however_often_the_kubelet_is_killed() {
    let (mut cluster, client) = cluster().await;
    let shared = tempfile::tempdir().unwrap();
    let ran = || fs::read_dir(shared.path()).unwrap().count();
    for round in 0..4 {
        for one in 0..5 {
            let name = format!("pod-{round}-{one}");
            let script = format!("echo x >> {}/{name}; echo done", shared.path().display());
            create(&client, pod(&name, &script)).await;
        }
        // In the midst of it: one of the five at least has begun.
        until("one more ran", async || (ran() > round * 5).then_some(())).await.unwrap();
        cluster.part(Part::Kubelet).unwrap().kill();
        cluster.part(Part::Kubelet).unwrap().start().await.unwrap();
    }
    for found in pods(&client).list(&ListParams::default()).await.unwrap() {
        let name = found.metadata.name.unwrap();
        assert_eq!(until_pod_is(&client, &name, "Succeeded").await, Some(0), "{name}");
        assert_eq!(log(&client, &name).await, "done\n", "{name}");
        assert_eq!(fs::read_to_string(shared.path().join(&name)).unwrap(), "x\n", "{name}");
    }
    assert_eq!(ran(), 20);
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_deleted_pods_command_is_asked_to_end_and_then_killed() {
    let (_cluster, client) = cluster().await;
    let shared = tempfile::tempdir().unwrap();
    let file = |name: &str| shared.path().join(name);
    let polite = format!(
        "trap 'echo bye > {}; exit 0' TERM; {TELL_PID} > {}; while :; do sleep 0.05; done",
        file("bye").display(),
        file("polite").display(),
    );
    let deaf = format!(
        "trap '' TERM; {TELL_PID} > {}; while :; do sleep 0.05; done",
        file("deaf").display()
    );
    for (name, script) in [("polite", polite), ("deaf", deaf)] {
        create(&client, pod(name, &script)).await;
        assert_eq!(until_pod_is(&client, name, "Running").await, None);
        let process = process(&file(name)).await;
        pods(&client).delete(name, &DeleteParams::default()).await.unwrap();
        let gone = async || pods(&client).get_opt(name).await.ok()?.is_none().then_some(());
        until(&format!("{name} is gone"), gone).await.unwrap();
        until_ended(process).await;
    }
    assert!(file("bye").exists());
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_command_sees_its_variables_and_its_mounts() {
    let (_cluster, client) = cluster().await;
    let map: ConfigMap =
        read(json!({"metadata": {"name": "settings"}, "data": {"size": "three", "x.conf": "a=b"}}));
    let secret: Secret =
        read(json!({"metadata": {"name": "login"}, "stringData": {"password": "p455"}}));
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    maps.create(&PostParams::default(), &map).await.unwrap();
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    secrets.create(&PostParams::default(), &secret).await.unwrap();

    let script = "echo $PLAIN $SIZE $PASSWORD $NODE $(JOINED); cat /settings/x.conf; echo; \
                  cat /login/password; echo; echo kept > /scratch/file; cat /scratch/file; \
                  test -s /var/run/secrets/kubernetes.io/serviceaccount/token && echo token; pwd";
    let mut seeing = pod("seeing", script);
    let container = &mut seeing["spec"]["containers"][0];
    container["env"] = json!([
        {"name": "PLAIN", "value": "plain"},
        {"name": "JOINED", "value": "$(PLAIN)-joined"},
        {"name": "SIZE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "size"}}},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    ]);
    container["workingDir"] = "/scratch".into();
    container["volumeMounts"] = json!([
        {"name": "settings", "mountPath": "/settings"},
        {"name": "login", "mountPath": "/login"},
        {"name": "scratch", "mountPath": "/scratch"},
    ]);
    seeing["spec"]["volumes"] = json!([
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "login", "secret": {"secretName": "login"}},
        {"name": "scratch", "emptyDir": {}},
    ]);
    create(&client, seeing).await;
    assert_eq!(until_pod_is(&client, "seeing", "Succeeded").await, Some(0));
    let log = log(&client, "seeing").await;
    let (seen, folder) = log.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(seen, "plain three p455 kubelet plain-joined\na=b\np455\nkept\ntoken");
    assert!(folder.ends_with("/volumes/scratch"), "{folder}");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn what_cannot_run_says_so_and_what_may_run_again_does() {
    let (_cluster, client) = cluster().await;
    let mut missing = pod("missing", "");
    missing["spec"]["containers"][0]["command"] = json!(["/no/such/program"]);
    create(&client, missing).await;
    assert_eq!(until_pod_is(&client, "missing", "Failed").await, Some(128));

    let mut again = pod("again", "test -e here && exit 0; touch here; echo first; exit 1");
    again["spec"]["restartPolicy"] = "OnFailure".into();
    create(&client, again).await;
    assert_eq!(until_pod_is(&client, "again", "Succeeded").await, Some(0));
    let status = pods(&client).get("again").await.unwrap().status.unwrap();
    assert_eq!(status.container_statuses.unwrap()[0].restart_count, 1);
    let before = LogParams { previous: true, ..LogParams::default() };
    assert_eq!(pods(&client).logs("again", &before).await.unwrap(), "first\n");

    let mut bad = pod("bad", "true");
    bad["spec"]["containers"][0]["image"] = "job:2-bad".into();
    create(&client, bad).await;
    let waits = async || {
        let status = pods(&client).get("bad").await.ok()?.status?;
        let state = status.container_statuses?.into_iter().next()?.state?;
        (state.waiting?.reason.as_deref() == Some("ImagePullBackOff")).then_some(())
    };
    until("its image cannot be pulled", waits).await.unwrap();
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn what_a_cluster_runs_ends_with_it() {
    let (cluster, client) = cluster().await;
    let shared = tempfile::tempdir().unwrap();
    let file = shared.path().join("pid");
    create(&client, pod("long", &format!("{TELL_PID} > {}; sleep 1000", file.display()))).await;
    let process = process(&file).await;
    drop(cluster);
    until_ended(process).await;
}
