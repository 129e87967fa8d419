//! Programs that are built together from one Go module, kept by what they are built of.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

/// Programs of one module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// etcd and the API server, with the parts of the control plane that make rollouts.
    Kubernetes,
    /// kubectl, which people use beside Tripline.
    Kubectl,
    /// kwok, which plays nodes.
    Kwok,
    /// The stand-in kubelet, of our own.
    Kubelet,
    /// A collector of OpenTelemetry.
    Collector,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 5] =
        [Self::Kubernetes, Self::Kubectl, Self::Kwok, Self::Kubelet, Self::Collector];

    /// Its folder below `lab/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Kubectl => "kubectl",
            Self::Kwok => "kwok",
            Self::Kubelet => "kubelet",
            Self::Collector => "collector",
        }
    }

    /// What is built: each program's name and its package.
    fn packages(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Kubernetes => &[
                ("etcd", "go.etcd.io/etcd/server/v3"),
                ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
                ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
                ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
            ],
            Self::Kubectl => &[("kubectl", "k8s.io/kubernetes/cmd/kubectl")],
            Self::Kwok => &[("kwok", "sigs.k8s.io/kwok/cmd/kwok")],
            Self::Kubelet => &[("kubelet", ".")],
            Self::Collector => &[("collector", ".")],
        }
    }

    /// The program of this name, or what to do to have it.
    pub fn program(self, name: &str) -> Result<PathBuf> {
        let program = self.folder()?.join(name);
        ensure!(
            program.is_file(),
            "the lab's `{name}` is not built: run `make lab`, or leave the tests that need it out \
             with `make test LAB=0`"
        );
        Ok(program)
    }

    /// Where its programs lie once they are built: by the hash of all that they are built of.
    pub fn folder(self) -> Result<PathBuf> {
        let mut hash = Sha256::new_with_prefix(self.linker_flags()?);
        for path in self.sources()? {
            hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            hash.update(fs::read(&path)?);
        }
        let hash: String =
            hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Ok(cache()?.join(format!("{}-{hash}", self.name())))
    }

    /// Builds what is missing; `say` is told of each program before it is built. Others that build
    /// the same are waited for.
    pub fn build(self, mut say: impl FnMut(&str)) -> Result<()> {
        let folder = self.folder()?;
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let lock = File::create(folder.join(".lock"))?;
        let _held = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
        for (name, package) in self.packages() {
            if !folder.join(name).is_file() {
                say(name);
                self.build_one(name, package, &folder)?;
            }
        }
        Ok(())
    }

    fn build_one(self, name: &str, package: &str, folder: &Path) -> Result<()> {
        let fresh = folder.join(format!(".{name}"));
        let mut go = Command::new("go");
        go.args(["build", "-trimpath", "-mod=readonly", "-ldflags", &self.linker_flags()?, "-o"]);
        go.arg(&fresh).arg(package).current_dir(self.module());
        go.env("CGO_ENABLED", "0").env("GOWORK", "off");
        match go.status() {
            Ok(status) if status.success() => Ok(fs::rename(fresh, folder.join(name))?),
            Ok(status) => bail!("`go build {package}` in lab/{}: {status}", self.name()),
            Err(error) if error.kind() == ErrorKind::NotFound => bail!(
                "Go is not installed, and the lab's `{name}` is built with it: install Go 1.25 or \
                 newer (https://go.dev/dl), or leave the tests that need the lab out with \
                 `make test LAB=0`"
            ),
            Err(error) => Err(error).context("cannot run `go`"),
        }
    }

    fn module(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(self.name())
    }

    /// The files of its module, sorted.
    fn sources(self) -> Result<Vec<PathBuf>> {
        let entries =
            fs::read_dir(self.module()).with_context(|| format!("lab/{}", self.name()))?;
        let paths = entries.map(|entry| Ok(entry?.path()));
        let mut paths = paths.collect::<Result<Vec<PathBuf>>>()?;
        paths.retain(|path| {
            path.extension().is_some_and(|kind| ["go", "mod", "sum"].iter().any(|k| kind == *k))
        });
        paths.sort();
        Ok(paths)
    }

    /// The version of this module in `go.mod`, without its `v`.
    fn version(self, module: &str) -> Result<String> {
        let path = self.module().join("go.mod");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut required = words.filter(|words| words.first() == Some(&module));
        let version = required.find_map(|words| words.get(1)?.strip_prefix('v').map(str::to_owned));
        version.with_context(|| format!("{}: no version of {module}", path.display()))
    }

    fn linker_flags(self) -> Result<String> {
        let mut flags = "-s -w".to_owned();
        if matches!(self, Self::Kubernetes | Self::Kubectl) {
            flags.extend(version_flags(&self.version("k8s.io/kubernetes")?));
        }
        Ok(flags)
    }
}

/// Without a version in it, clients cannot read what the API server says of itself.
fn version_flags(version: &str) -> impl Iterator<Item = String> {
    let mut numbers = version.split('.').map(str::to_owned);
    let (major, minor) = (numbers.next(), numbers.next());
    let values = [
        ("gitVersion", format!("v{version}")),
        ("gitMajor", major.unwrap_or_default()),
        ("gitMinor", minor.unwrap_or_default()),
        ("gitTreeState", "clean".to_owned()),
        ("gitCommit", "0".repeat(40)),
        ("buildDate", "1970-01-01T00:00:00Z".to_owned()),
    ];
    let flag = |(name, value)| format!(" -X k8s.io/component-base/version.{name}={value}");
    values.into_iter().map(flag)
}

/// `TRIPLINE_LAB`, else `tripline-lab` in the user's cache.
pub(crate) fn cache() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = variable("TRIPLINE_LAB") {
        return Ok(folder.into());
    }
    let caches = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || variable("HOME").map(|home| Path::new(&home).join(".cache"));
    let caches = caches.or_else(home).context("neither TRIPLINE_LAB nor HOME is set")?;
    Ok(caches.join("tripline-lab"))
}
