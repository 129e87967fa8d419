//! The parameters of the git sensor.

use std::sync::Arc;

use host::connection::{Connection, NoConnection};
use host::git::{BadUrl, Credentials, Git, RefPattern, Remote};
use host::guard::HostPattern;
use model::{Duration, Hash, Map, Value};
use tokio::sync::Notify;

use super::{GitSensor, Initial};
use crate::build::fit;
use crate::fields::{optional, parsed, text};
use crate::secret::{self, Secret, SecretRef};
use crate::{BuildContext, BuildError};

/// A git sensor's parameters.
#[derive(Debug, Clone)]
pub struct GitConfig {
    /// Absent only where the connection's own is meant.
    url: Option<String>,
    connection: Option<String>,
    refs: Vec<RefPattern>,
    every: Duration,
    credentials: Option<SecretRef>,
    initial: Initial,
    shared_with: Vec<String>,
}

impl GitConfig {
    /// Reads parameters that fit their schema.
    pub(crate) fn read(parameters: &Map) -> Result<Self, Vec<BuildError>> {
        let refs = read_refs(parameters)?;
        Self::rest(parameters, refs).map_err(|error| vec![error])
    }

    fn rest(parameters: &Map, refs: Vec<RefPattern>) -> Result<Self, BuildError> {
        let every: Duration = parsed(parameters, "every")?;
        if every < Duration::from_secs(1) {
            let message = format!("`every: {every}` is too often: at least 1s is expected");
            return Err(BuildError::at("every", message));
        }
        let credentials = parameters.get("credentials");
        let credentials = credentials.map(|value| secret::read("credentials", value));
        let initial = match text(parameters, "initial")? {
            "emit" => Initial::Emit,
            _ => Initial::Skip,
        };
        let connection = optional(parameters, "connection")?;
        let url = if connection.is_some() {
            optional(parameters, "url")?
        } else {
            let hint = "name the repository, or a `connection` that does";
            Some(text(parameters, "url").map_err(|error| error.with_hint(hint))?.to_owned())
        };
        if connection.is_some() && credentials.is_some() {
            let message = "a connection brings its own credentials";
            return Err(BuildError::at("credentials", message).with_hint("remove one of the two"));
        }
        let credentials = credentials.transpose()?;
        let shared = parameters.get("shared_with").and_then(Value::as_array).into_iter().flatten();
        let shared_with = shared.filter_map(|pack| pack.as_str().map(ToOwned::to_owned)).collect();
        Ok(Self { url, connection, refs, every, credentials, initial, shared_with })
    }

    /// What is wrong with the URL, as far as that can be told without its credentials.
    pub(crate) fn check(&self, git: &Git) -> Result<(), BuildError> {
        let (Some(url), None) = (&self.url, &self.connection) else { return Ok(()) };
        git.remote(url, Credentials::None).map(drop).map_err(|error| at_fault(&error))
    }

    /// Why a pack that asks for these hosts may not reach the URL, as far as that can be told without
    /// looking up its name.
    pub(crate) fn beyond(&self, git: &Git, hosts: &[HostPattern]) -> Option<BuildError> {
        let url = self.url.as_ref().filter(|_| self.connection.is_none())?;
        let remote = git.remote(url, Credentials::None).ok()?;
        self.held(remote, hosts).err()
    }

    pub(crate) fn build(self, context: &BuildContext) -> Result<GitSensor, BuildError> {
        let connection = self.connection(context)?;
        let remote = match &connection {
            Some(connection) => self.connected(connection, context)?,
            None => self.remote(context)?,
        };
        let folder = context.mirrors_folder.join(self.folder_name(&remote, context));
        let repository = context.git.repository(folder, remote).reached_by(connection);
        if let Some(sensor) = &context.sensor {
            context.mirrors.register(sensor.clone(), repository.clone(), self.shared_with);
        }
        let kind = "git.push".parse();
        Ok(GitSensor {
            repository,
            patterns: self.refs,
            every: self.every,
            initial: self.initial,
            kind: kind.map_err(|error| BuildError::at("", format!("{error}")))?,
            poked: Notify::new(),
        })
    }

    fn connection(&self, context: &BuildContext) -> Result<Option<Arc<Connection>>, BuildError> {
        let pack = context.sensor.as_ref().map(|sensor| &sensor.pack);
        let found = self.connection.as_ref().map(|name| context.connections.of(name, pack));
        found.transpose().map_err(|error| BuildError::at("connection", error.to_string()))
    }

    /// The repository by its connection's URL and credentials.
    fn connected(
        &self,
        connection: &Connection,
        context: &BuildContext,
    ) -> Result<Remote, BuildError> {
        let wrong = |error: NoConnection| BuildError::at("connection", error.to_string());
        let url = connection.repository(self.url.as_deref()).map_err(wrong)?;
        let credentials = match &connection.spec.credentials {
            // ssh reads its key from the file itself.
            Some(SecretRef::File(key)) if is_ssh(&url) => Credentials::Key(key.clone()),
            _ => {
                let secret = context.connections.credentials(connection).map_err(wrong)?;
                secret.map_or(Credentials::None, |secret| given(&url, &secret))
            }
        };
        context.git.remote(&url, credentials).map_err(|error| at_fault(&error))
    }

    fn remote(&self, context: &BuildContext) -> Result<Remote, BuildError> {
        let written = self.url.as_deref().unwrap_or_default();
        // A relative path starts from the context's folder, whatever the server's own is.
        let is_path = !written.contains(':') && !written.starts_with('-');
        let url = match written {
            path if is_path => context.folder.join(path).to_string_lossy().into_owned(),
            url => url.to_owned(),
        };
        let credentials = match &self.credentials {
            None => Credentials::None,
            Some(file @ SecretRef::File(key)) if is_ssh(&url) => {
                secret::permit(file, "credentials", context)?;
                Credentials::Key(context.folder.join(key))
            }
            Some(reference) => given(&url, &secret::resolve(reference, "credentials", context)?),
        };
        let remote = context.git.remote(&url, credentials).map_err(|error| at_fault(&error))?;
        match &context.hosts {
            None => Ok(remote),
            Some(hosts) => self.granted(remote, hosts, &context.asked_hosts),
        }
    }

    /// The same, where the environment grants the pack these hosts of those that it `asked` for.
    fn granted(
        &self,
        remote: Remote,
        hosts: &[HostPattern],
        asked: &[HostPattern],
    ) -> Result<Remote, BuildError> {
        self.held(remote.clone(), hosts).map_err(|refused| match self.held(remote, asked) {
            Ok(_) => BuildError::at("url", "the environment does not let the pack reach it")
                .with_hint("grant it in `packs.<pack>.permissions.hosts` of the environment"),
            Err(_) => refused,
        })
    }

    /// What lies outside of the secret store may be another's than the pack's: it goes only to hosts
    /// that the pack asks for.
    fn held(&self, remote: Remote, hosts: &[HostPattern]) -> Result<Remote, BuildError> {
        let outside = |reference: &SecretRef| {
            !matches!(reference, SecretRef::Stored(_)) && reference.entry().is_some()
        };
        let listed = self.credentials.as_ref().is_some_and(outside);
        remote.held(hosts, listed).map_err(|blocked| {
            let hint = match blocked.entry() {
                Ok(host) => format!(
                    "add `{host}` to `permissions.hosts` in its pack.yaml, or use a `connection`"
                ),
                Err(why) => why.to_owned(),
            };
            BuildError::at("url", format!("the pack may not reach it: {blocked}")).with_hint(hint)
        })
    }

    /// Sensors share a mirror if they get in the same way: what one may read is not another's.
    fn folder_name(&self, remote: &Remote, context: &BuildContext) -> String {
        let credentials = self.credentials.as_ref().map(|reference| match &context.sensor {
            // Another pack's file of this name is another one.
            Some(sensor) if reference.entry().is_none() => {
                format!("{reference} of {}", sensor.pack)
            }
            _ => reference.to_string(),
        });
        let connection = self.connection.as_ref().map(|name| format!("the connection {name}"));
        let access = credentials.or(connection).unwrap_or_default();
        let parts = [("url", remote.repository()), ("credentials", access.as_str())];
        let hash = Hash::of_parts(parts.map(|(name, text)| (name, text.as_bytes())));
        hash.to_string()[..32].to_owned()
    }
}

/// Makes a git sensor of what a user wrote, for a caller that looks by itself
/// ([`GitSensor::poll_once`]) instead of running it.
pub fn build(parameters: &Map, context: &BuildContext) -> Result<GitSensor, Vec<BuildError>> {
    let config = GitConfig::read(&fit("git", parameters)?)?;
    config.build(context).map_err(|error| vec![error])
}

/// Whether ssh reaches the repository, or nothing that takes a password.
fn is_ssh(url: &str) -> bool {
    !url.starts_with("https:")
}

/// What `secret` is to the repository at `url`.
fn given(url: &str, secret: &Secret) -> Credentials {
    let value = secret.expose().to_owned();
    if is_ssh(url) { Credentials::PrivateKey(value) } else { Credentials::Password(value) }
}

fn at_fault(error: &BadUrl) -> BuildError {
    let message = error.to_string();
    match error {
        BadUrl::Credentials(_) => BuildError::at("credentials", message),
        BadUrl::Password => BuildError::at("url", message)
            .with_hint("take it out, and write `credentials: { env: NAME }`")
            .private(),
        _ => BuildError::at("url", message),
    }
}

fn read_refs(parameters: &Map) -> Result<Vec<RefPattern>, Vec<BuildError>> {
    let list = parameters.get("refs").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (i, value) in list.iter().enumerate() {
        match value.as_str().unwrap_or_default().parse() {
            Ok(pattern) => good.push(pattern),
            Err(error) => bad.push(BuildError::at(&format!("refs.{i}"), format!("{error}"))),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(bad) }
}
