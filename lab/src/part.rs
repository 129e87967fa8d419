//! The servers of a cluster: what each is started with, and what it answers once it is ready.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{Group, Parts, Port, Server};

/// A server of a cluster, in the order in which they start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// etcd, which holds what the API server knows.
    Etcd,
    /// The API server.
    Api,
}

/// What the servers of one cluster have in common.
#[derive(Debug)]
pub(crate) struct Plan {
    folder: PathBuf,
    /// What runs besides.
    parts: Parts,
    etcd: Port,
    peer: Port,
    api: Port,
}

impl Plan {
    pub(crate) fn new(folder: &Path, parts: Parts) -> Result<Self> {
        let (etcd, peer, api) = (Port::take()?, Port::take()?, Port::take()?);
        Ok(Self { folder: folder.to_owned(), parts, etcd, peer, api })
    }

    /// Where the API server listens.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.api.number())
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A flag whose value is a file or folder of the cluster.
    fn flag(&self, flag: &str, name: &str) -> String {
        format!("--{flag}={}", self.file(name).display())
    }
}

impl Part {
    pub(crate) fn server(self, plan: &Plan) -> Result<Server> {
        match self {
            Self::Etcd => etcd(plan),
            Self::Api => api(plan),
        }
    }
}

fn etcd(plan: &Plan) -> Result<Server> {
    let client = format!("http://127.0.0.1:{}", plan.etcd.number());
    let peer = format!("http://127.0.0.1:{}", plan.peer.number());
    let arguments = vec![
        plan.flag("data-dir", "etcd"),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        // Its process may die here, the machine does not.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    let program = Group::Kubernetes.program("etcd")?;
    Ok(Server::new(program, arguments, format!("{client}/health"), &plan.folder))
}

fn api(plan: &Plan) -> Result<Server> {
    let mut arguments = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", plan.etcd.number()),
        format!("--secure-port={}", plan.api.number()),
        "--bind-address=127.0.0.1".to_owned(),
        plan.flag("cert-dir", "certs"),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        plan.flag("service-account-key-file", "sa.pub"),
        plan.flag("service-account-signing-key-file", "sa.key"),
        "--authorization-mode=RBAC".to_owned(),
        plan.flag("token-auth-file", "tokens.csv"),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
    ];
    if plan.parts == Parts::Bare {
        // Nobody is there who would make the accounts that it asks for.
        arguments.push("--disable-admission-plugins=ServiceAccount".to_owned());
    }
    let program = Group::Kubernetes.program("kube-apiserver")?;
    Ok(Server::new(program, arguments, format!("{}/readyz", plan.url()), &plan.folder))
}
