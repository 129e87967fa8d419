//! What the servers of one cluster have in common: its folder and its ports.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{Part, Parts, Port};

/// Where a cluster keeps its files, and where its servers listen.
#[derive(Debug)]
pub(crate) struct Plan {
    folder: PathBuf,
    parts: Parts,
    /// One for each of [`Part::ALL`], in that order.
    ports: Vec<Port>,
    /// Where etcd would listen for others of its kind.
    peer: Port,
}

impl Plan {
    pub(crate) fn new(folder: &Path, parts: Parts) -> Result<Self> {
        let ports = Part::ALL.iter().map(|_| Port::take()).collect::<Result<_>>()?;
        Ok(Self { folder: folder.to_owned(), parts, ports, peer: Port::take()? })
    }

    pub(crate) fn parts(&self) -> Parts {
        self.parts
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn port(&self, part: Part) -> u16 {
        self.ports[part as usize].number()
    }

    /// Where etcd takes what is asked of it.
    pub(crate) fn etcd(&self) -> String {
        format!("http://127.0.0.1:{}", self.port(Part::Etcd))
    }

    /// Where etcd would be found by others of its kind.
    pub(crate) fn peer(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer.number())
    }

    /// Where the API server listens.
    pub(crate) fn api(&self) -> String {
        format!("https://127.0.0.1:{}", self.port(Part::Api))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A flag whose value is a file or folder of the cluster.
    pub(crate) fn flag(&self, flag: &str, name: &str) -> String {
        format!("--{flag}={}", self.file(name).display())
    }
}
