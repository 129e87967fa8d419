//! How to get into a cluster. Credentials are read when a session begins, and never shown.

use std::error::Error;
use std::io::ErrorKind::NotFound;

use base64::Engine;
use kube::config::{AuthInfo, ExecInteractiveMode, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use model::ErrorKind;
use serde_json::json;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Failure, PATIENCE};
use crate::http;
use crate::secret::{Lookup, SecretRef};

/// Longest time to connect.
const CONNECT: std::time::Duration = std::time::Duration::from_secs(10);

/// How to get into a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// As the server itself does: by its kubeconfig (`KUBECONFIG`, else `~/.kube/config`), else as the
    /// service account of the pod that it runs in.
    Own {
        /// The context of the kubeconfig, where not its current one.
        context: Option<String>,
    },
    /// By a kubeconfig.
    Kubeconfig {
        /// The kubeconfig, whole.
        kubeconfig: SecretRef,
        /// Its context, where not its current one.
        context: Option<String>,
    },
    /// With a token.
    Server {
        /// The address of the API.
        server: String,
        /// The token.
        token: SecretRef,
        /// Who signs the API's certificate, as PEM; else who the system trusts.
        ca: Option<SecretRef>,
    },
}

impl Access {
    pub(super) async fn connect(&self, lookup: &Lookup) -> Result<Client, Failure> {
        http::install_tls_provider();
        let mut config = self.config(lookup).await?;
        config.connect_timeout = Some(CONNECT);
        // Who asks decides what may be sent twice.
        config.default_retry = false;
        if let Some(program) = &mut config.auth_info.exec {
            // Nobody sits there, and what it says of credentials is not for our log.
            program.interactive_mode = Some(ExecInteractiveMode::Never);
        }
        client(config).await
    }

    /// Where its credentials are renewed.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Own { .. } => "the server's kubeconfig or its pod's service account".to_owned(),
            Self::Kubeconfig { kubeconfig: secret, .. } | Self::Server { token: secret, .. } => {
                secret.to_string()
            }
        }
    }

    async fn config(&self, lookup: &Lookup) -> Result<Config, Failure> {
        match self {
            Self::Own { context: None } => Config::infer().await.map_err(|error| {
                closed(error.source().and_then(|source| source.downcast_ref::<KubeconfigError>()))
            }),
            Self::Own { context } => Config::from_kubeconfig(&options(context.as_deref()))
                .await
                .map_err(|error| bad(&error)),
            Self::Kubeconfig { kubeconfig, context } => {
                let read = match kubeconfig {
                    // Paths in it are relative to it.
                    SecretRef::File(path) => Kubeconfig::read_from(path),
                    _ => Kubeconfig::from_yaml(&resolve(kubeconfig, lookup)?),
                };
                let read = read.map_err(|error| bad(&error))?;
                let config =
                    Config::from_custom_kubeconfig(read, &options(context.as_deref())).await;
                config.map_err(|error| bad(&error))
            }
            Self::Server { server, token, ca } => {
                let ca = ca.as_ref().map(|ca| resolve(ca, lookup)).transpose()?;
                let read = single(server, ca.as_deref(), &resolve(token, lookup)?)?;
                let config = Config::from_custom_kubeconfig(read, &options(None)).await;
                config.map_err(|error| bad(&error))
            }
        }
    }
}

/// A client, for which a program that the kubeconfig names may have to be waited for.
async fn client(config: Config) -> Result<Client, Failure> {
    let made = timeout(PATIENCE, spawn_blocking(|| Client::try_from(config))).await;
    let late = |_| {
        let within = PATIENCE.as_secs();
        let message =
            format!("the program that the kubeconfig names gave no credentials within {within} s");
        Failure::unsent(ErrorKind::Unauthenticated, message)
    };
    let defect = |_| Failure::unsent(ErrorKind::Internal, "making the client ended unexpectedly");
    made.map_err(late)?.map_err(defect)?.map_err(|error| Failure::of(&error))
}

fn options(context: Option<&str>) -> KubeConfigOptions {
    KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() }
}

fn resolve(reference: &SecretRef, lookup: &Lookup) -> Result<String, Failure> {
    let secret = reference.resolve(lookup);
    let secret = secret.map_err(|why| Failure::unsent(ErrorKind::Unauthenticated, why))?;
    Ok(secret.expose().to_owned())
}

/// A kubeconfig of one server and one token.
fn single(server: &str, ca: Option<&str>, token: &str) -> Result<Kubeconfig, Failure> {
    let ca = ca.map(|pem| base64::engine::general_purpose::STANDARD.encode(pem));
    let read = serde_json::from_value::<Kubeconfig>(json!({
        "current-context": "it",
        "clusters": [{ "name": "it", "cluster": { "server": server, "certificate-authority-data": ca } }],
        "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "it" } }],
        "users": [{ "name": "it", "user": AuthInfo::default() }],
    }));
    let defect = || Failure::unsent(ErrorKind::Internal, "no kubeconfig could be made of it");
    let mut read = read.map_err(|_| defect())?;
    let user = read.auth_infos.first_mut().and_then(|user| user.auth_info.as_mut());
    user.ok_or_else(defect)?.token = Some(token.to_owned().into());
    Ok(read)
}

/// Why there is no way into the server's own cluster; a kubeconfig that is there is meant to be one.
fn closed(kubeconfig: Option<&KubeconfigError>) -> Failure {
    let missing = match kubeconfig {
        Some(KubeconfigError::ReadConfig(error, path)) if error.kind() == NotFound => {
            format!("{} is not there: ", path.display())
        }
        None | Some(KubeconfigError::FindPath) => String::new(),
        Some(broken) => return bad(broken),
    };
    let message = format!(
        "{missing}there is neither a kubeconfig (the variable KUBECONFIG, ~/.kube/config) nor a service account of a pod here: give the server one, or name a `connection` of type kubernetes"
    );
    Failure::unsent(ErrorKind::Unauthenticated, message)
}

/// What is wrong with a kubeconfig, without its text: that holds credentials.
fn bad(error: &KubeconfigError) -> Failure {
    let why = match error {
        KubeconfigError::Parse(_) => "it is not the YAML of a kubeconfig".to_owned(),
        KubeconfigError::LoadContext(name) => format!("it has no context `{name}`"),
        KubeconfigError::CurrentContextNotSet => {
            "it has no current context: name one with `context`".to_owned()
        }
        KubeconfigError::ReadConfig(error, path) => {
            format!("{} cannot be read: {error}", path.display())
        }
        other => http::chain(other),
    };
    Failure::unsent(ErrorKind::Unauthenticated, format!("the kubeconfig: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_that_is_broken_is_not_called_missing() {
        let told = |error: &KubeconfigError| closed(Some(error)).message;
        let read = |kind| KubeconfigError::ReadConfig(std::io::Error::from(kind), "/x/y".into());
        assert!(told(&read(NotFound)).starts_with("/x/y is not there: there is neither"));
        assert!(told(&KubeconfigError::FindPath).starts_with("there is neither"));
        let denied = told(&read(std::io::ErrorKind::PermissionDenied));
        assert!(denied.starts_with("the kubeconfig: /x/y cannot be read"), "{denied}");
        let context = told(&KubeconfigError::LoadContext("prod".to_owned()));
        assert_eq!(context, "the kubeconfig: it has no context `prod`");
    }
}
