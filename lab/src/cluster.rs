//! A Kubernetes control plane of a test's own: etcd and the API server, and as much besides as the
//! test is about.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tempfile::TempDir;

use crate::part::{Part, Plan};
use crate::{ADMIN, Server, identity};

/// What runs besides etcd and the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// Nothing: objects are stored and watched, and nobody acts on them.
    Bare,
}

impl Parts {
    /// In the order in which they start.
    fn list(self) -> &'static [Part] {
        match self {
            Self::Bare => &[Part::Etcd, Part::Api],
        }
    }
}

/// A cluster. Dropped, its servers are killed and its folder is deleted.
#[derive(Debug)]
pub struct Cluster {
    servers: BTreeMap<Part, Server>,
    plan: Plan,
    folder: TempDir,
}

impl Cluster {
    /// Starts one and waits until it takes requests.
    pub async fn start(parts: Parts) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("tripline-lab-").tempdir()?;
        identity::write(folder.path())?;
        let plan = Plan::new(folder.path(), parts)?;
        let mut cluster = Self { servers: BTreeMap::new(), plan, folder };
        cluster.kubeconfig(ADMIN)?;
        for part in parts.list() {
            let mut server = part.server(&cluster.plan)?;
            server.start().await?;
            cluster.servers.insert(*part, server);
        }
        Ok(cluster)
    }

    /// One of its servers, to be killed, stopped, frozen or started again.
    pub fn part(&mut self, part: Part) -> Result<&mut Server> {
        self.servers.get_mut(&part).with_context(|| format!("{part:?} is no part of this cluster"))
    }

    /// The folder of everything that it keeps.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A client that shows this token.
    pub async fn client(&self, token: &str) -> Result<kube::Client> {
        let read = Kubeconfig::read_from(self.kubeconfig(token)?)?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(read, &options).await?;
        Ok(kube::Client::try_from(config)?)
    }

    /// A kubeconfig with this token, as a file.
    pub fn kubeconfig(&self, token: &str) -> Result<PathBuf> {
        let path = self.plan.file(&format!("{token}.kubeconfig"));
        let text =
            identity::kubeconfig(&self.plan.url(), &self.plan.file("certs/apiserver.crt"), token);
        fs::write(&path, text)?;
        Ok(path)
    }
}
