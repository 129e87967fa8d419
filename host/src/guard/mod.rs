//! Which hosts a request may reach, checked on the address that is really connected to.
//!
//! A name is resolved once, by a resolver that leaves out what is not allowed, and the connection
//! is made to what it answers: there is no second look-up that could say something else. An
//! address in the URL itself is checked before anything is sent. There is one client, with its own
//! pool of connections, for each [`Reach`]: no request takes over a connection that another was
//! allowed and it is not.

mod address;
mod hosts;
mod proxy;

use std::net::{IpAddr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

pub use address::{Reach, reach_of};
pub use hosts::{BadHost, HostPattern};
pub use proxy::Proxies;

/// Why a host is not reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// No entry is about it.
    #[error("requests to `{host}` are not allowed")]
    NotListed {
        /// The host, with its port where the URL names one.
        host: String,
    },
    /// It lies where the entries do not reach.
    #[error("`{host}` is {address}, {place}")]
    TooFar {
        /// The host.
        host: String,
        /// Its address.
        address: IpAddr,
        /// What kind of place that is.
        place: &'static str,
    },
}

impl Blocked {
    fn too_far(host: &str, address: IpAddr) -> Self {
        let place = match reach_of(address) {
            Reach::Public => "a public address",
            Reach::Private => "a private address",
            Reach::Local => "an address of this machine or of its metadata service",
            Reach::Nowhere => "no address for requests",
        };
        Self::TooFar { host: host.to_owned(), address, place }
    }
}

/// Why nobody is told to list an address.
const GIVES_AWAY: &str = "what answers there gives away the credentials of the machine itself";
const IS_A_NAME: &str = "no name leads to this machine: ask for the address itself, and list that";
const NOWHERE: &str = "no request can go there";

impl Blocked {
    /// The host as it would have to be listed for the request to go through; else why that is no way.
    pub fn entry(&self) -> Result<&str, &'static str> {
        let (host, address) = match self {
            Self::NotListed { host } => (host, literal(host)),
            Self::TooFar { host, address, .. } => (host, Some(*address)),
        };
        let Some(address) = address else { return Ok(host) };
        let named = literal(host).is_none() && host != "localhost";
        match reach_of(address) {
            Reach::Nowhere => Err(NOWHERE),
            Reach::Local if !address.to_canonical().is_loopback() => Err(GIVES_AWAY),
            Reach::Local if named => Err(IS_A_NAME),
            _ => Ok(host),
        }
    }
}

/// The address that a host of an entry is, with or without a port.
fn literal(host: &str) -> Option<IpAddr> {
    let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    bare(host).or_else(|| bare(host.rsplit_once(':')?.0))
}

/// What of `asked` the entries `by` grant.
pub fn granted(asked: &[HostPattern], by: &[HostPattern]) -> Vec<HostPattern> {
    asked.iter().flat_map(|host| by.iter().filter_map(|one| one.grants(host))).collect()
}

/// How far a request to `url` may reach by these entries. An address in the URL is checked too.
pub fn permit(entries: &[HostPattern], url: &Url) -> Result<Reach, Blocked> {
    let reach = entries.iter().filter_map(|entry| entry.reach(url)).max();
    let reach = reach.ok_or_else(|| Blocked::NotListed { host: shown(url) })?;
    check_literal(url, reach)?;
    Ok(reach)
}

/// The host as an entry of `hosts` would name it.
pub fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// An address in a URL goes to no resolver. The URL's parser has undone decimal, octal,
/// hexadecimal and shortened forms.
pub fn check_literal(url: &Url, reach: Reach) -> Result<(), Blocked> {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) if reach_of(address) > reach => Err(Blocked::too_far(host, address)),
        _ => Ok(()),
    }
}

/// Resolves names to addresses within reach only.
pub(crate) struct Guard(pub(crate) Reach);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let allowed = resolve(name.as_str(), reach).await?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// The addresses of `name` that are within reach, at least one.
pub(crate) async fn resolve(
    name: &str,
    reach: Reach,
) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
    let found = tokio::net::lookup_host((name, 0)).await?.collect();
    within(name, found, reach).map_err(Into::into)
}

/// Refuses a name that has an address which is not within reach; one that has none fits.
pub(crate) async fn wholly_within(name: &str, reach: Reach) -> Result<(), Blocked> {
    let found = tokio::net::lookup_host((name, 0)).await;
    found.map_or(Ok(()), |mut found| all_within(name, &mut found, reach))
}

fn all_within(
    name: &str,
    found: &mut dyn Iterator<Item = SocketAddr>,
    reach: Reach,
) -> Result<(), Blocked> {
    let too_far = found.map(|address| address.ip()).find(|address| reach_of(*address) > reach);
    too_far.map_or(Ok(()), |address| Err(Blocked::too_far(name, address)))
}

fn within(name: &str, found: Vec<SocketAddr>, reach: Reach) -> Result<Vec<SocketAddr>, Blocked> {
    let first = found.first().map(SocketAddr::ip);
    let allowed: Vec<_> = found.into_iter().filter(|a| reach_of(a.ip()) <= reach).collect();
    match (allowed.is_empty(), first) {
        (true, Some(address)) => Err(Blocked::too_far(name, address)),
        _ => Ok(allowed),
    }
}

/// The refusal of [`Guard`] within an error of the HTTP client.
pub fn blocked<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Blocked> {
    let causes = std::iter::successors(Some(error), |cause| cause.source());
    causes.into_iter().find_map(|cause| cause.downcast_ref::<Blocked>())
}

#[cfg(test)]
mod tests;
