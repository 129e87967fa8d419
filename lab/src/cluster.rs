//! A Kubernetes control plane of a test's own: etcd and the API server, and as much besides as the
//! test is about.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use kube::config::{KubeConfigOptions, Kubeconfig};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::identity::Credential;
use crate::part::ALIVE;
use crate::plan::Plan;
use crate::{ADMIN, NARROW, Part, Process, Server, identity, node};

/// How the folders of tests' clusters are called.
const PREFIX: &str = "tripline-lab-";

/// What a cluster is made of: as little as the test can do with, for all of it takes its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Parts {
    /// etcd and the API server: objects are stored and watched, and nobody acts on them.
    Bare,
    /// The controllers and the scheduler too, and kwok's node, whose pods become what their labels
    /// say (`lab/kwok/stages.yaml`): for rollouts.
    Rollouts,
    /// The controllers and the scheduler, and a node that runs the commands of its pods' containers
    /// as processes: for Jobs and logs.
    Programs,
    /// All of it. A pod says where it belongs by the `nodeSelector`
    /// `lab.tripline.dev/node: kwok` or `kubelet`.
    All,
}

impl Parts {
    /// Every choice.
    pub const ALL: [Self; 4] = [Self::Bare, Self::Rollouts, Self::Programs, Self::All];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Rollouts => "rollouts",
            Self::Programs => "programs",
            Self::All => "all",
        }
    }

    /// In the order in which they start.
    pub(crate) fn list(self) -> &'static [Part] {
        match self {
            Self::Bare => &[Part::Etcd, Part::Api],
            Self::Rollouts => {
                &[Part::Etcd, Part::Api, Part::Controllers, Part::Scheduler, Part::Kwok]
            }
            Self::Programs => {
                &[Part::Etcd, Part::Api, Part::Controllers, Part::Scheduler, Part::Kubelet]
            }
            Self::All => &Part::ALL,
        }
    }

    fn has(self, part: Part) -> bool {
        self.list().contains(&part)
    }
}

/// A cluster. Dropped, its servers are killed and its folder is deleted.
#[derive(Debug)]
pub struct Cluster {
    /// The first to go: what pods run must not write where all is deleted.
    _alive: Flock<File>,
    servers: BTreeMap<Part, Server>,
    plan: Plan,
    /// Deleted with it.
    temporary: Option<TempDir>,
}

impl Cluster {
    /// Starts one and waits until it takes requests, and pods where it has a node.
    pub async fn start(parts: Parts) -> Result<Self> {
        sweep();
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        let mut cluster = Self::start_in(folder.path(), parts).await?;
        cluster.temporary = Some(folder);
        Ok(cluster)
    }

    /// Starts one in a folder that stays, with what an earlier one left there.
    pub async fn start_in(folder: &Path, parts: Parts) -> Result<Self> {
        identity::write(folder)?;
        let plan = Plan::new(folder, parts)?;
        let alive = hold(&plan.file(ALIVE))?;
        let servers = BTreeMap::new();
        let mut cluster = Self { _alive: alive, servers, plan, temporary: None };
        cluster.kubeconfig(ADMIN)?;
        cluster.kubeconfig(NARROW)?;
        for part in parts.list() {
            let mut server = part.server(&cluster.plan)?;
            server.start().await?;
            cluster.servers.insert(*part, server);
        }
        cluster.welcome().await?;
        Ok(cluster)
    }

    /// Waits for what the controllers make at first, and gives pods a node.
    async fn welcome(&self) -> Result<()> {
        let parts = self.plan.parts();
        if parts.has(Part::Controllers) {
            node::until_pods_may_be_made(&self.client(ADMIN).await?).await?;
        }
        if parts.has(Part::Kwok) {
            node::add_kwok(&self.client(ADMIN).await?).await?;
        }
        if parts.has(Part::Kubelet) {
            node::until_ready(&self.client(ADMIN).await?, "kubelet").await?;
        }
        Ok(())
    }

    /// One of its servers, to be killed, stopped, frozen or started again.
    pub fn part(&mut self, part: Part) -> Result<&mut Server> {
        self.servers.get_mut(&part).with_context(|| format!("{part:?} is no part of this cluster"))
    }

    /// The folder of everything that it keeps.
    pub fn folder(&self) -> &Path {
        self.plan.folder()
    }

    /// The processes of its servers, by the names of their programs.
    pub(crate) fn processes(&self) -> BTreeMap<String, Process> {
        let running =
            |server: &Server| Some((server.name().to_owned(), Process::find(server.pid()?)?));
        self.servers.values().filter_map(running).collect()
    }

    /// Where its API server listens.
    pub fn url(&self) -> String {
        self.plan.api()
    }

    /// Where etcd takes what is asked of it.
    pub fn etcd(&self) -> String {
        self.plan.etcd()
    }

    /// A client that shows this token: [`ADMIN`], [`NARROW`], or an account's.
    pub async fn client(&self, token: &str) -> Result<kube::Client> {
        let read = Kubeconfig::read_from(self.kubeconfig(token)?)?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(read, &options).await?;
        Ok(kube::Client::try_from(config)?)
    }

    /// A kubeconfig with this token, as a file.
    pub fn kubeconfig(&self, token: &str) -> Result<PathBuf> {
        self.write_kubeconfig(&Credential::Token(token))
    }

    /// A kubeconfig that names a file with the token, which may be written again with another one.
    pub fn kubeconfig_with_token_file(&self, token_file: &Path) -> Result<PathBuf> {
        self.write_kubeconfig(&Credential::TokenFile(token_file))
    }

    fn write_kubeconfig(&self, credential: &Credential<'_>) -> Result<PathBuf> {
        let path = self.plan.file(&credential.file_name());
        let ca = self.plan.file(identity::CA);
        fs::write(&path, identity::kubeconfig(&self.plan.api(), &ca, credential))?;
        Ok(path)
    }
}

/// Locks a file that no other cluster has locked.
fn hold(path: &Path) -> Result<Flock<File>> {
    let taken = |_| anyhow!("{}: another cluster has this folder", path.display());
    if path.exists() {
        return Flock::lock(File::open(path)?, FlockArg::LockExclusiveNonblock).map_err(taken);
    }
    // It is locked when it appears, or it would be swept away.
    let fresh = path.with_extension("new");
    let file = File::create(&fresh).with_context(|| fresh.display().to_string())?;
    let held = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(taken)?;
    fs::rename(fresh, path)?;
    Ok(held)
}

/// Deletes what tests left that were killed: folders that no cluster holds.
fn sweep() {
    let folders = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    let ours = |name: &OsStr| name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
    for folder in folders.filter(|folder| ours(&folder.file_name())) {
        let Ok(file) = File::open(folder.path().join(ALIVE)) else { continue };
        if Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok() {
            fs::remove_dir_all(folder.path()).ok();
        }
    }
}
