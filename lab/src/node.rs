//! What pods need before they can be made and run: a service account, and a node.

use anyhow::Result;
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::until;

/// A pod is refused until its namespace has its account.
pub(crate) async fn until_pods_may_be_made(client: &Client) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
    until("the default service account", async || accounts.get("default").await.ok()).await?;
    Ok(())
}

/// Adds the node that kwok plays.
pub(crate) async fn add_kwok(client: &Client) -> Result<()> {
    let mark = |key: &str, value: &str| Some([(key.to_owned(), value.to_owned())].into());
    let metadata = ObjectMeta {
        name: Some("kwok".to_owned()),
        annotations: mark("kwok.x-k8s.io/node", "fake"),
        labels: mark("lab.tripline.dev/node", "kwok"),
        ..ObjectMeta::default()
    };
    let nodes: Api<Node> = Api::all(client.clone());
    match nodes.create(&PostParams::default(), &Node { metadata, ..Node::default() }).await {
        Err(kube::Error::Api(status)) if status.code == 409 => (),
        made => drop(made?),
    }
    until_ready(client, "kwok").await
}

/// Waits for the node of this name.
pub(crate) async fn until_ready(client: &Client, name: &str) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let ready = async || {
        let conditions = nodes.get(name).await.ok()?.status?.conditions?;
        conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True").then_some(())
    };
    until(&format!("the node {name} is ready"), ready).await
}
