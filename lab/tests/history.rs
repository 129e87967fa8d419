//! What the lab does to a cluster's past, and to those who may not come in any more.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams, WatchEvent, WatchParams};
use kube::config::KubeConfigOptions;
use kube::{Api, Config, Error};
use lab::{ADMIN, Cluster, Parts, until};

fn named(name: &str) -> ConfigMap {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    ConfigMap { metadata, ..ConfigMap::default() }
}

async fn maps(cluster: &Cluster, token: &str) -> Api<ConfigMap> {
    Api::default_namespaced(cluster.client(token).await.unwrap())
}

fn code(error: &Error) -> Option<u16> {
    match error {
        Error::Api(status) => Some(status.code),
        _ => None,
    }
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn what_was_begun_before_history_is_forgotten_is_answered_with_410() {
    let mut cluster = Cluster::start(Parts::Bare).await.unwrap();
    let maps = maps(&cluster, ADMIN).await;
    for name in ["one", "two", "three"] {
        maps.create(&PostParams::default(), &named(name)).await.unwrap();
    }
    let page = maps.list(&ListParams::default().limit(1)).await.unwrap();
    let version = page.metadata.resource_version.clone().unwrap();
    maps.delete("two", &DeleteParams::default()).await.unwrap();
    cluster.forget_history().await.unwrap();

    let mut watch = Box::pin(maps.watch(&WatchParams::default(), &version).await.unwrap());
    let first = watch.next().await.unwrap();
    assert!(matches!(&first, Ok(WatchEvent::Error(status)) if status.code == 410), "{first:?}");
    let rest = ListParams::default().limit(1).continue_token(&page.metadata.continue_.unwrap());
    assert_eq!(code(&maps.list(&rest).await.unwrap_err()), Some(410));
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 2);
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_restored_cluster_is_what_it_was_when_it_was_backed_up() {
    let mut cluster = Cluster::start(Parts::Bare).await.unwrap();
    let maps = maps(&cluster, ADMIN).await;
    let kept = maps.create(&PostParams::default(), &named("kept")).await.unwrap();
    let backup = cluster.back_up().unwrap();
    maps.create(&PostParams::default(), &named("lost")).await.unwrap();
    maps.delete("kept", &DeleteParams::default()).await.unwrap();
    cluster.restore(&backup).await.unwrap();
    assert_eq!(maps.get("kept").await.unwrap().metadata, kept.metadata);
    assert_eq!(maps.get_opt("lost").await.unwrap(), None);
    cluster.restore(&backup).await.unwrap();
    assert_eq!(maps.get("kept").await.unwrap().metadata, kept.metadata);
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_token_expires_and_its_file_may_hold_another() {
    let cluster = Cluster::start(Parts::Bare).await.unwrap();
    let token = async |seconds| {
        let lifetime = Duration::from_secs(seconds);
        cluster.account_token("default", "visitor", lifetime).await.unwrap()
    };
    let (short, long) = (token(3).await, token(3600).await);
    let asked = async |token: &str| code(&maps(&cluster, token).await.get("x").await.unwrap_err());
    assert_eq!(asked(&short).await, Some(403), "known, and allowed nothing");
    let expired = async || (asked(&short).await == Some(401)).then_some(());
    until("the token is expired", expired).await.unwrap();
    assert_eq!(asked(&long).await, Some(403));

    let file = cluster.folder().join("token");
    let kubeconfig = cluster.kubeconfig_with_token_file(&file).unwrap();
    for (held, wanted) in [(&short, 401), (&long, 403)] {
        fs::write(&file, held).unwrap();
        let read = kube::config::Kubeconfig::read_from(&kubeconfig).unwrap();
        let config =
            Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
        let maps: Api<ConfigMap> = Api::default_namespaced(config.try_into().unwrap());
        assert_eq!(code(&maps.get("x").await.unwrap_err()), Some(wanted));
    }
}
