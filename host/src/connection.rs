//! Connections: named, configured access to outside systems, with credentials and a rate limit.
//!
//! Sensors and actions look them up here by name when they need one. A connection that an
//! environment leaves as it was keeps its limiter, whatever else is reloaded.

mod path;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use model::diagnostic::instead;
use model::{PackName, wildcard};
use reqwest::Url;

use crate::kubernetes::{Access, Cluster, Observer, REQUESTS_PER_SECOND};
use crate::rate::Limiter;
use crate::secret::{Lookup, Secret, SecretRef};

/// What the server's own cluster is called: the connection that is meant where a trigger or an action
/// on clusters names none. An environment lends it to packs like any other, and may say that it is
/// another cluster.
pub const OWN_CLUSTER: &str = "default";

/// The connection that something built in, a trigger type or an action called `what`, goes by, where
/// its parameters name `named`.
pub fn used<'a>(what: &str, named: Option<&'a str>) -> Option<&'a str> {
    named.or_else(|| what.starts_with("kubernetes.").then_some(OWN_CLUSTER))
}

/// What an environment says of a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionSpec {
    /// Its name.
    pub name: String,
    /// The system it leads to.
    pub target: Target,
    /// How to get in.
    pub credentials: Option<SecretRef>,
    /// How often it may be asked, by all who use it together.
    pub requests_per_second: Option<f64>,
    /// Packs that may use it: names or patterns.
    pub packs: Vec<String>,
    /// Where it is declared, as `file:line`.
    pub at: String,
}

/// The system a connection leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Repositories: this one, or those below it.
    Git {
        /// The repository, or what the URLs of all begin with.
        url: String,
    },
    /// An HTTP API.
    Http {
        /// What the URLs of all requests begin with; its path ends with `/`.
        base_url: Url,
        /// How the credentials are sent.
        auth: Auth,
    },
    /// A cluster. The connection's credentials are a kubeconfig, or a token for `server`.
    Kubernetes {
        /// The address of the API; none: the kubeconfig says it.
        server: Option<String>,
        /// Who signs the certificate of `server`, as PEM; none: who the system trusts.
        ca: Option<SecretRef>,
        /// The context of the kubeconfig, where not its current one.
        context: Option<String>,
        /// How many requests may come at once after a pause.
        burst: Option<u32>,
    },
}

/// How credentials are sent over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer …`.
    Bearer,
    /// `Authorization: Basic …`, of `user:password`.
    Basic,
    /// As the value of this header.
    Header(String),
}

/// A connection that can be used.
#[derive(Debug)]
pub struct Connection {
    /// What the environment says of it.
    pub spec: ConnectionSpec,
    limiter: Option<Limiter>,
    cluster: Option<Arc<Cluster>>,
}

/// Why a connection cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoConnection {
    /// There is none with this name.
    #[error("there is no connection `{name}` in the server's environment: {hint}")]
    Unknown {
        /// The name.
        name: String,
        /// What to do.
        hint: String,
    },
    /// The pack is not among those that may use it.
    #[error("the pack `{pack}` may not use the connection `{name}`: add it to its `packs` ({at})")]
    NotGranted {
        /// The connection.
        name: String,
        /// The pack.
        pack: PackName,
        /// Where it is declared.
        at: String,
    },
    /// The environment says nothing of the server's own cluster.
    #[error(
        "the server's own cluster is lent to no pack: add `{OWN_CLUSTER}: {{ type: kubernetes, packs: [{pack}] }}` to `connections` in the server's environment"
    )]
    NotLent {
        /// The pack.
        pack: PackName,
    },
    /// It leads to another kind of system.
    #[error("the connection `{name}` is of type `{found}`, not `{expected}`")]
    Misfit {
        /// The connection.
        name: String,
        /// Its type.
        found: &'static str,
        /// The type that was needed.
        expected: &'static str,
    },
    /// Its secret is not there.
    #[error("the credentials of the connection `{name}`: {why}")]
    Credentials {
        /// The connection.
        name: String,
        /// Why.
        why: String,
    },
    /// The address does not lie below the connection's own.
    #[error("`{url}` does not lie below {base}, where the connection `{name}` leads")]
    Outside {
        /// The connection.
        name: String,
        /// What was asked for.
        url: String,
        /// The connection's own address.
        base: String,
    },
}

impl Target {
    /// Its type, as files write it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Git { .. } => "git",
            Self::Http { .. } => "http",
            Self::Kubernetes { .. } => "kubernetes",
        }
    }
}

impl ConnectionSpec {
    /// The server's own cluster, lent to nobody.
    fn own_cluster() -> Self {
        Self {
            name: OWN_CLUSTER.to_owned(),
            target: Target::Kubernetes { server: None, ca: None, context: None, burst: None },
            credentials: None,
            requests_per_second: None,
            packs: Vec::new(),
            at: String::new(),
        }
    }

    /// Whether `pack` may use it.
    pub fn admits(&self, pack: &PackName) -> bool {
        self.packs.iter().any(|pattern| wildcard::matches(pattern, pack.as_str()))
    }
}

impl Connection {
    fn new(spec: ConnectionSpec, lookup: &Lookup, observer: &Observer) -> Self {
        let limiter = spec.requests_per_second.map(Limiter::per_second);
        let cluster = cluster(&spec, lookup);
        let cluster = cluster.map(|cluster| Arc::new(cluster.observed(observer.clone())));
        Self { spec, limiter, cluster }
    }

    /// The cluster that it leads to.
    pub fn cluster(&self) -> Result<Arc<Cluster>, NoConnection> {
        self.cluster.clone().ok_or_else(|| self.misfit("kubernetes"))
    }

    /// Waits until it may be asked.
    pub async fn turn(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.turn().await;
        }
    }

    /// The URL of a repository: the connection's own, or one below it.
    pub fn repository(&self, url: Option<&str>) -> Result<String, NoConnection> {
        let Target::Git { url: base } = &self.spec.target else { return Err(self.misfit("git")) };
        let Some(url) = url else { return Ok(base.clone()) };
        let root = format!("{}/", base.trim_end_matches('/'));
        let rest = url.strip_prefix(&root).or_else(|| (url == base.as_str()).then_some(""));
        let relative = rest.unwrap_or(url);
        let strays = relative.contains("://")
            || relative.starts_with(['/', '-'])
            || relative.contains([':', '\\', '?', '#', '@', '%'])
            || path::climbs(relative);
        match relative {
            "" => Ok(base.clone()),
            _ if strays => Err(self.outside(url, base)),
            relative => Ok(format!("{root}{relative}")),
        }
    }

    /// The URL of a request: `url` below the connection's own.
    pub fn request(&self, url: &str) -> Result<Url, NoConnection> {
        let Target::Http { base_url, .. } = &self.spec.target else {
            return Err(self.misfit("http"));
        };
        let outside = || self.outside(url, base_url.as_str());
        let joined = match url.contains("://") {
            true => Url::parse(url).map_err(|_| outside())?,
            false => base_url
                .join(&format!("./{}", url.trim_start_matches('/')))
                .map_err(|_| outside())?,
        };
        let below = joined.origin() == base_url.origin()
            && joined.path().starts_with(base_url.path())
            && !path::climbs(joined.path())
            && joined.username().is_empty()
            && joined.password().is_none();
        if below { Ok(joined) } else { Err(outside()) }
    }

    fn misfit(&self, expected: &'static str) -> NoConnection {
        let (name, found) = (self.spec.name.clone(), self.spec.target.kind());
        NoConnection::Misfit { name, found, expected }
    }

    fn outside(&self, url: &str, base: &str) -> NoConnection {
        let (name, url, base) = (self.spec.name.clone(), url.to_owned(), base.to_owned());
        NoConnection::Outside { name, url, base }
    }
}

fn cluster(spec: &ConnectionSpec, lookup: &Lookup) -> Option<Cluster> {
    let Target::Kubernetes { server, ca, context, burst } = &spec.target else { return None };
    let access = match (&spec.credentials, server) {
        (Some(token), Some(server)) => {
            Access::Server { server: server.clone(), token: token.clone(), ca: ca.clone() }
        }
        (Some(kubeconfig), None) => {
            Access::Kubeconfig { kubeconfig: kubeconfig.clone(), context: context.clone() }
        }
        (None, _) => Access::Own { context: context.clone() },
    };
    let limiter = per_cluster(spec.requests_per_second, *burst);
    Some(Cluster::new(&spec.name, access, limiter, lookup.clone()))
}

fn per_cluster(rate: Option<f64>, burst: Option<u32>) -> Limiter {
    let rate = rate.unwrap_or(REQUESTS_PER_SECOND);
    let twice = (rate * 2.0).clamp(1.0, 100_000.0) as u32;
    Limiter::with_burst(rate, burst.unwrap_or(twice))
}

/// The connections there are. Clones are the same registry.
#[derive(Clone)]
pub struct Connections {
    all: Arc<RwLock<BTreeMap<String, Arc<Connection>>>>,
    /// The cluster that the server itself gets into, where the environment says nothing of it.
    own: Arc<Connection>,
    lookup: Lookup,
    observer: Observer,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connections").field(&self.all).finish()
    }
}

/// None, and no secret store.
impl Default for Connections {
    fn default() -> Self {
        Self::new(Arc::new(|path| {
            Err(format!("there is no secret store here, and so no secret `{path}`"))
        }))
    }
}

impl Connections {
    /// No connections yet; their stored secrets are found by `lookup`.
    pub fn new(lookup: Lookup) -> Self {
        Self::observed(lookup, Observer::default())
    }

    /// The same; `observer` is told of the requests to clusters.
    pub fn observed(lookup: Lookup, observer: Observer) -> Self {
        let own = Arc::new(Connection::new(ConnectionSpec::own_cluster(), &lookup, &observer));
        Self { all: Arc::default(), own, lookup, observer }
    }

    /// The cluster of the connection `name` for `pack`; without a name, the server's own.
    pub fn cluster(
        &self,
        name: Option<&str>,
        pack: Option<&PackName>,
    ) -> Result<Arc<Cluster>, NoConnection> {
        self.of(name.unwrap_or(OWN_CLUSTER), pack)?.cluster()
    }

    /// These are the connections from now on.
    pub fn set(&self, specs: impl IntoIterator<Item = ConnectionSpec>) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let next = specs.into_iter().map(|spec| {
            let kept = all.get(&spec.name).filter(|old| old.spec == spec).cloned();
            (
                spec.name.clone(),
                kept.unwrap_or_else(|| {
                    Arc::new(Connection::new(spec, &self.lookup, &self.observer))
                }),
            )
        });
        *all = next.collect();
    }

    /// The connection `name`, if there is one. The server's own cluster always is.
    pub fn get(&self, name: &str) -> Option<Arc<Connection>> {
        let found = self.all.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        found.or_else(|| (name == OWN_CLUSTER).then(|| self.own.clone()))
    }

    /// The connection `name` for `pack`; without one, for a person who runs an action.
    pub fn of(&self, name: &str, pack: Option<&PackName>) -> Result<Arc<Connection>, NoConnection> {
        let connection = self.get(name).ok_or_else(|| self.unknown(name))?;
        match pack.filter(|pack| !connection.spec.admits(pack)) {
            None => Ok(connection),
            Some(pack) if Arc::ptr_eq(&connection, &self.own) => {
                Err(NoConnection::NotLent { pack: pack.clone() })
            }
            Some(pack) => Err(NoConnection::NotGranted {
                name: name.to_owned(),
                pack: pack.clone(),
                at: connection.spec.at.clone(),
            }),
        }
    }

    fn unknown(&self, name: &str) -> NoConnection {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let hint = instead(name, all.keys().map(String::as_str));
        NoConnection::Unknown { name: name.to_owned(), hint }
    }

    /// The value of its credentials, where it has some.
    pub fn credentials(&self, connection: &Connection) -> Result<Option<Secret>, NoConnection> {
        let Some(reference) = &connection.spec.credentials else { return Ok(None) };
        let found = reference.resolve(&self.lookup).and_then(|secret| {
            let is_pair = matches!(connection.spec.target, Target::Http { auth: Auth::Basic, .. });
            if is_pair {
                reference.check("password", password(secret.expose()))?;
            }
            Ok(Some(secret))
        });
        found.map_err(|why| NoConnection::Credentials { name: connection.spec.name.clone(), why })
    }
}

/// What of `user:password` nobody may see: where there is no password, the user is a key.
pub fn password(pair: &str) -> &str {
    match pair.split_once(':') {
        Some((user, "")) => user,
        Some((_, password)) => password,
        None => pair,
    }
}

#[cfg(test)]
mod tests;
