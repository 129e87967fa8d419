//! Entries of a pack's `hosts`, and how far each lets a request reach.
//!
//! | entry | lets requests reach |
//! |---|---|
//! | `*` | every host on the public internet |
//! | `*.name` | hosts below `name`, also in private networks |
//! | a name | this host, also in private networks |
//! | an address, or `localhost` | this host, also this machine |
//! | any of them with `:PORT` | the same on this port; `:*` is any port, as is none |
//!
//! What one entry grants of another reaches no farther than either: a name that `*` grants is reached at
//! public addresses alone.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

use super::{Reach, reach_of};

/// The name that always leads to this machine.
const LOCALHOST: &str = "localhost";

/// An entry of `hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    host: Host,
    /// None: any.
    port: Option<u16>,
    /// How far at most, where what granted it reaches less far than it would.
    within: Option<Reach>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Any,
    /// Everything below this domain.
    Below(String),
    Name(String),
    Address(IpAddr),
}

/// A text that names no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no host: expected such as `api.example.com`, `*.example.com`, `127.0.0.1:8080`, `127.0.0.1:*` or `[::1]:*`"
)]
pub struct BadHost(String);

impl HostPattern {
    /// What of `asked` it grants: the hosts on the ports that it is about too, and no farther than it
    /// reaches itself.
    pub fn grants(&self, asked: &Self) -> Option<Self> {
        let within = match (&self.host, &asked.host) {
            (own, asked) if own == asked => None,
            (Host::Any, Host::Address(address)) if reach_of(*address) == Reach::Public => None,
            // It may lead into a private network, which `*` is not about; this machine's leads nowhere else.
            (Host::Any, Host::Name(name)) if name != LOCALHOST => Some(Reach::Public),
            (Host::Any, Host::Below(_)) => Some(Reach::Public),
            (Host::Below(domain), Host::Name(name) | Host::Below(name)) => {
                name.strip_suffix(domain.as_str()).filter(|rest| rest.ends_with('.'))?;
                None
            }
            _ => return None,
        };
        let port = match (self.port, asked.port) {
            (Some(own), Some(other)) if own != other => return None,
            (own, other) => own.or(other),
        };
        Some(Self { host: asked.host.clone(), port, within: within.or(asked.within) })
    }

    /// Whether it is about all hosts and ports that `other` is.
    pub fn covers(&self, other: &Self) -> bool {
        self.grants(other).is_some_and(|granted| granted.port == other.port)
    }

    /// Whether it would let a request to `url` reach farther, had what granted it named the host.
    pub fn is_held_back(&self, url: &Url) -> bool {
        self.within.is_some() && self.reach(url).is_some()
    }

    /// How far it lets a request to `url` reach; none: it is about other hosts.
    pub fn reach(&self, url: &Url) -> Option<Reach> {
        if self.port.is_some_and(|port| url.port_or_known_default() != Some(port)) {
            return None;
        }
        let found = plain(url.host_str()?);
        let reach = match &self.host {
            Host::Any => Some(Reach::Public),
            Host::Below(domain) => {
                let below = found.strip_suffix(domain.as_str())?.strip_suffix('.')?;
                (!below.is_empty() && found.parse::<IpAddr>().is_err()).then_some(Reach::Private)
            }
            // Whoever runs its zone says where a name leads: to this machine only its own does.
            Host::Name(name) => (*name == found).then_some(match name.as_str() {
                LOCALHOST => Reach::Local,
                _ => Reach::Private,
            }),
            Host::Address(address) => {
                (found.parse::<IpAddr>() == Ok(*address)).then_some(Reach::Local)
            }
        };
        reach.map(|reach| self.within.map_or(reach, |within| reach.min(within)))
    }
}

/// A host as URLs and users write it: without a final dot and the brackets of IPv6.
fn plain(host: &str) -> String {
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

impl FromStr for HostPattern {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        let bad = || BadHost(text.to_owned());
        let (host, port) = split_port(text);
        let port = match port {
            None | Some("*") => None,
            Some(port) => Some(port.parse().map_err(|_| bad())?),
        };
        let host = match host {
            "*" => Host::Any,
            _ => match host.strip_prefix("*.") {
                Some(domain) => Host::Below(name(domain).ok_or_else(bad)?),
                None => match plain(host).parse::<IpAddr>() {
                    Ok(address) => Host::Address(address),
                    Err(_) => Host::Name(name(host).ok_or_else(bad)?),
                },
            },
        };
        Ok(Self { host, port, within: None })
    }
}

/// An IPv6 address without brackets has no port.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    }
}

/// A domain name in the form that URLs have: lower case, punycode.
fn name(text: &str) -> Option<String> {
    let letters = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
    if text.is_empty() || !text.chars().all(letters) {
        return None;
    }
    let url = Url::parse(&format!("http://{text}/")).ok()?;
    let host = plain(url.host_str()?);
    // `127.1` would be an address in disguise.
    (host.parse::<IpAddr>().is_err()).then_some(host)
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Any => f.write_str("*")?,
            Host::Below(domain) => write!(f, "*.{domain}")?,
            Host::Name(name) => f.write_str(name)?,
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Host::Address(address) => write!(f, "{address}")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(pattern: &str, url: &str) -> Option<Reach> {
        pattern.parse::<HostPattern>().unwrap().reach(&Url::parse(url).unwrap())
    }

    #[test]
    fn an_entry_is_about_its_own_hosts_and_ports_and_no_others() {
        use Reach::{Local, Private, Public};
        for (pattern, url, expected) in [
            ("*", "https://api.example.com/", Some(Public)),
            ("*:443", "http://api.example.com/", None),
            ("api.example.com", "https://api.example.com/", Some(Private)),
            ("api.example.com", "https://API.example.com./", Some(Private)),
            ("API.Example.com.", "https://api.example.com:8443/", Some(Private)),
            ("api.example.com:443", "https://api.example.com/", Some(Private)),
            ("api.example.com:443", "https://api.example.com:8443/", None),
            ("api.example.com", "https://api.example.com.evil.test/", None),
            ("api.example.com", "https://xapi.example.com/", None),
            ("*.example.com", "https://a.b.example.com/", Some(Private)),
            ("*.example.com", "https://example.com/", None),
            ("*.example.com", "https://evilexample.com/", None),
            ("bücher.example", "https://xn--bcher-kva.example/", Some(Private)),
            ("127.0.0.1:8080", "http://127.0.0.1:8080/", Some(Local)),
            ("127.0.0.1:8080", "http://127.0.0.1:80/", None),
            ("127.0.0.1:*", "http://127.0.0.1:9/", Some(Local)),
            ("127.0.0.1:*", "http://2130706433:9/", Some(Local)),
            ("127.0.0.1:*", "http://localhost:9/", None),
            ("[::1]:*", "http://[::1]:9/", Some(Local)),
            ("::1", "http://[0:0:0:0:0:0:0:1]/", Some(Local)),
            ("localhost", "http://user@localhost:7410/", Some(Local)),
            ("localhost", "http://localhost@evil.test/", None),
        ] {
            assert_eq!(reach(pattern, url), expected, "{pattern} {url}");
        }
    }

    #[test]
    fn an_entry_grants_another_no_more_hosts_and_ports_than_it_is_about_itself() {
        for (own, other, expected) in [
            ("*", "*", Some("*")),
            ("*", "*:443", Some("*:443")),
            ("*:443", "*", Some("*:443")),
            ("*", "127.0.0.1:*", None),
            ("*", "169.254.169.254", None),
            ("*", "10.0.0.7", None),
            ("*", "[::1]:80", None),
            ("*", "localhost", None),
            ("*", "LocalHost.:80", None),
            ("*", "api.example.com", Some("api.example.com")),
            ("*", "*.example.com", Some("*.example.com")),
            ("*", "203.0.113.7", None),
            ("*", "8.8.8.8", Some("8.8.8.8")),
            ("api.example.com", "api.example.com:443", Some("api.example.com:443")),
            ("api.example.com:443", "api.example.com:443", Some("api.example.com:443")),
            ("api.example.com:443", "api.example.com", Some("api.example.com:443")),
            ("api.example.com:443", "api.example.com:8443", None),
            ("api.example.com:*", "API.example.com.", Some("api.example.com")),
            ("api.example.com", "xapi.example.com", None),
            ("api.example.com", "*.example.com", None),
            ("api.example.com", "*", None),
            ("*.example.com", "api.example.com:443", Some("api.example.com:443")),
            ("*.example.com", "*.eu.example.com", Some("*.eu.example.com")),
            ("*.example.com", "*.example.com", Some("*.example.com")),
            ("*.example.com", "example.com", None),
            ("*.example.com", "evilexample.com", None),
            ("*.eu.example.com", "*.example.com", None),
            ("*.example.com:443", "a.example.com:443", Some("a.example.com:443")),
            ("*.example.com:443", "a.example.com", Some("a.example.com:443")),
            ("127.0.0.1", "127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("127.0.0.1:*", "127.0.0.1", Some("127.0.0.1")),
            ("127.0.0.1:8080", "127.0.0.1:8081", None),
            ("127.0.0.1", "localhost", None),
            ("[::1]:*", "[0:0:0:0:0:0:0:1]:80", Some("[::1]:80")),
        ] {
            let parsed = |text: &str| text.parse::<HostPattern>().unwrap();
            let granted = parsed(own).grants(&parsed(other));
            let shown = granted.map(|granted| granted.to_string());
            assert_eq!(shown.as_deref(), expected, "{own} grants of {other}");
            let whole = expected.is_some_and(|it| parsed(it) == parsed(other));
            assert_eq!(parsed(own).covers(&parsed(other)), whole, "{own} covers {other}");
        }
    }

    #[test]
    fn what_is_granted_reaches_no_farther_than_what_grants_it() {
        use Reach::{Local, Private, Public};
        for (own, other, url, expected) in [
            ("*", "api.example.com", "https://api.example.com/", Some(Public)),
            ("*", "api.example.com:443", "https://api.example.com:8443/", None),
            ("*:443", "api.example.com", "https://api.example.com/", Some(Public)),
            ("*:443", "api.example.com", "http://api.example.com/", None),
            ("*", "*.example.com", "https://a.example.com/", Some(Public)),
            ("*", "*.example.com", "https://example.com/", None),
            ("*.example.com", "*.eu.example.com", "https://a.eu.example.com/", Some(Private)),
            ("*.example.com", "api.example.com", "https://api.example.com/", Some(Private)),
            ("api.example.com", "api.example.com", "https://api.example.com/", Some(Private)),
            ("localhost", "localhost:80", "http://localhost/", Some(Local)),
            ("127.0.0.1:*", "127.0.0.1:80", "http://127.0.0.1/", Some(Local)),
        ] {
            let parsed = |text: &str| text.parse::<HostPattern>().unwrap();
            let (granted, url) =
                (parsed(own).grants(&parsed(other)).unwrap(), Url::parse(url).unwrap());
            assert_eq!(granted.reach(&url), expected, "{other} by {own}: {url}");
            let held_back = own.starts_with("*:") || own == "*";
            assert_eq!(
                granted.is_held_back(&url),
                held_back && expected.is_some(),
                "{own} {other}"
            );
        }
    }

    #[test]
    fn what_names_no_host_is_refused() {
        for text in [
            "",
            "*.",
            "https://a.b",
            "a b",
            "a/b",
            "a:99999",
            "a:",
            "**",
            "a*",
            "127.1",
            "*.0.0.1",
            "[::1",
        ] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
        for text in ["*", "*.a.b", "a.b:443", "127.0.0.1", "[::1]:80"] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), text);
        }
    }
}
