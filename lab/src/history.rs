//! What becomes of a cluster's past: forgotten, as it is everywhere in time, or come back from a
//! backup.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{Cluster, Part};

/// All that etcd held at one time.
#[derive(Debug)]
pub struct Backup(PathBuf);

impl Cluster {
    /// Forgets all but the newest version of each object: a watch that goes on from before, and a
    /// list that was begun before, are answered with 410. The API server is killed and started
    /// again, since it remembers some of them by itself.
    pub async fn forget_history(&mut self) -> Result<()> {
        self.part(Part::Api)?.kill();
        let now = self.ask_etcd("kv/range", json!({"key": "AA=="})).await?;
        let now = now["header"]["revision"].as_str().context("etcd told no revision")?.to_owned();
        self.ask_etcd("kv/compaction", json!({"revision": now, "physical": true})).await?;
        self.part(Part::Api)?.start().await
    }

    async fn ask_etcd(&self, what: &str, body: Value) -> Result<Value> {
        let client = reqwest::Client::builder().no_proxy().timeout(crate::PATIENCE).build()?;
        let asked = client.post(format!("{}/v3/{what}", self.etcd())).json(&body);
        Ok(asked.send().await?.error_for_status()?.json().await?)
    }

    /// Copies what etcd holds; nobody notices more than a moment's silence.
    pub fn back_up(&mut self) -> Result<Backup> {
        let copy = tempfile::Builder::new().prefix("backup-").tempdir_in(self.folder())?.keep();
        let data = self.folder().join("etcd");
        let etcd = self.part(Part::Etcd)?;
        // What it is halfway through lies on the disk as a kill would leave it.
        etcd.freeze();
        let copied = copy_folder(&data, &copy);
        etcd.thaw();
        copied.with_context(|| data.display().to_string())?;
        Ok(Backup(copy))
    }

    /// Makes the cluster what it was then. Versions count on from there: one that a client saw since
    /// lies in the future, or comes a second time with another content.
    pub async fn restore(&mut self, backup: &Backup) -> Result<()> {
        self.part(Part::Api)?.kill();
        self.part(Part::Etcd)?.kill();
        let data = self.folder().join("etcd");
        fs::remove_dir_all(&data)?;
        copy_folder(&backup.0, &data).with_context(|| backup.0.display().to_string())?;
        self.part(Part::Etcd)?.start().await?;
        self.part(Part::Api)?.start().await
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
