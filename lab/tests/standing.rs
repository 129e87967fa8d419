//! A cluster that stands for trying things by hand, and what is left behind by those who were killed.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use lab::{Process, Standing, until};
use serde_json::json;

fn lab(arguments: &[&str], folder: &Path) -> Command {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_tripline-lab"));
    lab.args(arguments).arg("--dir").arg(folder);
    lab
}

fn run(arguments: &[&str], folder: &Path) -> Output {
    let done = lab(arguments, folder).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    done
}

fn said(done: &Output) -> String {
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// A process that holds a cluster, killed if the test is not the one to do it.
struct Holder(Child);

impl Holder {
    fn start(folder: &Path) -> Self {
        let mut holder = lab(&["hold", "--parts", "programs"], folder);
        Self(holder.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn client(standing: &Standing) -> Client {
    let read = Kubeconfig::read_from(&standing.kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    Config::from_custom_kubeconfig(read, &options).await.unwrap().try_into().unwrap()
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_cluster_stands_until_it_is_taken_down_and_goes_on_with_what_it_held() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("up");
    let up = run(&["up", "--parts", "bare"], &folder);
    assert!(up.status.success());
    let status = run(&["status", "-o", "json"], &folder);
    let first: Standing = serde_json::from_slice(&status.stdout).unwrap();
    assert!(said(&up).contains(&format!("export KUBECONFIG={}", first.kubeconfig.display())));
    assert!(said(&run(&["status"], &folder)).contains("kube-apiserver runs"));
    let maps: Api<ConfigMap> = Api::default_namespaced(client(&first).await);
    let map = serde_json::from_value(json!({"metadata": {"name": "kept"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    run(&["up", "--parts", "bare"], &folder);
    assert_eq!(Standing::find(&folder).as_ref(), Some(&first), "it is up already");

    assert!(run(&["down"], &folder).status.success());
    let down = run(&["status", "-o", "json"], &folder);
    assert_eq!((down.status.code(), said(&down).as_str()), (Some(1), "null\n"));
    assert!(first.servers.len() == 2 && first.servers.values().all(|server| !server.lives()));

    run(&["up", "--parts", "bare"], &folder);
    let second = Standing::find(&folder).unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(client(&second).await);
    maps.get("kept").await.unwrap();
    run(&["down", "--delete"], &folder);
    assert!(!folder.exists());
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn whoever_starts_servers_and_is_killed_leaves_none_behind_and_nothing_that_pods_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Holder::start(folder.path());
    let stands = async || Standing::find(folder.path());
    let standing = until("the cluster stands", stands).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(client(&standing).await);
    let file = folder.path().join("pid");
    // A doubled `$` stands for one.
    let script = format!("echo $$$$ > {}; while :; do sleep 0.1; done", file.display());
    let pod = serde_json::from_value(json!({
        "metadata": {"name": "long"},
        "spec": {"containers": [{"name": "main", "image": "any", "command": ["sh", "-c", script]}]},
    }));
    pods.create(&PostParams::default(), &pod.unwrap()).await.unwrap();
    let pid = async || fs::read_to_string(&file).ok()?.trim().parse().ok();
    let pid = until("its command runs", pid).await.unwrap();

    let mut all: Vec<Process> = standing.servers.into_values().collect();
    all.push(Process::find(pid).unwrap());
    assert_eq!(all.len(), 6);
    holder.kill();
    let gone = async || (!all.iter().any(|process| process.lives())).then_some(());
    until("all is gone", gone).await.unwrap();
}
