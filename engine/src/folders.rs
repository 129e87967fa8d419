//! What lies where in the state folder.

use std::path::{Path, PathBuf};

use host::git::Exports;
use model::{ExecutionId, Hash, StepPath};

/// The state folder.
#[derive(Debug, Clone)]
pub struct Folders {
    root: PathBuf,
}

impl Folders {
    /// The state folder at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Copies of packs' content, by hash.
    pub fn packs(&self) -> PathBuf {
        self.root.join("packs")
    }

    /// The copy of one pack's content.
    pub fn pack(&self, hash: &Hash) -> PathBuf {
        self.packs().join(hash.to_string())
    }

    /// The folder of all logs.
    pub fn logs_of_all(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Logs of an execution's steps.
    pub fn logs(&self, execution: &ExecutionId) -> PathBuf {
        self.logs_of_all().join(execution.as_str())
    }

    /// The folder of one step's logs.
    pub fn log(&self, execution: &ExecutionId, path: &StepPath) -> PathBuf {
        self.logs(execution).join(path.to_string())
    }

    /// What is said of an execution's result. That of a child lies in the folder of its parent's
    /// step, so that it stands in the log of both.
    pub fn result_log(&self, execution: &ExecutionId) -> PathBuf {
        self.logs(execution).join("result.log")
    }

    /// Logs of sensors' programs, in a folder for each pack.
    pub fn sensor_logs(&self) -> PathBuf {
        self.root.join("sensors")
    }

    /// What the program of a sensor (`pack/sensor`) prints to stderr.
    pub fn sensor_log(&self, sensor: &str) -> PathBuf {
        self.sensor_logs().join(format!("{sensor}.log"))
    }

    /// What tokens of steps are made with.
    pub fn steps_key(&self) -> PathBuf {
        self.root.join("steps.key")
    }

    /// Records of running child programs.
    pub fn children(&self) -> PathBuf {
        self.root.join("children")
    }

    /// Mirrors of git repositories.
    pub fn git(&self) -> PathBuf {
        self.root.join("git")
    }

    /// What `git.export` writes to relative targets, and what is downloaded.
    pub fn exports(&self) -> Exports {
        Exports::new(self.root.join("exports"))
    }

    /// Marks of what is being evaluated.
    pub fn evaluating(&self) -> PathBuf {
        self.root.join("evaluating")
    }

    /// The copy of which a backup is being made.
    pub fn backup(&self) -> PathBuf {
        self.root.join("backup")
    }

    /// Empty folders in which programs run.
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }
}
