//! Entries of a pack's `hosts`, and how far each lets a request reach.
//!
//! | entry | lets requests reach |
//! |---|---|
//! | `*` | every host on the public internet |
//! | `*.name` | hosts below `name`, also in private networks |
//! | a name | this host, also in private networks |
//! | an address, or `localhost` | this host, also this machine |
//! | any of them with `:PORT` | the same on this port; `:*` is any port, as is none |

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

use super::{Reach, reach_of};

/// An entry of `hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    host: Host,
    /// None: any.
    port: Option<u16>,
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
    /// Whether it lets a request reach all that `other` does, and as far.
    pub fn covers(&self, other: &Self) -> bool {
        if self.port.is_some() && self.port != other.port {
            return false;
        }
        match (&self.host, &other.host) {
            (Host::Any, Host::Address(address)) => reach_of(*address) == Reach::Public,
            (Host::Below(domain), Host::Name(name) | Host::Below(name))
                if self.host != other.host =>
            {
                name.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.'))
            }
            // A name may lead into a private network, which `*` is not about.
            (own, other) => own == other,
        }
    }

    /// How far it lets a request to `url` reach; none: it is about other hosts.
    pub fn reach(&self, url: &Url) -> Option<Reach> {
        if self.port.is_some_and(|port| url.port_or_known_default() != Some(port)) {
            return None;
        }
        let found = plain(url.host_str()?);
        match &self.host {
            Host::Any => Some(Reach::Public),
            Host::Below(domain) => {
                let below = found.strip_suffix(domain.as_str())?.strip_suffix('.')?;
                (!below.is_empty() && found.parse::<IpAddr>().is_err()).then_some(Reach::Private)
            }
            // Whoever runs its zone says where a name leads: to this machine only its own does.
            Host::Name(name) => (*name == found).then_some(match name.as_str() {
                "localhost" => Reach::Local,
                _ => Reach::Private,
            }),
            Host::Address(address) => {
                (found.parse::<IpAddr>() == Ok(*address)).then_some(Reach::Local)
            }
        }
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
        Ok(Self { host, port })
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
    fn an_entry_covers_another_that_reaches_no_more_and_no_farther() {
        for (own, other, expected) in [
            ("*", "*", true),
            ("*", "*:443", true),
            ("*:443", "*", false),
            ("*", "127.0.0.1:*", false),
            ("*", "169.254.169.254", false),
            ("*", "10.0.0.7", false),
            ("*", "[::1]:80", false),
            ("*", "localhost", false),
            ("*", "api.example.com", false),
            ("*", "*.example.com", false),
            ("*", "203.0.113.7", false),
            ("*", "8.8.8.8", true),
            ("api.example.com", "api.example.com:443", true),
            ("api.example.com:443", "api.example.com:443", true),
            ("api.example.com:443", "api.example.com", false),
            ("api.example.com:443", "api.example.com:8443", false),
            ("api.example.com:*", "API.example.com.", true),
            ("api.example.com", "xapi.example.com", false),
            ("api.example.com", "*.example.com", false),
            ("api.example.com", "*", false),
            ("*.example.com", "api.example.com:443", true),
            ("*.example.com", "*.eu.example.com", true),
            ("*.example.com", "*.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "evilexample.com", false),
            ("*.eu.example.com", "*.example.com", false),
            ("*.example.com:443", "a.example.com:443", true),
            ("*.example.com:443", "a.example.com", false),
            ("127.0.0.1", "127.0.0.1:8080", true),
            ("127.0.0.1:*", "127.0.0.1", true),
            ("127.0.0.1:8080", "127.0.0.1:8081", false),
            ("127.0.0.1", "localhost", false),
            ("[::1]:*", "[0:0:0:0:0:0:0:1]:80", true),
        ] {
            let parsed = |text: &str| text.parse::<HostPattern>().unwrap();
            assert_eq!(parsed(own).covers(&parsed(other)), expected, "{own} covers {other}");
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
