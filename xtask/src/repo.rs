//! The repository as the chores see it: its files, its crates, what they are built from.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The repository.
pub(crate) struct Repo {
    /// Its top folder.
    pub(crate) root: PathBuf,
    /// What git holds or would take in, relative to the top folder.
    pub(crate) files: Vec<String>,
    /// The crates of the workspace.
    pub(crate) crates: Vec<Crate>,
    /// Every crate that is built for this machine, the workspace's own included.
    pub(crate) tree: Vec<Built>,
}

/// A crate of the workspace.
pub(crate) struct Crate {
    /// Its name without `tripline-`.
    pub(crate) name: String,
    /// Its folder, relative to the top folder.
    pub(crate) folder: String,
    /// The dependencies its manifest names.
    pub(crate) dependencies: Vec<Dependency>,
}

/// A line of a manifest's dependencies.
pub(crate) struct Dependency {
    /// The package's name; for crates of the workspace without `tripline-`.
    pub(crate) name: String,
    /// Whether it is a crate of the workspace.
    pub(crate) ours: bool,
    /// Whether only tests and benches see it.
    pub(crate) dev: bool,
}

/// A crate that is built.
pub(crate) struct Built {
    /// The package's name.
    pub(crate) name: String,
    /// The licence expression it declares, empty where it declares none.
    pub(crate) licence: String,
}

impl Repo {
    /// Asks git and cargo.
    pub(crate) fn open() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has a parent")?;
        Ok(Self {
            root: root.to_owned(),
            files: files(root)?,
            crates: crates(root)?,
            tree: tree(root)?,
        })
    }

    /// The text of a file, or `None` where it is gone or no text.
    pub(crate) fn text(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.root.join(file)).ok()
    }

    /// The text files whose names end so, with their text.
    pub(crate) fn texts<'a>(&'a self, ends: &'a str) -> impl Iterator<Item = (&'a str, String)> {
        let files = self.files.iter().filter(move |file| file.ends_with(ends));
        files.filter_map(|file| Some((file.as_str(), self.text(file)?)))
    }
}

fn files(root: &Path) -> Result<Vec<String>> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listing = ask(root, "git", arguments).context("the files come from git: use a clone")?;
    Ok(listing.split_terminator('\0').map(ToOwned::to_owned).collect())
}

fn crates(root: &Path) -> Result<Vec<Crate>> {
    let arguments = ["metadata", "--no-deps", "--locked", "--format-version", "1"];
    let metadata: Value = serde_json::from_str(&ask(root, cargo(), arguments)?)?;
    let packages = metadata["packages"].as_array().context("`cargo metadata` names no packages")?;
    packages.iter().map(|package| Crate::read(root, package)).collect()
}

impl Crate {
    fn read(root: &Path, package: &Value) -> Result<Self> {
        let name = package["name"].as_str().context("a package has no name")?;
        let manifest = package["manifest_path"].as_str().context("a package has no manifest")?;
        let folder = Path::new(manifest).parent().and_then(|folder| folder.strip_prefix(root).ok());
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        Ok(Self {
            name: short(name),
            folder: folder.with_context(|| format!("{name} lies elsewhere"))?.display().to_string(),
            dependencies: dependencies.map(Dependency::read).collect(),
        })
    }
}

impl Dependency {
    fn read(line: &Value) -> Self {
        Self {
            name: short(line["name"].as_str().unwrap_or_default()),
            ours: line["path"].is_string(),
            dev: line["kind"] == "dev",
        }
    }
}

fn short(package: &str) -> String {
    package.strip_prefix("tripline-").unwrap_or(package).to_owned()
}

/// `cargo metadata` would also name what optional features of dependencies *could* bring in;
/// `cargo tree` knows what is built.
fn tree(root: &Path) -> Result<Vec<Built>> {
    let arguments = ["tree", "--workspace", "--locked", "--edges", "normal,build,dev"];
    let format = ["--prefix", "none", "--format", "{p}\t{l}"];
    let listing = ask(root, cargo(), arguments.into_iter().chain(format))?;
    let mut tree: Vec<Built> = listing.lines().filter_map(Built::read).collect();
    tree.sort_by(|a, b| a.name.cmp(&b.name));
    tree.dedup_by(|a, b| a.name == b.name && a.licence == b.licence);
    Ok(tree)
}

impl Built {
    /// Reads `name v1.0.0 (where)\tlicence (*)`; the star marks a line that stood before.
    fn read(line: &str) -> Option<Self> {
        let (package, licence) = line.split_once('\t')?;
        let name = package.split(' ').next()?.to_owned();
        let licence = licence.trim_end_matches("(*)").trim().to_owned();
        Some(Self { name, licence })
    }
}

/// The cargo that runs this chore.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

fn ask<S: AsRef<OsStr>>(
    folder: &Path,
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = S>,
) -> Result<String> {
    let name = program.as_ref().display().to_string();
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!("{name} failed: {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{name} did not write UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_tree_gives_name_and_licence() {
        for (line, name, licence) in [
            ("serde v1.0.229\tMIT OR Apache-2.0", "serde", "MIT OR Apache-2.0"),
            ("ring v0.17.14\tISC (*)", "ring", "ISC"),
            ("tripline-model v0.1.0 (model)\t", "tripline-model", ""),
        ] {
            let built = Built::read(line).unwrap();
            assert_eq!((built.name.as_str(), built.licence.as_str()), (name, licence));
        }
        assert!(Built::read("").is_none());
    }
}
