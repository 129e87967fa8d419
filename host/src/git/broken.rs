//! Refs that the remote names and cannot hand over, found by halves: they keep no other ref back.

use std::collections::BTreeMap;

use super::{GitError, RefPattern, Repository};

/// A ref that the remote names and cannot hand over. The mirror has it as it last was whole, or
/// not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenRef {
    /// Its full name.
    pub name: String,
    /// What git said.
    pub message: String,
}

/// With more, it is the repository that is broken: each costs a few fetches to be found.
const MOST: usize = 16;

impl Repository {
    /// Brings what fits `patterns` up to date as far as the remote can hand it over.
    pub(super) async fn fetch_apart(
        &self,
        patterns: &[RefPattern],
    ) -> Result<Vec<BrokenRef>, GitError> {
        let meant = |name: &str| patterns.iter().any(|pattern| pattern.matches(name));
        let (there, here) = (self.refs_there().await?, self.refs_here().await?);
        let gone = here.keys().filter(|name| meant(name) && !there.contains_key(*name));
        self.remove(gone).await?;
        let moved = there.iter().filter(|(name, at)| meant(name) && here.get(*name) != Some(at));
        let moved: Vec<&str> = moved.map(|(name, _)| name.as_str()).collect();
        let (mut broken, mut left) = (Vec::new(), vec![&moved[..]]);
        while let Some(refs) = left.pop() {
            match self.fetch_refs(refs).await {
                Ok(()) => {}
                Err(GitError::Damaged { message, .. }) if refs.len() == 1 => {
                    broken.push(BrokenRef { name: refs[0].to_owned(), message });
                }
                Err(GitError::Damaged { .. }) if broken.len() < MOST => {
                    let (first, second) = refs.split_at(refs.len() / 2);
                    left.extend([second, first]);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(broken)
    }

    async fn fetch_refs(&self, refs: &[&str]) -> Result<(), GitError> {
        if refs.is_empty() {
            return Ok(());
        }
        self.fetch_specs(refs.iter().map(|name| format!("+{name}:{name}")).collect()).await
    }

    /// Every ref of the remote and the object it names.
    async fn refs_there(&self) -> Result<BTreeMap<String, String>, GitError> {
        let run = self.asking("ls-remote").await?;
        let output = run.args(["--quiet", "--refs", "--", self.remote().url()]).output().await?;
        match output.code {
            Some(0) => Ok(read(&output.stdout, '\t')),
            _ => Err(GitError::of_fetch(self.remote(), &output.stderr)),
        }
    }

    /// Every ref of the mirror and the object it names.
    async fn refs_here(&self) -> Result<BTreeMap<String, String>, GitError> {
        let format = "--format=%(objectname) %(refname)";
        Ok(read(&self.run("for-each-ref").args([format]).stdout().await?, ' '))
    }

    async fn remove(&self, refs: impl Iterator<Item = &String>) -> Result<(), GitError> {
        let commands: String = refs.map(|name| format!("delete {name}\n")).collect();
        let run = self.run("update-ref").args(["--stdin", "--no-deref"]);
        run.input(commands.as_bytes())?.stdout().await.map(drop)
    }
}

/// Lines of `object<between>ref`.
fn read(bytes: &[u8], between: char) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().filter_map(|line| line.split_once(between));
    lines.map(|(object, name)| (name.to_owned(), object.to_owned())).collect()
}
