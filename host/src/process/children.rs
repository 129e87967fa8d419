//! The record of running child programs, by which the next start ends those that outlived the
//! engine.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::group::Group;

/// Most time between looks at whether a survivor has ended.
const LOOK: Duration = Duration::from_millis(20);

/// The folder of records: one file for each child, `<pid>.json`.
#[derive(Debug, Clone)]
pub struct Children {
    folder: PathBuf,
}

/// One child program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// Its process id, which is also its group's.
    pub pid: i32,
    /// When it started, in ticks since the boot; only Linux tells.
    pub start_time: Option<u64>,
    /// The boot that those ticks count from.
    pub boot: Option<String>,
    /// For whom it runs: an idempotency key or a sensor.
    pub key: String,
}

/// The record of a child that runs; dropped, it is removed.
pub(super) struct Recorded(PathBuf);

impl Drop for Recorded {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(file = %self.0.display(), %error, "the record of an ended program stays");
        }
    }
}

impl Children {
    /// The records in `folder`, which is created when the first one is written.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Records a child before it may begin. It survives the engine's death, not the machine's:
    /// neither does the child.
    pub(super) fn record(&self, pid: i32, group: Group, key: &str) -> io::Result<Recorded> {
        let child =
            Child { pid, start_time: group.start_time(), boot: boot(), key: key.to_owned() };
        std::fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(format!("{pid}.json"));
        std::fs::write(&path, serde_json::to_vec(&child)?)?;
        Ok(Recorded(path))
    }

    /// Ends the recorded children that still run, gives them `grace` between SIGTERM and SIGKILL,
    /// and removes every record. Returns the children it had to end.
    ///
    /// Only for the start, before any program runs: what is recorded then is another engine's.
    pub async fn end_survivors(&self, grace: Duration) -> io::Result<Vec<Child>> {
        let records = self.read()?;
        let boot = boot();
        let survivors: Vec<(Child, Group)> = records
            .iter()
            .filter_map(|(_, child)| child.clone())
            .filter(|child| child.boot == boot)
            .filter_map(|child| {
                let group = Group::recorded(child.pid, child.start_time)?;
                group.leader_runs().then_some((child, group))
            })
            .collect();
        end(survivors.iter().map(|(_, group)| *group).collect(), grace).await;
        for (path, _) in &records {
            std::fs::remove_file(path)?;
        }
        Ok(survivors.into_iter().map(|(child, _)| child).collect())
    }

    /// Every record's file, and what it says. One that says nothing was cut short by the engine's
    /// death: its child was never told to begin.
    fn read(&self) -> io::Result<Vec<(PathBuf, Option<Child>)>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let is_record = |path: &Path| path.extension().is_some_and(|end| end == "json");
        paths
            .filter(|path| path.as_ref().map_or(true, |path| is_record(path)))
            .map(|path| {
                let path = path?;
                let child = serde_json::from_slice(&std::fs::read(&path)?).ok();
                Ok((path, child))
            })
            .collect()
    }
}

async fn end(groups: Vec<Group>, grace: Duration) {
    for group in &groups {
        group.signal(Signal::SIGTERM);
    }
    wait_for_end(&groups, grace).await;
    for group in &groups {
        group.kill_rest();
    }
    // Death by SIGKILL takes a moment too; a process stuck in the kernel is not waited for.
    wait_for_end(&groups, Duration::from_secs(1)).await;
}

async fn wait_for_end(groups: &[Group], most: Duration) {
    let until = Instant::now() + most;
    while Instant::now() < until && groups.iter().any(|group| group.leader_runs()) {
        sleep(LOOK).await;
    }
}

/// Names this boot of the machine: after another, the same pid and ticks mean another process.
fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}
