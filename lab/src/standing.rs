//! A cluster for trying things by hand: it stands until it is taken down, in a folder, held by a
//! process of its own, whose end is the end of all its servers.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use crate::{ADMIN, Cluster, Group, NARROW, Parts, Process, group, until};

const STATE: &str = "lab.json";
const LOG: &str = "lab.log";

/// What is known of a cluster that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What it is made of.
    pub parts: Parts,
    /// Where its API server listens.
    pub server: String,
    /// A kubeconfig of a user who may do everything.
    pub kubeconfig: PathBuf,
    /// One of an account that may do nothing until it is allowed to.
    pub narrow_kubeconfig: PathBuf,
    /// The process that holds it.
    pub holder: Process,
    /// Its servers, by the name of their programs.
    pub servers: BTreeMap<String, Process>,
}

impl Standing {
    /// Where one stands if no other place is named.
    pub fn folder() -> Result<PathBuf> {
        Ok(group::cache()?.join("up"))
    }

    /// The one that stands in this folder.
    pub fn find(folder: &Path) -> Option<Self> {
        let text = fs::read(folder.join(STATE)).ok()?;
        let found: Self = serde_json::from_slice(&text).ok()?;
        found.holder.lives().then_some(found)
    }

    /// Lets one stand in this folder, with what an earlier one left there. If one stands already, it
    /// is told.
    pub async fn up(folder: &Path, parts: Parts) -> Result<Self> {
        if let Some(found) = Self::find(folder) {
            let (there, folder) = (found.parts, folder.display());
            ensure!(there == parts, "{folder}: a cluster of {there:?} stands there: take it down");
            return Ok(found);
        }
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let folder = folder.canonicalize()?;
        fs::remove_file(folder.join(STATE)).ok();
        let mut holder = spawn_holder(&folder, parts)?;
        let what = format!("a cluster stands in {}", folder.display());
        let found = until(&what, async || match holder.try_wait() {
            Ok(None) => Self::find(&folder).map(Ok),
            ended => Some(Err(ended)),
        });
        match found.await? {
            Ok(found) => Ok(found),
            Err(_) => bail!("{}", fs::read_to_string(folder.join(LOG))?.trim()),
        }
    }

    fn of(cluster: &Cluster, parts: Parts) -> Result<Self> {
        Ok(Self {
            parts,
            server: cluster.url(),
            kubeconfig: cluster.kubeconfig(ADMIN)?,
            narrow_kubeconfig: cluster.kubeconfig(NARROW)?,
            holder: Process::own()?,
            servers: cluster.processes(),
        })
    }

    /// Ends it; its folder stays.
    pub async fn down(self) -> Result<()> {
        self.holder.signal(Signal::SIGTERM);
        let mut all: Vec<Process> = self.servers.into_values().collect();
        all.push(self.holder);
        let gone = async || (!all.iter().any(|process| process.lives())).then_some(());
        let ended = until("the cluster is down", gone).await;
        // No more than what a timeout left.
        for process in all {
            process.signal(Signal::SIGKILL);
        }
        ended
    }

    /// Deletes the folder of one that is down.
    pub fn delete(folder: &Path) -> Result<()> {
        let place = folder.display();
        ensure!(Self::find(folder).is_none(), "{place}: a cluster stands there");
        ensure!(folder.join(LOG).is_file(), "{place}: there was no cluster there");
        fs::remove_dir_all(folder).with_context(|| place.to_string())
    }
}

/// Is the process that holds a cluster, until a signal ends it.
pub async fn hold(folder: &Path, parts: Parts) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let holding = async {
        let cluster = Cluster::start_in(folder, parts).await?;
        let state = serde_json::to_vec_pretty(&Standing::of(&cluster, parts)?)?;
        let fresh = folder.join(".lab.json");
        fs::write(&fresh, state)?;
        fs::rename(fresh, folder.join(STATE))?;
        // Until a signal comes.
        std::future::pending::<()>().await;
        drop(cluster);
        Ok(())
    };
    let ended = tokio::select! {
        ended = holding => ended,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    fs::remove_file(folder.join(STATE)).ok();
    ended
}

/// Builds what these parts need and is not built yet.
pub fn build(parts: Parts, mut say: impl FnMut(&str)) -> Result<()> {
    let groups = parts.list().iter().map(|part| part.group());
    let mut needed: Vec<Group> = groups.collect();
    needed.dedup();
    needed.into_iter().try_for_each(|group| group.build(&mut say))
}

/// This same program, apart from the terminal that it is started from.
fn spawn_holder(folder: &Path, parts: Parts) -> Result<Child> {
    let path = folder.join(LOG);
    let log = OpenOptions::new().create(true).write(true).truncate(true).open(&path);
    let log = log.with_context(|| path.display().to_string())?;
    let mut holder = Command::new(std::env::current_exe()?);
    holder.args(["hold", "--parts", parts.name(), "--dir"]).arg(folder).process_group(0);
    holder.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(holder.spawn()?)
}
