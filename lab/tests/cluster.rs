//! The lab's own servers start, end as they are told to, and keep what they were given.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use lab::{ADMIN, Cluster, NARROW, Part, Parts, until};
use tokio::time::timeout;

fn named(name: &str) -> ConfigMap {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    ConfigMap { metadata, ..ConfigMap::default() }
}

async fn maps(cluster: &Cluster, token: &str) -> Api<ConfigMap> {
    Api::default_namespaced(cluster.client(token).await.unwrap())
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_cluster_keeps_its_objects_over_kills_and_stops_of_its_servers() {
    let mut cluster = Cluster::start(Parts::Bare).await.unwrap();
    let maps = maps(&cluster, ADMIN).await;
    maps.create(&PostParams::default(), &named("kept")).await.unwrap();
    cluster.part(Part::Api).unwrap().kill();
    assert!(maps.get("kept").await.is_err(), "the API server is gone");
    cluster.part(Part::Etcd).unwrap().kill();
    cluster.part(Part::Etcd).unwrap().start().await.unwrap();
    cluster.part(Part::Api).unwrap().start().await.unwrap();
    maps.get("kept").await.unwrap();
    cluster.part(Part::Etcd).unwrap().stop().await.unwrap();
    cluster.part(Part::Etcd).unwrap().start().await.unwrap();
    let kept = until("the API server finds etcd again", async || maps.get("kept").await.ok()).await;
    assert_eq!(kept.unwrap().metadata.name.as_deref(), Some("kept"));
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_frozen_api_server_answers_once_it_is_thawed() {
    let mut cluster = Cluster::start(Parts::Bare).await.unwrap();
    let maps = maps(&cluster, ADMIN).await;
    let api = cluster.part(Part::Api).unwrap();
    api.freeze();
    let asked = timeout(Duration::from_millis(300), maps.get("nothing")).await;
    assert!(asked.is_err(), "a frozen server answered: {asked:?}");
    api.thaw();
    assert_eq!(maps.get_opt("nothing").await.unwrap(), None);
    api.freeze();
    api.kill();
    assert_eq!(api.pid(), None);
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_narrow_account_may_do_nothing_until_it_is_allowed_to() {
    let cluster = Cluster::start(Parts::Bare).await.unwrap();
    let maps = maps(&cluster, NARROW).await;
    let refused = maps.create(&PostParams::default(), &named("x")).await.unwrap_err().to_string();
    assert!(refused.contains("system:serviceaccount:default:narrow"), "{refused}");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn what_a_killed_test_left_on_the_disk_is_deleted_and_nothing_else() {
    let folder = || tempfile::Builder::new().prefix("tripline-lab-").tempdir().unwrap().keep();
    let (left, held) = (folder(), Cluster::start(Parts::Bare).await.unwrap());
    fs::write(left.join("alive"), "").unwrap();
    let _another = Cluster::start(Parts::Bare).await.unwrap();
    assert!(!left.exists());
    assert!(held.folder().join("alive").exists());
}
