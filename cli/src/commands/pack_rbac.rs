//! `tripline pack rbac`: the rights that packs need of a Kubernetes cluster, as manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use engine::packs::rbac::{self, Kind, Wanted};
use host::kubernetes::{Access, Cluster, Defined, Naming, REQUESTS_PER_SECOND};
use host::rate::Limiter;
use host::secret::{Lookup, SecretRef};
use model::Value;

use super::ask;
use crate::config::{Config, Flags};
use crate::failure::{Exit, Failure, Outcome};
use crate::input;
use crate::output::{self, Format};

const EXAMPLES: &str = "\
Examples:
  tripline pack rbac packs/web                              what one pack needs, to be read
  tripline pack rbac --all | kubectl apply -f -             what all packs need, given
  tripline pack rbac packs/web --in shop --in blog          objects whose namespace no file tells
  tripline pack rbac builtin:deploy --kind apps/v1/Deployment   a kind that only a run tells
  tripline pack rbac packs/databases --crd crds/mysqldb.yaml    a kind of your own
  tripline pack rbac packs/web --connection staging         the cluster of a connection

Rights are read from the files: what rules watch, and what chains, and those they run, ask of the
cluster. Least rights: by namespace and by name where a file says them. A line `# NOTE` says what no
file tells and what to add.";

/// Which packs, and for whom.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A pack's folder, one whose sub-folders are packs, or `builtin:NAME`
    #[arg(value_name = "PATH", required_unless_present = "all")]
    paths: Vec<PathBuf>,
    /// All packs of the settings here (tripline.yaml, else ./packs)
    #[arg(long, conflicts_with = "paths")]
    all: bool,
    /// More packs whose chains these run
    #[arg(long, value_name = "DIR")]
    packs: Vec<PathBuf>,
    /// The namespace of the service account
    #[arg(long, value_name = "NAME", default_value = "tripline", value_parser = label)]
    namespace: String,
    /// The service account that gets the rights
    #[arg(long, value_name = "NAME", default_value = "tripline", value_parser = label)]
    service_account: String,
    /// The connection of whose cluster it is [default: the server's own cluster]
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    /// A namespace of objects whose namespace no file tells; may be given more than once
    #[arg(long = "in", value_name = "NAMESPACE", value_parser = label)]
    inside: Vec<String>,
    /// A kind of objects whose kind no file tells, such as apps/v1/Deployment; may be given more than
    /// once
    #[arg(long = "kind", value_name = "KIND", value_parser = kind)]
    kinds: Vec<Kind>,
    /// A file with CustomResourceDefinitions: how custom kinds are called; may be given more than once
    #[arg(long, value_name = "FILE")]
    crd: Vec<PathBuf>,
    /// Ask the cluster of this kubeconfig how custom kinds are called
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME", requires = "kubeconfig")]
    context: Option<String>,
    /// How to print it: yaml or json
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "yaml")]
    #[arg(hide_possible_values = true)]
    format: Printed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Printed {
    Yaml,
    Json,
}

/// A name in a cluster (RFC 1123).
fn label(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let edge = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
    let bytes = text.as_bytes();
    if text.len() < 64
        && bytes.iter().all(|b| fits(*b))
        && edge(bytes.first())
        && edge(bytes.last())
    {
        return Ok(text.to_owned());
    }
    Err("expected at most 63 of a-z, 0-9 and -, with none of the latter at its ends".to_owned())
}

fn kind(text: &str) -> Result<Kind, String> {
    match text.rsplit_once('/') {
        Some((version, kind)) if !version.is_empty() && !kind.is_empty() => {
            Ok((version.to_owned(), kind.to_owned()))
        }
        _ => {
            Err("expected API_VERSION/KIND, such as v1/ConfigMap or apps/v1/Deployment".to_owned())
        }
    }
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let paths =
            if self.all { Config::load(&Flags::default())?.packs } else { self.paths.clone() };
        let wanted = self.wanted();
        let needs = rbac::needs(&paths, &self.packs, &wanted);
        let needs = needs.map_err(|findings| Failure::findings(Exit::Failed, findings))?;
        if needs.is_empty() {
            let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            let failure = Failure::usage(format!("there is no pack in {}", shown.join(", ")));
            return Err(failure.with_hint("a pack is a folder with a pack.yaml"));
        }
        let custom = self.custom(rbac::custom_kinds(&needs))?;
        let manifests = rbac::manifests(&needs, &custom, &wanted);
        match self.format {
            Printed::Yaml => {
                let names: Vec<String> =
                    needs.iter().map(|one| format!("`{}`", one.pack)).collect();
                output::say(&manifests.yaml(&names.join(", ")))?;
            }
            Printed::Json => {
                for note in &manifests.notes {
                    output::warn(&note.to_string());
                }
                output::value(Format::Json, &manifests.list())?;
            }
        }
        Ok(Exit::Done)
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            account: self.service_account.clone(),
            namespace: self.namespace.clone(),
            connection: self.connection.clone(),
            inside: self.inside.clone(),
            kinds: self.kinds.clone(),
        }
    }

    /// How the kinds are called that are not Kubernetes' own.
    fn custom(&self, kinds: BTreeSet<Kind>) -> Result<BTreeMap<Kind, Naming>, Failure> {
        let mut defined = Vec::new();
        for file in &self.crd {
            defined.extend(definitions(file)?);
        }
        let of = |kind: &Kind| defined.iter().find(|one: &&Defined| one.is(&kind.0, &kind.1));
        let mut named = BTreeMap::new();
        let mut unknown = Vec::new();
        for kind in kinds {
            match of(&kind) {
                Some(found) => drop(named.insert(kind, found.naming.clone())),
                None => unknown.push(kind),
            }
        }
        let cluster = self.kubeconfig.as_deref().map(|file| self.cluster(file));
        match cluster.filter(|_| !unknown.is_empty()) {
            Some(cluster) => named.extend(discovered(&cluster, unknown)?),
            None => unknown.first().map_or(Ok(()), |kind| Err(unnamed(kind)))?,
        }
        Ok(named)
    }

    fn cluster(&self, file: &Path) -> Cluster {
        let kubeconfig = SecretRef::File(file.to_owned());
        let access = Access::Kubeconfig { kubeconfig, context: self.context.clone() };
        let no_secrets: Lookup = Arc::new(|_| Err("no secrets are opened here".to_owned()));
        Cluster::new("kubeconfig", access, Limiter::per_second(REQUESTS_PER_SECOND), no_secrets)
    }
}

fn unnamed((version, kind): &Kind) -> Failure {
    let message =
        format!("`{kind}` of `{version}` is a custom kind: how rights call it is not known");
    Failure::usage(message).with_hint(
        "give the file of its CustomResourceDefinition (--crd FILE), or ask a cluster that has it (--kubeconfig FILE)",
    )
}

fn definitions(file: &Path) -> Result<Vec<Defined>, Failure> {
    let text = input::text(file)?;
    let all: Result<Vec<Value>, _> = serde_saphyr::from_multiple(&text);
    let all = all.map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    let defined: Vec<Defined> = all.iter().filter_map(Defined::read).collect();
    if defined.is_empty() {
        let message = format!("{}: there is no CustomResourceDefinition in it", file.display());
        return Err(Failure::usage(message));
    }
    Ok(defined)
}

fn discovered(cluster: &Cluster, kinds: Vec<Kind>) -> Result<BTreeMap<Kind, Naming>, Failure> {
    let mut named = BTreeMap::new();
    let asking = async {
        for kind in kinds {
            let found = cluster.resource(&kind.0, &kind.1).await.map_err(|failure| {
                Failure::new(Exit::Failed, failure.kind.as_str(), failure.message)
            })?;
            named.insert(kind, found.naming());
        }
        Ok(Exit::Done)
    };
    ask(asking).map(|_| ())?;
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_kinds_are_read_as_a_cluster_writes_them() {
        for (text, fits) in [("a-1", true), ("", false), ("-a", false), ("a-", false), ("A", false)]
        {
            assert_eq!(label(text).is_ok(), fits, "{text}");
        }
        assert_eq!(kind("apps/v1/Deployment").unwrap(), ("apps/v1".into(), "Deployment".into()));
        assert_eq!(kind("v1/Pod").unwrap(), ("v1".into(), "Pod".into()));
        assert!(kind("Pod").is_err() && kind("v1/").is_err());
    }
}
